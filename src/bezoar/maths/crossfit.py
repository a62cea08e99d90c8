"""Out-of-fold class probabilities from a linear softmax model: dense or sparse, few or many classes."""

from __future__ import annotations

from typing import Any

import numpy as np

FEW_CLASSES = 200
"""Up to here a logistic model is fitted; above, class means with a shared covariance (dense) or cosine (sparse)."""
GRAM_COLUMNS = 2500
"""Up to here the Gram matrix of the features is factorised."""


def crossfit_probabilities(features: Any, codes: np.ndarray, n_classes: int, *, groups: np.ndarray | None = None,
                           folds: int = 5, seed: int = 0) -> np.ndarray:
    """(n, K) float32 probabilities of each row by a model that saw neither it nor its group; rows sum to 1.

    features  (n, d) float array or CSR matrix
    codes     (n,) int in [-1, K); rows with -1 are predicted, never trained on
    groups    (n,) int; rows of one group share a fold

    Features up to `GRAM_COLUMNS` wide: multinomial logistic regression by the fixed-Hessian bound of Boehning
    (one factorisation, accelerated); wider ones: L-BFGS. Above `FEW_CLASSES` classes: linear discriminant (dense) or
    nearest centroid (sparse). One temperature is fitted on the out-of-fold logits. A class that stands in a single
    group is unknown to the model that predicts it, so its rows get a low probability for it: read them with care.
    Permuting the rows permutes the result, up to rounding. Raises ValueError for sizes that do not fit together.

    Boehning, "Multinomial logistic regression algorithm" (1992).

    >>> x = np.repeat([[0., 1.], [1., 0.]], 10, axis=0)
    >>> p = crossfit_probabilities(x, np.repeat([0, 1], 10), 2)
    >>> p.shape, bool((p.argmax(axis=1) == np.repeat([0, 1], 10)).all())
    ((20, 2), True)
    """
    n = features.shape[0]
    codes = np.asarray(codes, np.int64)
    if codes.shape != (n,) or (groups is not None and np.shape(groups) != (n,)):
        raise ValueError(f"codes {codes.shape} and groups do not fit {n} rows")
    if n == 0 or n_classes <= 1:
        return np.ones((n, n_classes), np.float32)
    sparse = hasattr(features, "indptr")
    x = _prepare(features, sparse)
    fold = assign_folds(x, codes, groups, folds, seed)
    logits = np.empty((n, n_classes), np.float32)
    prior = np.bincount(codes[codes >= 0], minlength=n_classes) + 0.5
    logits[:] = np.log(prior / prior.sum()).astype(np.float32)
    gram = None
    if x.shape[1] <= GRAM_COLUMNS:
        gram = _gram(x[codes >= 0])
    for f in range(folds):
        out = np.flatnonzero(fold == f)
        train = np.flatnonzero((fold != f) & (codes >= 0))
        if len(out) == 0 or len(np.unique(codes[train])) < 2:
            continue
        held = out[codes[out] >= 0]
        inner = None if gram is None else gram - _gram(x[held])
        logits[out] = _fit_predict(x[train], codes[train], x[out], n_classes, inner)
    known = np.flatnonzero(codes >= 0)
    logits *= temperature(logits, codes, known)
    return softmax(logits)


def softmax(logits: np.ndarray) -> np.ndarray:
    """(n, K) logits -> probabilities of the same dtype."""
    p = logits - logits.max(axis=1, keepdims=True)
    np.exp(p, out=p)
    p /= p.sum(axis=1, keepdims=True)
    return p


def row_position(features: Any, seed: int = 0) -> np.ndarray:
    """(n,) float64: a fixed random projection of each row, the same wherever the row stands."""
    direction = np.random.default_rng(seed).standard_normal(features.shape[1])
    if hasattr(features, "indptr"):
        return np.asarray(features @ direction, np.float64).ravel()
    return np.concatenate([np.zeros(0), *(features[i:i + 65536].astype(np.float64) @ direction
                                          for i in range(0, features.shape[0], 65536))])


