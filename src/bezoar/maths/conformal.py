"""Conformal p-values, within strata, without random numbers."""

from __future__ import annotations

import numpy as np


def conformal_p(scores: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """p = (1 + #{reference >= score}) / (n_reference + 1); high scores are strange.

    scores (n,) float, reference (r,) float; ties count against the score (conservative). NaN scores give NaN.
    Marginally valid where score and reference are exchangeable (Vovk et al. 2005; Bates et al. 2021, arXiv 2104.08279).

    >>> conformal_p(np.array([5.0, 0.0]), np.array([1.0, 2.0, 3.0])).tolist()
    [0.25, 1.0]
    """
    reference = np.sort(reference[~np.isnan(reference)])
    at_least = len(reference) - np.searchsorted(reference, scores, side="left")
    p = (1.0 + at_least) / (len(reference) + 1.0)
    return np.where(np.isnan(scores), np.nan, p)


def rank_p_within(scores: np.ndarray, strata: np.ndarray) -> np.ndarray:
    """(n,) rank of each score among its own stratum, as a p-value: #{stratum >= score} / n_stratum.

    Without a trusted reference a sample can only be ranked among its peers; such p-values order, they do not accuse.

    >>> rank_p_within(np.array([1.0, 2.0, 9.0]), np.array([0, 0, 1])).tolist()
    [1.0, 0.5, 1.0]
    """
    out = np.full(len(scores), np.nan)
    ok = ~np.isnan(scores)
    order = np.lexsort((scores[ok], strata[ok]))
    s, g = scores[ok][order], strata[ok][order]
    if len(s) == 0:
        return out
    start = np.r_[0, np.flatnonzero(np.diff(g)) + 1]
    size = np.diff(np.r_[start, len(g)])
    end = np.repeat(start + size, size)
    new_value = np.r_[True, (np.diff(s) != 0) | (np.diff(g) != 0)]
    first_of_ties = np.flatnonzero(new_value)[np.cumsum(new_value) - 1]
    p = (end - first_of_ties) / np.repeat(size, size)
    back = np.empty(len(s))
    back[order] = p
    out[ok] = back
    return out


def suspicion_within(scores: np.ndarray, strata: np.ndarray) -> np.ndarray:
    """(n,) in [0, 1): 1 - rank p-value within the stratum; NaN stays NaN. The usual last step of a detector.

    >>> suspicion_within(np.array([1.0, 2.0]), np.array([0, 0])).tolist()
    [0.0, 0.5]
    """
    return 1.0 - rank_p_within(scores, strata)
