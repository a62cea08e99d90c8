"""Which labels are wrong: two opinions pooled, and a noise model fitted to what was observed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bezoar.maths.crossfit import softmax

FIT_ROWS = 20_000
MATRIX_CLASSES = 60
"""Up to this many classes single pairs of classes are searched."""
PAIR_SHARE = 0.08
"""Share of the certain rows of one class that may carry one other label by nature."""


@dataclass(frozen=True, eq=False)
class Pair:
    """Labels moved from class `origin` to class `to`: `count` rows, `share` of the origin class, `overlap` rows that the
    two classes share by nature (sum over rows of the product of their probabilities). `p_value`, paid for all pairs: the
    chance of so many if half as many again as the overlap were natural, or of so many among the rows that are certainly
    of the origin class if `PAIR_SHARE` of those were."""

    origin: int
    to: int
    count: float
    share: float
    overlap: float
    p_value: float


@dataclass(frozen=True, eq=False)
class Noise:
    """The fitted model.

    clean   (n, K) float32: probabilities of the true class, before the observed label is looked at
    wrong   (n,) float64 in [0, 1]: probability that the observed label is not the true one
    doubt   (n,) float64 in [0, 1]: the same as if at least 2% of labels were changed; a ranking that never collapses
    rate    share of labels that were replaced at random, apart from `pairs`
    weights how much the content model and the neighbours count
    """

    clean: np.ndarray
    wrong: np.ndarray
    doubt: np.ndarray
    rate: float
    pairs: tuple[Pair, ...]
    weights: tuple[float, float]


def neighbour_votes(near: np.ndarray, codes: np.ndarray, n_classes: int, weight: float = 1.0) -> np.ndarray:
    """(n, K) float32 shares of the labels among the neighbours, smoothed by `weight` votes of the class shares.

    near (n, k) int row numbers; neighbours with code -1 do not vote.
    """
    n, k = near.shape
    known = codes >= 0
    prior = (np.bincount(codes[known], minlength=n_classes) + 0.5) / (known.sum() + 0.5 * n_classes)
    votes = np.zeros((n, n_classes), np.float32)
    rows = np.arange(n)
    for j in range(k):  # over neighbours, not over samples
        label = codes[near[:, j]]
        cast = label >= 0
        votes[rows[cast], label[cast]] += 1
    total = votes.sum(axis=1, keepdims=True)
    return np.asarray((votes + np.float32(weight) * prior.astype(np.float32)) / (total + np.float32(weight)))


def fit_noise(content: np.ndarray, votes: np.ndarray, codes: np.ndarray) -> Noise:
    """Pool two (n, K) opinions as softmax(a log content + b log votes) and fit, by maximum likelihood on the observed
    labels, the weights and the noise through which the true label was seen: a share replaced at random, and pairs of
    classes between which more labels moved than the classes overlap.

    Neither opinion may have seen the row's own label. codes in [0, K). Noise that follows the natural confusion of
    classes is not identifiable and is left in `clean`. After Natarajan et al. (2013) and Northcutt et al. (2021).
    """
    n, n_classes = content.shape
    if n == 0 or n_classes < 2:
        nothing = np.zeros(n)
        return Noise(np.ones((n, n_classes), np.float32), nothing, nothing, 0.0, (), (1.0, 0.0))
    own = content[np.arange(n), codes]
    # a systematic sample along the content model's own doubt: the same rows in whatever order they come
    part = np.arange(n) if n <= FIT_ROWS else np.lexsort((votes[np.arange(n), codes], own))[
        np.linspace(0, n - 1, FIT_ROWS).astype(np.int64)]
    a, b = _logs(content[part]), _logs(votes[part])
    y = codes[part]
    weights, rate = _fit_weights(a, b, y, np.array([0.7, 0.3]), 0.02, n_classes)
    pairs: tuple[Pair, ...] = ()
    matrix = _uniform(rate, n_classes)
    if n_classes <= MATRIX_CLASSES:
        pairs = _find_pairs(a, b, y, weights, rate, n / len(part))
        if pairs:
            weights, matrix = _alternate(a, b, y, weights, max(rate, 1e-3), pairs, rounds=3)
            rate = float(matrix[~_mask(pairs, n_classes)].max() * n_classes)
    z = np.float32(weights[0]) * _logs(content)
    z += np.float32(weights[1]) * _logs(votes)
    clean = softmax(z)
    wrong = _wrong(clean, codes, matrix)
    return Noise(clean, wrong, np.maximum(wrong, _wrong(clean, codes, _uniform(0.02, n_classes))), rate, pairs,
                 (float(weights[0]), float(weights[1])))


def rate_excess(content: np.ndarray, votes: np.ndarray, codes: np.ndarray, natural: float) -> float:
    """p-value of "at most a share `natural` of labels was replaced by a random other one": one-sided likelihood ratio.

    The weights are fitted again under the hypothesis. Arguments as in `fit_noise`; rows must be independent.
    """
    from scipy.stats import chi2

    n, k = content.shape
    if n == 0 or k < 2:
        return 1.0
    own = content[np.arange(n), codes]
    part = np.arange(n) if n <= FIT_ROWS else np.lexsort((votes[np.arange(n), codes], own))[
        np.linspace(0, n - 1, FIT_ROWS).astype(np.int64)]
    a, b, y = _logs(content[part]), _logs(votes[part]), codes[part]
    bar = min(0.6, natural * k / (k - 1))
    fits = [_fit_weights(a, b, y, np.array([0.7, 0.3]), start, k, bounds) for start, bounds in
            ((bar, (bar, bar)), (max(bar, 0.05), (bar, 0.6)))]
    losses = [_fit_loss(a, b, y, w, r, k) for w, r in fits]
    gain = 2 * n * (losses[0] - losses[1])
    return float(0.5 * chi2.sf(gain, 1)) if gain > 0 else 1.0


def best_list(wrong: np.ndarray) -> np.ndarray:
    """Row numbers, most doubtful first: the list with the best expected F1 under the probabilities `wrong`.

    >>> best_list(np.array([0.0, 0.99, 0.1, 0.97])).tolist()
    [1, 3]
    """
    order = np.argsort(-wrong, kind="stable")
    total = float(wrong.sum())
    if total < 1:
        return order[:0]
    f1 = 2 * np.cumsum(wrong[order]) / (np.arange(1, len(order) + 1) + total)
    return order[:int(f1.argmax()) + 1]


def spared(wrong: np.ndarray, spill: float = 0.008) -> float:
    """The least probability at which a row may be listed so that at most a share `spill` of all right labels is expected
    on the list; `wrong` are calibrated probabilities.

    >>> round(spared(np.array([0.9] * 10 + [0.5] * 90 + [0.0] * 900), spill=0.01), 1)
    0.5
    >>> round(spared(np.array([0.9] * 10 + [0.5] * 90 + [0.0] * 900), spill=0.0001), 1)
    1.0
    """
    order = np.sort(wrong)[::-1]
    spilt = np.cumsum(1 - order)
    good = int(np.searchsorted(spilt, spill * float((1 - wrong).sum()), side="right"))
    return float(order[good - 1]) if good else 1.0


def sure_list(wrong: np.ndarray, fdr: float = 0.05) -> np.ndarray:
    """Row numbers, most doubtful first: the longest list whose expected share of right labels is at most `fdr`."""
    order = np.argsort(-wrong, kind="stable")
    mistakes = np.cumsum(1 - wrong[order]) / np.arange(1, len(order) + 1)
    good = np.flatnonzero(mistakes <= fdr)
    return order[:good[-1] + 1] if len(good) else order[:0]


def _logs(p: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(p, 1e-9), dtype=np.float32)


def _uniform(rate: float, k: int) -> np.ndarray:
    return (1 - rate) * np.eye(k) + rate / k


def _mask(pairs: tuple[Pair, ...], k: int) -> np.ndarray:
    """(K, K) bool: the diagonal and the pairs."""
    mask = np.eye(k, dtype=bool)
    for p in pairs:
        mask[p.origin, p.to] = True
    return mask


def _wrong(clean: np.ndarray, codes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    right = clean[np.arange(len(codes)), codes].astype(np.float64) * np.diag(matrix)[codes]
    out = np.empty(len(codes))
    columns = matrix.T.astype(np.float32)
    chunk = max(1, int(2e7 // max(len(matrix), 1)))
    for i in range(0, len(codes), chunk):
        out[i:i + chunk] = (clean[i:i + chunk] * columns[codes[i:i + chunk]]).sum(axis=1)
    return np.clip(1 - right / np.maximum(out, 1e-30), 0, 1)


def _fit_loss(a: np.ndarray, b: np.ndarray, y: np.ndarray, weights: np.ndarray, rate: float, k: int) -> float:
    s = softmax(np.float32(weights[0]) * a + np.float32(weights[1]) * b)
    sy = s[np.arange(len(y)), y].astype(np.float64)
    return -float(np.log(np.maximum((1 - rate) * sy + rate / k, 1e-12)).mean())


def _fit_weights(a: np.ndarray, b: np.ndarray, y: np.ndarray, weights: np.ndarray, rate: float, k: int,
                 bounds: tuple[float, float] = (1e-6, 0.6)) -> tuple[np.ndarray, float]:
    """Maximum likelihood of the two weights and the uniform rate."""
    from scipy.optimize import minimize

    rows = np.arange(len(y))
    ay, by = a[rows, y].astype(np.float64), b[rows, y].astype(np.float64)

    def loss(t: np.ndarray) -> tuple[float, np.ndarray]:
        s = softmax(np.float32(t[0]) * a + np.float32(t[1]) * b)
        sy = s[rows, y].astype(np.float64)
        q = np.maximum((1 - t[2]) * sy + t[2] / k, 1e-12)
        pull = (1 - t[2]) * sy / q
        slope = np.array([np.mean(pull * (ay - (s * a).sum(axis=1))), np.mean(pull * (by - (s * b).sum(axis=1))),
                          np.mean((1 / k - sy) / q)])
        return -float(np.log(q).mean()), -slope

    found = minimize(loss, np.r_[weights, rate], jac=True, method="L-BFGS-B", bounds=[(0, 10), (0, 10), bounds])
    return found.x[:2], float(found.x[2])


def _alternate(a: np.ndarray, b: np.ndarray, y: np.ndarray, weights: np.ndarray, rate: float, pairs: tuple[Pair, ...] | None,
               rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """EM for the noise matrix in turn with the weights. Entries outside `pairs` share one rate; None frees all of them."""
    from scipy.optimize import minimize

    n, k = a.shape
    free = np.ones((k, k), bool) if pairs is None else _mask(pairs, k)
    matrix = _uniform(rate, k)
    matrix[free & ~np.eye(k, dtype=bool)] = max(rate / k, 0.02)
    matrix /= matrix.sum(axis=1, keepdims=True)
    order = np.argsort(y, kind="stable")
    present, start = np.unique(y[order], return_index=True)

    def loss(t: np.ndarray) -> tuple[float, np.ndarray]:
        s = softmax(np.float32(t[0]) * a + np.float32(t[1]) * b)
        joint = s * matrix.T.astype(np.float32)[y]
        q = np.maximum(joint.sum(axis=1, keepdims=True), 1e-12)
        pull = joint / q - s
        return (-float(np.log(q).mean(dtype=np.float64)),
                -np.array([(pull * a).sum(dtype=np.float64), (pull * b).sum(dtype=np.float64)]) / n)

    for _ in range(rounds):
        s = softmax(np.float32(weights[0]) * a + np.float32(weights[1]) * b)[order]
        for _ in range(25):
            joint = s * matrix.T.astype(np.float32)[y[order]]
            joint /= np.maximum(joint.sum(axis=1, keepdims=True), 1e-12)
            counts = np.zeros((k, k))
            counts[:, present] = np.add.reduceat(joint, start, axis=0).T  # true x observed
            size = np.maximum(counts.sum(axis=1, keepdims=True), 1e-9)
            new = counts / size
            if not free.all():
                tied = counts[~free].sum() / max((size * ~free).sum(), 1e-9)
                new[~free] = tied
            new = np.maximum(new, 1e-9)
            matrix = new / new.sum(axis=1, keepdims=True)
        weights = minimize(loss, weights, jac=True, method="L-BFGS-B", bounds=[(0, 10), (0, 10)]).x
    return weights, matrix


def _find_pairs(a: np.ndarray, b: np.ndarray, y: np.ndarray, weights: np.ndarray, rate: float,
                scale: float) -> tuple[Pair, ...]:
    """Pairs with more moved labels than the overlap of the two classes explains, one way much more than the other."""
    k = a.shape[1]
    weights, matrix = _alternate(a, b, y, weights, max(rate, 1e-3), None, rounds=3)
    s = softmax(np.float32(weights[0]) * a + np.float32(weights[1]) * b)
    overlap = (s.T @ s).astype(np.float64)
    joint = s * matrix.T.astype(np.float32)[y]
    joint /= np.maximum(joint.sum(axis=1, keepdims=True), 1e-12)
    counts = np.zeros((k, k))
    for c in range(k):
        counts[:, c] = joint[y == c].sum(axis=0)
    np.fill_diagonal(counts, 0)
    ratio = counts / (overlap + 5)
    even = np.median(matrix[~np.eye(k, dtype=bool)]) if k > 2 else 0.0  # a uniform rate is no property of a pair
    p = _pair_p(s, y, counts, overlap)
    one_way = ratio > 2 * ratio.T
    good = one_way & (counts >= 8) & (matrix > 0.01 + 3 * even) & ((ratio > 0.6) | (p <= 0.01))
    found = [Pair(int(t), int(c), float(counts[t, c] * scale), float(matrix[t, c]), float(overlap[t, c] * scale),
                  float(p[t, c])) for t, c in zip(*np.nonzero(good), strict=True)]
    return tuple(sorted(found, key=lambda pair: (pair.p_value, -pair.count / (pair.overlap + 5)))[:k])


def _pair_p(s: np.ndarray, y: np.ndarray, counts: np.ndarray, overlap: np.ndarray) -> np.ndarray:
    """(K, K) p-values of `Pair.p_value`."""
    from scipy.stats import binom, poisson

    k = len(counts)
    best = s.argmax(axis=1)
    certain = s.max(axis=1) >= 0.95
    cell = np.bincount(best[certain] * k + y[certain], minlength=k * k).reshape(k, k)
    seen = cell.sum(axis=1, keepdims=True)
    sharp = np.where(seen >= 20, binom.sf(cell - 1, np.maximum(seen, 1), PAIR_SHARE), 1.0)
    total = poisson.sf(counts - 1, 1.5 * overlap + 5)
    return np.asarray(np.minimum(1.0, np.minimum(sharp, total) * 2 * k * (k - 1)))


def noise_score(clean: np.ndarray, codes: np.ndarray, rate: float) -> np.ndarray:
    """(n,) float64: probability of a wrong label at that noise rate, less what it would be on average at that very content.

    Zero on average where the labels follow `clean` (n, K) with `rate` of them replaced at random; positive where more are.
    """
    n, k = clean.shape
    out = np.empty(n)
    chunk = max(1, int(2e7 // max(k, 1)))
    for i in range(0, n, chunk):
        q = (1 - rate) * clean[i:i + chunk] + rate / k
        replaced = 1 - (1 - rate + rate / k) * clean[i:i + chunk] / q
        out[i:i + chunk] = replaced[np.arange(len(q)), codes[i:i + chunk]] - (q * replaced).sum(axis=1)
    return out


def local_rate(clean: np.ndarray, codes: np.ndarray, steps: int = 50) -> tuple[float, np.ndarray]:
    """The share of wrong labels among these rows by EM, and (n,) float64 probability of a wrong label at that share.

    >>> clean = np.tile([0.99, 0.01], (100, 1))
    >>> round(local_rate(clean, np.repeat([0, 1], [80, 20]))[0], 1)
    0.2
    """
    n, k = clean.shape
    if n == 0 or k < 2:
        return 0.0, np.zeros(n)
    own = clean[np.arange(n), codes].astype(np.float64)
    rate, wrong = 0.05, np.zeros(n)
    for _ in range(steps):
        moved = rate * (1 - own) / (k - 1)
        wrong = moved / np.maximum((1 - rate) * own + moved, 1e-30)
        rate = float(np.clip(wrong.mean(), 1e-6, 0.9))
    return rate, wrong
