"""Pictures varied for training on few of them: each turned, stretched, slanted and moved by a little of its own. Torch is imported inside.

Mixtures of pictures and noise were tried too. They make networks of few samples a little better and much steadier than a network that
somebody trained plainly, so that they no longer say what is natural for it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

TURN, STRETCH, SLANT, MOVE = 0.12, 0.08, 0.08, 0.08
"""Standard deviations at amount 1: radians, a logarithm, and parts of half a side."""


def varied(inputs: Any, amount: float, rng: np.random.Generator) -> Any:
    """(n, c, h, w) pictures, each under a random affine map of its own; what comes in from outside repeats the edge. 0 leaves them."""
    import torch
    from torch.nn import functional

    if not amount:
        return inputs
    n = len(inputs)
    angle, scale, slant = amount * rng.normal(0, (TURN, STRETCH, SLANT), (n, 3)).T
    down, right = amount * rng.normal(0, MOVE, (n, 2)).T
    cos, sin, size = np.cos(angle), np.sin(angle), np.exp(scale)
    maps = np.stack([np.stack([size * cos, slant - size * sin, right], axis=1), np.stack([size * sin, size * cos, down], axis=1)], axis=1)
    grid = functional.affine_grid(torch.from_numpy(maps.astype(np.float32)).to(inputs.device), list(inputs.shape), align_corners=False)
    return functional.grid_sample(inputs, grid, padding_mode="border", align_corners=False)
