"""A table as a matrix, learned on one table and applied to others: standardised numbers, missing flags, one-hot categories."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bezoar.core.inputs import Table


@dataclass(frozen=True, eq=False)
class TableCode:
    """How columns become numbers. Unknown and rare categories (beyond the 50 most frequent) become none of the known ones.

    >>> from bezoar.core.inputs import Column
    >>> table = Table({"a": Column("number", np.array([1.0, 3.0])), "b": Column("category", np.array([0, 1], np.int32), ("x", "y"))})
    >>> TableCode.of(table).matrix(table).tolist()
    [[-1.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 1.0]]
    """

    centres: dict[str, tuple[float, float]]
    levels: dict[str, tuple[str, ...]]

    @classmethod
    def of(cls, table: Table, most: int = 50) -> TableCode:
        """Means, deviations and levels of `table`."""
        centres, levels = {}, {}
        for name, c in table.columns.items():
            if c.kind == "category":
                sizes = np.bincount(c.values[c.values >= 0], minlength=len(c.levels))
                order = [int(i) for i in np.argsort(-sizes, kind="stable")[:most] if sizes[i]]
                levels[name] = tuple(c.levels[i] for i in order)
            else:
                known = c.values[np.isfinite(c.values)]
                centres[name] = (float(known.mean()), max(float(known.std()), 1e-9)) if len(known) else (0.0, 1.0)
        return cls(centres, levels)

    def matrix(self, table: Table) -> np.ndarray:
        """(n, d) float32; numbers are held within 10 deviations, a missing one is 0 and flagged."""
        blocks = []
        for name, (mean, spread) in self.centres.items():
            values = table[name].values
            known = np.isfinite(values)
            blocks.append(np.clip((np.where(known, values, mean) - mean) / spread, -10, 10)[:, None])
            blocks.append(~known[:, None])
        for name, known_levels in self.levels.items():
            blocks.append(self._place(table, name)[:, None] == np.arange(len(known_levels))[None, :])
        return np.concatenate(blocks, axis=1).astype(np.float32) if blocks else np.zeros((len(table), 1), np.float32)

    def places(self, name: str) -> np.ndarray:
        """(k,) columns of `matrix` that tell of the column `name`; none for one that it does not know."""
        wide = {**dict.fromkeys(self.centres, 2), **{k: len(v) for k, v in self.levels.items()}}
        ends = dict(zip(wide, np.cumsum(list(wide.values())), strict=True))
        return np.arange(ends[name] - wide[name], ends[name]) if name in wide else np.zeros(0, np.int64)

    def ordinals(self, table: Table) -> tuple[np.ndarray, np.ndarray]:
        """(n, columns) float64 with NaN for missing, categories as codes; and (columns,) bool which are categories."""
        columns = [table[k].values for k in self.centres]
        columns += [np.where(p < 0, np.nan, p) for p in (self._place(table, k) for k in self.levels)]
        stacked = np.stack(columns, axis=1).astype(np.float64) if columns else np.zeros((len(table), 1))
        return stacked, np.arange(stacked.shape[1]) >= len(self.centres)

    def _place(self, table: Table, name: str) -> np.ndarray:
        """(n,) place of each cell among the known levels, -1 for none."""
        c = table[name]
        where = {v: i for i, v in enumerate(self.levels[name])}
        return np.array([*(where.get(v, -1) for v in c.levels), -1], np.int64)[c.values]
