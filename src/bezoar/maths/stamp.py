"""Was a value written into rows that are otherwise like everybody else's? Additive label models that can leave columns out,
and how far a group of rows differs from a reference in its other columns."""

from __future__ import annotations

import numpy as np


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
        self.weights = self.inverse @ (self.cells - self.cells.sum(axis=1, keepdims=True) * self.prior)

    def share(self, rows: np.ndarray | None, target: int, without: tuple[int, ...] = ()) -> np.ndarray:
        """(r,) float64 in [0.01, 0.99]: predicted probability of class `target`, columns of `without` not read."""
        w = self.weights[:, target]
        if without:
            index = np.concatenate([np.arange(self.starts[j], self.starts[j + 1]) for j in without])
            w = w - self.inverse[:, index] @ np.linalg.solve(self.inverse[np.ix_(index, index)], w[index])
            w[index] = 0.0
        chosen = self.places if rows is None else self.places[rows]
        out = np.full(len(chosen), self.prior[target])
        for j in range(chosen.shape[1]):
            out += w[chosen[:, j]]
        return np.clip(out, 0.01, 0.99)

    def spread(self, rows: np.ndarray, target: int, ignore: int = 4) -> tuple[np.ndarray, np.ndarray]:
        """How far `rows` differ from rows of other classes, column by column: chi-square and degrees of freedom, each (d,).

        The reference is whatever fits best, the `ignore` worst columns (which may have been written) apart: all rows, the rows of
        all other classes, or those of one other class. A ratio near 1
        means that the rows are a random draw from the reference in that column, as rows are into which somebody wrote something.
        """
        count = np.bincount(self.places[rows].ravel(), minlength=int(self.starts[-1])).astype(np.float64)
        others = self.cells.sum(axis=1)
        references = [others, others - self.cells[:, target]]
        if 2 < self.n_classes <= 64:
            references += [self.cells[:, k] for k in range(self.n_classes) if k != target]
        best: tuple[float, np.ndarray, np.ndarray] | None = None
        begin = self.starts[:-1]
        size = np.diff(self.starts)
        for reference in references:
            total = np.add.reduceat(reference, begin)
            chance = (reference + 0.5) / np.repeat(total + 0.5 * size, size)
            mean = len(rows) * chance
            chi = np.add.reduceat((count - mean) ** 2 / (mean + 0.5), begin)
            free = np.add.reduceat(mean * (1 - chance) / (mean + 0.5), begin)
            by_column = np.sort(chi / (free + 0.5))
            ratio = float(by_column[:max(len(by_column) - ignore, 1)].mean())
            if best is None or ratio < best[0]:
                best = (ratio, chi, free)
        assert best is not None
        return best[1], best[2]


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
