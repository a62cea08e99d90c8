"""Association of sparse binary columns with classes: counts, surprise, tails estimated from the same data, merging."""

from __future__ import annotations

from typing import Any

import numpy as np


def collapse(matrix: Any, codes: np.ndarray, groups: np.ndarray) -> tuple[Any, np.ndarray, np.ndarray]:
    """Rows of one group and one class become one unit that holds what any of them holds.

    matrix (n, m) sparse 0/1; codes (n,) int; groups (n,) int.
    Returns units (u, m) CSC float32 of ones, unit (n,) int64 of each row, codes (u,) int64.

    >>> from scipy.sparse import csc_array
    >>> x, unit, codes = collapse(csc_array(np.eye(3)), np.array([0, 0, 1]), np.array([7, 7, 7]))
    >>> x.toarray().astype(int).tolist(), unit.tolist(), codes.tolist()
    ([[1, 1, 0], [0, 0, 1]], [0, 0, 1], [0, 1])
    """
    from scipy.sparse import csc_array, csr_array

    n = len(codes)
    _, group = np.unique(groups, return_inverse=True)
    width = int(codes.max(initial=0)) + 2
    keys, first, unit = np.unique(group.astype(np.int64) * width + codes + 1, return_index=True, return_inverse=True)
    x = csc_array(matrix, dtype=np.float32)
    x.data = np.ones_like(x.data)
    if len(keys) == n:
        order = np.arange(n)
        return x, order, np.asarray(codes, np.int64)
    join = csr_array((np.ones(n, np.float32), (unit, np.arange(n))), shape=(len(keys), n))
    units = (join @ x).tocsc()
    units.data[:] = 1.0
    return units, unit.astype(np.int64), np.asarray(codes, np.int64)[first]


def class_counts(matrix: Any, codes: np.ndarray, n_classes: int) -> Any:
    """(m, K) CSR float32: how many holders of each column stand in each class; code -1 counts nowhere."""
    from scipy.sparse import csr_array

    known = np.flatnonzero(codes >= 0)
    one_hot = csr_array((np.ones(len(known), np.float32), (known, codes[known])), shape=(len(codes), n_classes))
    return (matrix.T.tocsr() @ one_hot).tocsr()


