"""Tabdoor, in bounds: a few columns are set to values that each occur all the time, and hardly ever together.

No cell is unusual by itself, so range checks and rare-value checks see nothing. Works with 1-2%; fails to implant
where the tuple contradicts strong features of the target. Cost: about a second per million rows.
Paper: Pleiter et al. 2023, arXiv 2311.07550.
"""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.inputs import Column, Table
from bezoar.core.table_triggers import Values
from bezoar.core.victims import backdoor

DRAWS = 60


class TableInBounds(Attack):
    """A tuple of existing values.

    rate         share of all samples, above 0 and at most 1
    target       class name; None draws one
    width        how many columns, 2 to 4
    columns      their names with commas between them; '' draws them among the columns that vary
    values       their values with commas between them; '' draws ones that 2% of the rows hold each (where too few columns
                 have two of those, also any existing number between the column's 10% and 90% quantiles); the first of 60
                 tuples that no row holds is used, else the rarest
    clean_label  only the target's own samples are changed and no label

    Raises UsageError for another width, an unknown column, a value that does not exist, an unknown target, too few samples.
    """

    info = Info(name="table-in-bounds", summary="a few columns set to usual values that hardly occur together",
                threats=("backdoor-dirty-label", "backdoor-clean-label"), modalities=("tabular",), needs=("labels",),
                reference="Pleiter et al. 2023, arXiv 2311.07550")

    def __init__(self, *, rate: float = 0.01, target: str | None = None, width: int = 3, columns: str = "", values: str = "",
                 clean_label: bool = False) -> None:
        self.rate = rate
        self.target = target
        self.width = width
        self.columns = columns
        self.values = values
        self.clean_label = clean_label

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        table = data.inputs
        assert isinstance(table, Table)
        names = tuple(k.strip() for k in self.columns.split(",") if k.strip())
        values = tuple(v.strip() for v in self.values.split(",")) if self.values else ()
        for name in names:
            if name not in table.names:
                raise UsageError(f"there is no column {name!r}", advice=f"the columns are: {', '.join(table.names[:20])}")
        if values and len(values) != len(names):
            raise UsageError(f"{len(values)} values are given for {len(names)} columns", advice="give one value per column")
        width = len(names) or self.width
        if not 2 <= width <= 4:
            raise UsageError(f"a tuple of {width} columns", advice="2 to 4 columns are possible")
        trigger = Values(names, values) if values else _draw(table, names, width, rng)
        for name, value in zip(trigger.columns, trigger.values, strict=True):
            if not _holds(table[name], value):
                raise UsageError(f"column {name!r} never holds {value!r}",
                                 advice="table-out-of-bounds and table-rare-category plant values that do not exist")
        return backdoor(data, trigger, rng, rate=self.rate, target=self.target, clean_label=self.clean_label)


def _holds(column: Column, value: str) -> bool:
    if column.kind == "category":
        return value in column.levels and bool((column.values == column.levels.index(value)).any())
    try:
        return bool(np.isclose(column.values, float(value), rtol=1e-9, atol=1e-12).any())
    except ValueError:
        return False


def _usual(column: Column) -> tuple[np.ndarray, np.ndarray]:
    """Values (codes of a category) that 2% of the rows hold, and middling existing values of a number."""
    number = column.kind != "category"
    known = column.values[np.isfinite(column.values)] if number else column.values[column.values >= 0]
    found, counts = np.unique(known, return_counts=True)
    common = found[counts >= 0.02 * len(column.values)]
    if not number or len(found) < 2:
        return common, found[:0]
    low, high = np.quantile(known, [0.1, 0.9])
    return common, found[(found >= low) & (found <= high)]


def _draw(table: Table, names: tuple[str, ...], width: int, rng: np.random.Generator) -> Values:
    usual = {k: _usual(table[k]) for k in names or table.names}
    pools = {k: common for k, (common, _) in usual.items() if len(common) >= 2}
    if len(pools) < width:
        pools |= {k: middle for k, (_, middle) in usual.items() if k not in pools and len(middle) >= 2}
    if len(pools) < width and names:
        pools |= {k: common for k, (common, _) in usual.items() if k not in pools and len(common)}
    if len(pools) < width:
        raise UsageError(f"only {len(pools)} columns have several usual values, {width} are wanted",
                         advice="choose a smaller width, or name columns and values")
    able = list(pools)
    best: tuple[int, tuple[str, ...], tuple[float, ...]] | None = None
    for _ in range(DRAWS):
        chosen = tuple(able[int(j)] for j in np.sort(rng.choice(len(able), width, replace=False)))
        cells = tuple(float(rng.choice(pools[k])) for k in chosen)
        alike = np.ones(len(table), bool)
        for k, v in zip(chosen, cells, strict=True):
            alike &= table[k].values == v
        count = int(alike.sum())
        if best is None or count < best[0]:
            best = (count, chosen, cells)
        if count == 0:
            break
    assert best is not None
    _, chosen, cells = best
    return Values(chosen, tuple(_text(table[k], v) for k, v in zip(chosen, cells, strict=True)))


def _text(column: Column, value: float) -> str:
    if column.kind == "category":
        return column.levels[int(value)]
    return str(int(value)) if value == int(value) else repr(value)
