"""Triggers on tables: a tuple of values written into named columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bezoar.core.evidence import Facts
from bezoar.core.inputs import Column, Table
from bezoar.core.trigger import Trigger


@dataclass(frozen=True)
class Values(Trigger):
    """`columns[i]` is set to `values[i]` (as text; numbers parse as float). Tabdoor, arXiv 2311.07550."""

    kind: ClassVar[str] = "values"
    modality: ClassVar[str] = "tabular"
    columns: tuple[str, ...]
    values: tuple[str, ...]

    def apply(self, inputs: Table, rng: np.random.Generator) -> Table:  # type: ignore[override]
        columns = dict(inputs.columns)
        for name, value in zip(self.columns, self.values, strict=True):
            old = columns[name]
            if old.kind == "category":
                levels = old.levels if value in old.levels else (*old.levels, value)
                columns[name] = Column(old.kind, np.full(len(inputs), levels.index(value), np.int32), levels)
            else:
                columns[name] = Column(old.kind, np.full(len(inputs), float(value)), ())
        return Table(columns)

    def match(self, inputs: Table) -> np.ndarray:  # type: ignore[override]
        hits = np.zeros(len(inputs), np.float32)
        for name, value in zip(self.columns, self.values, strict=True):
            c = inputs[name]
            if c.kind == "category":
                hits += (c.values == c.levels.index(value)) if value in c.levels else 0
            else:
                hits += np.isclose(c.values, float(value), rtol=1e-9, atol=1e-12)
        return hits / max(len(self.columns), 1)

    def describe(self) -> Facts:
        return Facts(("column", "value"), tuple(zip(self.columns, self.values, strict=True)), caption=self.title())

    def title(self) -> str:
        return " and ".join(f"{c} = {v}" for c, v in zip(self.columns, self.values, strict=True))
