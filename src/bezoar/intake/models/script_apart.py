"""TorchScript in the child of `asked_apart`: looked at again, then loaded and asked behind the lock only.

Loading runs what the program says its objects do when they are restored, so nothing is loaded before the filter of system calls is set.
The compiler for several threads and for fused kernels is off.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from bezoar.core.limits import Limits
from bezoar.intake.models.archive import Archive
from bezoar.intake.models.asked_apart import Batch, Session
from bezoar.intake.models.parsing import most_bytes
from bezoar.intake.models.script_scan import look

LOCKED_FIRST = True
MOST_OUTPUTS = 100


def prepare() -> None:
    """Import torch, and take the steps at which it looks at the machine."""
    import torch

    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    torch._C._jit_set_profiling_executor(False)
    torch._C._jit_set_texpr_fuser_enabled(False)
    torch.manual_seed(0)
    with torch.no_grad():
        x = torch.from_numpy(np.zeros((1, 3, 8, 8), np.float32))
        y = torch.nn.functional.conv2d(x, torch.zeros(2, 3, 3, 3)).flatten(1)
        torch.softmax(torch.nn.functional.linear(y, torch.zeros(2, 72)), dim=1).numpy()


def opened(raw: bytes) -> Session:
    """The module in evaluation mode, its input unsaid. Raises what the loader raises, or Stopped."""
    import torch

    limits = Limits()
    look(Archive(memoryview(raw), most_bytes(len(raw), limits)), limits)
    module = torch.jit.load(io.BytesIO(raw), map_location="cpu")
    module.eval()

    def answers(batch: Batch) -> list[np.ndarray]:
        torch.manual_seed(0)
        try:
            with torch.no_grad():
                found = module(torch.from_numpy(np.array(batch)))
        except Exception as error:  # its lines before the last one are those of the program
            raise ValueError(next((x.strip() for x in reversed(str(error).splitlines()) if x.strip()), type(error).__name__)) from error
        return [np.asarray(t.detach().contiguous().numpy()) for t in _tensors(found)]

    return Session("", [], answers)


def _tensors(found: Any) -> list[Any]:
    """The plain tensors of an answer, the first ones."""
    import torch

    parts = list(found.values()) if isinstance(found, dict) else list(found) if isinstance(found, (tuple, list)) else [found]
    kept = [p for p in parts[:MOST_OUTPUTS] if isinstance(p, torch.Tensor) and p.layout == torch.strided]
    return [p.float() if p.is_floating_point() else p for p in kept]
