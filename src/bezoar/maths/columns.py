"""Columns of a table as numbers that statistics can use: exact codes, quantile codes, ranks, digits, gaps."""

from __future__ import annotations

import numpy as np


def exact_codes(values: np.ndarray, least: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes of the values that at least `least` rows hold; all other rows get -1.

    values  (n,) float with NaN for missing, or int codes with negatives for missing; missing is a value of its own

    Returns (codes (n,) int32, values (k,) ascending with missing last, counts (k,) int64).

    >>> codes, kept, counts = exact_codes(np.array([5., 7., 5., np.nan, 9.]), least=2)
    >>> codes.tolist(), kept.tolist(), counts.tolist()
    ([0, -1, 0, -1, -1], [5.0], [2])
    """
    values = np.asarray(values)
    if values.dtype.kind in "iu":
        values = np.where(values < 0, np.nan, values.astype(np.float64))
    uniques, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    keep = counts >= least
    new = np.full(len(uniques), -1, np.int32)
    new[keep] = np.arange(int(keep.sum()), dtype=np.int32)
    return new[inverse.ravel()], uniques[keep], counts[keep]


def quantile_codes(values: np.ndarray, bins: int) -> tuple[np.ndarray, int]:
    """(n,) int32 codes of quantile bins, -1 for missing, and how many bins there are (at most `bins`).

    A value that fills a bin on its own (zeros, sentinels) gets that bin to itself.

    >>> quantile_codes(np.array([0., 0., 0., 1., 2., 3.]), 3)[0].tolist()
    [0, 0, 0, 1, 2, 2]
    """
    values = np.asarray(values, np.float64)
    known = values[~np.isnan(values)]
    codes = np.full(len(values), -1, np.int32)
    if len(known) == 0:
        return codes, 0
    cuts = np.unique(np.quantile(known, np.arange(1, bins) / bins, method="inverted_cdf"))
    cuts = cuts[cuts < known.max()]
    codes[:] = np.searchsorted(cuts, values, side="left")
    codes[np.isnan(values)] = -1
    return codes, len(cuts) + 1


def normal_scores(values: np.ndarray) -> np.ndarray:
    """(n,) float32: mid-ranks mapped to a standard normal; missing is 0; a constant column is 0.

    >>> normal_scores(np.array([1., 2., 3.])).round(2).tolist()
    [-0.6700000166893005, 0.0, 0.6700000166893005]
    """
    from scipy.special import ndtri

    values = np.asarray(values, np.float64)
    out = np.zeros(len(values), np.float32)
    known = ~np.isnan(values)
    if not known.any():
        return out
    _, inverse, counts = np.unique(values[known], return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts - 1) / 2.0
    out[known] = ndtri((middle / (known.sum() + 1.0)).clip(1e-6, 1 - 1e-6))[inverse.ravel()].astype(np.float32)
    return out


def robust_scale(values: np.ndarray, limit: float = 8.0) -> np.ndarray:
    """(n,) float32: (x - median) / spread, squashed to +-`limit` by asinh; missing is 0.

    The spread is the interquartile range over 1.35, or the standard deviation where that is 0.
    """
    values = np.clip(np.asarray(values, np.float64), -1e150, 1e150)
    known = values[np.isfinite(values)]
    if len(known) == 0:
        return np.zeros(len(values), np.float32)
    low, middle, high = np.quantile(known, [0.25, 0.5, 0.75])
    with np.errstate(over="ignore"):
        spread = (high - low) / 1.35 or float(known.std()) or 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = np.nan_to_num((values - middle) / max(spread, 1e-150), nan=0.0, posinf=1e30, neginf=-1e30)
    return np.clip(np.arcsinh(scaled), -limit, limit).astype(np.float32)


def decimals(values: np.ndarray, most: int = 6) -> np.ndarray:
    """(n,) int8: digits after the point that a value needs, at most `most`; -1 for missing and infinite values.

    >>> decimals(np.array([1., 2.5, 0.125, np.nan])).tolist()
    [0, 1, 3, -1]
    """
    values = np.asarray(values, np.float64)
    out = np.full(len(values), most, np.int8)
    open_ = np.isfinite(values)
    out[~open_] = -1
    for digits in range(most):
        with np.errstate(invalid="ignore", over="ignore"):
            scaled = values * 10.0 ** digits
            whole = open_ & (np.abs(scaled - np.rint(scaled)) <= 1e-9 + 1e-11 * np.abs(scaled))
        out[whole] = digits
        open_ &= ~whole
    return out


def tail_gap(values: np.ndarray, share: float = 0.05, least: int = 2) -> tuple[float, float]:
    """Where the two tails break off: rows below `low` or above `high` lie beyond the widest gap of a tail.

    Looks at the outer `share` of the known rows on each side, wants at least `least` rows beyond the gap, and wants the gap to
    be wider than the whole middle (`share` to 1 - `share`) times 0.25. Infinite where there is no such gap.

    >>> float(tail_gap(np.array([1., 2, 3, 4, 5, 6, 7, 8, 50, 50]), share=0.3)[1])
    29.0
    """
    known = np.sort(np.clip(values[np.isfinite(values)], -1e300, 1e300))
    low, high = -np.inf, np.inf
    k = int(share * len(known))
    if k < least or len(known) < 8:
        return low, high
    wide = 0.25 * max(known[-k - 1] - known[k], np.finfo(np.float64).tiny)
    for side in (1, -1):
        tail = known[-k - 1:] if side > 0 else -known[:k + 1][::-1]
        steps = np.diff(tail)[: len(tail) - least]
        at = int(np.argmax(steps)) if len(steps) else 0
        if len(steps) and steps[at] > wide:
            middle = side * (tail[at] + tail[at + 1]) / 2.0
            low, high = (low, middle) if side > 0 else (middle, high)
    return low, high


def neighbour_mean(counts: np.ndarray, reach: int = 4) -> np.ndarray:
    """(k,) float64: mean count of the up to 2 x `reach` neighbouring values, the value itself left out.

    >>> neighbour_mean(np.array([2, 2, 20, 2, 2]), reach=1).tolist()
    [2.0, 11.0, 2.0, 11.0, 2.0]
    """
    counts = np.asarray(counts, np.float64)
    k = len(counts)
    total = np.concatenate([[0.0], np.cumsum(counts)])
    index = np.arange(k)
    start, stop = np.maximum(index - reach, 0), np.minimum(index + reach + 1, k)
    others = (stop - start - 1).astype(np.float64)
    return np.where(others > 0, (total[stop] - total[start] - counts) / np.maximum(others, 1.0), counts)


def frequent_codes(codes: np.ndarray, levels: int, share: float = 0.01, most: int = 30) -> tuple[np.ndarray, int]:
    """(n,) int32 codes of the at most `most` levels that at least `share` of the rows hold; all others share one code.

    Missing (negative) stays -1. Also returns how many codes there are, the shared one included.

    >>> frequent_codes(np.array([0, 0, 0, 1, 2, -1]), 3, share=0.3)[0].tolist()
    [0, 0, 0, 1, 1, -1]
    """
    sizes = np.bincount(codes[codes >= 0], minlength=levels)
    frequent = np.argsort(-sizes, kind="stable")[:most]
    frequent = frequent[sizes[frequent] >= max(share * len(codes), 1)]
    new = np.full(levels + 1, len(frequent), np.int32)
    new[frequent] = np.arange(len(frequent), dtype=np.int32)
    new[-1] = -1
    return new[codes], len(frequent) + 1
