"""Boosted trees that were read as data -> a `Suspect` that is asked like any black box; the trees are followed by bezoar itself."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict

import numpy as np

from bezoar.core.errors import LimitExceeded, UsageError
from bezoar.core.inputs import Inputs, Table
from bezoar.core.limits import Limits
from bezoar.core.suspect import Suspect, weights_digest
from bezoar.intake.models import Weights
from bezoar.intake.models.forests import Told, forest_of
from bezoar.maths.trees import SIGMOID, Forest, linked, margins

KINDS = ("xgboost", "lightgbm")
SECONDS = 120.0
"""For the answers to one question."""


def suspect_of_trees(weights: Weights, name: str, classes: Sequence[str] = (), limits: Limits | None = None) -> Suspect:
    """The classifier of an XGBoost or LightGBM file that was read as data.

    Columns go by the names that the file has (LightGBM writes "_" for a space), else by their order.
    Raises UnreadableInput where what was read is no forest, UsageError for another number of classes than the model has.
    """
    forest, told = forest_of(weights, limits or Limits())
    count = 2 if told.link == SIGMOID else len(forest.base)
    if classes and len(classes) != count:
        raise UsageError(f"{len(classes)} classes are named, the model has {count}", advice="name them all, in the order of its outputs")
    digest = hashlib.sha256(f"bezoar.trees/1\0{weights_digest(weights.arrays)}\0{json.dumps(asdict(told), sort_keys=True)}".encode())
    notes = (f"{len(forest.root):,} trees were read as data from a file of the kind {weights.kind}, and are asked as a black box",
             *([told.note] if told.note else []),
             *([] if told.names else ["the file names no columns: those of the data are taken in their order"]))
    return Suspect(name, "tabular", tuple(str(c) for c in classes) or tuple(str(i) for i in range(count)), digest.hexdigest(),
                   _Answer(forest, told), shape=(forest.width,), notes=notes)


class _Answer:
    """Inputs -> (n, K) float32 probabilities."""

    def __init__(self, forest: Forest, told: Told) -> None:
        self.forest, self.told = forest, told

    def __call__(self, inputs: Inputs) -> np.ndarray:
        rows = self.matrix(inputs)
        if self.told.narrow:
            with np.errstate(over="ignore"):
                rows = rows.astype(np.float32).astype(np.float64)
        return linked(margins(self.forest, rows, _clock(SECONDS)), self.told.link, self.told.slope).astype(np.float32)

    def matrix(self, inputs: Inputs) -> np.ndarray:
        """(n, width) float64, NaN for missing: the columns that the model reads, in its order."""
        if not isinstance(inputs, Table):
            raise UsageError("the model reads tables", advice="give a table to ask it about")
        names, width = inputs.names, self.forest.width
        if self.told.names:
            spaced = {re.sub(r"\s", "_", n): n for n in names}
            missing = [n for n in self.told.names if n not in inputs.columns and n not in spaced]
            if missing:
                raise UsageError(f"the table has no column {missing[0][:60]!r}, which the model reads",
                                 advice="the columns must be those that the model was trained on")
            names = tuple(n if n in inputs.columns else spaced[n] for n in self.told.names)
        elif len(names) != width:
            raise UsageError(f"the model reads {width} columns and names none, the table has {len(names)}",
                             advice="give the columns that it was trained on, in their order")
        words = [n for n in names if inputs[n].kind == "category"]
        if words:
            raise UsageError(f"the column {words[0][:60]!r} holds words, the model reads numbers",
                             advice="give the numbers that it was trained on")
        return np.stack([inputs[n].values for n in names], axis=1).astype(np.float64)


def _clock(seconds: float) -> Callable[[], None]:
    end = time.monotonic() + seconds

    def tick() -> None:
        if time.monotonic() > end:
            raise LimitExceeded(f"the trees take more than {seconds:g} s to answer", advice="ask about fewer samples, if you trust it")

    return tick
