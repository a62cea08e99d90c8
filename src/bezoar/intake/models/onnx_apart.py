"""ONNX models in the child of `asked_apart`: one input, one thread, nothing but the standard providers."""

from __future__ import annotations

import numpy as np

from bezoar.intake.models.asked_apart import Batch, Session

LOCKED_FIRST = False
"""Opening a graph folds its constants and runs nothing else of it; the runtime reads files of the system meanwhile."""


def prepare() -> None:
    """Import the runtime."""
    import onnxruntime  # noqa: F401


def opened(raw: bytes) -> Session:
    """The session. Raises ValueError for several inputs, and what the runtime raises."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(raw, options, providers=["CPUExecutionProvider"])
    wanted = session.get_inputs()
    if len(wanted) != 1:
        raise ValueError(f"it has {len(wanted)} inputs, models of one are audited")
    name, dims = wanted[0].name, wanted[0].shape

    def answers(batch: Batch) -> list[np.ndarray]:
        given = np.array(batch, object).reshape([-1] + [1] * (len(dims) - 1)) if isinstance(batch, list) else batch
        return [o for o in session.run(None, {name: given}) if isinstance(o, np.ndarray)]

    return Session(wanted[0].type, [d if isinstance(d, int) else None for d in dims], answers)
