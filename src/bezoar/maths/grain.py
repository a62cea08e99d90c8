"""The grain of pictures: how strong their finest structure is in light and in colour, and whether its colour is more than a camera's.

Cameras, lenses and codecs blur colour more than light, so that the finest structure of a photograph is nearly grey. What an optimiser
adds to pixels treats every channel by itself: the finest structure of colour then stands above what the light, and colour one octave
slower, let expect. Quartiles over places, so that edges and small marks hardly count.
"""

from __future__ import annotations

import numpy as np

from bezoar.maths.frequency import OPPONENT

QUARTILES = (0.25, 0.5, 0.75)
LEAST = 0.5
"""Grey levels that are added before logarithms: rounding alone makes about so much."""
LEAST_SPREAD = 0.1
"""In logarithms: what varies by less than a tenth has this spread."""
LEAST_OF_SUM = 0.3
"""The same, in deviations, for the sum of the three quartiles."""
ROUNDS = 10


def grain(pictures: np.ndarray) -> np.ndarray:
    """(n, h, w, 3) grey levels -> (n, 3, 3) float32, in grey levels: for each quartile over places the size of the diagonal second
    difference of light, of the two opponent colours on average, and of these at half the resolution; NaN under 4 pixels a side.

    >>> flat = np.full((1, 8, 8, 3), 100.0)
    >>> noise = np.random.default_rng(0).normal(0, 5, (1, 8, 8, 3))
    >>> float(grain(flat).max().round(3)), bool((grain(flat + noise)[:, 1] > 2).all())
    (0.0, True)
    """
    n, h, w = pictures.shape[:3]
    if min(h, w) < 4:
        return np.full((n, 3, 3), np.nan, np.float32)
    x = pictures.astype(np.float32) @ OPPONENT.T
    fine = _quartiles(x)
    x = x[:, :h // 2 * 2, :w // 2 * 2, 1:]
    slow = _quartiles((x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4)
    return np.stack([fine[..., 0], fine[..., 1:].mean(axis=2), slow.mean(axis=2)], axis=2).astype(np.float32)


def _quartiles(x: np.ndarray) -> np.ndarray:
    """(n, h, w, c) -> (n, 3, c)."""
    d = np.abs(x[:, :-1, :-1] - x[:, 1:, :-1] - x[:, :-1, 1:] + x[:, 1:, 1:])
    return np.moveaxis(np.quantile(d.reshape(len(d), -1, d.shape[3]), QUARTILES, axis=1), 0, 1)


def excess(found: np.ndarray) -> np.ndarray:
    """(n, 3) by how many deviations the finest grain of colour is above what the grain of light and the slower one of colour foretell, by
    robust planes through all rows of `found` (n, 3, 3) as `grain` gives them: for the median, the upper quartile, and the sum of the three
    (the lower quartile by itself is often rounding). Rows with NaN stay NaN; fewer than 8 others foretell nothing.

    >>> rng = np.random.default_rng(0)
    >>> slow = np.repeat(rng.uniform(1, 20, (200, 1)), 3, axis=1)
    >>> found = np.stack([slow * 2, 0.3 * slow * rng.uniform(0.8, 1.2, (200, 3)), slow], axis=2)
    >>> found[7, :, 1] *= 4
    >>> bool((excess(found)[7] > 6).all() and excess(np.delete(found, 7, axis=0)).max() < 4)
    True
    """
    known = ~np.isnan(found).any(axis=(1, 2))
    out = np.full((len(found), 3), np.nan)
    if known.sum() < 8:
        out[known] = 0.0
        return out
    logs = np.log(found[known].astype(np.float64) + LEAST)
    each = np.stack([_beyond(logs[:, q]) for q in range(3)], axis=1)
    total = each.sum(axis=1)
    spread = max(1.4826 * float(np.median(np.abs(total - np.median(total)))), LEAST_OF_SUM)
    out[known] = np.column_stack([each[:, 1:], total / spread])
    return out


def _beyond(logs: np.ndarray) -> np.ndarray:
    """(n,) deviations from the plane of one quartile; `logs` (n, 3)."""
    light, fine, slow = logs.T
    wanted, axes = fine - slow, np.stack([slow, light], axis=1)  # where nothing can be learned, colour falls with the octave
    inside, left, spread = np.ones(len(wanted), bool), wanted, 1.0
    for _ in range(ROUNDS):
        middle, level = axes[inside].mean(axis=0), wanted[inside].mean()
        slope = np.linalg.lstsq(axes[inside] - middle, wanted[inside] - level, rcond=1e-6)[0]
        left = wanted - level - (axes - middle) @ slope
        spread = max(1.4826 * float(np.median(np.abs(left))), LEAST_SPREAD)
        inside = np.abs(left) < 2.5 * spread
    return np.asarray(left / spread)
