"""Rows that go with a few sure ones: a cross-fitted classifier that learns from positives and the unlabelled.

Elkan and Noto, "Learning classifiers from only positive and unlabeled data" (2008); decoys: Kall et al. 2008.
"""

from __future__ import annotations

from typing import Any

import numpy as np

DOUBT_WEIGHT, DOUBT_CAP = 0.5, 1.0
"""What a logit of doubt counts beside one of likeness, and how many of them count: natural label errors are beyond doubt too."""
BEYOND_CHANCE = 4.0
"""Deviations by which the likely companions must outnumber what decoys let expect; otherwise there are none."""


def companions(x: Any, seeds: np.ndarray, own: np.ndarray, doubt: np.ndarray, fold: np.ndarray, rounds: int = 4) -> np.ndarray:
    """(n,) float64 in [0, 1]: probability that a row of `own` goes with the seeds; 0 for all others.

    x      (n, m) CSR float32 of ones: what each row holds
    seeds  (k,) rows of `own` that are known to belong
    own    (n,) bool: rows of the class to which the seeds were pushed
    doubt  (n,) float: logit of the doubt that the content of a row casts on the row's own label
    fold   (n,) int: rows of one fold are judged by what the others teach

    Seeds are told from all other rows (those of `own` count the less, the more they are doubted); the rows that turn
    out to be like them are learned from in the next round. Rows outside `own` are decoys: their scores say how many of
    `own` would reach a score by nature. Few own rows, or a style that the class has by nature, give zeros or overstate.
    """
    n = x.shape[0]
    x = x.copy()
    x.data[:] = 2 / np.sqrt(max(float(np.median(np.diff(x.indptr))), 1.0))
    sure = np.zeros(n)
    sure[seeds] = 1.0
    trust = np.where(own, 1 / (1 + np.exp(np.clip(doubt, -30, 30))), 1.0)
    for _ in range(rounds):
        score = np.zeros(n)
        positive = np.flatnonzero(sure > 0.05)
        rows = np.r_[positive, np.arange(n)]
        hit = np.r_[np.ones(len(positive)), np.zeros(n)]
        weight = np.r_[sure[positive], (1 - sure) * trust]
        for f in np.unique(fold):
            train = np.flatnonzero((fold[rows] != f) & (weight > 1e-3))
            at = np.flatnonzero(fold == f)
            score[at] = x[at] @ _weighted_logistic(x[rows[train]], hit[train], weight[train])
        found = _local(score + DOUBT_WEIGHT * np.minimum(doubt, DOUBT_CAP), own)
        sure = found.copy()
        sure[seeds] = 1.0
    return found


def _local(score: np.ndarray, own: np.ndarray) -> np.ndarray:
    """(n,) 1 - local false discovery rate of the rows of `own`, the others being decoys."""
    from sklearn.isotonic import isotonic_regression

    out = np.zeros(len(score))
    rows, decoys = np.flatnonzero(own), np.sort(score[~own])
    order = rows[np.argsort(-score[rows], kind="stable")]
    above = len(decoys) - np.searchsorted(decoys, score[order], side="left")
    false = np.minimum(len(rows) * (above + 1) / (len(decoys) + 1), np.arange(1, len(rows) + 1))
    sure = 1 - np.clip(isotonic_regression(np.diff(false, prepend=0.0)), 0, 1)
    count = int((sure >= 0.5).sum())
    if count and (count - false[count - 1]) / np.sqrt(false[count - 1] + 1) >= BEYOND_CHANCE:
        out[order] = sure
    return out


def _weighted_logistic(x: Any, hit: np.ndarray, weight: np.ndarray, penalty: float = 1.0, steps: int = 40) -> np.ndarray:
    """(m,) float32 coefficients by L-BFGS."""
    from scipy.optimize import minimize

    back = x.T.tocsr()
    total = float(weight.sum())

    def loss(b: np.ndarray) -> tuple[float, np.ndarray]:
        z = x @ b[:-1].astype(np.float32) + b[-1]
        slope = weight * (1 / (1 + np.exp(-np.clip(z, -30, 30))) - hit)
        value = float((weight * (np.logaddexp(0, z) - hit * z)).sum()) + 0.5 * penalty * float((b[:-1] ** 2).sum())
        return value / total, np.r_[back @ slope.astype(np.float32) + penalty * b[:-1], slope.sum()] / total

    start = np.zeros(x.shape[1] + 1)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": steps, "ftol": 1e-7})
    return np.asarray(found.x[:-1], np.float32)
