"""Histograms of oriented gradients: the shapes of a picture without its small marks."""

from __future__ import annotations

import numpy as np

CHUNK = 1024


def oriented(light: np.ndarray, cells: int = 8, bins: int = 9) -> np.ndarray:
    """(n, h, w) light -> (n, d) float32: gradient orientations per cell, roots, scaled by their surroundings.

    At most `cells` x `cells` cells share the picture evenly (as many as it has pixels, where it is smaller), then again
    with half as many cells a side; d = bins times both numbers of cells. The orientation is without sign and falls into
    the two nearest bins. Each cell is divided by the energy of the cells around it, softened by the picture's own mean,
    so that flat pictures do not turn into noise. Fails on pictures without edges. Paper: Dalal and Triggs 2005.

    >>> oriented(np.zeros((2, 16, 16)), cells=4).shape
    (2, 180)
    """
    n, h, w = light.shape
    rows, cols = min(cells, h), min(cells, w)
    place = (np.arange(h) * rows // h)[:, None] * cols + (np.arange(w) * cols // w)[None, :]
    coarse = -(-rows // 2) * -(-cols // 2)
    out = np.empty((n, (rows * cols + coarse) * bins), np.float32)
    for i in range(0, n, CHUNK):
        x = light[i:i + CHUNK].astype(np.float32)
        gy, gx = np.zeros_like(x), np.zeros_like(x)
        gy[:, 1:-1] = x[:, 2:] - x[:, :-2]
        gx[:, :, 1:-1] = x[:, :, 2:] - x[:, :, :-2]
        size = np.hypot(gy, gx)
        turn = np.arctan2(gy, gx) * np.float32(bins / np.pi) + np.float32(bins)
        low = turn.astype(np.int32)
        part = size * (turn - low)
        base = (np.arange(len(x))[:, None, None] * (rows * cols) + place) * bins
        cell = _filled(base + low % bins, size - part, len(x) * rows * cols * bins)
        cell += _filled(base + (low + 1) % bins, part, len(cell))
        fine = cell.reshape(len(x), rows, cols, bins)
        half = np.add.reduceat(np.add.reduceat(fine, np.arange(0, rows, 2), axis=1), np.arange(0, cols, 2), axis=2)
        out[i:i + CHUNK] = np.hstack([_scaled(fine).reshape(len(x), -1), _scaled(half).reshape(len(x), -1)])
    return out


def _scaled(cell: np.ndarray) -> np.ndarray:
    """Roots of (n, rows, cols, bins) sums over the energy around each cell."""
    energy = np.pad((cell**2).sum(axis=3), ((0, 0), (1, 1), (1, 1)), mode="edge")
    tall = energy[:, :-2] + 2 * energy[:, 1:-1] + energy[:, 2:]
    around = (tall[:, :, :-2] + 2 * tall[:, :, 1:-1] + tall[:, :, 2:]) / 16
    soft = 0.1 * around.mean(axis=(1, 2), keepdims=True) + 1.0
    return np.sqrt(cell) / ((around + soft) ** 0.25)[..., None]


def _filled(index: np.ndarray, weight: np.ndarray, size: int) -> np.ndarray:
    """(size,) float32 sums of `weight` by `index`."""
    return np.bincount(index.ravel(), weight.ravel(), size).astype(np.float32)


def cell_means(pictures: np.ndarray, cells: int = 4) -> np.ndarray:
    """(n, h, w, c) -> (n, rows, cols, c) float32 means over an even grid of at most `cells` x `cells`.

    >>> cell_means(np.ones((1, 5, 5, 3)), cells=2)[0, 1, 1].tolist()
    [1.0, 1.0, 1.0]
    """
    n, h, w, c = pictures.shape
    rows, cols = min(cells, h), min(cells, w)
    down = np.zeros((rows, h), np.float32)
    down[np.arange(h) * rows // h, np.arange(h)] = 1
    across = np.zeros((cols, w), np.float32)
    across[np.arange(w) * cols // w, np.arange(w)] = 1
    down /= down.sum(axis=1, keepdims=True)
    across /= across.sum(axis=1, keepdims=True)
    out = np.empty((n, rows, cols, c), np.float32)
    for i in range(0, n, CHUNK):
        x = np.moveaxis(pictures[i:i + CHUNK].astype(np.float32), 3, 1)
        out[i:i + CHUNK] = np.moveaxis(down @ x @ across.T, 1, 3)
    return out


def thumbnails(pictures: np.ndarray, cells: int = 8) -> np.ndarray:
    """(n, h, w, 3) -> (n, d) float32 unit rows: coarse colours less the picture's mean; a dot product is a correlation."""
    x = cell_means(pictures, cells)
    x = (x - x.mean(axis=(1, 2), keepdims=True)).reshape(len(x), int(np.prod(x.shape[1:])))
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-6)


def principal(x: np.ndarray, k: int) -> np.ndarray:
    """(n, min(k, d)) float32: `x` (n, d) on its leading principal axes, not scaled; axes without any spread are left out.

    Deterministic; permuting the rows permutes the result. Holds d x d floats.

    >>> principal(np.eye(3, dtype=np.float32)[[0, 1, 0, 1]], 2).shape
    (4, 1)
    """
    if len(x) == 0:
        return np.zeros((0, min(k, x.shape[1])), np.float32)
    mean = x.mean(axis=0, dtype=np.float64)
    spread = np.zeros((x.shape[1], x.shape[1]))
    for i in range(0, len(x), 8192):
        part = x[i:i + 8192] - mean.astype(np.float32)
        spread += part.T @ part
    values, axes = np.linalg.eigh(spread)
    axes = axes[:, ::-1][:, :k]
    values = values[::-1][:k]
    axes = axes[:, values > 1e-9 * max(values[0], 1e-12)] if len(values) else axes
    axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])] < 0, -1, 1)
    return (x - mean.astype(np.float32)) @ axes.astype(np.float32)
