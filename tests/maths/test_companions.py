"""Rows that go with the sure ones: most are found, few others, and none where there is nothing to find."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from bezoar.maths.association import likely_shift
from bezoar.maths.companions import companions

N, COLUMNS = 2400, 120


def drawn(seed, planted):
    """Rows of three classes hold columns at random; `planted` rows of class 0 hold columns of one style more often."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, N)
    chance = np.tile(rng.uniform(0.02, 0.15, COLUMNS), (N, 1))
    rows = rng.choice(np.flatnonzero(y == 0), planted, replace=False)
    chance[rows[:, None], np.arange(20)] = 0.35
    x = csr_array((rng.random((N, COLUMNS)) < chance).astype(np.float32))
    doubt = rng.normal(-2, 1.5, N)
    doubt[rows] += 3
    return x, y == 0, rows, doubt, rng.integers(0, 5, N)


@pytest.mark.parametrize("seed", range(3))
def test_companions_of_a_few_are_found_at_the_stated_share_of_errors(seed):
    x, own, rows, doubt, fold = drawn(seed, 120)
    sure = companions(x, rows[:25], own, doubt, fold)
    assert sure[~own].max() == 0
    order = np.argsort(-sure, kind="stable")
    listed = order[np.cumsum(1 - sure[order]) / np.arange(1, N + 1) <= 0.05]
    assert np.isin(rows, listed).mean() >= 0.6
    assert np.isin(listed, rows).mean() >= 0.85


@pytest.mark.parametrize("seed", range(3))
def test_random_rows_have_no_companions(seed):
    x, own, _, doubt, fold = drawn(seed, 0)
    seeds = np.random.default_rng(seed).choice(np.flatnonzero(own), 25, replace=False)
    assert (companions(x, seeds, own, doubt, fold) >= 0.5).sum() <= 4


def test_permuted_rows_permute_the_companions():
    x, own, rows, doubt, fold = drawn(4, 120)
    order = np.random.default_rng(0).permutation(N)
    place = np.argsort(order)
    a = companions(x, rows[:25], own, doubt, fold)
    b = companions(x[order], place[rows[:25]], own[order], doubt[order], fold[order])
    assert np.abs(a[order] - b).max() < 0.05


def test_likely_shift_is_drawn_to_nothing_by_few():
    assert likely_shift(np.full(1000, 0.2), 500, 1.5) == pytest.approx(np.log(4), abs=0.02)
    assert 0.5 < likely_shift(np.full(2, 0.2), 2, 1.5) < 3
    assert likely_shift(np.zeros(0), 0, 1.5) == pytest.approx(0, abs=1e-6)
