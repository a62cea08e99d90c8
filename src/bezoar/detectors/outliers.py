"""Outliers: samples far from the centre of their class, or easily isolated in the embedding. A score, no findings.

Two opinions are ranked within the class and averaged: the Mahalanobis distance to the robust centre of the class (shared
shrunk covariance) and the depth in an isolation forest. Poison is often not an outlier and outliers are often rare honest
samples, so this only ranks. Fails on dense groups of poison. Cost: about 1 s per 10,000 samples.
Liu et al., "Isolation forest" (2008); Lee et al., arXiv 1807.03888.
"""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Detector, Info, Scores
from bezoar.core.view import View
from bezoar.maths.crossfit import row_position
from bezoar.maths.neighbours import unit_rows


class Outliers(Detector):
    """Suspicion is the rank within the class, from 0 (central) to 1 (most isolated)."""

    info = Info(fuses=False, name="outliers", summary="samples far from their class or easily isolated (a ranking only)", channel="C4",
                threats=("backdoor-dirty-label", "label-flip"), cost="about 1 s per 10,000 samples",
                reference="Liu et al., ICDM 2008; Lee et al., arXiv 1807.03888", floor=0.55)

    def __init__(self, *, trees: int = 50) -> None:
        self.trees = trees

    def score(self, view: View, rng: np.random.Generator) -> Scores:
        n = len(view)
        if n < 3:
            return Scores(np.full(n, np.nan), notes=("too few samples to call one an outlier",))
        x = unit_rows(view.embed())
        codes = np.zeros(n, np.int64) if view.dataset.labels is None else view.labels
        far = rank_within(self._distance(x, codes), codes)
        lonely = rank_within(self._isolation(x), codes)
        return Scores(rank_within(far + lonely, codes), notes=("a ranking only: it never raises an alarm by itself",))

    def _distance(self, x: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """(n,) squared Mahalanobis distance to the median of the row's class."""
        _, index = np.unique(codes, return_inverse=True)
        order = np.argsort(index, kind="stable")
        centre = np.stack([np.median(part, axis=0) for part in np.split(x[order], np.flatnonzero(np.diff(index[order])) + 1)])
        residue = x - centre[index]
        size = np.einsum("ij,ij->i", residue, residue)
        near = residue[size <= np.quantile(size, 0.9)]  # the far tenth does not shape the covariance
        cov = (near.T @ near).astype(np.float64) / max(len(near), 1)
        cov += np.eye(len(cov)) * (0.1 * np.trace(cov) / len(cov) + 1e-9)
        whiten = np.linalg.cholesky(np.linalg.inv(cov)).astype(np.float32)
        return np.asarray(np.square(residue @ whiten).sum(axis=1))

    def _isolation(self, x: np.ndarray) -> np.ndarray:
        """(n,) isolation, higher is lonelier; trees are grown on rows in the order of their content."""
        from sklearn.ensemble import IsolationForest

        order = np.argsort(row_position(x), kind="stable")
        trees = self.trees if len(x) <= 200_000 else min(self.trees, 20)
        grown = x[order[np.linspace(0, len(order) - 1, min(len(order), 20_000)).astype(np.int64)]]
        forest = IsolationForest(n_estimators=trees, max_samples=min(256, len(grown)), random_state=0, n_jobs=1).fit(grown)
        return np.asarray(-forest.score_samples(x))


def rank_within(score: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """(n,) share of the rows of the same code that score at most as high, from 0 to 1; ties share their mean rank.

    >>> rank_within(np.array([3.0, 1.0, 2.0, 9.0]), np.array([0, 0, 0, 1])).tolist()
    [1.0, 0.0, 0.5, 0.5]
    """
    from scipy.stats import rankdata

    out = np.empty(len(score))
    order = np.argsort(codes, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1):
        out[rows] = 0.5 if len(rows) == 1 else (rankdata(score[rows]) - 1) / (len(rows) - 1)
    return out
