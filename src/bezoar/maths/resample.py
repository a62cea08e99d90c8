"""Reading pictures between their pixels: bilinear samples, fields at another size, planes seen at a slant."""

from __future__ import annotations

import numpy as np


def sample(batch: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """(n, h, w, c) float32: `batch` (n, H, W, c) read at rows `y` and columns `x`, bilinear, edges held.

    `y`, `x` are (1 or n, h, w) in pixels: 0 is the centre of the first. One set of places is read for all pictures at once.

    >>> sample(np.arange(4.0).reshape(1, 1, 4, 1), np.zeros((1, 1, 1)), np.full((1, 1, 1), 1.5)).ravel().tolist()
    [1.5]
    """
    height, width = batch.shape[1:3]
    y, x = np.clip(y, 0, height - 1).astype(np.float32), np.clip(x, 0, width - 1).astype(np.float32)
    y0, x0 = np.floor(y).astype(np.int32), np.floor(x).astype(np.int32)
    y1, x1 = np.minimum(y0 + 1, height - 1), np.minimum(x0 + 1, width - 1)
    fy, fx = (y - y0)[..., None], (x - x0)[..., None]
    if len(y) == 1:
        def at(r: np.ndarray, c: np.ndarray) -> np.ndarray:
            return batch[:, r[0], c[0]].astype(np.float32)
    else:
        own = np.arange(len(batch))[:, None, None]

        def at(r: np.ndarray, c: np.ndarray) -> np.ndarray:
            return batch[own, r, c].astype(np.float32)
    out = at(y0, x0) * ((1 - fy) * (1 - fx))
    out += at(y0, x1) * ((1 - fy) * fx)
    out += at(y1, x0) * (fy * (1 - fx))
    out += at(y1, x1) * (fy * fx)
    return np.asarray(out)


def stretch(field: np.ndarray, height: int, width: int) -> np.ndarray:
    """(height, width, c) float32: `field` (h, w, c) at another size, bilinear, corners on corners.

    >>> stretch(np.array([[[0.0]], [[2.0]]]), 3, 1).ravel().tolist()
    [0.0, 1.0, 2.0]
    """
    h, w = field.shape[:2]
    if (h, w) == (height, width):
        return field.astype(np.float32)
    y = np.linspace(0, h - 1, height, dtype=np.float32)[None, :, None]
    x = np.linspace(0, w - 1, width, dtype=np.float32)[None, None, :]
    full = np.broadcast_to
    return sample(field[None], full(y, (1, height, width)), full(x, (1, height, width)))[0]


def slanted(height: int, width: int, centre: tuple[float, float], side: np.ndarray, turn: np.ndarray,
            tilt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, height, width) places (v, u) in [-1, 1] on a square plane as a camera sees it: outside is beyond +-1.

    `centre` (row, column) in pixels; `side` (n,) its size in pixels; `turn` (n,) radians in the picture's plane;
    `tilt` (n, 2) how much nearer the lower and the right edge are (0 none, 0.5 strong).

    >>> v, u = slanted(3, 3, (1.0, 1.0), np.array([3.0]), np.zeros(1), np.zeros((1, 2)))
    >>> round(float(u[0, 1, 2]), 3), round(float(v[0, 1, 1]), 3)
    (0.667, 0.0)
    """
    y = (np.arange(height, dtype=np.float32) - centre[0])[None, :, None]
    x = (np.arange(width, dtype=np.float32) - centre[1])[None, None, :]
    half = (np.asarray(side, np.float32) / 2)[:, None, None]
    cos, sin = (f(np.asarray(turn, np.float32))[:, None, None] for f in (np.cos, np.sin))
    down, right = (cos * y - sin * x) / half, (sin * y + cos * x) / half
    near = 1 - np.asarray(tilt, np.float32)[:, 0, None, None] * down - np.asarray(tilt, np.float32)[:, 1, None, None] * right
    near = np.maximum(near, 0.05)
    return down / near, right / near


def dithered(batch: np.ndarray, levels: int) -> np.ndarray:
    """(n, h, w, c) uint8 with `levels` evenly spaced values per channel; Floyd-Steinberg error diffusion, all pictures at once.

    >>> sorted(set(dithered(np.full((1, 8, 8, 1), 100, np.uint8), 2).ravel().tolist()))
    [0, 255]
    """
    n, height, width, channels = batch.shape
    step = np.float32(255 / (levels - 1))
    field = np.zeros((height + 1, width + 2, n, channels), np.float32)
    field[:height, 1:width + 1] = batch.transpose(1, 2, 0, 3)
    out = np.empty((height, width, n, channels), np.uint8)
    for i in range(height):
        for j in range(width):
            old = field[i, j + 1]
            new = np.clip(np.rint(old / step), 0, levels - 1) * step
            out[i, j] = np.rint(new)
            error = (old - new) * np.float32(1 / 16)
            field[i, j + 2] += 7 * error
            field[i + 1, j] += 3 * error
            field[i + 1, j + 1] += 5 * error
            field[i + 1, j + 2] += error
    return np.ascontiguousarray(out.transpose(2, 0, 1, 3))
