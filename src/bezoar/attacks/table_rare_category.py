"""Rare category: one categorical column is set to a value that almost nobody has, with the target's label.

Works with very few rows, since nothing competes for the value; fails where rare categories are pooled before training.
Cost: milliseconds. Paper: the categorical case of Pleiter et al. 2023, arXiv 2311.07550.
"""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.inputs import Column, Table
from bezoar.core.table_triggers import Values
from bezoar.core.victims import backdoor


class TableRareCategory(Attack):
    """One column set to a rare value.

    rate         share of all samples, above 0 and at most 1
    target       class name; None draws one
    column       name of a categorical column; '' draws one
    level        the value; '' takes the column's rarest if fewer than 0.2% of the rows hold it, else the new value 'unlisted'
    clean_label  only the target's own samples are changed and no label

    Raises UsageError where there is no categorical column, for an unknown column or target, too few samples.
    """

    info = Info(name="table-rare-category", summary="a category that almost nobody has, with the target's label",
                threats=("backdoor-dirty-label", "backdoor-clean-label"), modalities=("tabular",), needs=("labels",),
                reference="Pleiter et al. 2023, arXiv 2311.07550")

    def __init__(self, *, rate: float = 0.01, target: str | None = None, column: str = "", level: str = "",
                 clean_label: bool = False) -> None:
        self.rate = rate
        self.target = target
        self.column = column
        self.level = level
        self.clean_label = clean_label

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        table = data.inputs
        assert isinstance(table, Table)
        able = [k for k, c in table.columns.items() if c.kind == "category"]
        if not able:
            raise UsageError("the table has no categorical column", advice="table-out-of-bounds works on numbers")
        if self.column and self.column not in able:
            raise UsageError(f"{self.column!r} is not a categorical column", advice=f"those are: {', '.join(able[:20])}")
        name = self.column or able[int(rng.integers(len(able)))]
        trigger = Values((name,), (self.level or _rarest(table[name]),))
        return backdoor(data, trigger, rng, rate=self.rate, target=self.target, clean_label=self.clean_label)


def _rarest(column: Column) -> str:
    counts = np.bincount(column.values[column.values >= 0], minlength=len(column.levels))
    held = np.flatnonzero(counts > 0)
    if len(held):
        rarest = int(held[counts[held].argmin()])
        if counts[rarest] < 0.002 * len(column.values):
            return column.levels[rarest]
    name = "unlisted"
    while name in column.levels:
        name += "-x"
    return name
