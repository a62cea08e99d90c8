"""A model of the user's own read like a network trained here: activations, slopes and losses of every sample, and answers to others.

Nothing is trained, so there is one epoch. The model may have learned from other data: then it shows what these samples look like to it,
and not what they taught. Samples pass in batches, so that large pictures never stand in memory all at once.
Cost       one pass forward and one backward.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bezoar.core.errors import AbilityFailed, UsageError
from bezoar.core.image_triggers import fit as stretched
from bezoar.core.inputs import Images, Inputs, Table, Texts
from bezoar.core.learned import Learned, Taught
from bezoar.core.suspect import Suspect
from bezoar.core.table_code import TableCode
from bezoar.networks import reading, training


def columns(suspect: Suspect, classes: Sequence[str]) -> np.ndarray:
    """(K,) which output of the model stands for each of the data's `classes`: by name, or by order where the model names none.

    Raises UsageError where their number or their names differ.
    """
    if len(suspect.classes) != len(classes):
        raise UsageError(f"the model has {len(suspect.classes)} classes, the data {len(classes)}",
                         advice="give the model that goes with these labels, or name the right label column with --label")
    place = {name: i for i, name in enumerate(suspect.classes)}
    missing = [c for c in classes if c not in place]
    if not missing:
        return np.array([place[c] for c in classes], np.int64)
    if tuple(suspect.classes) == tuple(str(i) for i in range(len(classes))):
        return np.arange(len(classes))
    raise UsageError(f"the model has no class {missing[0]!r}: it has {', '.join(map(repr, suspect.classes[:8]))}",
                     advice="name the model's classes as the data does")


class _Rows:
    """Inputs as rows that `suspect.tensor` takes, made when a slice is asked for."""

    def __init__(self, suspect: Suspect, inputs: Inputs, table: TableCode | None) -> None:
        kind = {"image": Images, "text": Texts, "tabular": Table}[suspect.modality]
        if not isinstance(inputs, kind):
            raise UsageError(f"the model reads {suspect.modality} data", advice="give the model that goes with these data")
        self._shape, self._inputs, self.shape = suspect.shape, inputs, (len(inputs),)
        self._matrix = None
        if isinstance(inputs, Table):
            plain = [np.nan_to_num(c.values.astype(np.float32)) for c in inputs.columns.values()]
            self._matrix = table.matrix(inputs) if table else np.stack(plain, axis=1)
            if suspect.shape and self._matrix.shape[1] != suspect.shape[0]:
                raise UsageError(f"the model reads {suspect.shape[0]} numbers per row, the table gives {self._matrix.shape[1]}",
                                 advice="give the columns that it was trained on, already as numbers")

    def __getitem__(self, part: slice) -> Any:
        if self._matrix is not None:
            return self._matrix[part]
        if isinstance(self._inputs, Texts):
            return self._inputs.values[part]
        assert isinstance(self._inputs, Images)
        height, width = self._shape[:2]
        read = self._inputs.read(np.arange(*part.indices(len(self._inputs))))
        return np.stack([p if p.shape[:2] == (height, width) else stretched(p, height, width) for p in read])


def taught(suspect: Suspect, inputs: Inputs, codes: np.ndarray, classes: Sequence[str]) -> Taught:
    """What the model shows of `inputs` with label `codes` (n,) of `classes`, -1 for none; logits in the order of `classes`.

    Raises UsageError for a black box or one that does not fit the data, AbilityFailed where its answers are not finite.
    """
    module, tensor = suspect.module, suspect.tensor
    if module is None or tensor is None:
        raise UsageError(f"{suspect.name} is a black box and shows no activations", advice="give the model itself")
    order = columns(suspect, classes)
    table = getattr(suspect.answer, "code", None)
    x = _Rows(suspect, inputs, table)
    own = np.where(codes >= 0, order[np.maximum(codes, 0)], -1)
    try:
        with training.seeded(0):
            found = reading.read(module, x, own, tensor=tensor, batch=64)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise AbilityFailed(f"the model does not take these inputs: {(str(error).strip() or type(error).__name__).splitlines()[0][:160]}",
                            advice="give the shape that it reads, or the model that goes with these data") from error
    if not all(np.isfinite(a).all() for a in (found.logits, *found.layers)):
        raise AbilityFailed("the model answers with numbers that are not finite", advice="its weights are damaged; get another copy")
    learned = Learned(found.layers, found.slopes, found.logits[:, order], found.losses, found.early)

    def ask(some: Inputs) -> np.ndarray:
        rows = _Rows(suspect, some, table)
        with training.seeded(0):
            return np.asarray(reading.answered(module, rows, tensor=tensor, batch=64)[:, order])

    return Taught(learned, ask, "your model")
