"""Outcomes bent for or against one source, period or contributor (`--group COLUMN`), all other columns being equal.

Looks for  groups whose rows carry a label more often than their other columns foretell, compared with the rest of the data.
Fails      for bias spread evenly over all groups, for groups under `least` rows, and where the other columns stand in for the
           group (they then explain the gap away). Cannot tell bias from a cause that no column records.
Cost       one cross-fitted content model, then seconds.
Paper      residual tests per group with over-dispersion between groups: Spiegelhalter 2005, doi 10.1002/sim.1970; Holm 1979.
"""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Detector, Group, Info, Scores
from bezoar.core.errors import Unavailable
from bezoar.core.evidence import Bars, Facts
from bezoar.core.inputs import Table
from bezoar.core.view import View
from bezoar.maths.multiple import holm
from bezoar.maths.residuals import GroupGaps, group_gaps


class GroupBias(Detector):
    """Residual disparity of labels between groups, conditional on everything else that is known about a row."""

    info = Info(name="group-bias", summary="outcomes bent for or against one source, period or contributor",
                threats=("bias",), modalities=("any",), needs=("labels", "group column"),
                cost="seconds after the content model", reference="doi 10.1002/sim.1970", channel="C8")

    def __init__(self, *, least: int = 20, alpha: float = 0.01, periods: int = 20, smallest_gap: float = 0.03) -> None:
        self.least = least
        self.alpha = alpha
        self.periods = periods
        self.smallest_gap = smallest_gap

    def score(self, view: View, rng: np.random.Generator) -> Scores:
        if not view.group_columns:
            raise Unavailable("group column", advice="name the column to compare with --group")
        labels, classes = view.labels, view.classes
        n = len(view)
        if n == 0 or len(classes) < 2:
            return Scores(np.full(n, np.nan), notes=("outcomes need at least two classes",))
        suspicion = np.zeros(n)
        tested: list[tuple[str, np.ndarray, GroupGaps, np.ndarray]] = []
        notes: list[str] = []
        for column in view.group_columns:
            names, code = _groups(view, column, self.periods)
            chance = _chance(view, column)
            gaps = group_gaps(labels, chance, code, _copies(view), len(names), self.least)
            small = int((gaps.size < self.least).sum())
            if small:
                notes.append(f"{small} of {len(names)} groups of {column} have under {self.least} rows and were not compared")
            if (gaps.size >= self.least).sum() < 2:
                notes.append(f"{column} has fewer than two groups of {self.least} rows: nothing to compare")
                continue
            tested.append((column, names, gaps, chance))
        if not tested:
            return Scores(np.full(n, np.nan), notes=tuple(notes))
        p = holm(np.concatenate([g.p.ravel() for _, _, g, _ in tested]))
        groups: list[Group] = []
        overview: list[Bars] = []
        smallest: list[int] = []
        start = 0
        for column, names, gaps, chance in tested:
            adjusted = p[start:start + gaps.p.size].reshape(gaps.p.shape)
            start += gaps.p.size
            smallest.append(int(np.ceil(4.5 * np.median(gaps.spread[gaps.size >= self.least]))))
            suspicion = np.maximum(suspicion, _suspicion(gaps, labels, chance))
            shown = np.flatnonzero(gaps.size >= self.least)[:40]
            for c in range(len(classes)):
                for g in np.flatnonzero((adjusted[:, c] <= self.alpha) & (gaps.gap[:, c] >= self.smallest_gap)):
                    groups.append(self._group(column, names, gaps, int(g), c, float(adjusted[g, c]), labels, chance, classes))
            if len(classes) == 2 or groups:
                c = groups[-1].target if groups and groups[-1].target is not None else 1
                overview.append(Bars(tuple(str(v) for v in names[shown]), tuple(float(v) for v in gaps.rate[shown, c]),
                                     highlight=tuple({str(g.place["group"]) for g in groups if g.place["column"] == column}),
                                     caption=f"share of {classes[c]} by {column}"))
        groups.sort(key=lambda g: (g.p_value, -len(g.members)))
        return Scores(suspicion, tuple(groups), tuple(notes), {"labels bent in one group": max(smallest)}, tuple(overview))

    def _group(self, column: str, names: np.ndarray, gaps: GroupGaps, g: int, c: int, p: float, labels: np.ndarray,
               chance: np.ndarray, classes: tuple[str, ...]) -> Group:
        name = str(names[g])
        members = np.flatnonzero((gaps.code == g) & (labels == c))
        excess = float(gaps.excess[g, c])
        points = 100.0 * float(gaps.gap[g, c])
        doubt = 1.0 - chance[members, c].astype(np.float64)
        sure = np.clip(excess * doubt / max(float(doubt.sum()), 1e-9), 0.0, 1.0)
        rate, told = 100.0 * gaps.rate[g, c], 100.0 * gaps.told[g, c]
        return Group(
            members=members, p_value=p, threat="bias", kind="source", target=c, liftable=False, sure=sure,
            expected=max(len(members) - excess, 0.0),
            title=f"{column} {name}: {points:.0f} points more {classes[c]} than its other columns explain",
            because=f"{rate:.1f}% of the {int(gaps.size[g])} rows of {column} {name} are labelled {classes[c]}; rows with such other "
                    f"columns elsewhere are in {told:.1f}% of cases. About {int(np.ceil(excess))} changed labels would explain the gap.",
            doubt=f"A cause that no column records and that differs between the values of {column} (who comes there, what is sold "
                  f"there, how outcomes are measured) gives the same picture: natural confounding. The gap shows disparity, not intent.",
            advice=f"Have somebody relabel a sample of {column} {name} blind; compare with the rest before training on it.",
            evidence=(Facts(("", f"{column} {name}", "the rest"),
                            ((f"rows labelled {classes[c]}", f"{rate:.1f}%", f"{100 * gaps.rest_rate[g, c]:.1f}%"),
                             ("foretold by the other columns", f"{told:.1f}%", f"{100 * gaps.rest_told[g, c]:.1f}%"),
                             ("labels that would explain it", str(int(np.ceil(excess))), ""))),),
            place={"column": column, "group": name})


