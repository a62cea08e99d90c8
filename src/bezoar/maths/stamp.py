"""Was a value written into rows that are otherwise like everybody else's? Additive label models that can leave columns out,
and how far a group of rows differs from a reference in its other columns."""

from __future__ import annotations

import numpy as np

CAP = 4.0
"""Ratio of chi-square to degrees of freedom beyond which a column just does not fit."""


class AdditiveModel:
    """Class shares as a sum of one weight per coarse cell (ridge regression on indicators), with columns left out on demand.

    places  (n, d) int32: row i holds cell `places[i, j]` of column j; cells of column j run from starts[j] to starts[j + 1]
    codes   (n,) int64 in [0, K)

    Residuals sum to about 0 over every cell, so main effects are taken out exactly; there are no interactions that a group
    could hide in. Leaving columns out is one small solve (partitioned inverse). Time O(n d^2), memory O(width^2).

    >>> places = np.array([[0, 2], [0, 3], [1, 2], [1, 3]] * 50, np.int32)
    >>> model = AdditiveModel(places, np.array([0, 2, 4]), np.array([0, 0, 1, 1] * 50), 2)
    >>> model.share(np.array([0, 2]), 1).round(1).tolist(), model.share(np.array([0, 2]), 1, without=(0,)).round(1).tolist()
    ([0.0, 1.0], [0.5, 0.5])
    """

    def __init__(self, places: np.ndarray, starts: np.ndarray, codes: np.ndarray, n_classes: int, ridge: float = 2.0) -> None:
        from scipy.sparse import csr_array

        n, d = places.shape
        self.places, self.starts, self.codes, self.n_classes = places, np.asarray(starts), codes, n_classes
        width = int(starts[-1])
        x = csr_array((np.ones(n * d, np.float64), places.ravel(), np.arange(n + 1, dtype=np.int64) * d), shape=(n, width))
        gram = np.asarray((x.T.tocsr() @ x).todense()) + ridge * np.eye(width)
        self.inverse = np.linalg.inv(gram)
        self.prior = np.bincount(codes, minlength=n_classes) / max(n, 1)
        one_hot = csr_array((np.ones(n), codes, np.arange(n + 1, dtype=np.int64)), shape=(n, n_classes))
        self.cells = np.asarray((x.T.tocsr() @ one_hot).todense())
        self._kept: dict[tuple[int, ...], np.ndarray] = {}
        self._references: dict[int, np.ndarray] = {}
        self.weights = self.inverse @ (self.cells - self.cells.sum(axis=1, keepdims=True) * self.prior)

    def share(self, rows: np.ndarray | None, target: int, without: tuple[int, ...] = ()) -> np.ndarray:
        """(r,) float64 in [0.01, 0.99]: predicted probability of class `target`, columns of `without` not read."""
        w = self._weights_without(target, without)
        chosen = self.places if rows is None else self.places[rows]
        if len(chosen) < 5000:
            out = self.prior[target] + w[chosen].sum(axis=1)
        else:
            out = np.full(len(chosen), self.prior[target])
            for j in range(chosen.shape[1]):
                out += w[chosen[:, j]]
        return np.clip(out, 0.01, 0.99)

    def _weights_without(self, target: int, without: tuple[int, ...]) -> np.ndarray:
        key = (target, *sorted(without))
        if key not in self._kept:
            w = self.weights[:, target].copy()
            if without:
                index = np.concatenate([np.arange(self.starts[j], self.starts[j + 1]) for j in without])
                w -= self.inverse[:, index] @ np.linalg.solve(self.inverse[np.ix_(index, index)], w[index])
                w[index] = 0.0
            if len(self._kept) > 2000:
                self._kept.clear()
            self._kept[key] = w
        return self._kept[key]

    def _chances(self, target: int) -> np.ndarray:
        """(references, width): share of each cell within its column, among what rows of other classes may look like."""
        if target not in self._references:
            others = self.cells.sum(axis=1)
            rows = [others, others - self.cells[:, target]]
            if 2 < self.n_classes <= 64:
                rows += [self.cells[:, k] for k in range(self.n_classes) if k != target]
            reference = np.stack(rows)
            size = np.diff(self.starts)
            total = np.add.reduceat(reference, self.starts[:-1], axis=1)
            self._references[target] = (reference + 0.5) / np.repeat(total + 0.5 * size, size, axis=1)
        return self._references[target]

    def among(self, holders: np.ndarray) -> np.ndarray:
        """(width,) how many rows of each cell are among `holders`."""
        out = np.zeros(int(self.starts[-1]))
        for start in range(0, len(holders), 100_000):
            out += np.bincount(self.places[holders[start:start + 100_000]].ravel(), minlength=len(out))
        return out

    def foretold(self, among: np.ndarray, rows: np.ndarray, column: int, without: tuple[int, ...] = ()) -> float:
        """The share of `rows` that some one other column foretells to hold a value of `column`, as the other rows teach it.

        `among` are the holders of the value cell by cell; `rows` all hold it; columns of `without` are not asked.
        """
        chosen = self.places[rows]
        own = np.bincount(chosen.ravel(), minlength=len(among))
        total = self.cells.sum(axis=1) - own
        outside = slice(int(self.starts[column]), int(self.starts[column + 1]))
        plain = max(float((among - own)[outside].sum()), 0.0) / max(float(total[outside].sum()), 1.0)
        rate = (np.maximum(among - own, 0.0) + 5.0 * plain) / (total + 5.0)
        told = rate[chosen].mean(axis=0)
        told[[column, *without]] = 0.0
        return float(told.max(initial=0.0))

    def spread(self, rows: np.ndarray, target: int) -> tuple[np.ndarray, np.ndarray]:
        """How far `rows` differ from rows of other classes, column by column: chi-square and degrees of freedom, each (d,).

        The reference is whatever fits best: all rows, the rows of all other classes, or those of one other class. Columns that
        fit nowhere (they may have been written) have one capped vote like all others. A ratio near 1
        means that the rows are a random draw from the reference in that column, as rows are into which somebody wrote something.
        """
        count = np.bincount(self.places[rows].ravel(), minlength=int(self.starts[-1])).astype(np.float64)
        chance = self._chances(target)
        mean = len(rows) * chance
        chi = np.add.reduceat((count - mean) ** 2 / (mean + 0.5), self.starts[:-1], axis=1)
        free = np.add.reduceat(mean * (1 - chance) / (mean + 0.5), self.starts[:-1], axis=1)
        best = int(np.argmin(np.minimum(chi / (free + 0.5), CAP).sum(axis=1)))
        return chi[best], free[best]


