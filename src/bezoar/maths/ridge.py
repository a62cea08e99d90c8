"""Ridge regression on classes as indicators: scores by a model that did not see the row, and what a row's absence would change."""

from __future__ import annotations

import numpy as np


def crossfit_ridge(features: np.ndarray, codes: np.ndarray, n_classes: int, fold: np.ndarray, penalty: float = 1e-3) -> np.ndarray:
    """(n, K) float32 scores; (n, d) float `features`, (n,) `codes` in [-1, K) (-1: scored, not learned from), (n,) `fold` >= 0.

    `penalty` is a share of the mean feature variance times the number of rows. Cost: n d^2 + folds d^3.

    >>> x = np.eye(2, dtype=np.float32)[[0, 1] * 20]
    >>> crossfit_ridge(x, np.array([0, 1] * 20), 2, np.arange(40) // 2 % 2).argmax(axis=1)[:4].tolist()
    [0, 1, 0, 1]
    """
    known = codes >= 0
    n, d = features.shape
    out = np.zeros((n, n_classes), np.float32)
    if not known.any():
        return out
    centre = features[known].mean(axis=0)
    prior = np.bincount(codes[known], minlength=n_classes) / known.sum()
    grams, sides = [], []
    folds = np.unique(fold)
    for f in folds:
        rows = np.flatnonzero(known & (fold == f))
        x = features[rows] - centre
        wanted = np.eye(n_classes, dtype=np.float32)[codes[rows]] - prior.astype(np.float32)
        grams.append((x.T @ x).astype(np.float64))
        sides.append((x.T @ wanted).astype(np.float64))
    gram, side = sum(grams), sum(sides)
    ridge = np.eye(d) * max(penalty * float(np.trace(gram)) / d, 1e-9) * 10
    for f, own_gram, own_side in zip(folds, grams, sides, strict=True):
        weights = np.linalg.solve(gram - own_gram + ridge, side - own_side)
        rows = np.flatnonzero(fold == f)
        out[rows] = (features[rows] - centre) @ weights.astype(np.float32) + prior.astype(np.float32)
    return out


def influence(features: np.ndarray, codes: np.ndarray, n_classes: int, other: np.ndarray, weight: np.ndarray,
              penalty: float = 1e-2) -> np.ndarray:
    """(n,) how the sum of weighted margins would change if that row had not been learned from: the lower, the dearer the row.

    The margin of a row is the score of its own class less that of `other` (n,); `weight` (n,) >= 0 says how much it counts.
    Exact for one row (the ridge model is linear), first order for several. Rows with code -1 have no influence. Cost: n d^2 + d^3.

    >>> x = np.array([[1, 0], [1, 0], [1, 0], [0, 1]], np.float32)
    >>> int(influence(x, np.array([0, 0, 0, 1]), 2, np.array([1, 1, 1, 0]), np.ones(4)).argmin())
    3
    """
    known = codes >= 0
    rows = np.arange(len(codes))
    x = features - features[known].mean(axis=0)
    prior = np.bincount(codes[known], minlength=n_classes) / known.sum()
    y = np.eye(n_classes)[codes] - prior
    gram = (x[known].T @ x[known]).astype(np.float64)
    inverse = np.linalg.inv(gram + np.eye(x.shape[1]) * max(penalty * float(np.trace(gram)) / x.shape[1], 1e-9))
    residual = y - x @ (inverse @ (x[known].T @ y[known]))
    pull = np.zeros((len(codes), n_classes))
    pull[rows, codes] += weight * known
    pull[rows, other] -= weight * known
    seen = x @ inverse
    leverage = np.einsum("nd,nd->n", seen, x)
    change = -np.einsum("nk,nk->n", seen @ (x.T @ pull), residual) / np.maximum(1 - leverage, 1e-6)
    return np.asarray(np.where(known, change, np.inf))
