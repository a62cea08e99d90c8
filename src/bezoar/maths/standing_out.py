"""Does one class of one model stand out? Against clean models of the same shape, or, where there are none, against its other classes."""

from __future__ import annotations

import numpy as np

FLOOR = 0.05
"""Least spread on the scale of a logarithm: 5%."""


def against_references(own: np.ndarray, references: np.ndarray) -> np.ndarray:
    """(C, K) how far each class of a model stands above the same class of clean models; own (C, K), references (R, C, K).

    The spread of a class over R models is uncertain, so half of its variance is the mean of all classes'. NaN stays NaN.

    >>> refs = np.random.default_rng(0).normal(size=(40, 1, 3))
    >>> against_references(np.array([[0.0, 0.0, 9.0]]), refs).round().tolist()[0][2] > 5
    True
    """
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a channel that says nothing of a class
        middle = np.nanmedian(references, axis=0)
        variance = np.nanmean((references - middle) ** 2, axis=0)
        pooled = np.nanmean(variance, axis=1, keepdims=True)
        r = len(references)
        return np.asarray((own - middle) / np.sqrt((variance + pooled) / 2 * (1 + 1 / r) + FLOOR**2))


def against_ways(own: np.ndarray, references: np.ndarray) -> np.ndarray:
    """(K, K) how far each way between classes stands above the same way in clean models; own (K, K) by target and source, references
    (R, K, K), NaN where there is no way.

    What a whole row or column has in common (an easy target, an easy source) is taken off, so that one way counts for itself.

    >>> refs = np.random.default_rng(0).normal(size=(8, 6, 6))
    >>> own = np.zeros((6, 6)); own[2, 4] = 9
    >>> divmod(int(against_ways(own, refs).argmax()), 6)
    (2, 4)
    """
    import warnings

    z = against_references(own.reshape(1, -1), references.reshape(len(references), 1, -1)).reshape(own.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a class that no way leads to
        z = z - np.nanmedian(z, axis=1, keepdims=True)
        return np.asarray(z - np.nanmedian(z, axis=0, keepdims=True))


def against_classes(own: np.ndarray) -> np.ndarray:
    """(C, K) how far each class stands above the median of the model's classes, in deviations (MAD); own (C, K).

    >>> against_classes(np.array([[1.0, 1.1, 0.9, 1.0, 9.0]])).argmax()
    np.int64(4)
    """
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        middle = np.nanmedian(own, axis=1, keepdims=True)
        mad = 1.4826 * np.nanmedian(np.abs(own - middle), axis=1, keepdims=True)
        return np.asarray((own - middle) / np.sqrt(mad**2 + FLOOR**2))


def fused(z: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """(..., K) one number per class of (..., C, K): the weighted sum of what the channels that spoke say, by the root of their number.

    Each channel is clipped to [-3, 8], so that none can speak for all.

    >>> fused(np.array([[1.0, 3.0], [1.0, np.nan]])).round(2).tolist()
    [1.41, 3.0]
    """
    w = np.ones(z.shape[-2]) if weights is None else weights
    w = np.where(np.isfinite(z), w[:, None], 0.0)
    total = (np.clip(np.nan_to_num(z), -3, 8) * w).sum(axis=-2)
    return np.asarray(total / np.sqrt(np.maximum((w**2).sum(axis=-2), 1e-12)))


LOUDEST = 2
"""Channels that speak for a class where clean models say what is natural."""


def loudest(z: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """(..., K) one number per class of (..., C, K): the mean of the two channels that say most, each times the root of its weight.

    A trigger shows in those channels that look for its kind; a sum over all drowns it, and one channel alone errs. Where one speaks,
    that one. Each channel is clipped to [-3, 12].

    >>> loudest(np.array([[6.0, 1.0], [3.0, np.nan], [0.0, np.nan], [-3.0, np.nan]])).round(2).tolist()
    [4.5, 1.0]
    """
    w = np.ones(z.shape[-2]) if weights is None else weights
    spoke = np.isfinite(z)
    said = np.where(spoke, np.clip(np.nan_to_num(z), -3, 12) * np.sqrt(w)[:, None], -np.inf)
    top = -np.sort(-said, axis=-2)[..., :LOUDEST, :]
    of = np.clip(spoke.sum(axis=-2), 1, LOUDEST)
    return np.asarray(np.where(np.isfinite(top), top, 0.0).sum(axis=-2) / of)


def prominent(z: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """(K,) one number per class of (C, K), on a logarithm's scale from 0: by the root mean square of what speaks for the class.

    A trigger shows in those channels that look for its kind; a sum over all of them drowns it, and the more so the more channels
    there are. The logarithm makes the tail over a model's own classes about normal. Each channel is clipped to [0, 8].

    >>> prominent(np.array([[6.0, 1.0, 0.0], [0.0, 1.0, -2.0]])).round(2).tolist()
    [2.25, 1.1, 0.0]
    """
    w = np.ones(len(z)) if weights is None else weights
    w = np.where(np.isfinite(z), w[:, None], 0.0)
    square = (np.clip(np.nan_to_num(z), 0, 8) ** 2 * w).sum(axis=0) / np.maximum(w.sum(axis=0), 1e-12)
    return np.asarray(np.log1p(2 * np.sqrt(square)))


def p_largest(largest: float, null: np.ndarray, classes: int, freedom: int = 0) -> float:
    """Chance that the largest of so many classes of a clean model reaches `largest`; `null` are values of single clean classes.

    A Student tail around the null's mean, times the number of classes (Bonferroni). `freedom` is that of the tail: fewer than the values
    where these come from few models; 0 takes one less than the values.

    >>> null = np.random.default_rng(0).normal(size=80)
    >>> p_largest(1.0, null, 10), p_largest(9.0, null, 10) < 1e-6
    (1.0, True)
    """
    from scipy.stats import t

    null = null[np.isfinite(null)]
    if len(null) < 3:
        return float("nan")
    spread = float(np.std(null, ddof=1)) * np.sqrt(1 + 1 / len(null))
    return float(min(1.0, classes * t.sf((largest - float(null.mean())) / max(spread, 1e-9), freedom or len(null) - 1)))


SLIGHT = 0.5
"""Log-odds; effects below this differ by chance."""
LEAST_CANDIDATES = 200
"""Fewer candidates than these show no tail."""


def tail_place(groups: int) -> int:
    """The rank (from 0) among so many candidates that stands for the largest ordinary one."""
    return min(max(5, groups // 100), groups - 1)


def best_over_tail(effects: np.ndarray) -> np.ndarray:
    """(K,) logarithm of the largest of (G, K) effects, in log-odds, over what the largest ordinary ones (the best hundredth) reach.

    >>> best_over_tail(np.r_[np.linspace(0, 1, 500), 8.0][:, None]).round(1).tolist()
    [1.7]
    """
    ordered = -np.sort(-effects, axis=0)
    return np.asarray(_size(ordered[0]) - _size(ordered[tail_place(len(ordered))]))


def _size(effects: np.ndarray) -> np.ndarray:
    return np.asarray(np.log(np.maximum(effects, 0) + SLIGHT))


def p_best_candidate(effects: np.ndarray) -> np.ndarray:
    """(K,) chance that the largest of (G, K) effects of ordinary candidates is as far out as this one.

    The hundred next to the few best are taken for the tail of a power law (Hill 1975), in which the largest of all lies by chance where it
    lies; the three best are left out of its fit, as a trigger may hold them. NaN for fewer than 200 candidates.

    >>> clean = np.random.default_rng(0).exponential(size=(2000, 1))
    >>> bool(p_best_candidate(clean)[0] > 0.05), bool(p_best_candidate(np.r_[clean, [[90.0]]])[0] < 0.01)
    (True, True)
    """
    if len(effects) < LEAST_CANDIDATES:
        return np.full(effects.shape[1], np.nan)
    k = tail_place(len(effects))
    ordered = _size(-np.sort(-effects, axis=0)[:k + 1])
    slope = np.maximum((ordered[3:k] - ordered[k]).sum(axis=0) / max(k - 3, 1), 0.02)
    # the k - 3 middle ones stand for k that hold the largest too: their mean falls short by what the left-out ones would have added
    slope *= _short(k)
    return np.asarray(-np.expm1(k * np.log1p(-np.minimum(np.exp(-(ordered[0] - ordered[k]) / slope), 1 - 1e-12))))


def p_best_group(effects: np.ndarray, size: int) -> np.ndarray:
    """(K,) chance that the `size` largest of (G, K) effects of ordinary candidates are together as far out as these.

    The ones behind them are taken for the tail of a power law, in which the gaps between sizes, each times its rank, are exponential (Renyi
    1953): the mean gap of the largest over that of the tail is then a ratio of Fisher. NaN for fewer than 200 candidates.

    >>> clean = np.random.default_rng(0).exponential(size=(2000, 1))
    >>> many = np.r_[clean, np.full((8, 1), 30.0)]
    >>> bool(p_best_group(clean, 8)[0] > 0.05), bool(p_best_group(many, 8)[0] < 0.01)
    (True, True)
    """
    from scipy.stats import f

    if len(effects) < LEAST_CANDIDATES:
        return np.full(effects.shape[1], np.nan)
    k = max(LEAST_TAIL, len(effects) // 50)
    ordered = _size(-np.sort(-effects, axis=0)[:k + 1])
    top = (ordered[:size] - ordered[size]).sum(axis=0) / size
    tail = np.maximum((ordered[size:k] - ordered[k]).sum(axis=0) / (k - size), 0.02)
    return np.asarray(f.sf(top / tail, 2 * size, 2 * (k - size)))


LEAST_TAIL = 40
"""Candidates from which on a tail of groups is measured."""


def _short(k: int) -> float:
    """Mean of k exponentials over the mean of all but the three largest of them (Renyi's representation).

    >>> round(_short(20), 2)
    1.45
    """
    ranks = np.array([sum(1 / j for j in range(i, k + 1)) for i in range(1, k + 1)])
    return float(ranks.mean() / ranks[3:].mean())


def deviations(p: np.ndarray) -> np.ndarray:
    """One-sided p-values as deviations of a normal variable; NaN stays NaN.

    >>> deviations(np.array([0.5, 0.025])).round(2).tolist()
    [0.0, 1.96]
    """
    from scipy.stats import norm

    return np.asarray(norm.isf(np.clip(p, 1e-15, 1 - 1e-15)))
