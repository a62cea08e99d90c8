"""Several channels, one number per sample."""

from __future__ import annotations

import numpy as np


def top_two(suspicion: np.ndarray) -> np.ndarray:
    """(n,) mean of the two largest -log p over channels; suspicion (n, c) in [0, 1] or NaN, p = 1 - suspicion.

    One channel that shouts is enough to be looked at, two that agree come first. All NaN gives NaN.

    >>> top_two(np.array([[0.9, 0.9, 0.0], [0.0, 0.0, np.nan]])).round(2).tolist()
    [2.3, 0.0]
    """
    strength = -np.log(np.clip(1.0 - suspicion, 1e-12, 1.0))
    known = ~np.isnan(strength)
    ordered = -np.sort(-np.where(known, strength, -np.inf), axis=1)[:, :2]
    ordered = np.where(np.isfinite(ordered), ordered, 0.0)
    fused = ordered.sum(axis=1) / np.clip(known.sum(axis=1), 1, 2)
    return np.where(known.any(axis=1), fused, np.nan)
