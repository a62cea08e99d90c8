"""Boosted trees as flat arrays: whether they are trees at all, and what they answer, for all rows at once, level by level.

Paper: Chen and Guestrin 2016 (XGBoost), Ke et al. 2017 (LightGBM). Cost: about 0.1 microseconds per row, tree and level.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

NEVER, ZERO, NAN, LEFT = 0, 1, 2, 4
"""What counts as missing at a question: nothing (NaN is read as 0), zeros and NaN, NaN; LEFT is added where missing goes left."""
NOUGHT = 1.0000000180025095e-35
"""float32 of 1e-35: what is no larger is a zero."""
SIGMOID, SOFTMAX, EACH = "sigmoid", "softmax", "one against the rest"
BLOCK = 1 << 20
"""Pairs of a row and a tree that are followed at once."""


@dataclass(frozen=True, eq=False)
class Forest:
    """Trees over rows of `width` numbers, whose leaves add up to K margins.

    feature    (nodes,) int64: the column that is asked about, -1 at a leaf
    threshold  (nodes,) float64: x <= threshold goes left
    missing    (nodes,) uint8: NEVER, ZERO or NAN, plus LEFT
    left       (nodes,) int64: a node of the same tree; `right` likewise; a leaf leads to itself
    value      (nodes,) float64: what a leaf adds
    root       (trees,) int64; `group` (trees,) int64: which of the K margins the tree adds to
    base       (K,) float64
    """

    feature: np.ndarray
    threshold: np.ndarray
    missing: np.ndarray
    left: np.ndarray
    right: np.ndarray
    value: np.ndarray
    root: np.ndarray
    group: np.ndarray
    base: np.ndarray
    width: int


def depth_of(forest: Forest, most: int) -> int:
    """Questions on the longest way. Raises ValueError, with a sentence, for what is no forest.

    Every number must be finite, every column and every node that is named must exist, no node may be reached twice (so no circle leads
    anywhere), and no way may be longer than `most`. Nodes that no root leads to are not looked at, save for their children's numbers.

    >>> whole = np.array
    >>> stump = Forest(whole([0, -1, -1]), whole([0.5, 0, 0]), np.full(3, NAN, np.uint8), whole([1, 1, 2]), whole([2, 1, 2]),
    ...                whole([0.0, -1, 1]), whole([0]), whole([0]), np.zeros(1), 1)
    >>> depth_of(stump, 10)
    1
    """
    count, trees = len(forest.feature), len(forest.root)
    sizes = {len(a) for a in (forest.threshold, forest.missing, forest.left, forest.right, forest.value)}
    if sizes != {count} or len(forest.group) != trees or not len(forest.base):
        raise ValueError("its trees have lists of different lengths")
    for nodes, end in ((forest.left, count), (forest.right, count), (forest.root, count), (forest.group, len(forest.base))):
        if len(nodes) and (nodes.min() < 0 or nodes.max() >= end):
            raise ValueError("its trees name a node or a class that is not there")
    if not np.isfinite(forest.base).all():
        raise ValueError("its first margin is no finite number")
    seen = np.zeros(count, bool)
    front, depth = forest.root, 0
    while len(front):
        front = np.sort(front)
        if seen[front].any() or (front[1:] == front[:-1]).any():
            raise ValueError("its trees are none: two ways lead to one node, or a way leads in a circle")
        seen[front] = True
        inner = front[forest.feature[front] >= 0]
        if len(inner) and depth >= most:
            raise ValueError(f"its trees ask more than {most:,} questions on one way")
        front = np.concatenate([forest.left[inner], forest.right[inner]])
        depth += len(inner) > 0
    leaf = forest.feature < 0
    if not np.isfinite(forest.threshold[seen & ~leaf]).all() or not np.isfinite(forest.value[seen & leaf]).all():
        raise ValueError("its trees hold a number that is not finite")
    if (seen & (forest.feature >= forest.width)).any():
        raise ValueError("its trees ask about a column that the model does not read")
    if (forest.missing & ~np.uint8(LEFT) > NAN).any():
        raise ValueError("its trees treat what is missing in a way that is not known")
    return depth


def margins(forest: Forest, rows: np.ndarray, tick: Callable[[], None] = lambda: None) -> np.ndarray:
    """(n, K) float64 from (n, width) float64 with NaN for missing; `tick` is called now and then and may raise.

    The forest must be one (`depth_of`). A value on the threshold goes left.

    >>> whole = np.array
    >>> stump = Forest(whole([0, -1, -1]), whole([0.5, 0, 0]), np.full(3, NAN, np.uint8), whole([1, 1, 2]), whole([2, 1, 2]),
    ...                whole([0.0, -1, 1]), whole([0]), whole([0]), np.zeros(1), 1)
    >>> margins(stump, np.array([[0.5], [0.6], [np.nan]])).ravel().tolist()
    [-1.0, 1.0, 1.0]
    """
    out = np.tile(forest.base.astype(np.float64), (len(rows), 1))
    order = np.argsort(forest.group, kind="stable")
    for first in range(0, len(rows), BLOCK):
        some = rows[first:first + BLOCK]
        step = max(1, BLOCK // len(some))
        for start in range(0, len(order), step):
            tick()
            taken = order[start:start + step]
            found = forest.value[_leaves(forest, some, forest.root[taken], tick)].reshape(len(some), len(taken))
            group = forest.group[taken]
            begins = np.flatnonzero(np.concatenate([[True], group[1:] != group[:-1]]))
            out[first:first + BLOCK, group[begins]] += np.add.reduceat(found, begins, axis=1)
    return out


def _leaves(forest: Forest, rows: np.ndarray, roots: np.ndarray, tick: Callable[[], None]) -> np.ndarray:
    """(n * trees,) the leaf that each row comes to in each tree, trees within rows."""
    at = np.tile(roots, len(rows))
    row = np.repeat(np.arange(len(rows)), len(roots))
    live = np.flatnonzero(forest.feature[at] >= 0)
    while len(live):
        tick()
        node = at[live]
        value, missing = rows[row[live], forest.feature[node]], forest.missing[node]
        none, what = np.isnan(value), missing & np.uint8(3)
        plain = np.where(none, 0.0, value)
        absent = np.where(what == NAN, none, (what == ZERO) & (np.abs(plain) <= NOUGHT))
        left = np.where(absent, missing >= LEFT, plain <= forest.threshold[node])
        at[live] = np.where(left, forest.left[node], forest.right[node])
        live = live[forest.feature[at[live]] >= 0]
    return at


def linked(found: np.ndarray, link: str, slope: float = 1.0) -> np.ndarray:
    """(n, classes) float64 probabilities from (n, K) margins: SIGMOID (one margin, two classes), SOFTMAX, or EACH, scaled to sum to 1.

    >>> linked(np.array([[0.0]]), SIGMOID).tolist(), linked(np.array([[0.0, 0.0]]), SOFTMAX).tolist()
    ([[0.5, 0.5]], [[0.5, 0.5]])
    """
    if link == SOFTMAX:
        e = np.exp(found - found.max(axis=1, keepdims=True))
        return np.asarray(e / e.sum(axis=1, keepdims=True))
    with np.errstate(over="ignore"):
        p = 1 / (1 + np.exp(-slope * found))
    if link == SIGMOID:
        return np.concatenate([1 - p, p], axis=1)
    total = p.sum(axis=1, keepdims=True)
    return np.asarray(np.where(total > 0, p / np.where(total > 0, total, 1), 1 / p.shape[1]))
