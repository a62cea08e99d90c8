"""What a picture is made of: responses to small filters that are learned from the pictures themselves, without labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CHUNK = 128
PICTURES, WINDOWS = 5000, 8
"""Filters are learned from so many pictures, so many windows of each."""
SOFT = 10.0
"""Variance of the noise of a window in squared steps of 255: flatter windows are not blown up."""
SPREAD = 0.1
"""Added to the variance of each direction before it is divided by it."""
THRESHOLD = 0.25


@dataclass(frozen=True, eq=False)
class Filters:
    """`axes` (size * size * c, m) float32 for windows of mean 0 and about unit variance, `offset` (m,) is taken off."""

    size: int
    axes: np.ndarray
    offset: np.ndarray


def learn_filters(pictures: np.ndarray, m: int = 64, size: int = 6, directions: int = 64, rounds: int = 8) -> Filters:
    """`m` filters of `size` x `size` windows of (n, h, w, c) uint8 pictures: spherical k-means of whitened windows.

    Deterministic; the windows are chosen by content, so the order of the pictures does not matter. Time does not grow
    with n. Paper: Coates, Lee and Ng 2011; Coates and Ng 2012.

    >>> learn_filters(np.random.default_rng(0).integers(0, 255, (9, 8, 8, 3), np.uint8), m=4).axes.shape
    (108, 4)
    """
    n, h, w, c = pictures.shape
    size = min(size, h, w)
    rng = np.random.default_rng(7)
    weight = rng.integers(-1000, 1000, h * w * c)  # whole numbers: the order is exact
    flat = pictures.reshape(n, -1)
    along = np.argsort(np.concatenate([flat[i:i + 2048].astype(np.float64) @ weight for i in range(0, n, 2048)]), kind="stable")
    some = pictures[along[np.linspace(0, n - 1, min(n, PICTURES)).astype(np.int64)]]
    down = rng.integers(0, h - size + 1, (WINDOWS, len(some)))
    across = rng.integers(0, w - size + 1, (WINDOWS, len(some)))
    every = np.lib.stride_tricks.sliding_window_view(some, (size, size), axis=(1, 2))
    x = every[np.arange(len(some)), down, across]  # (WINDOWS, pictures, c, size, size)
    x = np.moveaxis(x, 2, 4).reshape(-1, size * size * c).astype(np.float32)
    x -= x.mean(axis=1, keepdims=True)
    x /= np.sqrt(x.var(axis=1, keepdims=True) + SOFT)
    mean = x.mean(axis=0)
    x -= mean
    values, axes = np.linalg.eigh((x.T @ x).astype(np.float64) / len(x))
    white = (axes[:, ::-1][:, :directions] / np.sqrt(np.maximum(values[::-1][:directions], 0) + SPREAD)).astype(np.float32)
    z = x @ white
    centre = _unit(z[np.linspace(0, len(z) - 1, m).astype(np.int64)])
    for _ in range(rounds):
        close = z @ centre.T
        own = np.abs(close).argmax(axis=1)
        share = close[np.arange(len(z)), own]
        order = np.argsort(own, kind="stable")
        first = np.flatnonzero(np.r_[True, np.diff(own[order]) != 0])
        total = np.add.reduceat((z * share[:, None])[order], first, axis=0)
        centre = centre.copy()
        centre[own[order][first]] = _unit(total)
    final = np.asarray(white @ centre.T, np.float32)
    return Filters(size, final, np.asarray(mean @ final, np.float32))


def filter_responses(pictures: np.ndarray, filters: Filters, cells: int = 3, places: int = 14) -> np.ndarray:
    """(n, rows * cols * 2m) float32: roots of how strongly each filter answers, with either sign, in each of at most `cells`
    x `cells` parts of (n, h, w, c) uint8 pictures. About `places` windows a side are looked at.

    A mark of a few pixels moves one part of nine a little. Time O(n * places^2 * m).
    """
    n, h, w, c = pictures.shape
    size, m = filters.size, filters.axes.shape[1]
    step = max(1, round((min(h, w) - size) / max(places - 1, 1)))
    rows, cols = (h - size) // step + 1, (w - size) // step + 1
    pool = np.kron(_shares(rows, cells), _shares(cols, cells))
    axes = np.concatenate([filters.axes, np.ones((len(filters.axes), 1), np.float32)], axis=1)
    total = filters.axes.sum(axis=0)
    out = np.empty((n, len(pool) * 2 * m), np.float32)
    for i in range(0, n, CHUNK):
        x = np.ascontiguousarray(pictures[i:i + CHUNK], np.float32)
        a, b, d, e = x.strides
        x = np.lib.stride_tricks.as_strided(x, (len(x), rows, cols, size, size * c), (a, step * b, step * d, b, e), writeable=False)
        x = x.reshape(-1, size * size * c)
        z = x @ axes
        mean = z[:, m] / x.shape[1]
        deviation = np.sqrt(np.maximum(np.einsum("ij,ij->i", x, x) / x.shape[1] - mean**2, 0) + SOFT)
        z = z[:, :m]
        z -= mean[:, None] * total
        z /= deviation[:, None]
        z -= filters.offset
        both = np.concatenate([z - THRESHOLD, -z - THRESHOLD], axis=1)
        np.maximum(both, 0, out=both)
        out[i:i + CHUNK] = (pool @ both.reshape(-1, rows * cols, 2 * m)).reshape(-1, out.shape[1])
    return np.sqrt(out, out=out)


def _shares(length: int, cells: int) -> np.ndarray:
    """(cells, length) float32 that averages a line over an even grid of at most so many cells."""
    cells = min(cells, length)
    share = np.zeros((cells, length), np.float32)
    share[np.arange(length) * cells // length, np.arange(length)] = 1
    return np.asarray(share / share.sum(axis=1, keepdims=True), np.float32)


def _unit(x: np.ndarray) -> np.ndarray:
    return np.asarray(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-6), np.float32)