def assign_folds(features: Any, codes: np.ndarray, groups: np.ndarray | None, folds: int, seed: int = 0) -> np.ndarray:
    """(n,) int64 in [0, folds): groups stay whole, classes are dealt evenly, row order does not matter.

    Groups are sorted by class, then by size, then along a random projection of their content, and dealt in turn.
    """
    n = len(codes)
    position = row_position(features, seed)
    index = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    m = int(index.max()) + 1
    size = np.bincount(index, minlength=m)
    mean = np.bincount(index, weights=position, minlength=m) / size
    best = np.full(m, -1, np.int64)  # the most frequent class of each group
    order = np.lexsort((codes, index))
    if n:
        change = np.flatnonzero(np.r_[True, (np.diff(index[order]) != 0) | (np.diff(codes[order]) != 0)])
        count = np.diff(np.r_[change, n])
        run = np.lexsort((count, index[order][change]))
        last = np.flatnonzero(np.r_[np.diff(index[order][change][run]) != 0, True])
        best[index[order][change][run][last]] = codes[order][change][run][last]
    rank = np.lexsort((mean, -size, best))
    start = np.searchsorted(best[rank], best[rank], side="left")
    within = np.arange(m) - start
    turn, place = np.divmod(within, folds)
    place = np.where(turn % 2 == 0, place, folds - 1 - place)  # there and back, so that large groups even out
    dealt = np.empty(m, np.int64)
    dealt[rank] = (place + best[rank]) % folds
    return dealt[index]


