"""How many different things a set of rows holds, when rows that look alike are no independent witnesses."""

from __future__ import annotations

import numpy as np

ALIKE = 0.85
"""Correlation of two unit rows from which on they show the same thing."""
MEMBERS, OTHERS = 500, 2000
"""Rows of the set, and of all rows, that are compared at most."""


def different(looks: np.ndarray, rows: np.ndarray, covered: np.ndarray | None = None, *, by_chance: bool = True,
              alike: float = ALIKE) -> float:
    """How many different things `rows` hold, at most their number; `looks` (n, d) are unit rows.

    k^2 over the number of pairs that look alike, beyond those that any k rows would hold by chance: a frame of a film
    counts little where the frames next to it are there too, and fully where they are not. `covered` columns do not
    count: what the rows were chosen by must not make them look alike. Without `by_chance` all pairs that look alike count (cheaper).

    >>> looks = np.eye(9, dtype=np.float32)[[0, 0, 1, 2, 3, 4, 5, 6, 7, 8]]
    >>> round(different(looks, np.array([0, 1, 2])), 1), different(looks, np.array([0, 2, 3]))
    (2.0, 3.0)
    """
    k = len(rows)
    if k == 0:
        return 0.0
    some = _without(looks, _evenly(rows, MEMBERS), covered)
    pairs = (some @ some.T > alike).sum(axis=1) - 1
    if by_chance and pairs.sum() > 0.05 * len(some):
        others = _evenly(np.arange(len(looks)), OTHERS)
        share = np.maximum((some @ _without(looks, others, covered).T > alike).mean(axis=1) - 1 / len(looks), 0)
        pairs = np.maximum(pairs - share * len(some), 0)
    return float(k * len(some) / (len(some) + pairs.sum()))


def _without(looks: np.ndarray, rows: np.ndarray, covered: np.ndarray | None) -> np.ndarray:
    """(r, d) the rows without the covered columns, of unit length again."""
    out = looks[rows]
    if covered is not None and len(covered):
        out[:, covered] = 0
        out /= np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-6)
    return np.asarray(out)


def _evenly(rows: np.ndarray, most: int) -> np.ndarray:
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]
