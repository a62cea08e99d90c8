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
    about = y.copy()
    about[rows] = rng.integers(1, 3, planted)
    return x, y == 0, rows, (doubt, about), rng.integers(0, 5, N)


def asked(told):
    return lambda left_out: told


@pytest.mark.parametrize("seed", range(3))
def test_companions_of_a_few_are_found_at_the_stated_share_of_errors(seed):
    x, own, rows, doubt, fold = drawn(seed, 120)
    sure = companions(x, rows[:25], own, asked(doubt), fold)
    assert sure[~own].max() == 0
    order = np.argsort(-sure, kind="stable")
    listed = order[np.cumsum(1 - sure[order]) / np.arange(1, N + 1) <= 0.05]
    assert np.isin(rows, listed).mean() >= 0.6
    assert np.isin(listed, rows).mean() >= 0.85


@pytest.mark.parametrize("seed", range(3))
def test_random_rows_have_no_companions(seed):
    x, own, _, doubt, fold = drawn(seed, 0)
    seeds = np.random.default_rng(seed).choice(np.flatnonzero(own), 25, replace=False)
    assert (companions(x, seeds, own, asked(doubt), fold) >= 0.5).sum() <= 4


def test_seeds_whose_content_fits_their_label_have_no_companions():
    """A word put into rows of its own class: what they share with their class is no style."""
    x, own, rows, (doubt, about), fold = drawn(1, 120)
    rng = np.random.default_rng(9)
    seeds = rng.choice(np.setdiff1d(np.flatnonzero(own), rows), 60, replace=False)
    doubt[rows], about[rows] = rng.normal(-2, 1.5, len(rows)), 0
    assert companions(x, seeds, own, asked((doubt, about)), fold).max() == 0


def test_a_class_that_is_written_like_no_other_is_not_accused():
    """All natural rows of the class have a style of their own, and content is sure of them: only the planted ones go with the seeds."""
    x, own, rows, (doubt, about), fold = drawn(2, 120)
    rng = np.random.default_rng(8)
    natural = np.setdiff1d(np.flatnonzero(own), rows)
    dense = x.toarray()
    dense[natural[:, None], np.arange(100, 110)] = rng.random((len(natural), 10)) < 0.5
    found = companions(csr_array(dense), rows[:60], own, asked((doubt, about)), fold) >= 0.5
    assert found[natural].mean() <= 0.05
    assert found[rows].mean() >= 0.5


def test_labels_of_likely_companions_are_believed_no_more():
    x, own, rows, told, fold = drawn(3, 120)
    left_out = []

    def doubts(rows_left_out):
        left_out.append(int(rows_left_out.sum()))
        return told

    companions(x, rows[:25], own, doubts, fold)
    assert left_out[0] == 25 < left_out[-1]


def test_permuted_rows_permute_the_companions():
    x, own, rows, doubt, fold = drawn(4, 120)
    order = np.random.default_rng(0).permutation(N)
    place = np.argsort(order)
    a = companions(x, rows[:25], own, asked(doubt), fold)
    b = companions(x[order], place[rows[:25]], own[order], asked((doubt[0][order], doubt[1][order])), fold[order])
    assert np.abs(a[order] - b).max() < 0.05


def test_likely_shift_is_drawn_to_nothing_by_few():
    assert likely_shift(np.full(1000, 0.2), 500, 1.5) == pytest.approx(np.log(4), abs=0.02)
    assert 0.5 < likely_shift(np.full(2, 0.2), 2, 1.5) < 3
    assert likely_shift(np.zeros(0), 0, 1.5) == pytest.approx(0, abs=1e-6)
