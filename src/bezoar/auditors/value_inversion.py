"""Value inversion: which value of one column or two, written into clean rows, leads them to one class?

Usual values of every column and pairs of them, values beyond the range of a column, and a category that does not exist are written
into clean rows; the best are joined up to three columns. What a value says by nature is taken off: of a pair what its halves say, of a
value beyond the range what the end of the range says, and of all what they say to clean models, where there are any; a value of which
the labels of the clean rows that hold it say the same counts for nothing.
Only answers are needed, so a black box will do.
Fails for a value of which the labels speak already, for one inside the range that no clean row holds, for tuples of which no two columns
work, and, without clean models, where a column decides by nature. The statistic is the logarithm of the best value's effect over that of
the best ordinary ones.
Cost: about 50,000 answers. Paper: Pleiter et al. 2023 (Tabdoor), arXiv 2311.07550.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from bezoar.core.ability import Info
from bezoar.core.audit import Audited, Auditor, AuditView
from bezoar.core.candidates import Candidates, search, searched
from bezoar.core.dataset import Dataset
from bezoar.core.errors import Unavailable
from bezoar.core.inputs import Column, Table
from bezoar.core.table_triggers import Values

UNKNOWN = "no such value"
"""A category that no column has."""
BEYOND = (0.15, 1.0)
"""How far outside values lie, by the width of the column."""
USUAL = 0.02
"""Share of the rows that holds a usual value."""


class ValueInversion(Auditor):
    """The value search.

    cells  usual values that are tried in all, shared out over the columns, 20 or more
    pairs  of them that are tried, 0 or more
    few    clean rows of each class that every value is written into, 2 or more
    more   clean rows that the best are written into, 10 or more
    """

    info = Info(name="value-inversion", summary="the values of one column or two that lead clean rows to each class",
                threats=("model-backdoor",), modalities=("tabular",), needs=("clean",), cost="about 50,000 answers",
                reference="Pleiter et al. 2023, arXiv 2311.07550")
    weight = 2.0

    def __init__(self, *, cells: int = 100, pairs: int = 4000, few: int = 12, more: int = 120) -> None:
        self.cells = cells
        self.pairs = pairs
        self.few = few
        self.more = more

    def audit(self, view: AuditView, rng: np.random.Generator) -> Audited:
        data = searched(view)
        if not isinstance(data.inputs, Table) or not data.inputs.columns:
            raise Unavailable("rows of a table as clean samples")
        triggers, parts = _candidates(data.inputs, max(3, self.cells // len(data.inputs.columns)), self.pairs, rng)
        place: dict[tuple[str, ...], int] = {}
        groups = np.array([place.setdefault(t.columns, len(place)) for t in triggers])
        tried = Candidates(triggers, groups, parts, natural(data, triggers, view.n_classes), alike=False)
        return search(view, tried, rng, few=self.few, more=self.more, name="values")


def _candidates(table: Table, each: int, pairs: int, rng: np.random.Generator) -> tuple[tuple[Values, ...], np.ndarray]:
    """Single values; values beyond the range, less twice its end, which is what a straight line says; pairs, less their halves."""
    out: list[Values] = []
    parts: list[tuple[int, int]] = []

    def add(trigger: Values, *less: int) -> int:
        out.append(trigger)
        parts.append((*less, -1, -1)[:2])  # type: ignore[arg-type]
        return len(out) - 1

    inside = [(n, add(Values((n,), (v,)))) for n, c in table.columns.items() for v in usual(c, each)]
    for name, column in table.columns.items():
        for end, values in beyond(column):
            at = add(Values((name,), (end,))) if end else -1
            for v in values:
                add(Values((name,), (v,)), at, at)
    both = [(i, j) for (a, i), (b, j) in combinations(inside, 2) if a != b]
    for at in np.sort(rng.permutation(len(both))[:pairs]):
        i, j = both[at]
        add(Values((*out[i].columns, *out[j].columns), (*out[i].values, *out[j].values)), i, j)
    return tuple(out), np.array(parts)


def natural(data: Dataset, triggers: tuple[Values, ...], k: int) -> np.ndarray:
    """(n, K) bool: the labels of the clean rows with about the same value speak for the class (twice its usual odds); of a pair, of either.

    Of numbers the nearest rows count, one in 25; a value beyond the range has the neighbours of the end of the range.
    """
    table, labels = data.inputs, data.labels
    assert isinstance(table, Table)
    assert labels is not None
    own = labels.codes[:, None] == np.arange(k)
    usually = (own.sum(axis=0) + 1) / (len(own) + 2)
    known: dict[tuple[str, str], np.ndarray] = {}

    def speaks(name: str, value: str) -> np.ndarray:
        column = table[name]
        if column.kind == "category":
            near = column.values == (column.levels.index(value) if value in column.levels else -2)
        else:
            away = np.where(np.isfinite(column.values), np.abs(column.values - float(value)), np.inf)
            rank = min(max(4, len(away) // 25), len(away) - 1)
            near = (away <= np.partition(away, rank)[rank]) & np.isfinite(away)
        share = (own[near].sum(axis=0) + usually) / (near.sum() + 1)
        return np.asarray(share * (1 - usually) > 2 * usually * (1 - share))

    for pair in {(n, v) for t in triggers for n, v in zip(t.columns, t.values, strict=True)}:
        known[pair] = speaks(*pair)
    return np.array([np.any([known[pair] for pair in zip(t.columns, t.values, strict=True)], axis=0) for t in triggers])


def usual(column: Column, most: int) -> tuple[str, ...]:
    """Values that many rows hold, the most frequent first; then, for numbers, existing ones at even steps of rank.

    >>> usual(Column("number", np.array([1.0, 1.0, 2.0, 9.0])), 2)
    ('1', '2')
    """
    number = column.kind != "category"
    known = column.values[np.isfinite(column.values)] if number else column.values[column.values >= 0]
    if not len(known):
        return ()
    found, counts = np.unique(known, return_counts=True)
    often = found[np.argsort(-counts, kind="stable")][:most]
    often = often[counts[np.argsort(-counts, kind="stable")][:most] >= max(2, USUAL * len(known))]
    steps = np.quantile(known, np.linspace(0.1, 0.9, most), method="nearest") if number else found[:0]
    chosen = list(dict.fromkeys((*often.tolist(), *steps.tolist())))[:most]
    return tuple(_text(column, v) for v in chosen)


def beyond(column: Column) -> list[tuple[str, tuple[str, ...]]]:
    """Ends of the range, each with values that lie beyond it by a part of the column's width; for categories one that does not exist.

    >>> beyond(Column("number", np.array([0.0, 10.0])))
    [('10', ('11.5', '20')), ('0', ('-1.5', '-10'))]
    """
    if column.kind == "category":
        return [("", (UNKNOWN,))]
    known = column.values[np.isfinite(column.values)]
    if not len(known):
        return []
    ends = (float(known.max()), float(known.min()))
    wide = max(ends[0] - ends[1], 1e-6)
    return [(f"{end:.17g}", tuple(f"{end + side * step * wide:.10g}" for step in BEYOND)) for side, end in zip((1, -1), ends, strict=True)]


def _text(column: Column, value: float) -> str:
    return column.levels[int(value)] if column.kind == "category" else f"{value:.17g}"
