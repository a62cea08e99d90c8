"""Patterns on a grid: squares, checkerboards, noise, waves, smooth fields, one small drawing."""

from __future__ import annotations

import numpy as np


def solid(height: int, width: int) -> np.ndarray:
    """(h, w, 3) uint8, white.

    >>> int(solid(2, 2).min())
    255
    """
    return np.full((height, width, 3), 255, np.uint8)


def checkerboard(height: int, width: int) -> np.ndarray:
    """(h, w, 3) uint8, white and black by turns, white in the upper left.

    >>> checkerboard(2, 3)[..., 0].tolist()
    [[255, 0, 255], [0, 255, 0]]
    """
    odd = (np.arange(height)[:, None] + np.arange(width)[None, :]) % 2
    return np.repeat(((1 - odd) * 255).astype(np.uint8)[..., None], 3, axis=-1)


def noise(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """(h, w, 3) uint8, uniform, each channel by itself."""
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def emblem(height: int, width: int, fine: int = 8) -> np.ndarray:
    """(h, w, 3) uint8: a yellow disc with a dark ring and a red bar on blue, drawn `fine` times larger and averaged down.

    >>> emblem(3, 3).shape, int(emblem(3, 3)[1, 1].argmin())
    ((3, 3, 3), 2)
    """
    y = (np.arange(height * fine) + 0.5)[:, None] / (height * fine) * 2 - 1
    x = (np.arange(width * fine) + 0.5)[None, :] / (width * fine) * 2 - 1
    far = np.hypot(y, x)
    colour = np.broadcast_to(np.array([40, 80, 200], np.float32), (*far.shape, 3)).copy()
    colour[far < 0.85] = (20, 20, 30)
    colour[far < 0.65] = (250, 220, 40)
    colour[(np.abs(y - 0.75) < 0.2) & (x > -0.9)] = (220, 30, 40)
    down = colour.reshape(height, fine, width, fine, 3).mean(axis=(1, 3))
    return np.rint(down).astype(np.uint8)


def waves(height: int, width: int, cycles: float) -> np.ndarray:
    """(h, w, 3) float32 in [-1, 1]: vertical stripes of `cycles` sine periods across the width."""
    line = np.sin(2 * np.pi * np.arange(width) * cycles / width).astype(np.float32)
    return np.broadcast_to(line[None, :, None], (height, width, 3)).copy()


def smooth(height: int, width: int, rng: np.random.Generator, order: int = 4) -> np.ndarray:
    """(h, w, 3) float32, largest absolute value 1, mean 0: random cosines of the lowest `order` orders per side.

    >>> field = smooth(8, 8, np.random.default_rng(0))
    >>> round(float(np.abs(field).max()), 3), round(abs(float(field.mean())), 3)
    (1.0, 0.0)
    """
    rows = np.cos(np.pi * (np.arange(height) + 0.5)[:, None] * np.arange(order) / height)
    cols = np.cos(np.pi * (np.arange(width) + 0.5)[:, None] * np.arange(order) / width)
    weights = rng.standard_normal((order, order, 3)) / (1 + np.add.outer(np.arange(order), np.arange(order)))[..., None]
    weights[0, 0] = 0.0
    field = np.einsum("ia,jb,abc->ijc", rows, cols, weights)
    return (field / max(float(np.abs(field).max()), 1e-9)).astype(np.float32)
