"""Many tests at once: Holm, Benjamini-Hochberg, Simes closed testing, exact bounds."""

from __future__ import annotations

import numpy as np


def holm(p: np.ndarray) -> np.ndarray:
    """(m,) adjusted p-values; rejecting those <= alpha keeps the family-wise error <= alpha (Holm 1979).

    >>> holm(np.array([0.01, 0.04, 0.03])).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    m = len(p)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate((m - np.arange(m)) * p[order])
    out = np.empty(m)
    out[order] = np.minimum(stepped, 1.0)
    return out


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """(m,) q-values; flagging those <= q keeps the false discovery rate <= q (1995; holds for conformal p-values).

    >>> benjamini_hochberg(np.array([0.01, 0.5, 0.02])).round(3).tolist()
    [0.03, 0.5, 0.03]
    """
    m = len(p)
    order = np.argsort(p, kind="stable")
    scaled = p[order] * m / np.arange(1, m + 1)
    out = np.empty(m)
    out[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return out


def least_false(p: np.ndarray, alpha: float) -> int:
    """With confidence 1 - alpha at least this many of the m null hypotheses are false: closed testing with Simes.

    p (m,), valid under arbitrary positive dependence (PRDS) such as conformal p-values
    (Goeman and Solari 2011; Goeman et al. 2019, the linear-time form). Zero when nothing can be said.

    >>> least_false(np.array([1e-6, 1e-6, 0.5, 0.9]), 0.01)
    2
    """
    m = len(p)
    if m == 0:
        return 0
    s = np.sort(p)
    small = int(np.searchsorted(s, alpha, side="right"))
    # h = the largest size of a subset of the largest p-values that Simes does not reject; p > alpha never reject
    h = m - small
    for size in range(m, m - small, -1):
        tail = s[m - size:]
        if (tail * size > alpha * np.arange(1, size + 1)).all():
            h = size
            break
    if h == 0:
        return m
    # false ones in the whole set: max over u of 1 - u + #{p_i * h <= u * alpha}
    u = np.arange(1, m + 1)
    found = np.searchsorted(s * h, u * alpha, side="right")
    return max(0, int((found - u + 1).max()))


def least_members(members: int, expected: float, alpha: float) -> int:
    """How many of `members` cannot be nature's at confidence 1 - alpha, where nature gives Poisson(`expected`).

    >>> least_members(30, 2.0, 0.01)
    24
    """
    from scipy.stats import poisson

    return max(0, int(members - poisson.ppf(1 - alpha, max(expected, 0.0))))


def clopper_pearson(hits: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact two-sided interval of a rate; (0, 1) where there were no trials.

    >>> tuple(round(v, 4) for v in clopper_pearson(0, 150))
    (0.0, 0.0243)
    """
    from scipy.stats import beta

    if trials == 0:
        return 0.0, 1.0
    tail = (1 - confidence) / 2
    low = 0.0 if hits == 0 else float(beta.ppf(tail, hits, trials - hits + 1))
    high = 1.0 if hits == trials else float(beta.ppf(1 - tail, hits + 1, trials - hits))
    return low, high
