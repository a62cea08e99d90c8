"""Out-of-fold class probabilities from a kernel machine: classes may bend in the space of the features."""

from __future__ import annotations

import numpy as np

from bezoar.maths.crossfit import assign_folds, row_position, softmax, temperature

LANDMARKS = 1500
RIDGE = 1e-4
CHUNK = 4096


def crossfit_kernel(features: np.ndarray, codes: np.ndarray, n_classes: int, *, groups: np.ndarray | None = None, folds: int = 5,
                    seed: int = 0) -> np.ndarray:
    """(n, K) float32 probabilities of each row by a model that saw the label of neither it nor its group; rows sum to 1.

    Least squares on Gaussian similarities to `LANDMARKS` rows (spread along a random projection), as wide as the median
    distance of two landmarks; rows are set to length one. Arguments as of `crossfit_probabilities`, dense features only.
    All folds come from one pass, so it is cheaper than a logistic model; it needs some hundred rows to be better.
    Permuting the rows permutes the result, up to rounding. Rifkin, Yeo and Poggio 2003; Williams and Seeger 2001.

    >>> x = np.repeat([[0., 1.], [1., 0.]], 10, axis=0)
    >>> p = crossfit_kernel(x, np.repeat([0, 1], 10), 2)
    >>> p.shape, bool((p.argmax(axis=1) == np.repeat([0, 1], 10)).all())
    ((20, 2), True)
    """
    from scipy.linalg import cho_factor, cho_solve

    n = len(features)
    codes = np.asarray(codes, np.int64)
    if codes.shape != (n,) or (groups is not None and np.shape(groups) != (n,)):
        raise ValueError(f"codes {codes.shape} and groups do not fit {n} rows")
    if n == 0 or n_classes <= 1:
        return np.ones((n, n_classes), np.float32)
    x = np.asarray(features, np.float32)
    position = row_position(x, seed)
    fold = assign_folds(x, codes, groups, folds, seed)
    length = np.sqrt(np.einsum("ij,ij->i", x, x))
    length = np.where(length > 0, length, 1).astype(np.float32)
    at = np.argsort(position, kind="stable")[np.linspace(0, n - 1, min(n, LANDMARKS)).astype(np.int64)]
    marks = x[at] / length[at, None]
    apart = 1 - marks[::3] @ marks[::3].T
    width = np.float32(max(float(np.median(apart[~np.eye(len(apart), dtype=bool)])) if len(apart) > 1 else 1.0, 1e-3))
    m = len(marks)
    alike = np.empty((n, m + 1), np.float32)
    alike[:, m] = 1
    for i in range(0, n, CHUNK):
        alike[i:i + CHUNK, :m] = np.exp((x[i:i + CHUNK] @ marks.T / length[i:i + CHUNK, None] - 1) / width)
    gram, pull, size = np.zeros((folds, m + 1, m + 1)), np.zeros((folds, m + 1, n_classes)), np.zeros((folds, n_classes))
    for f in range(folds):
        rows = np.flatnonzero((fold == f) & (codes >= 0))
        size[f] = np.bincount(codes[rows], minlength=n_classes)
        for i in range(0, len(rows), CHUNK):
            part, own = alike[rows[i:i + CHUNK]].astype(np.float64), codes[rows[i:i + CHUNK]]  # single precision is not enough
            gram[f] += part.T @ part
            order = np.argsort(own, kind="stable")
            first = np.flatnonzero(np.r_[True, np.diff(own[order]) != 0])
            pull[f][:, own[order][first]] += np.add.reduceat(part[order], first, axis=0).T
    all_gram, all_pull, all_size = gram.sum(axis=0), pull.sum(axis=0), size.sum(axis=0)
    prior = (all_size + 0.5) / (all_size + 0.5).sum()
    logits = np.tile(np.log(prior).astype(np.float32), (n, 1))
    for f in range(folds):
        out, count = np.flatnonzero(fold == f), all_size - size[f]
        if len(out) == 0 or (count > 0).sum() < 2:
            continue
        left = all_gram - gram[f]
        ridge = np.full(m + 1, RIDGE * np.trace(left) / (m + 1))
        ridge[m] *= 1e-3
        weights = cho_solve(cho_factor(left + np.diag(ridge)), all_pull - pull[f])
        logits[out] = 10 * (alike[out] @ weights.astype(np.float32))
    logits *= temperature(logits, codes, np.flatnonzero(codes >= 0))
    return softmax(logits)


def pooled(first: np.ndarray, second: np.ndarray, share: float = 0.7) -> np.ndarray:
    """(n, K) float32 weighted geometric mean of two (n, K) opinions, `share` in [0, 1] for the second; rows sum to 1.

    >>> pooled(np.array([[0.5, 0.5]]), np.array([[0.9, 0.1]]), share=1.0).astype(float).round(2).tolist()
    [[0.9, 0.1]]
    """
    z = np.log(np.maximum(first, 1e-9), dtype=np.float32) * np.float32(1 - share)
    z += np.log(np.maximum(second, 1e-9), dtype=np.float32) * np.float32(share)
    return softmax(z)


def fair_share(first: np.ndarray, second: np.ndarray, codes: np.ndarray) -> float:
    """The share, in tenths, of `second` in `pooled` with the least log loss on the labels `codes` (n,), -1 for none.

    Each row's loss is capped at 4 nats, so that wrong labels do not ask for dull opinions.

    >>> fair_share(np.array([[0.5, 0.5]]), np.array([[0.9, 0.1]]), np.array([0]))
    1.0
    """
    known = np.flatnonzero(codes >= 0)
    if len(known) == 0:
        return 0.5
    shares = np.arange(11) / 10
    loss = [float(np.minimum(-np.log(np.maximum(pooled(first[known], second[known], s)[np.arange(len(known)), codes[known]], 1e-9)),
                             4.0).mean(dtype=np.float64)) for s in shares]
    return float(shares[int(np.argmin(np.round(loss, 6)))])


def even_columns(x: np.ndarray) -> np.ndarray:
    """`x` (n, d) float32, changed in place: columns of mean 0 and spread 1, those that hardly vary less.

    >>> even_columns(np.array([[0.0, 1.0], [2.0, 1.0]], np.float32)).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    """
    if len(x):
        mean, spread = x.mean(axis=0, dtype=np.float64), np.zeros(x.shape[1])
        for i in range(0, len(x), CHUNK):
            x[i:i + CHUNK] -= mean.astype(np.float32)
            spread += np.einsum("ij,ij->j", x[i:i + CHUNK], x[i:i + CHUNK])
        spread = np.sqrt(spread / len(x))
        typical = float(np.sqrt(np.mean(spread**2))) or 1.0
        x /= np.maximum(spread, 0.25 * typical).astype(np.float32)
    return x
