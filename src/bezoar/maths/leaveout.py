"""What a linear model would have said without some of its columns: cross-fitted logits, part by part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bezoar.maths.crossfit import assign_folds, softmax


@dataclass(frozen=True, eq=False)
class LinearFolds:
    """Cross-fitted softmax regression on sparse features, kept so that columns can be taken back out.

    x (n, d) CSR float32 as fitted; codes (n,); fold (n,); weights (F, d, K) float32; logits (n, K) float32 out of fold
    (both already multiplied with the temperature `heat`).
    """

    x: Any
    codes: np.ndarray
    fold: np.ndarray
    weights: np.ndarray
    logits: np.ndarray
    heat: np.float32

    def without(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """(e, K) float32 probabilities of row rows[t] by the model that lacks the columns columns[t] (e, L; -1 = none)."""
        logits = self.logits[rows].copy()
        keys, d = self._keys(), self.x.shape[1]
        fold = self.fold[rows]
        for l in range(columns.shape[1]):
            seen = np.flatnonzero(columns[:, l] >= 0)
            if len(seen) == 0 or len(keys) == 0:
                continue
            column = columns[seen, l].astype(np.int64)
            at = np.searchsorted(keys, rows[seen].astype(np.int64) * d + column)
            at = np.minimum(at, len(keys) - 1)
            hit = keys[at] == rows[seen].astype(np.int64) * d + column
            seen, column, at = seen[hit], column[hit], at[hit]
            logits[seen] -= self.x.data[at][:, None] * self.weights[fold[seen], column]
        return softmax(logits)

    def refitted(self, rows: np.ndarray, columns: np.ndarray, learn_from: int = 20_000) -> np.ndarray:
        """(h, K) float32 probabilities of `rows` by models that were fitted again without the columns (c,).

        Dearer than `without` and fairer: what the columns used to say is taken over by what goes with them. Each model
        learns from at most `learn_from` rows.
        """
        x = self.x.copy()
        x.data[np.isin(x.indices, columns)] = 0
        k = self.weights.shape[2]
        logits = self.logits[rows].copy()
        for f in np.unique(self.fold[rows]):
            train = np.flatnonzero((self.fold != f) & (self.codes >= 0))
            if len(train) > learn_from:
                along = train[np.argsort(self.logits[train, 0], kind="stable")]
                train = np.sort(along[np.linspace(0, len(along) - 1, learn_from).astype(np.int64)])
            if len(np.unique(self.codes[train])) < 2:
                continue
            weights, bias = _softmax_regression(x[train], self.codes[train], k, steps=15, start=self.weights[f] / self.heat)
            at = np.flatnonzero(self.fold[rows] == f)
            logits[at] = (x[rows[at]] @ weights + bias) * self.heat
        return softmax(logits)

    def _keys(self) -> np.ndarray:
        kept = self.__dict__.get("_sorted_keys")
        if kept is None:
            row = np.repeat(np.arange(self.x.shape[0], dtype=np.int64), np.diff(self.x.indptr))
            kept = row * self.x.shape[1] + self.x.indices
            object.__setattr__(self, "_sorted_keys", kept)
        return np.asarray(kept)


def linear_folds(features: Any, codes: np.ndarray, n_classes: int, *, groups: np.ndarray, folds: int = 5,
                 seed: int = 0) -> LinearFolds:
    """Fit `LinearFolds` on (n, d) CSR features; rows with code -1 are predicted, never trained on; groups stay whole."""
    from scipy.sparse import csr_array

    n, d = features.shape
    x = csr_array(features, dtype=np.float32)
    x.sort_indices()
    fold = assign_folds(x, codes, groups, folds, seed)
    prior = np.bincount(codes[codes >= 0], minlength=n_classes) + 0.5
    logits = np.tile(np.log(prior / prior.sum()).astype(np.float32), (n, 1))
    weights = np.zeros((folds, d, n_classes), np.float32)
    for f in range(folds):
        out, train = np.flatnonzero(fold == f), np.flatnonzero((fold != f) & (codes >= 0))
        if len(out) == 0 or len(np.unique(codes[train])) < 2:
            continue
        weights[f], bias = _softmax_regression(x[train], codes[train], n_classes)
        logits[out] = x[out] @ weights[f] + bias
    heat = _temperature(logits, codes)
    return LinearFolds(x, codes, fold, weights * heat, logits * heat, heat)


def _softmax_regression(x: Any, codes: np.ndarray, n_classes: int, penalty: float = 0.1, steps: int = 40,
                        start: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(d, K) weights and (K,) bias by L-BFGS; the bias is not penalised."""
    from scipy.optimize import minimize

    n, d = x.shape
    two = n_classes == 2  # then the second column mirrors the first, and half of the work is enough
    width = 1 if two else n_classes
    begin = np.zeros((d + 1, width))
    prior = np.log(np.bincount(codes, minlength=n_classes) + 0.5) - np.log(n)
    begin[-1] = (prior[1] - prior[0]) / 2 if two else prior
    if start is not None:
        begin[:-1] = start[:, 1:] if two else start
    rows = np.arange(n)
    back = x.T.tocsr()

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        w = flat.reshape(d + 1, width)
        z = x @ w[:-1].astype(np.float32) + w[-1].astype(np.float32)
        p = softmax(np.concatenate([-z, z], axis=1) if two else z)
        value = -np.log(np.maximum(p[rows, codes], 1e-12)).sum(dtype=np.float64)
        value += (0.5 + 0.5 * two) * penalty * float((w[:-1] ** 2).sum())
        p[rows, codes] -= 1
        if two:
            p = p[:, 1:] * np.float32(2)
        slope = np.empty_like(w)
        slope[:-1] = back @ p + (1 + two) * penalty * w[:-1]
        slope[-1] = p.sum(axis=0)
        return value / n, slope.ravel() / n

    found = minimize(loss, begin.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": steps, "maxcor": 6, "ftol": 1e-6})
    w = found.x.reshape(d + 1, width).astype(np.float32)
    w = np.concatenate([-w, w], axis=1) if two else w
    return w[:-1], w[-1]


def _temperature(logits: np.ndarray, codes: np.ndarray) -> np.float32:
    """The factor in [0.1, 10] on the logits with the least log loss, each row's capped at 4 against wrong labels."""
    known = np.flatnonzero(codes >= 0)
    if len(known) == 0:
        return np.float32(1)
    factors = np.geomspace(0.1, 10, 41)
    loss = [np.minimum(-np.log(np.maximum(softmax(logits[known] * np.float32(f))[np.arange(len(known)), codes[known]], 1e-12)),
                       4.0).mean() for f in factors]
    return np.float32(factors[int(np.argmin(loss))])