def _prepare(features: Any, sparse: bool) -> Any:
    """Standardised dense float32, or float32 CSR of typical row length one; a last column of ones."""
    if sparse:
        from scipy.sparse import csr_array, hstack

        x = csr_array(features, dtype=np.float32)
        norm = np.sqrt(np.asarray(x.multiply(x).sum(axis=1), np.float64).ravel())
        typical = np.median(norm[norm > 0]) if (norm > 0).any() else 1.0
        return hstack([x * np.float32(1 / typical), csr_array(np.ones((x.shape[0], 1), np.float32))], format="csr")
    x = np.nan_to_num(np.asarray(features, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    mean = x.mean(axis=0, dtype=np.float64)
    scale = x.std(axis=0, dtype=np.float64)
    # one scale for all columns that vary at all keeps the geometry of an embedding; single wild columns are tamed
    typical = np.sqrt(np.mean(scale**2)) or 1.0
    scale = np.where(scale > 0, np.maximum(scale, 0.25 * typical), 1.0)
    x = ((x - mean) / scale).astype(np.float32)
    np.clip(x, -8, 8, out=x)
    return np.concatenate([x, np.ones((len(x), 1), np.float32)], axis=1)


def _gram(x: Any) -> np.ndarray:
    total = np.zeros((x.shape[1], x.shape[1]))
    for i in range(0, x.shape[0], 32768):
        part = x[i:i + 32768]
        part = part.astype(np.float64) if hasattr(part, "indptr") else part
        product = part.T @ part
        total += product.toarray() if hasattr(product, "indptr") else product
    return total


def _fit_predict(x: Any, codes: np.ndarray, queries: Any, n_classes: int, gram: np.ndarray | None) -> np.ndarray:
    """(q, K) float32 logits."""
    if n_classes > FEW_CLASSES:
        return _centroids(x, codes, queries, n_classes, gram)
    if gram is not None:
        return _bounded(x, codes, queries, n_classes, gram)
    return _lbfgs(x, codes, queries, n_classes)


def _bounded(x: Any, codes: np.ndarray, queries: Any, n_classes: int, gram: np.ndarray, steps: int = 12) -> np.ndarray:
    """Softmax regression: the Hessian is bounded by half the Gram matrix, so one factorisation serves all steps."""
    from scipy.linalg import cho_factor, cho_solve

    n, d = x.shape
    # dense columns have unit variance and are many: a share of n; sparse rows have unit length: a constant
    ridge = np.full(d, 0.2 if hasattr(x, "indptr") else 0.015 * n)
    ridge[-1] = 1e-6 * n
    factor = cho_factor(0.5 * gram + np.diag(ridge + 1e-9))
    w = np.zeros((d, n_classes))
    prior = np.bincount(codes, minlength=n_classes) + 0.5
    w[-1] = np.log(prior / prior.sum())
    ahead, momentum = w, 1.0
    chunk = max(1024, int(2e7 // max(d, n_classes)))
    for _ in range(steps):
        step32 = ahead.astype(np.float32)
        slope = ridge[:, None] * ahead
        slope[-1] -= ridge[-1] * ahead[-1]
        for i in range(0, n, chunk):
            part = x[i:i + chunk]
            p = softmax(np.asarray(part @ step32))
            p[np.arange(len(p)), codes[i:i + chunk]] -= 1
            slope += part.T @ p
        new = ahead - cho_solve(factor, slope)
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = new + (momentum - 1) / following * (new - w)
        w, momentum = new, following
    return np.asarray(queries @ w.astype(np.float32))


def _lbfgs(x: Any, codes: np.ndarray, queries: Any, n_classes: int, penalty: float = 0.1, steps: int = 40) -> np.ndarray:
    """Softmax regression for very wide features; the bias is not penalised."""
    from scipy.optimize import minimize

    n, d = x.shape
    prior = np.bincount(codes, minlength=n_classes) + 0.5
    start = np.zeros((d, n_classes))
    start[-1] = np.log(prior / prior.sum())
    rows = np.arange(n)
    back = x.T.tocsr() if hasattr(x, "indptr") else x.T

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        w = flat.reshape(d, n_classes)
        p = softmax(np.asarray(x @ w.astype(np.float32)))
        value = -np.log(np.maximum(p[rows, codes], 1e-12)).sum(dtype=np.float64) + 0.5 * penalty * float((w[:-1] ** 2).sum())
        p[rows, codes] -= 1
        slope = np.asarray(back @ p, np.float64)
        slope[:-1] += penalty * w[:-1]
        return value / n, slope.ravel() / n

    found = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": steps, "maxcor": 6, "ftol": 1e-6})
    return np.asarray(queries @ found.x.reshape(d, n_classes).astype(np.float32))


def _centroids(x: Any, codes: np.ndarray, queries: Any, n_classes: int, gram: np.ndarray | None) -> np.ndarray:
    """Linear discriminant with a shared covariance where there is a Gram matrix, else cosine to class means."""
    from scipy.sparse import csr_array

    n = len(codes)
    count = np.bincount(codes, minlength=n_classes).astype(np.float64)
    member = csr_array((np.ones(n, np.float32), (codes, np.arange(n))), shape=(n_classes, n))
    total = member @ x
    prior = np.log((count + 0.5) / (n + 0.5 * n_classes))
    if gram is None:
        z = queries[:, :-1] @ total[:, :-1].T
        norm = np.sqrt(np.asarray((total[:, :-1] ** 2).sum(axis=1), np.float64).ravel()) + 1e-6
        z = np.asarray(z.toarray() if hasattr(z, "indptr") else z, np.float32)
        return np.asarray(10 * z / norm.astype(np.float32) + 0.1 * prior.astype(np.float32), np.float32)
    total = total.toarray() if hasattr(total, "indptr") else np.asarray(total)
    mean = np.asarray(total, np.float64)[:, :-1] / np.maximum(count, 1)[:, None]
    within = gram[:-1, :-1] / n - (mean * (count / n)[:, None]).T @ mean
    within += np.eye(len(within)) * (0.1 * np.trace(within) / len(within) + 1e-9)
    w = np.linalg.solve(within, mean.T)
    bias = prior - 0.5 * np.einsum("kd,dk->k", mean, w)
    out = np.asarray(queries[:, :-1] @ w.astype(np.float32)) + bias.astype(np.float32)
    out[:, count == 0] = out.min() - 10
    return out


def temperature(logits: np.ndarray, codes: np.ndarray, known: np.ndarray) -> np.float32:
    """The factor on the logits with the least log loss on the rows that have a label, from 0.1 to 10."""
    if len(known) == 0:
        return np.float32(1)
    known = known[:: max(1, len(known) // 20000)]
    z = logits[known].astype(np.float64)
    z -= z.max(axis=1, keepdims=True)
    own = z[np.arange(len(known)), codes[known]]
    # heavy errors are capped, so that mislabelled rows do not flatten everything
    factors = np.geomspace(0.1, 10, 41)
    loss = [np.minimum(np.log(np.exp(f * z).sum(axis=1)) - f * own, 4.0).mean() for f in factors]
    return np.float32(factors[int(np.argmin(loss))])
