"""How surprising the strongest of many candidates is, when the candidates of the other classes are all the null there is."""

from __future__ import annotations

import numpy as np

LEAST_SCALE = 3.0
"""Nats by which nature's strongest candidates vary at least."""


def significance(strength: np.ndarray, code: np.ndarray, share: float = 0.25, margin: float = 1.5,
                 least: float = LEAST_SCALE) -> np.ndarray:
    """Family-wise p of each strength (m,), in nats, as the largest of all, by the tail of the candidates of other classes.

    code (m,) is the class of each candidate. The tail above the upper `share` is exponential with its mean excess, less the two
    largest (they may be planted too), or such that the third best of the other classes is no surprise, or `least`, widened
    by `margin`. A class with fewer than eight candidates elsewhere gets 1.

    >>> strength, code = np.array([1.0, 2, 3, 4] * 5 + [90, 5]), np.repeat([0, 1], [20, 2])
    >>> significance(strength, code)[-2:].round(3).tolist()
    [0.0, 1.0]
    """
    p = np.ones(len(strength))
    for c in np.unique(code):
        others = np.sort(strength[code != c])
        if len(others) < 8:
            continue
        start = float(np.quantile(others, 1 - share))
        above = others[others > start]
        above = above[:-2] if len(above) > 6 else above
        scale = max(float(above.mean() - start) if len(above) else 0.0, least)
        best = sorted(float(strength[code == o].max()) for o in np.unique(code) if o != c)
        number = len(strength) * share
        if len(best) >= 3 and number > 3:
            scale = max(scale, (best[-3] - start) / max(np.log(number / 3), 1.0))
        mine = code == c
        p[mine] = np.minimum(number * np.exp(-np.maximum(strength[mine] - start, 0) / (margin * scale)), 1.0)
        p[mine] = np.where(strength[mine] > start, p[mine], 1.0)
    return p


LEAST_VARIANCE = 1e-4
"""Of values between 0 and 1: a few that happen to agree are no proof."""


def above(inside: np.ndarray, outside: np.ndarray, witnesses: int) -> float:
    """How many nats speak for a higher mean of the values `inside` than of those `outside`, all in [0, 1]: minus the logarithm of the tail
    of Welch's t, in which only so many `witnesses` of those inside count (copies are none). 0 for fewer than two on a side.

    >>> rng = np.random.default_rng(0)
    >>> above(rng.uniform(0.5, 1, 30), rng.uniform(0, 0.5, 99), 30) > 40 > 3 > above(rng.uniform(size=30), rng.uniform(size=99), 30)
    True
    """
    from scipy.stats import t

    if min(witnesses, len(outside)) < 2:
        return 0.0
    one, two = ((float(x.var(ddof=1)) + LEAST_VARIANCE) / n for x, n in ((inside, witnesses), (outside, len(outside))))
    freedom = (one + two) ** 2 / (one**2 / (witnesses - 1) + two**2 / (len(outside) - 1))
    return float(-t.logsf((inside.mean() - outside.mean()) / np.sqrt(one + two), freedom))


def divergence(p: float, q: float) -> float:
    """Nats per row between shares `p` and `q`, both held strictly inside 0..1.

    >>> round(divergence(0.9, 0.1), 2), divergence(0.3, 0.3)
    (1.76, 0.0)
    """
    p, q = (min(max(v, 1e-3), 1 - 1e-3) for v in (p, q))
    return float(p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))
