"""Groups at the upper ends of classes: rows far above the rest of their class, behind a gap, judged against the other classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bezoar.maths import matched, rivals

LEAST_SPREAD = 1.0
"""A class varies by as much as all rows together at least."""
CLASSES_APART = 2.0
"""A class whose middle is so many deviations of the classes' middles above theirs may be mostly planted: it is measured from there."""
TAIL = 2.5
"""Nats per deviation beyond two, where readings are made so that nature's tails are light."""
FAR = 2.5
"""Deviations at which a group begins to count; it counts in full one deviation farther."""
GAP = 1.0
"""Rows half way between bulk and group, in parts of the group: with so many it is a tail, with half of them it counts in full."""
ROUNDS = 3


@dataclass(frozen=True, eq=False)
class End:
    """The upper end of class `code`: its `rows` at the strongest reading, and the family-wise `p` among all classes and readings."""

    code: int
    rows: np.ndarray
    p: float


def ends(found: np.ndarray, codes: np.ndarray, large: np.ndarray, twins: np.ndarray) -> tuple[np.ndarray, list[End]]:
    """(n, r) how far each row stands above the bulk of its class in each of r readings, NaN outside of the classes `large`, and the
    end of each of these.

    found (n, r) in deviations of all rows, NaN where nothing is known; codes (n,); twins (n,) number of near-copies, which are one witness.
    """
    apart = np.full(found.shape, np.nan)
    known = (codes >= 0) & ~np.isnan(found).any(axis=1)
    middles = np.stack([np.median(found[known & (codes == c)], axis=0) for c in large])
    usual = np.median(middles, axis=0)
    highest = usual + CLASSES_APART * np.maximum(1.4826 * np.median(np.abs(middles - usual), axis=0), LEAST_SPREAD)
    held: list[np.ndarray] = []
    strength: list[float] = []
    for c in large:
        rows = np.flatnonzero(known & (codes == c))
        for reading in range(found.shape[1]):
            s, end, gain = _end(found[rows, reading], float(highest[reading]))
            apart[rows, reading] = s
            strength.append(gain * len(np.unique(twins[rows[end]])) / max(int(end.sum()), 1))
            held.append(rows[end])
    p = rivals.significance(np.array(strength), np.repeat(large, found.shape[1])).reshape(len(large), -1)
    best = p.argmin(axis=1)
    return apart, [End(int(c), held[i * p.shape[1] + int(best[i])], float(p[i, best[i]])) for i, c in enumerate(large)]


def _end(found: np.ndarray, highest: float) -> tuple[np.ndarray, np.ndarray, float]:
    """(n,) how far each is above the bulk of its class, (n,) bool who stands at its upper end, and the evidence in nats."""
    end, gain = np.zeros(len(found), bool), 0.0
    for _ in range(ROUNDS):
        bulk = found[~end]
        middle = min(float(np.median(bulk)), highest)
        below = middle - bulk[bulk < middle]
        s = (found - middle) / max(1.4826 * float(np.median(below)) if len(below) else 0.0, LEAST_SPREAD)
        k, nats = matched.cut(s[:, None], rate=TAIL)
        gain = max(float(nats[0]), 0.0)
        if gain == 0.0:
            return s, np.zeros(len(found), bool), 0.0
        end = np.zeros(len(found), bool)
        end[np.argsort(-s, kind="stable")[:int(k[0])]] = True
    return s, end, gain * planted(s, end)


def beyond(apart: np.ndarray, codes: np.ndarray, end: End) -> tuple[np.ndarray, np.ndarray]:
    """The rows of the class that stand at least half as far out as the middle of its `end`, and (k,) how sure each of them belongs: 1 less
    the share of false ones among the rows out there, by how many rows of the other classes stand as far; apart (n,), codes (n,).

    >>> apart = np.r_[np.linspace(-2, 3, 100), np.full(20, 8.0), 5.0, 1.0]
    >>> rows, sure = beyond(apart, np.repeat([0, 1], [100, 22]), End(1, np.arange(100, 120), 0.0))
    >>> rows.tolist() == list(range(100, 121)), float(sure.min())
    (True, 1.0)
    """
    own, others = np.flatnonzero((codes == end.code) & ~np.isnan(apart)), np.sort(apart[(codes != end.code) & ~np.isnan(apart)])
    rows = own[apart[own] >= float(np.median(apart[end.rows])) / 2]
    rank = len(rows) - np.searchsorted(np.sort(apart[rows]), apart[rows], side="left")
    false = (1 - np.searchsorted(others, apart[rows], side="left") / max(len(others), 1)) * len(own)
    return rows, np.clip(1 - false / np.maximum(rank, 1), 0, 1)


def planted(s: np.ndarray, end: np.ndarray) -> float:
    """0 (the end of a long tail, or a broad half) to 1: planted rows stand far, and behind a gap; s (n,) deviations, end (n,) bool.

    >>> s = np.r_[np.linspace(-2, 2, 40), np.linspace(6, 7, 8)]
    >>> planted(s, s > 5), planted(s[:40], s[:40] > 1)
    (1.0, 0.0)
    """
    far = float(np.median(s[end])) - FAR
    return float(np.prod(np.clip([far, (GAP - matched.between(end, s)) / (GAP / 2)], 0, 1)))
