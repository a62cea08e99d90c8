"""Pairs of sparse binary columns that stand together in chosen rows."""

from __future__ import annotations

from typing import Any

import numpy as np

WORK = 1e8
"""Most pairs of entries that are multiplied out; the most frequent columns are left out beyond it."""


def frequent_pairs(matrix: Any, rows: np.ndarray, *, least: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns a < b that at least `least` of `rows` hold together, at most `most` pairs, best first.

    matrix (n, m) CSC or CSR of ones. Best is the largest excess over independence within `rows`, in deviations.
    Returns a (t,) and b (t,) int64.

    >>> from scipy.sparse import csr_array
    >>> x = csr_array(np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]], np.float32))
    >>> [v.tolist() for v in frequent_pairs(x, np.arange(3), least=2, most=9)]
    [[0], [1]]
    """
    x = matrix.tocsr()[rows].tocsc()
    held = np.diff(x.indptr)
    able = np.flatnonzero(held >= least)
    able = able[np.argsort(held[able], kind="stable")]
    # an upper bound of the work of x' x, column by column
    width = np.diff(x.tocsr().indptr)
    load = np.array([width[x.indices[x.indptr[j]:x.indptr[j + 1]]].sum() for j in able], np.float64)
    able = np.sort(able[np.cumsum(load) <= WORK])
    if len(able) < 2:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    part = x[:, able].astype(np.float32)
    together = (part.T.tocsr() @ part).tocoo()
    keep = (together.row < together.col) & (together.data >= least)
    a, b, count = able[together.row[keep]], able[together.col[keep]], together.data[keep].astype(np.float64)
    mean = held[a] * held[b] / max(len(rows), 1)
    order = np.argsort(-(count - mean) / np.sqrt(mean + 1), kind="stable")[:most]
    return a[order].astype(np.int64), b[order].astype(np.int64)


def holders_of_both(matrix: Any, a: np.ndarray, b: np.ndarray, chunk: int = 2000) -> Any:
    """(n, t) CSC float32 of ones: rows that hold column a[t] and column b[t]."""
    from scipy.sparse import csc_array, hstack

    x = matrix.tocsc()
    parts = [x[:, a[i:i + chunk]].multiply(x[:, b[i:i + chunk]]).tocsc() for i in range(0, len(a), chunk)]
    out = hstack(parts).tocsc() if parts else csc_array((x.shape[0], 0), dtype=np.float32)
    return csc_array(out, dtype=np.float32)


def pairs_looked_at(matrix: Any, least: int) -> float:
    """An upper bound of how many pairs of columns at least `least` rows hold together."""
    width = np.diff(matrix.tocsr().indptr).astype(np.float64)
    m = float(matrix.shape[1])
    return float(min(m * (m - 1) / 2, (width * (width - 1) / 2).sum() / least))