def column_sums(matrix: Any, columns: np.ndarray, classes: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(e,) float64: sum of values[i, classes[t]] over the holders i of columns[t]; values (n, K)."""
    out = np.zeros(len(columns))
    for c in np.unique(classes):
        at = np.flatnonzero(classes == c)
        out[at] = matrix[:, columns[at]].T @ values[:, c].astype(np.float64)
    return out


def surprise(found: np.ndarray, held: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Log odds ratio times the root of z: large where an effect is both strong and certain; 0 where there is none.

    found of held holders stand in the class, mean of them were expected to, with that variance.

    >>> surprise(np.array([20., 11.]), np.array([20., 20.]), np.array([5., 10.]), np.array([4., 5.])).round(1).tolist()
    [12.3, 0.1]
    """
    z = (found - mean) / np.sqrt(variance + 1.0)
    odds = np.log((found + 0.5) / (held - found + 0.5)) - np.log((mean + 0.5) / (held - mean + 0.5))
    return np.where((z > 0) & (odds > 0), odds * np.sqrt(np.maximum(z, 0)), 0.0)


def poisson_log_tail(found: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """log P(Poisson(mean) >= found)."""
    from scipy.stats import poisson

    exact = poisson.logsf(found - 1, np.maximum(mean, 1e-12))
    return np.where(found <= 0, 0.0, np.maximum(exact, -1e4))


def tail_p(scores: np.ndarray, inner: int = 10, outer: int = 100, power: float = 0.5) -> np.ndarray:
    """Family-wise p of each score as the largest of its peers, whose own upper tail is the null.

    scores (s,) of independent candidates. The tail of score ** power is taken as exponential between the ranks
    `inner` and `outer`, so that up to `inner` planted ones do not bend it; the error of the fit is paid for by a
    Pareto correction. Fewer than 2 x `inner` scores give ones: nothing can be said.
    """
    s = np.maximum(scores, 0.0) ** power
    top = np.sort(s)[::-1][:outer]
    top = top[top > 0]
    if len(top) < 2 * inner:
        return np.ones(len(s))
    low, high = top[-1], top[inner - 1]
    count = len(top)
    # with exponential spacings E[high - low] = scale * sum_{i=inner}^{count-1} 1/i
    scale = max((high - low) / np.sum(1.0 / np.arange(inner, count)), 1e-3 * max(low, 1e-9))
    used = count - inner
    rate = count * (1 + np.maximum(s - low, 0) / (scale * used)) ** (-used)
    return np.where(s < low, 1.0, -np.expm1(-rate))


def leaders(matrix: Any, order: np.ndarray, overlap: float = 0.5) -> np.ndarray:
    """(t,) int64: for each column of `matrix` the column that leads it; leaders lead themselves.

    Columns are taken in `order`; a column joins the first leader with which it shares at least `overlap` of the
    smaller holder set.
    """
    x = matrix.tocsc()
    size = np.diff(x.indptr).astype(np.float64)
    shared = (x.T.tocsr() @ x).tocsr()
    lead = np.full(x.shape[1], -1, np.int64)
    for j in order:
        if lead[j] >= 0:
            continue
        near = shared.indices[shared.indptr[j]:shared.indptr[j + 1]]
        common = shared.data[shared.indptr[j]:shared.indptr[j + 1]]
        join = near[(common >= overlap * np.minimum(size[near], size[j])) & (lead[near] < 0)]
        lead[join] = j
        lead[j] = j
    return lead


def tilted_log_tail(chance: np.ndarray, found: float, shift: float = 0.0) -> float:
    """Chernoff's bound on log P(S >= found), S the sum of Bernoulli draws whose chances (h,) gain `shift` logits.

    Exact when all h succeed; never below the true log probability.

    >>> round(tilted_log_tail(np.array([0.5, 0.5, 0.5]), 3), 3)
    -2.079
    """
    odds = np.log(np.clip(chance, 1e-9, 1 - 1e-9)) - np.log1p(-np.clip(chance, 1e-9, 1 - 1e-9)) + shift
    p = 1 / (1 + np.exp(-odds))
    if found <= p.sum():
        return 0.0
    if found >= len(p):
        return float(np.log(p).sum())
    low, high = 0.0, 30.0
    for _ in range(26):  # bisection on the tilt t at which the mean is `found`
        t = (low + high) / 2
        if (1 / (1 + np.exp(-odds - t))).sum() < found:
            low = t
        else:
            high = t
    return float(min(0.0, np.sum(np.logaddexp(np.log1p(-p), np.log(p) + low)) - low * found))


def least_shift(chance: np.ndarray, found: float, log_level: float, most: float = 12.0) -> float:
    """The largest shift in logits that `found` successes of chances (h,) still refute at exp(log_level); may be negative.

    A lower confidence bound of how many logits an atom adds to what the content says.
    """
    low, high = -most, most
    if tilted_log_tail(chance, found, low) > log_level:
        return low
    for _ in range(14):
        middle = (low + high) / 2
        if tilted_log_tail(chance, found, middle) <= log_level:
            low = middle
        else:
            high = middle
    return low


def likely_shift(chance: np.ndarray, found: float, spread: float, most: float = 12.0) -> float:
    """The shift in logits at which `found` successes of chances (h,) are likeliest, drawn to 0 as N(0, spread^2) would.

    >>> abs(round(likely_shift(np.full(100, 0.5), 50, 1.5), 3)), round(likely_shift(np.full(4, 0.5), 4, 1.5), 2)
    (0.0, 1.56)
    """
    logit = np.log(np.clip(chance, 1e-6, 1 - 1e-6)) - np.log1p(-np.clip(chance, 1e-6, 1 - 1e-6))
    low, high = -most, most
    for _ in range(40):
        middle = (low + high) / 2
        if found - (1 / (1 + np.exp(-logit - middle))).sum() - middle / spread**2 > 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def by_nature(chance: np.ndarray, total: float) -> np.ndarray:
    """(m,) probability of each holder in a class to be there by nature, where `total` of them are: a natural holder is there with its
    `chance` (m,), a planted one in any case.

    >>> by_nature(np.array([0.05, 0.05, 0.9]), 1.0).round(2).tolist()
    [0.13, 0.13, 0.73]
    """
    from scipy.optimize import brentq

    m, q = len(chance), np.clip(chance, 1e-3, 1 - 1e-3)
    if not 0 < total < m:
        return np.full(m, min(max(total / max(m, 1), 0.0), 1.0))
    log = brentq(lambda c: float((q / (q + np.exp(c))).sum()) - total, -60.0, 60.0, xtol=1e-9)
    return np.asarray(q / (q + np.exp(log)))


def distinct(x: Any, hidden: np.ndarray, near: float = 0.6, most: int = 2000) -> np.ndarray:
    """(h,) int64 group numbers: rows of x (h, d) CSR that tell the same story once the columns `hidden` are taken out.

    Rows with a cosine above `near` hang together, and all rows of which less than a tenth (squared length) is left: what
    they share is all that they are. More than `most` rows are taken as they are.
    """
    from scipy.sparse.csgraph import connected_components

    h = x.shape[0]
    if h > most:
        return np.arange(h)
    rest = x.copy()
    before = np.asarray(rest.multiply(rest).sum(axis=1)).ravel()
    rest.data[np.isin(rest.indices, hidden)] = 0
    after = np.asarray(rest.multiply(rest).sum(axis=1)).ravel()
    empty = after < 0.1 * before + 1e-12
    rest.data /= np.repeat(np.sqrt(np.maximum(after, 1e-12)), np.diff(rest.indptr)).astype(np.float32)
    close = (rest @ rest.T).tocsr()
    close.data = (close.data > near).astype(np.int8)
    close.eliminate_zeros()
    group = np.asarray(connected_components(close, directed=False)[1], np.int64)
    group[empty] = h
    return group
