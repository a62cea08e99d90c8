"""Paired changes: a lower bound of their mean, a rank among controls, and whether members change more than others do."""

from __future__ import annotations

import numpy as np


def lower_bound(changes: np.ndarray, alpha: float) -> float:
    """The mean of (n,) `changes` is at least this, but for a chance of `alpha` in (0, 1) (Student's t, one-sided).

    -inf for fewer than two. Close to its level from about 30 changes on; changes that share a cause are counted as if they did not.

    >>> round(lower_bound(np.array([1.0, 2.0, 3.0]), 0.05), 2), lower_bound(np.ones(1), 0.05)
    (0.31, -inf)
    """
    from scipy.stats import t

    n = len(changes)
    if n < 2:
        return -np.inf
    return float(np.mean(changes) - t.ppf(1 - alpha, n - 1) * np.std(changes, ddof=1) / np.sqrt(n))


def rank_p(value: float, controls: np.ndarray) -> float:
    """Chance that as many as (c,) `controls` and `value`, all alike, show one at least as large: (1 + larger ones) / (c + 1).

    >>> rank_p(3.0, np.array([1.0, 2.0, 3.0]))
    0.5
    """
    return float((1 + (controls >= value).sum()) / (len(controls) + 1))


def mixed_p(inside: np.ndarray, outside: np.ndarray, rng: np.random.Generator, draws: int = 999) -> float:
    """Permutation p-value of mean(inside) <= mean(outside): changes (m,) of members, (k,) of others, dealt anew `draws` times.

    1.0 where one side is empty. Cost: draws x (m + k).

    >>> mixed_p(np.ones(8), np.zeros(8), np.random.default_rng(0))
    0.001
    """
    if not len(inside) or not len(outside):
        return 1.0
    both = np.concatenate([inside, outside]).astype(np.float64)
    seen = float(inside.mean() - outside.mean())
    order = rng.permuted(np.broadcast_to(np.arange(len(both)), (draws, len(both))), axis=1)
    drawn = both[order[:, :len(inside)]].mean(axis=1)
    gaps = drawn - (both.sum() - drawn * len(inside)) / len(outside)
    return float((1 + (gaps >= seen - 1e-12).sum()) / (draws + 1))
