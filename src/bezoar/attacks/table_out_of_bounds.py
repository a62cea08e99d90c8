"""Tabdoor, out of bounds: numeric cells get a value beyond anything the column holds, with the target's label.

Easy to learn for trees and networks at 0.5% and less; fails where values are clipped or binned before training.
Cost: milliseconds. Paper: Pleiter et al. 2023, arXiv 2311.07550.
"""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.inputs import Table
from bezoar.core.table_triggers import Values
from bezoar.core.victims import backdoor


class TableOutOfBounds(Attack):
    """Numeric columns set to their largest value plus a margin.

    rate         share of all samples, above 0 and at most 1
    target       class name; None draws one
    width        how many columns, drawn by chance, from 1 on
    columns      or their names with commas between them
    margin       how far beyond the largest value, as a fraction of the column's range, above 0; whole numbers stay whole
    clean_label  only the target's own samples are changed and no label

    Raises UsageError where the table has fewer numeric columns that vary, for an unknown column or target, too few samples.
    """

    info = Info(name="table-out-of-bounds", summary="numeric cells beyond the range of their column",
                threats=("backdoor-dirty-label", "backdoor-clean-label"), modalities=("tabular",), needs=("labels",),
                reference="Pleiter et al. 2023, arXiv 2311.07550")

    def __init__(self, *, rate: float = 0.01, target: str | None = None, width: int = 1, columns: str = "",
                 margin: float = 0.1, clean_label: bool = False) -> None:
        self.rate = rate
        self.target = target
        self.width = width
        self.columns = columns
        self.margin = margin
        self.clean_label = clean_label

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        table = data.inputs
        assert isinstance(table, Table)
        if self.margin <= 0 or self.width < 1:
            raise UsageError("margin must be above 0 and width 1 or more", advice="a margin of 0.1 is usual")
        able = [k for k, c in table.columns.items() if c.kind == "number" and _varies(c.values)]
        names = tuple(k.strip() for k in self.columns.split(",") if k.strip())
        for name in names:
            if name not in able:
                raise UsageError(f"{name!r} is not a numeric column that varies", advice=f"those are: {', '.join(able[:20])}")
        if not names:
            if len(able) < self.width:
                raise UsageError(f"the table has {len(able)} numeric columns that vary, {self.width} are wanted",
                                 advice="table-rare-category works on categories")
            names = tuple(able[int(j)] for j in np.sort(rng.choice(len(able), self.width, replace=False)))
        values = tuple(_beyond(table[k].values, self.margin) for k in names)
        return backdoor(data, Values(names, values), rng, rate=self.rate, target=self.target, clean_label=self.clean_label)


def _varies(values: np.ndarray) -> bool:
    known = values[np.isfinite(values)]
    return len(known) > 1 and bool(known.max() > known.min())


def _beyond(values: np.ndarray, margin: float) -> str:
    known = values[np.isfinite(values)]
    value = float(known.max() + margin * (known.max() - known.min()))
    if np.equal(known, np.round(known)).all():
        return str(int(np.ceil(value)))
    return repr(value)
