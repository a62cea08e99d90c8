"""Nearest neighbours by cosine distance and clusters of near-duplicates."""

from __future__ import annotations

import numpy as np

from bezoar.maths.crossfit import row_position

EXACT_ROWS = 20_000
"""Up to here every pair is compared; above, only pairs in neighbouring cells of a k-means partition."""
SAME = 1e-6
"""Cosine distance below which two rows count as the same."""


def nearest(x: np.ndarray, k: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest other rows of each row: (n, k') int32 and (n, k') float32 cosine distances in [0, 2], ascending.

    k' = min(k, n - 1). Exact up to `EXACT_ROWS` rows; above that an inverted file: k-means cells, each row compared
    with some thousand rows in the cells nearest to its own (near-duplicates are hardly ever missed; of merely similar rows
    in many dimensions up to half may be). Rows of zeros are at distance 1 from everything. Time O(n^2 d), above the
    limit O(n d).

    >>> near, far = nearest(np.array([[1., 0.], [1., .1], [0., 1.]]), k=1)
    >>> near.ravel().tolist()
    [1, 0, 1]
    """
    unit = unit_rows(x)
    n = len(unit)
    k = max(0, min(k, n - 1))
    if k == 0:
        return np.zeros((n, 0), np.int32), np.zeros((n, 0), np.float32)
    if n <= EXACT_ROWS:
        return _exact(unit, k)
    return _cells(unit, k)


def unit_rows(x: np.ndarray) -> np.ndarray:
    """(n, d) float32 rows of length one (rows of zeros and NaN stay zero)."""
    x = np.nan_to_num(np.asarray(x, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    return np.ascontiguousarray(x / np.where(norm > 0, norm, 1))


def top_columns(similarity: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(m, k) columns and values of the k largest entries of each row, descending; ties to the lower column."""
    m, n = similarity.shape
    if n > 8 * k and n > 512:
        # the k-th best of a part bounds the k-th best of the whole, so few entries are left to sort
        part = max(4 * k, int(np.sqrt(n * k)))
        bound = np.partition(similarity[:, :part], part - k, axis=1)[:, part - k]
        hit = similarity >= bound[:, None]
        if np.count_nonzero(hit) < 0.05 * m * n:
            row, column = np.nonzero(hit)
            value = similarity[row, column]
            order = np.lexsort((-value, row))
            start = np.searchsorted(row, np.arange(m))
            pick = order[start[:, None] + np.arange(k)]
            return column[pick], value[pick]
    column = np.argpartition(-similarity, k - 1, axis=1)[:, :k] if k < n else np.tile(np.arange(n), (m, 1))
    value = np.take_along_axis(similarity, column, axis=1)
    order = np.lexsort((column, -value), axis=1)
    return np.take_along_axis(column, order, axis=1), np.take_along_axis(value, order, axis=1)


def _exact(unit: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    n = len(unit)
    near, far = np.empty((n, k), np.int32), np.empty((n, k), np.float32)
    chunk = max(16, int(3e7 // n))
    for i in range(0, n, chunk):
        rows = np.arange(i, min(i + chunk, n))
        similarity = unit[rows] @ unit.T
        similarity[np.arange(len(rows)), rows] = -np.inf
        near[rows], value = top_columns(similarity, k)
        far[rows] = np.clip(1 - value, 0, 2)
    return near, far


def _cells(unit: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Inverted file: the candidates of a cell's rows are the rows of its nearest cells, `budget` rows or a little more."""
    n = len(unit)
    budget = max(4000 if n <= 200_000 else 1500, 8 * k)
    centre = _centres(unit, int(np.clip(n / 150, 32, 4000)))
    cell = np.empty(n, np.int64)
    for i in range(0, n, 16384):
        cell[i:i + 16384] = (unit[i:i + 16384] @ centre.T).argmax(axis=1)
    order = np.argsort(cell, kind="stable")
    start = np.searchsorted(cell[order], np.arange(len(centre) + 1))
    near_cells = np.argsort(-(centre @ centre.T), axis=1, kind="stable")
    size = np.diff(start)
    near, far = np.zeros((n, k), np.int32), np.full((n, k), 2, np.float32)
    for c in np.flatnonzero(size):
        wanted = near_cells[c]
        wanted = np.r_[c, wanted[wanted != c]]
        enough = max(int(np.searchsorted(np.cumsum(size[wanted]), budget)) + 1, 2)
        candidates = np.concatenate([order[start[w]:start[w + 1]] for w in wanted[:enough]])
        own = order[start[c]:start[c + 1]]
        chunk = max(16, int(3e7 // len(candidates)))
        for i in range(0, len(own), chunk):
            rows = own[i:i + chunk]
            similarity = unit[rows] @ unit[candidates].T
            similarity[np.arange(len(rows)), i + np.arange(len(rows))] = -np.inf  # own rows come first
            column, value = top_columns(similarity, k)
            near[rows] = candidates[column]
            far[rows] = np.clip(1 - value, 0, 2)
    return near, far


def _centres(unit: np.ndarray, m: int, rounds: int = 4) -> np.ndarray:
    """(m, d) spherical k-means centres of a sample that is spread along a random projection."""
    along = np.argsort(row_position(unit), kind="stable")
    sample = unit[along[np.linspace(0, len(along) - 1, min(len(along), 30 * m)).astype(np.int64)]]
    centre = sample[np.linspace(0, len(sample) - 1, m).astype(np.int64)]
    for _ in range(rounds):
        own = np.concatenate([(sample[i:i + 16384] @ centre.T).argmax(axis=1) for i in range(0, len(sample), 16384)])
        order = np.argsort(own, kind="stable")
        first = np.flatnonzero(np.r_[True, np.diff(own[order]) != 0])
        total = np.add.reduceat(sample[order], first, axis=0)
        centre = centre.copy()
        centre[own[order][first]] = unit_rows(total)
    return centre


def near_duplicate_clusters(x: np.ndarray, neighbours: tuple[np.ndarray, np.ndarray] | None = None, *,
                            closeness: float = 0.25, largest: int = 64) -> np.ndarray:
    """(n,) int64 in [0, n): rows with one number are copies or near-copies of each other. No labels are used.

    Near means a cosine distance under `closeness` times what separates neighbours in a thin sample of the data, in
    which copies hardly meet. Chains are cut: a cluster of more than `largest` distinct rows (or 1% of them) is split at
    half the distance, again and again, unless it is compact (nine in ten rows within 0.6 of the distance of its mean).
    Rows that are equal always stay together. A number is the least row of its cluster. `neighbours` are those of
    `nearest(x, ...)` where known. Fails where honest samples lie closer together than frames of one film do (coarse
    tables), and on evenly spaced chains without gaps.

    >>> near_duplicate_clusters(np.array([[1., 0.], [1., 0.], [0., 1.]])).tolist()
    [0, 0, 2]
    """
    unit = unit_rows(x)
    n = len(unit)
    if n < 2:
        return np.arange(n)
    first = _first_equal(x, unit)
    distinct = np.flatnonzero(first == np.arange(n))
    if len(distinct) < 2:
        return first
    near, far = nearest(unit, 20) if neighbours is None else neighbours
    reach = full = closeness * _typical(unit[distinct])
    close = far <= reach
    here, there, gap = first[np.nonzero(close)[0]], first[near[close]], far[close]
    cap = max(largest, len(distinct) // 100)
    keep = here != there
    label = _components(here[keep], there[keep], n)
    while reach > SAME:
        size = np.bincount(label[distinct], minlength=n)
        loose = (size > cap) & ~_compact(unit, distinct, label, np.flatnonzero(size > cap), 0.6 * full)
        if not loose.any():
            break
        reach /= 2
        keep &= ~loose[label[here]] | (gap <= reach)
        label = _components(here[keep], there[keep], n)
    least = np.full(n, n, np.int64)
    np.minimum.at(least, label[distinct], distinct)
    return least[label[first]]


def _compact(unit: np.ndarray, rows: np.ndarray, label: np.ndarray, which: np.ndarray, radius: float) -> np.ndarray:
    """(n,) bool by cluster number: at least nine in ten of the cluster's rows lie within `radius` of its mean direction."""
    out = np.zeros(len(label), bool)
    for c in which:  # at most a hundred: each holds 1% of the rows or more
        part = unit[rows[label[rows] == c]]
        out[c] = np.mean(1 - part @ unit_rows(part.mean(axis=0, keepdims=True))[0] <= radius) >= 0.9
    return out


def _first_equal(x: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """(n,) number of the first row that equals each row after rounding to about 4 digits, length included."""
    size = np.linalg.norm(np.nan_to_num(np.asarray(x, np.float64)), axis=1)
    key = np.empty((len(unit), unit.shape[1] + 1), np.int32)
    key[:, :-1] = np.round(unit * 2e4)
    key[:, -1] = np.round(np.log(np.maximum(size, 1e-12)) * 1e4)
    _, first, inverse = np.unique(key.view(f"V{4 * key.shape[1]}").ravel(), return_index=True, return_inverse=True)
    return np.asarray(first[inverse], np.int64)


def _typical(unit: np.ndarray, thin: int = 100, draws: int = 5) -> float:
    """Median distance to the nearest neighbour in thin samples spread along random projections."""
    gaps = []
    for draw in range(draws):
        along = np.argsort(row_position(unit, seed=draw + 1), kind="stable")
        sample = unit[along[np.linspace(0, len(along) - 1, min(thin, len(along))).astype(np.int64)]]
        gaps.append(_exact(sample, 1)[1].ravel())
    return float(np.median(np.concatenate(gaps)))


def _components(here: np.ndarray, there: np.ndarray, n: int) -> np.ndarray:
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    graph = csr_array((np.ones(len(here), np.int8), (here, there)), shape=(n, n))
    return connected_components(graph, directed=False)[1].astype(np.int64)
