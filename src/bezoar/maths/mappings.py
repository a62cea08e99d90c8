"""Ways from class to class: a matrix of how easy they are, source by target, and the chance that by nature it leans as it does.

Clean networks confuse some pairs of classes (4 and 9), in both directions alike; easy targets and easy sources show in whole columns and
rows. A backdoor that leads every class to another is neither: it leans one way.
"""

from __future__ import annotations

import numpy as np

SWEEPS = 30
"""Of the median polish."""
MOST = 3.0
"""Deviations that one pair counts for at most in a mapping of all classes."""


def polished(ease: np.ndarray) -> np.ndarray:
    """(K, K) what is left of `ease` (K, K), source by target with NaN on the diagonal, after the medians of its rows and columns are taken
    away in turn (Tukey's median polish).

    >>> ease = np.zeros((6, 6))
    >>> ease[:, 4], ease[1, 2] = 3, 9
    >>> np.fill_diagonal(ease, np.nan)
    >>> polished(ease)[1, 2], np.nansum(np.abs(polished(ease)))
    (np.float64(9.0), np.float64(9.0))
    """
    left = np.array(ease, np.float64)
    for _ in range(SWEEPS):
        left -= np.nanmedian(left, axis=1, keepdims=True)
        left -= np.nanmedian(left, axis=0, keepdims=True)
    return left


def leaning(left: np.ndarray) -> np.ndarray:
    """(K, K) by how much each way is easier than the way back, of residuals (K, K); antisymmetric."""
    return np.asarray((left - left.T) / np.sqrt(2))


def deviations(left: np.ndarray) -> np.ndarray:
    """(K, K) in robust deviations from zero; zeros where all are alike."""
    scale = 1.4826 * float(np.nanmedian(np.abs(left)))
    return left / scale if scale > 1e-12 else np.zeros_like(left)


def led_round(ease: np.ndarray, rng: np.random.Generator, draws: int = 1999) -> tuple[float, int]:
    """Chance that by nature some step d makes the ways from every class c to class c + d so much easier than the ways back, and that step.

    In a clean network neither direction of a pair is the easier one for a reason that has to do with the order of classes, so the signs of
    the leanings are exchangeable: they are drawn `draws` times, and the best step of each draw is the null. Exact under that symmetry.

    >>> rng = np.random.default_rng(0)
    >>> ease = rng.normal(size=(10, 10))
    >>> np.fill_diagonal(ease, np.nan)
    >>> by_nature, _ = led_round(ease, rng)
    >>> ease[np.arange(10), (np.arange(10) + 3) % 10] += 4
    >>> by_nature > 0.05 > 0.01 >= led_round(ease, rng)[0], led_round(ease, rng)[1]
    (True, 3)
    """
    k = len(ease)
    lean = np.nan_to_num(np.clip(deviations(leaning(polished(ease))), -MOST, MOST))
    source = np.arange(k)
    steps = np.array([(source + d) % k for d in range(1, k)])

    def best(matrix: np.ndarray) -> np.ndarray:
        return np.asarray(matrix[..., source, steps].mean(axis=-1))

    own = best(lean)
    signs = np.triu(rng.choice([-1.0, 1.0], (draws, k, k)), 1)
    null = best(lean * (signs + signs.transpose(0, 2, 1))).max(axis=-1)
    return float((1 + (null >= own.max() - 1e-12).sum()) / (draws + 1)), 1 + int(own.argmax())
