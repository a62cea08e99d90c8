"""Comparing each part of a whole with the rest: means under clusters, natural spread between parts, windows of time."""

from __future__ import annotations

import numpy as np


def part_codes(values: np.ndarray, least: int = 20, most: int = 500) -> tuple[np.ndarray, list[str]]:
    """(n,) int64 part of each row (-1: none, or a part of fewer than `least` rows) and the names, largest parts first.

    At most `most` parts are kept. '' is no part.

    >>> part_codes(np.array(["a", "b", "a"], object), least=2)[0].tolist()
    [0, -1, 0]
    """
    names, codes, sizes = np.unique(values.astype(str), return_inverse=True, return_counts=True)
    sizes = np.where(names == "", 0, sizes)
    order = np.argsort(-sizes, kind="stable")
    order = order[sizes[order] >= least][:most]
    new = np.full(len(names), -1, np.int64)
    new[order] = np.arange(len(order))
    return new[codes], [str(names[i]) for i in order]


def time_windows(values: np.ndarray, windows: int = 10) -> tuple[np.ndarray, list[str]] | None:
    """Windows of about equal counts over numbers or ISO dates in (n,) strings; None where under 90% can be read.

    >>> time_windows(np.array([str(i) for i in range(100)], object))[1][0]
    '0 to 9'
    """
    filled = values.astype(str) != ""
    if filled.sum() < 40:
        return None
    texts = values[filled].astype(str)
    try:
        moments = texts.astype(np.float64)
    except ValueError:
        cleaned = np.char.replace(np.char.rstrip(np.char.replace(texts, " ", "T"), "Z"), "/", "-")
        cleaned = np.array([t.split("+")[0] for t in cleaned])
        try:
            moments = cleaned.astype("datetime64[s]").astype(np.float64)
        except ValueError:
            return None
    if not np.isfinite(moments).all() or len(np.unique(moments)) < 20:
        return None
    edges = np.unique(np.quantile(moments, np.linspace(0, 1, windows + 1)[1:-1]))
    inside = np.searchsorted(edges, moments, side="left" if len(edges) == 0 else "right")
    codes = np.full(len(values), -1, np.int64)
    codes[filled] = inside
    names = []
    for w in range(len(edges) + 1):
        here = np.flatnonzero(inside == w)
        first, last = here[moments[here].argmin()], here[moments[here].argmax()]
        names.append(f"{texts[first]} to {texts[last]}")
    return codes, names


def part_z(score: np.ndarray, part: np.ndarray, cluster: np.ndarray, n_parts: int) -> tuple[np.ndarray, np.ndarray]:
    """Each part's mean score less that of all other rows that have a part: (m,) difference and (m,) z.

    Rows of one cluster inside a part count as one observation of their sum. The spread between parts that nature shows is
    estimated from the parts themselves (median absolute z, where there are at least five) and divides z. NaN where a part or
    its complement is empty.
    """
    have = part >= 0
    score, part, cluster = score[have].astype(np.float64), part[have], cluster[have]
    size = np.bincount(part, minlength=n_parts).astype(np.float64)
    total = np.bincount(part, weights=score, minlength=n_parts)
    rest = size.sum() - size
    with np.errstate(divide="ignore", invalid="ignore"):
        mean, other = total / size, (total.sum() - total) / rest
        # sums over clusters within a part
        key = part * (cluster.max(initial=0) + 1) + cluster
        _, index = np.unique(key, return_inverse=True)
        piece = np.bincount(index, weights=score - mean[part])
        owner = np.zeros(len(piece), np.int64)
        owner[index] = part
        spread = np.bincount(owner, weights=piece**2, minlength=n_parts)
        # a part of few clusters knows its own spread badly: lean on that of all
        pieces = np.bincount(owner, minlength=n_parts)
        pooled = spread.sum() / max(size.sum(), 1)
        spread = (spread + 10 * pooled * size / np.maximum(pieces, 1)) / (1 + 10 / np.maximum(pieces, 1))
        variance = spread / size**2 + (spread.sum() - spread) / rest**2
        difference = mean - other
        z = difference / np.sqrt(np.maximum(variance, 1e-18))
    usable = np.isfinite(z) & (size > 0) & (rest > 0)
    difference, z = np.where(usable, difference, np.nan), np.where(usable, z, np.nan)
    if usable.sum() >= 5:
        centre = np.median(z[usable])
        scale = float(np.median(np.abs(z[usable] - centre)) / 0.6745)
        z = (z - min(centre, 0.0)) / max(1.0, scale)
    return difference, z


def shift_p(x: np.ndarray, part: np.ndarray, cluster: np.ndarray, n_parts: int) -> tuple[np.ndarray, np.ndarray]:
    """How far each part's mean of (n, d) features lies from the rest: (m,) length in standard deviations and (m,) p-value
    (chi-squared over d whitened directions; clusters inside a part count once)."""
    from scipy.stats import chi2

    have = part >= 0
    x, part, cluster = np.asarray(x[have], np.float64), part[have], cluster[have]
    n = len(x)
    x = x - x.mean(axis=0)
    values, vectors = np.linalg.eigh(x.T @ x / max(n, 1))
    good = values > 1e-9 * max(values.max(initial=0.0), 1e-12)
    white = x @ (vectors[:, good] / np.sqrt(values[good]))
    size = np.bincount(part, minlength=n_parts).astype(np.float64)
    _, index = np.unique(part * (cluster.max(initial=0) + 1) + cluster, return_inverse=True)
    within = np.bincount(index).astype(np.float64)
    owner = np.zeros(len(within), np.int64)
    owner[index] = part
    squares = np.bincount(owner, weights=within**2, minlength=n_parts)
    total = np.stack([np.bincount(part, weights=white[:, j], minlength=n_parts) for j in range(white.shape[1])], axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total / size[:, None] - (total.sum(axis=0) - total) / (n - size)[:, None]
        effective = size**2 / squares
        variance = 1 / effective + 1 / np.maximum((n - size) * effective / size, 1)
        statistic = (mean**2).sum(axis=1) / variance
    length = np.sqrt(np.maximum((mean**2).sum(axis=1) - white.shape[1] * variance, 0))
    p = chi2.sf(np.where(np.isfinite(statistic), statistic, 0), max(white.shape[1], 1))
    return np.nan_to_num(length), np.where(size > 0, p, 1.0)