def signed_deviance(found: float, held: float, mean: float) -> float:
    """Root of the binomial deviance of `found` among `held` where `mean` were expected; 0 where found <= mean.

    >>> round(signed_deviance(26, 26, 4), 2)
    9.87
    """
    if found <= mean or held <= 0:
        return 0.0
    mean = min(max(mean, 1e-9), held - 1e-9)
    rest = 0.0 if held == found else (held - found) * np.log((held - found) / (held - mean))
    return float(np.sqrt(max(2.0 * (found * np.log(found / mean) + rest), 0.0)))


def exponential_tail_p(scores: np.ndarray, inner: int = 4, outer: int = 40, power: float = 1.5) -> np.ndarray:
    """(s,) family-wise p of each score as the largest of its peers, whose own upper tail is the null.

    The tail of score ** power is taken as exponential between the ranks `inner` and `outer` (power 2 is a normal tail), so that
    the few planted ones do not bend it, and the error of the fitted scale is paid for (Pareto instead of exponential). With
    fewer than 5 x `inner` positive scores: zeros, that is, the peers say nothing and another test must.

    >>> p = exponential_tail_p(np.r_[30.0, np.linspace(0.1, 5, 50)])
    >>> bool(p[0] < 1e-4), bool(p[1:].min() > 0.1)
    (True, True)
    """
    raised = np.maximum(scores, 0.0) ** power
    top = np.sort(raised)[::-1][:outer]
    top = top[top > 0]
    if len(top) < 5 * inner:
        return np.zeros(len(scores))
    count, low = len(top), top[-1]
    scale = max((top[inner - 1] - low) / np.sum(1.0 / np.arange(inner, count)), 0.05 * top[inner - 1], 1e-9)
    used = count - inner
    mean = count * (1.0 + np.maximum(raised - low, 0.0) / (scale * used)) ** (-used)
    return np.where(raised <= low, 1.0, -np.expm1(-mean))
