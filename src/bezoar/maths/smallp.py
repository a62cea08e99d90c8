"""How many small conformal p-values are too many: exact, for one class and for all together."""

from __future__ import annotations

import numpy as np


def hit_pmf(rows: int, reference: int, rank: int) -> np.ndarray:
    """(rows + 1,) chances of 0..rows conformal p-values at or below rank / (reference + 1), all exchangeable.

    Beta-binomial: the p-values share one reference sample.

    >>> hit_pmf(1, 9, 1).round(2).tolist()
    [0.9, 0.1]
    """
    from scipy.special import betaln, gammaln

    k = np.arange(rows + 1)
    choose = gammaln(rows + 1) - gammaln(k + 1) - gammaln(rows - k + 1)
    rest = reference + 1 - rank
    return np.asarray(np.exp(choose + betaln(k + rank, rows - k + rest) - betaln(rank, rest)))


def upper_tail(pmf: np.ndarray) -> np.ndarray:
    """(k,) chance of at least 0, 1, 2, ... ; entries in [0, 1], never rising."""
    return np.minimum(1.0, np.cumsum(pmf[::-1])[::-1])


def together(pmfs: list[np.ndarray], most: int) -> np.ndarray:
    """Distribution of the sum of independent counts up to `most`; what lies above is dropped, so no tail is understated
    when it is taken as 1 minus the sum below."""
    total = np.ones(1)
    for pmf in pmfs:
        total = np.convolve(total, pmf[:most + 1])[:most + 1]
    return total
