"""Residuals of labels by group: gaps, over-dispersion between groups, one-sided p-values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PRIOR = 20
"""The belief that groups do not differ is worth as many further groups when their spread is estimated."""


@dataclass(frozen=True, eq=False)
class GroupGaps:
    """One row per group, one column per class where there are two axes.

    code       (n,) the group of each row
    size       (g,) labelled rows
    rate, told (g, K) share of the class in the group, and what the model foretells for these rows
    rest_rate, rest_told  the same for all other rows
    gap        (g, K) (rate - told) minus the same difference in the rest
    excess     (g, K) gap x size: labels too many, 0 where negative
    spread     (g, K) standard error of gap x size, over-dispersion included
    p          (g, K) one-sided p-values of gap > 0; 1 for groups that were too small to compare
    """

    code: np.ndarray
    size: np.ndarray
    rate: np.ndarray
    told: np.ndarray
    rest_rate: np.ndarray
    rest_told: np.ndarray
    gap: np.ndarray
    excess: np.ndarray
    spread: np.ndarray
    p: np.ndarray


def group_gaps(labels: np.ndarray, chance: np.ndarray, code: np.ndarray, clusters: np.ndarray, n_groups: int,
               least: int) -> GroupGaps:
    """Compare what each group is labelled with what a model foretells, against the rest.

    labels    (n,) int, -1 for none (such rows are left out)
    chance    (n, K) cross-fitted probabilities that do not know the group
    code      (n,) int in [0, n_groups)
    clusters  (n,) int: copies of one row share a number and count as one observation

    The variance is the larger of the model's own and the one between clusters. With eight or more groups it is widened by the
    spread that most groups show among themselves (median of z squared), and tails are Student's.

    >>> rng = np.random.default_rng(0)
    >>> code = rng.integers(0, 10, 4000); y = (rng.random(4000) < np.where(code == 3, 0.4, 0.2)).astype(int)
    >>> gaps = group_gaps(y, np.tile([0.78, 0.22], (4000, 1)), code, np.arange(4000), 10, 20)
    >>> int(gaps.p[:, 1].argmin()), bool(gaps.p[3, 1] < 1e-4)
    (3, True)
    """
    from scipy.stats import norm, t

    n_classes = chance.shape[1]
    known = labels >= 0
    size = np.bincount(code[known], minlength=n_groups)
    shape = (n_groups, n_classes)
    rate, told, rest_rate, rest_told, spread, z = (np.zeros(shape) for _ in range(6))
    total = max(int(known.sum()), 1)
    pair = np.unique(np.stack([code[known], clusters[known]]), axis=1, return_inverse=True)
    unit, unit_group = pair[1].ravel(), pair[0][0]
    for c in range(n_classes):
        own = (labels[known] == c).astype(np.float64)
        p = chance[known, c].astype(np.float64)
        hits = np.bincount(code[known], weights=own, minlength=n_groups)
        means = np.bincount(code[known], weights=p, minlength=n_groups)
        rate[:, c], told[:, c] = hits / np.maximum(size, 1), means / np.maximum(size, 1)
        others = np.maximum(total - size, 1)
        rest_rate[:, c], rest_told[:, c] = (hits.sum() - hits) / others, (means.sum() - means) / others
        centred = own - p - (rate[:, c] - told[:, c])[code[known]]
        by_model = np.bincount(code[known], weights=p * (1 - p), minlength=n_groups)
        sums = np.bincount(unit, weights=centred, minlength=len(unit_group))
        between = np.bincount(unit_group, weights=sums**2, minlength=n_groups)
        variance = np.maximum(by_model, between)
        # the rest is an estimate too
        spread[:, c] = np.sqrt(variance + (variance.sum() - variance) * (size / others) ** 2 + 1e-12)
    gap = (rate - told) - (rest_rate - rest_told)
    able = size >= least
    p_value = np.ones(shape)
    for c in range(n_classes):
        z[:, c] = gap[:, c] * size / spread[:, c]
        if able.sum() >= 8:
            wide = np.sqrt(max(float(np.median(z[able, c] ** 2)) / 0.4549, 1.0))
            spread[:, c] *= wide
            p_value[able, c] = t.sf(z[able, c] / wide, int(able.sum()) + PRIOR)
        else:
            p_value[able, c] = norm.sf(z[able, c])
    return GroupGaps(code, size, rate, told, rest_rate, rest_told, gap, np.maximum(gap * size[:, None], 0.0), spread, p_value)
