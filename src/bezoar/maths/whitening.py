"""Making natural variation alike in every direction, so that what was added stands out."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

ROOT_MEAN = 0.822
"""Mean of the root of |x| for a standard normal x."""
ABSOLUTE_MEAN = 0.798
"""Mean of |x| for a standard normal x."""
CLIP = 8.0


def flatten(signal: np.ndarray, codes: np.ndarray, *, bands: int = 12, floor: float = 1.0, quiet: float = 0.2,
            copy: bool = True) -> np.ndarray:
    """(n, p) float32 -> (n, p) float32: centred per class, scaled per column, and per row within bands of columns.

    A row that is loud in a band (a busy picture) is turned down there, so that every row has about the same noise
    (a Gaussian scale mixture, Wainwright and Simoncelli 2000). Bands hold columns of alike scale; with few columns there are
    fewer bands. Means are clipped, scales are mean absolute values, gains are means of roots: a few loud rows or
    columns do not bend them. `floor` is the least scale of a column, in units of the signal; `quiet` the least gain of a row.
    Rows with code -1 form a class of their own. Without `copy` a float32 `signal` is overwritten.
    """
    z = np.array(signal, np.float32) if copy else signal
    for c in np.unique(codes):
        rows = np.flatnonzero(codes == c)
        part = z[rows]
        mean = part.mean(axis=0)
        part -= mean
        reach = 2.5 * np.abs(part).mean(axis=0) + 1e-6
        part -= np.clip(part, -reach, reach).mean(axis=0)
        z[rows] = part
    scale = np.maximum(_mean_abs(z) / ABSOLUTE_MEAN, floor).astype(np.float32)
    order = np.argsort(-scale, kind="stable")
    edges = np.linspace(0, len(order), min(bands, max(1, len(order) // 64)) + 1).astype(np.int64)
    for i in range(0, len(z), 2048):
        part = z[i:i + 2048]
        part /= scale
        for low, high in pairwise(edges):
            columns = order[low:high]
            band = part[:, columns]
            gain = (np.sqrt(np.abs(band)).mean(axis=1) / ROOT_MEAN) ** 2
            part[:, columns] = band / np.maximum(gain, quiet)[:, None]
        np.clip(part, -CLIP, CLIP, out=part)
    return z


def within(x: np.ndarray, codes: np.ndarray, *, far: float = 0.25, shrink: float = 0.02) -> np.ndarray:
    """(n, d') float32: `x` (n, d) less the median of its class, whitened by the covariance within classes; columns that hardly
    vary are dropped, so d' <= d, and may be 0.

    Two rounds; the `far` part of each class that lies farthest out shapes no covariance, so that a few strange rows do not hide
    themselves. `shrink` of the covariance is that of columns that know nothing of each other (Ledoit and Wolf 2004).
    Rows with code -1 are brought to the median of all and shape nothing.
    """
    _, index = np.unique(codes, return_inverse=True)
    order = np.argsort(index, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(index[order])) + 1)
    z = np.empty(x.shape, np.float32)
    for rows in parts:
        z[rows] = x[rows] - np.median(x[rows] if codes[rows[0]] >= 0 else x, axis=0)
    known = codes >= 0
    spread = np.sqrt(np.square(z[known]).mean(axis=0)) if known.any() else np.zeros(x.shape[1])
    varied = spread > 1e-4 * spread.max(initial=0.0)
    z = z[:, varied]
    z /= spread[varied]
    near = known
    for _ in range(2 if z.size else 0):
        cov = (z[near].T @ z[near]).astype(np.float64) / near.sum()
        own = np.diag(cov)
        cov = (1 - shrink) * cov + np.diag(shrink * own + 1e-3 * own.mean())
        z = z @ np.linalg.cholesky(np.linalg.inv(cov)).astype(np.float32)
        size = np.einsum("ij,ij->i", z, z)
        near = np.zeros(len(z), bool)
        for rows in parts:
            if codes[rows[0]] >= 0:
                near[rows] = size[rows] <= np.quantile(size[rows], 1 - far)
    return z


def _mean_abs(x: np.ndarray) -> np.ndarray:
    total = np.zeros(x.shape[1], np.float64)
    for i in range(0, len(x), 2048):
        total += np.abs(x[i:i + 2048]).sum(axis=0)
    return total / max(len(x), 1)


def directions(z: np.ndarray, k: int, rng: np.random.Generator, rounds: int = 2, extra: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """(k', p) leading right singular vectors and (k',) mean squares along them, by randomised subspace iteration.

    k' = min(k, n, p). Halko, Martinsson, Tropp 2011.
    """
    k = min(k, *z.shape)
    q = rng.standard_normal((z.shape[1], min(k + extra, *z.shape))).astype(np.float32)
    for _ in range(rounds):
        q = np.linalg.qr(z.T @ (z @ q))[0]
    along = z @ q
    values, axes = np.linalg.eigh((along.T @ along).astype(np.float64) / max(len(z), 1))
    order = np.argsort(-values)[:k]
    return (q @ axes[:, order].astype(np.float32)).T, values[order]


def sphere(z: np.ndarray, rank: int, rng: np.random.Generator) -> np.ndarray:
    """`z` (n, p) with its `rank` leading directions shrunk to the level of the rest, in place; returned.

    What varies together in all the data (edges, light) no longer hides what a few rows share.
    """
    rank = min(rank, z.shape[1] // 3, len(z) // 8)
    if rank < 1:
        return z
    axes, values = directions(z, rank, rng)
    total = sum(float(np.vdot(z[i:i + 2048], z[i:i + 2048])) for i in range(0, len(z), 2048)) / len(z)
    rest = max((total - float(values.sum())) / (z.shape[1] - rank), 1e-6)
    gain = (1 - np.sqrt(np.minimum(rest / np.maximum(values, 1e-9), 1))).astype(np.float32)
    for i in range(0, len(z), 2048):
        part = z[i:i + 2048]
        part -= ((part @ axes.T) * gain) @ axes
    return z


def alike(looks: np.ndarray, k: int = 6, most: int = 12_000) -> np.ndarray:
    """(n, k') int64: for each of the unit rows `looks` (n, d) the k' = min(k, n - 1) others most like it; copies do not count.

    With more than `most` rows the others are taken from that many of them, evenly spread.
    """
    n = len(looks)
    k = min(k, n - 1)
    others = np.arange(n) if n <= most else np.linspace(0, n - 1, most).astype(np.int64)
    some = np.ascontiguousarray(looks[others])
    out = np.empty((n, k), np.int64)
    for i in range(0, n if k else 0, 1024):
        close = looks[i:i + 1024] @ some.T
        close[close > 0.99999] = -2.0
        out[i:i + 1024] = others[_largest(close, k)]
    return out


def _largest(x: np.ndarray, k: int) -> np.ndarray:
    """(n, k) columns of the k largest of each row of `x` (n, m), by the largest of blocks first."""
    wide = x.shape[1] // 16
    if wide < 4 * k:
        return np.argsort(-x, axis=1, kind="stable")[:, :k]
    blocks = x[:, :16 * wide].reshape(len(x), 16, wide).max(axis=1)
    bound = np.partition(blocks, -k, axis=1)[:, -k]
    row, column = np.nonzero(x >= bound[:, None])
    order = np.lexsort((column, -x[row, column], row))
    first = np.searchsorted(row, np.arange(len(x)))
    return column[order[first[:, None] + np.arange(k)]]


def without_alike(signal: np.ndarray, near: np.ndarray) -> np.ndarray:
    """(n, p) float32: `signal` less the median of the rows `near` (n, k): what frames of one film, or pictures of one kind of
    scene, have in common is gone; what was added to single rows stays. A mean would give what was added to one of the near
    rows back as a shadow."""
    out = np.array(signal, np.float32)
    for i in range(0, len(out) if near.shape[1] else 0, 64):
        out[i:i + 64] -= _median([signal[rows] for rows in near[i:i + 64].T])
    return out


def _median(parts: list[np.ndarray]) -> np.ndarray:
    """Elementwise median of float arrays of one shape, which are overwritten; a few comparisons of whole arrays.

    >>> float(_median([np.array([v]) for v in (9.0, 1.0, 4.0, 2.0)])[0])
    3.0
    """
    k = len(parts)
    low = np.empty_like(parts[0])
    for last in range(k - 1, (k - 1) // 2 - 1, -1):  # the largest of the first last + 1 goes to `last`
        for a in range(last):
            np.minimum(parts[a], parts[a + 1], out=low)
            np.maximum(parts[a], parts[a + 1], out=parts[a + 1])
            parts[a][...] = low
    return (parts[(k - 1) // 2] + parts[k // 2]) * np.float32(0.5)


def same_energy(z: np.ndarray) -> np.ndarray:
    """`z` (n, p) with every row brought to length root(p), in place; returned."""
    for i in range(0, len(z), 2048):
        part = z[i:i + 2048]
        part *= (np.sqrt(z.shape[1]) / np.maximum(np.sqrt(np.einsum("ij,ij->i", part, part)), 1e-6)).astype(np.float32)[:, None]
    return z
