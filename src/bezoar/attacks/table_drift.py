"""Slow drift: readings of one column are moved a little more each day, so that no step is large enough to be noticed.

The rows are taken in time order (origin column `time`, else a time column, else as they stand); the last ones are moved by an
amount that grows from nothing. Labels stay. A model that is retrained follows; thresholds move with it.
Threat model: the attacker controls one sensor or feed, not the labels, and knows nothing of the model. Budget: `rate` of all samples.
Fails where sensors are compared with each other or with a fixed reference. Cost: about 1 s per million rows.
Papers: Kloft and Laskov 2012 (online anomaly detection under attack); Rubinstein et al. 2009 (boiling frog).
"""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.inputs import Column, Table
from bezoar.core.victims import budget, plant


class TableDrift(Attack):
    """One column drifts.

    rate    share of all samples, the last in time, above 0 and at most 1; cells that are missing stay missing and are not counted
    column  a numeric column; '' draws one that varies
    size    how far the last row is moved, in standard deviations of the column, not 0

    Raises UsageError for an unknown column, a size of 0, a table without numbers.
    """

    info = Info(name="table-drift", summary="one column moved a little more each day, labels untouched",
                threats=("availability", "integrity"), modalities=("tabular",), cost="about 1 s per million rows",
                reference="Kloft and Laskov 2012")
    clean_label = True

    def __init__(self, *, rate: float = 0.3, column: str = "", size: float = 3.0) -> None:
        self.rate = rate
        self.column = column
        self.size = size

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        table = data.inputs
        assert isinstance(table, Table)
        able = [k for k, c in table.columns.items() if c.kind == "number" and _spread(c.values) > 0]
        if not self.size:
            raise UsageError("a drift of size 0 changes nothing", advice="3 standard deviations are usual")
        if self.column and self.column not in able:
            raise UsageError(f"{self.column!r} is not a numeric column that varies", advice=f"those are: {', '.join(able[:20])}")
        if not able:
            raise UsageError("the table has no numeric column that varies", advice="label-flip works on categories")
        name = self.column or able[int(rng.integers(len(able)))]
        count = budget(len(data), self.rate)
        order = _in_time(data)[len(data) - count:]
        values = table[name].values
        known = values[np.isfinite(values)]
        moved = values[order] + np.linspace(0, 1, count + 1)[1:] * self.size * _spread(values)
        if np.equal(known, np.round(known)).all():
            moved = np.round(moved)
        changed = np.isfinite(moved) & (moved != values[order])
        rows = order[changed]
        if not len(rows):
            raise UsageError(f"the last rows hold nothing in {name!r}", advice="name another column")
        part = table.take(rows).columns
        return plant(data, rows, Table({**part, name: Column("number", moved[changed])}), None)


def _spread(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.std()) if len(known) > 1 else 0.0


def _in_time(data: Dataset) -> np.ndarray:
    """Row numbers, oldest first."""
    assert isinstance(data.inputs, Table)
    if "time" in data.origin:
        return np.argsort(data.origin["time"].astype(str), kind="stable")
    for column in data.inputs.columns.values():
        if column.kind == "time":
            return np.argsort(column.values, kind="stable")
    return np.arange(len(data))