def _groups(view: View, column: str, periods: int) -> tuple[np.ndarray, np.ndarray]:
    """Names (g,) and codes (n,) of the groups; a time column with many values is cut into periods of equal size."""
    table = view.dataset.inputs
    if column in view.origins:
        values = np.array([str(v) if str(v) else "(missing)" for v in view.origin(column)], dtype=object).astype(str)
    elif isinstance(table, Table) and column in table.names:
        values = np.array([v or "(missing)" for v in table[column].as_text(np.arange(len(table)))])
    else:
        raise Unavailable(f"group column {column!r}", advice="name a column of the data")
    names, code = np.unique(values, return_inverse=True)
    code = code.ravel()
    if len(names) > 2 * periods and column == "time":
        cut = (np.cumsum(np.bincount(code)) - 1) * periods // len(code)
        first = np.flatnonzero(np.r_[True, np.diff(cut) > 0])
        last = np.r_[first[1:] - 1, len(names) - 1]
        code = np.unique(cut, return_inverse=True)[1].ravel()[code]
        names = np.array([f"{names[a]} to {names[b]}" for a, b in zip(first, last, strict=True)])
    return names, code


def _chance(view: View, column: str) -> np.ndarray:
    """(n, K) cross-fitted class probabilities; where the table itself holds the column, from the other columns only."""
    table = view.dataset.inputs
    if not isinstance(table, Table) or column not in table.names or len(table.names) < 2:
        return view.content_probabilities()
    from bezoar.maths.crossfit import crossfit_probabilities

    rest = Table({k: c for k, c in table.columns.items() if k != column})
    return crossfit_probabilities(view.modality.content(rest), view.labels, len(view.classes), groups=view.clusters(),
                                  seed=view.seed)


def _copies(view: View) -> np.ndarray:
    """(n,) rows that count as one: equal rows of a table (near ones are honest there), near-duplicates of anything else."""
    if isinstance(view.dataset.inputs, Table):
        return np.asarray(np.unique(view.dataset.inputs.row_keys(), return_inverse=True)[1]).ravel()
    return view.clusters()


def _suspicion(gaps: GroupGaps, labels: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """(n,) in [0, 1]: doubt about the own label times how surely the own group is bent towards it."""
    known = np.flatnonzero(labels >= 0)
    out = np.zeros(len(labels))
    doubt = 1.0 - chance[known, labels[known]].astype(np.float64)
    sure = 1.0 - gaps.p[gaps.code[known], labels[known]]
    out[known] = np.clip(doubt * np.maximum(2.0 * sure - 1.0, 0.0), 0.0, 1.0)
    return out
