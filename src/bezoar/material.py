"""What a model is given to work on: a copy of its network, and samples as rows that it reads."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.escape import line
from bezoar.core.inputs import Images, Inputs, Table, Texts
from bezoar.core.model_repair import Samples, Writer
from bezoar.core.suspect import Suspect
from bezoar.core.table_triggers import Values
from bezoar.core.trigger import Trigger
from bezoar.networks.image_victim import brought


def on_processor(suspect: Suspect) -> tuple[Any, Callable[[Any], Any]]:
    """`placed`, on the processor."""
    return placed(suspect, "cpu")


def placed(suspect: Suspect, place: str) -> tuple[Any, Callable[[Any], Any]]:
    """A copy of the module that stands on 'cpu' or 'cuda', and what makes its inputs there. Raises UsageError for a black box."""
    make = suspect.tensor
    if suspect.module is None or make is None:
        raise UsageError(f"{line(suspect.name)} is a black box: it shows no layers", advice="give the weights themselves")
    return copy.deepcopy(suspect.module).to(place).eval(), lambda rows: make(rows).to(place)


def samples(suspect: Suspect, data: Dataset) -> tuple[Samples, tuple[str, ...]]:
    """Rows and codes as the model has them, and what was inferred. Raises UsageError where data and model do not belong together."""
    x = rows(suspect, data)
    if data.labels is None:
        raise UsageError("trusted samples need labels", advice="name the label column with --label")
    if len(np.unique(data.labels.codes[data.labels.codes >= 0])) < 2:
        raise UsageError("trusted samples of one class cannot tell what a repair costs", advice="give samples of every class")
    names = data.labels.classes
    notes: tuple[str, ...] = ()
    place = {c: i for i, c in enumerate(suspect.classes)}
    if set(names) <= set(place):
        codes = np.array([place[c] for c in names] + [-1])[data.labels.codes]
    elif len(names) == len(suspect.classes) and suspect.classes == tuple(str(i) for i in range(len(names))):
        codes = data.labels.codes
        notes = ("the model names no classes: those of the data were taken, in their order: " + ", ".join(line(n, 40) for n in names[:20]),)
    else:
        strange = sorted(set(names) - set(place))
        raise UsageError(f"the model has no class {line(strange[0], 60)!r}",
                         advice="it has: " + ", ".join(line(c, 40) for c in suspect.classes[:20]))
    return Samples(x, np.asarray(codes, np.int64)), notes


def rows(suspect: Suspect, data: Dataset) -> np.ndarray:
    """(n, ...) rows as the model reads them: pictures at its size, texts as they are, tables as numbers. Raises UsageError for others."""
    inputs = data.inputs
    if data.modality != suspect.modality:
        raise UsageError(f"the model reads {suspect.modality}, the data are {data.modality}", advice="give samples of its kind")
    if isinstance(inputs, Texts):
        return inputs.values
    if isinstance(inputs, Images):
        return brought(inputs, *suspect.shape[:2])
    matrix = getattr(suspect.answer, "matrix", None)
    if matrix is None:
        raise UsageError(f"{line(suspect.name)} shows no rows of numbers", advice="give the weights of a network")
    return np.asarray(matrix(inputs), np.float32)


def writer(suspect: Suspect, inputs: Inputs) -> Writer | None:
    """For models of tables: what writes a trigger into rows of numbers, made from a table like `inputs`; None for other models."""
    edits = getattr(suspect.answer, "written", None)
    if not isinstance(inputs, Table) or edits is None:
        return None

    def write(x: np.ndarray, trigger: Trigger) -> np.ndarray:
        if not isinstance(trigger, Values):
            raise UsageError(f"a {trigger.kind} trigger cannot be written into rows of numbers", advice="give columns and their values")
        places, values = edits(inputs, trigger)
        out = x.copy()
        out[:, places] = values
        return out

    return write
