"""Which pairs and triples of column values occur together more often than their columns allow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


def joint_counts(a: np.ndarray, ka: int, b: np.ndarray, kb: int) -> tuple[np.ndarray, np.ndarray]:
    """Cells (flat `a * kb + b`) that occur, ascending, and how many rows hold each; rows with a negative code are left out.

    >>> joint_counts(np.array([0, 0, 1, -1]), 2, np.array([1, 1, 0, 0]), 2)
    (array([1, 2]), array([2, 1]))
    """
    held = (a >= 0) & (b >= 0)
    flat = a[held].astype(np.int64) * kb + b[held]
    if ka * kb <= max(4 * len(flat), 1 << 16):
        counts = np.bincount(flat, minlength=ka * kb)
        cells = np.flatnonzero(counts)
        return cells, counts[cells]
    return np.unique(flat, return_counts=True)


@dataclass(frozen=True, eq=False)
class Excess:
    """Pairs of one pair of columns: codes of both values, rows that hold both, rows that independence expects."""

    i: int
    j: int
    a: np.ndarray
    b: np.ndarray
    count: np.ndarray
    expected: np.ndarray

    @property
    def strength(self) -> np.ndarray:
        """Signed root of the Poisson deviance: how far the count is above what independence expects, in normal units."""
        return poisson_strength(self.count, self.expected)


def poisson_strength(count: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Signed root deviance of a Poisson count, 0 where count <= expected; about normal for large counts.

    >>> float(poisson_strength(np.array([30.0]), np.array([3.0]))[0]).__round__(2)
    9.17
    """
    count = np.asarray(count, np.float64)
    expected = np.maximum(np.asarray(expected, np.float64), 1e-9)
    deviance = 2.0 * (count * np.log(np.maximum(count, 1e-9) / expected) - (count - expected))
    return np.where(count > expected, np.sqrt(np.maximum(deviance, 0.0)), 0.0)


def pair_excess(codes: list[np.ndarray], sizes: list[int], *, least: int = 4, most: int | None = None,
                per_pair: int = 64) -> Iterator[Excess]:
    """For every pair of columns the cells held by `least`..`most` rows above independence, the strongest `per_pair` of them.

    codes  one (n,) int32 per column, -1 for values that do not take part
    sizes  codes run below sizes[i]

    Time O(n) per pair of columns, memory O(n).
    """
    n = len(codes[0]) if codes else 0
    most = n if most is None else most
    margins = [np.bincount(c[c >= 0], minlength=k).astype(np.float64) for c, k in zip(codes, sizes, strict=True)]
    for i in range(len(codes)):
        for j in range(i + 1, len(codes)):
            if sizes[i] < 1 or sizes[j] < 1:
                continue
            cells, count = joint_counts(codes[i], sizes[i], codes[j], sizes[j])
            keep = (count >= least) & (count <= most)
            cells, count = cells[keep], count[keep]
            a, b = cells // sizes[j], cells % sizes[j]
            expected = margins[i][a] * margins[j][b] / max(n, 1)
            found = Excess(i, j, a, b, count, expected)
            order = np.argsort(-found.strength, kind="stable")[:per_pair]
            order = order[count[order] > expected[order]]
            if len(order):
                yield Excess(i, j, a[order], b[order], count[order], expected[order])


def grow_triples(codes: list[np.ndarray], sizes: list[int], holders: np.ndarray, pair: tuple[int, int], *, least: int,
                 background: list[np.ndarray]) -> tuple[int, int, float] | None:
    """The value of a third column that the `holders` of a pair share most above the column's own frequency.

    background  per column the counts of its codes over all rows

    Returns (column, code, expected holders of the triple), or None where no value has `least` holders above expectation.
    """
    best: tuple[float, int, int, float] | None = None
    n = len(codes[0])
    for c in range(len(codes)):
        if c in pair or sizes[c] < 1:
            continue
        part = codes[c][holders]
        count = np.bincount(part[part >= 0], minlength=sizes[c]).astype(np.float64)
        expected = background[c] * (len(holders) / n)
        strength = np.where(count >= least, poisson_strength(count, expected), 0.0)
        at = int(np.argmax(strength))
        if strength[at] > 3.0 and (best is None or strength[at] > best[0]):
            best = (float(strength[at]), c, at, float(expected[at]))
    return None if best is None else best[1:]


def labelled_pairs(codes: list[np.ndarray], sizes: list[int], labels: np.ndarray, chance: list[np.ndarray], *, least: int,
                   most: int, per_pair: int = 3) -> Iterator[tuple[int, int, int, int, int, float]]:
    """For every pair of columns and every class the `per_pair` cells with the largest z of holders in the class.

    labels  (n,) int in [0, K)
    chance  per class (n,) float32, the probability of each row to be in it, or empty arrays for the class share

    Yields (i, j, code in i, code in j, class, z); cells with `least`.. in the class and at most `most` holders, z > 2.
    Time O(n K) per pair of columns, with class shares O(n).
    """
    n, n_classes = len(labels), len(chance)
    share = np.bincount(labels, minlength=n_classes) / max(n, 1)
    by_class = [np.flatnonzero(labels == c) for c in range(n_classes)]
    for i in range(len(codes)):
        some = np.flatnonzero(codes[i] >= 0)
        whole = len(some) == n
        for j in range(i + 1, len(codes)):
            if sizes[i] < 1 or sizes[j] < 1:
                continue
            cells = sizes[i] * sizes[j]
            flat = codes[i].astype(np.int64) * sizes[j] + codes[j]
            if not whole or sizes[j] < 1 or codes[j].min() < 0:
                flat[(codes[i] < 0) | (codes[j] < 0)] = cells
            named = None
            if cells > max(4 * n, 1 << 16):
                named, flat = np.unique(flat, return_inverse=True)
                cells = len(named)
                last = named[-1] == sizes[i] * sizes[j]
            else:
                last = True
                cells += 1
            held = np.bincount(flat, minlength=cells)
            if last:
                held[-1] = n + 1
            fit = held <= most
            if not fit.any():
                continue
            for c in range(n_classes):
                found = np.bincount(flat[by_class[c]], minlength=cells)
                able = fit & (found >= least)
                if not able.any():
                    continue
                if len(chance[c]):
                    mean = np.bincount(flat, weights=chance[c], minlength=cells)[able]
                else:
                    mean = held[able] * share[c]
                variance = mean * (1 - np.minimum(mean / held[able], 1.0))
                z = (found[able] - mean) / np.sqrt(variance + 1.0)
                top = np.argsort(-z, kind="stable")[:per_pair]
                for t in top[z[top] > 2.0]:
                    cell = int(np.flatnonzero(able)[t])
                    cell = cell if named is None else int(named[cell])
                    yield i, j, cell // sizes[j], cell % sizes[j], c, float(z[t])
