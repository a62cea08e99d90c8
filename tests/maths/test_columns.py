"""Columns as codes: exact, quantile, digits, gaps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bezoar.maths.columns import (
    decimals,
    exact_codes,
    frequent_codes,
    neighbour_mean,
    normal_scores,
    quantile_codes,
    robust_scale,
    tail_gap,
)

numbers = st.lists(st.one_of(st.just(float("nan")), st.integers(-5, 5).map(float), st.floats(-1e6, 1e6)), min_size=1, max_size=50)


@settings(max_examples=60, deadline=None)
@given(numbers, st.integers(1, 4))
def test_exact_codes_keep_what_enough_rows_hold(values: list[float], least: int) -> None:
    x = np.array(values)
    codes, kept, counts = exact_codes(x, least)
    for i, v in enumerate(values):
        same = np.isnan(x) if np.isnan(v) else x == v
        if same.sum() >= least:
            assert codes[i] >= 0 and counts[codes[i]] == same.sum()
            assert kept[codes[i]] == v or (np.isnan(v) and np.isnan(kept[codes[i]]))
        else:
            assert codes[i] == -1


@settings(max_examples=60, deadline=None)
@given(numbers, st.integers(2, 10))
def test_quantile_codes_are_monotone_and_cannot_split_equal_values(values: list[float], bins: int) -> None:
    x = np.array(values)
    codes, k = quantile_codes(x, bins)
    assert (codes[np.isnan(x)] == -1).all()
    known = np.flatnonzero(~np.isnan(x))
    if len(known) == 0:
        assert k == 0
        return
    assert 0 <= codes[known].min() and codes[known].max() < k <= bins
    order = known[np.argsort(x[known], kind="stable")]
    assert (np.diff(codes[order]) >= 0).all()


def test_zeros_that_fill_several_bins_get_one_of_their_own() -> None:
    codes, k = quantile_codes(np.r_[np.zeros(900), np.arange(1, 101)], 20)
    assert len(np.unique(codes[:900])) == 1 and codes[0] not in codes[900:]
    assert k == len(np.unique(codes)) == 3


def test_frequent_codes_pool_the_rest() -> None:
    codes, k = frequent_codes(np.array([0] * 50 + [1] * 49 + [2, -1], np.int32), 3, share=0.1)
    assert k == 3
    assert [codes[0], codes[50], codes[99], codes[100]] == [0, 1, 2, -1]


@pytest.mark.parametrize("values", [[1e308, -1e308, 0.0], [5.0, 5.0, 5.0], [np.nan, np.inf, 1.0], [np.nan, np.nan, np.nan]])
def test_scaling_survives_anything(values: list[float]) -> None:
    for scaled in (robust_scale(np.array(values)), normal_scores(np.array(values))):
        assert scaled.dtype == np.float32 and np.isfinite(scaled).all()


def test_normal_scores_keep_order_and_ties() -> None:
    out = normal_scores(np.array([3.0, 1.0, 3.0, 2.0]))
    assert out[0] == out[2] > out[3] > out[1]


def test_decimals_count_what_a_person_would() -> None:
    assert decimals(np.array([0.0, -3.0, 0.1, 0.1 + 0.2, 1234.56, 0.12345678, np.inf])).tolist() == [0, 0, 1, 1, 2, 6, -1]


def test_tail_gap_sees_an_island_on_either_side_and_no_gap_in_smooth_data() -> None:
    rng = np.random.default_rng(0)
    smooth = rng.normal(size=2000)
    low, high = tail_gap(smooth, least=5)
    assert low == -np.inf and high == np.inf
    low, high = tail_gap(np.r_[smooth, np.full(20, 12.0)], least=5)
    assert low == -np.inf and smooth.max() < high < 12
    low, high = tail_gap(np.r_[smooth, np.full(20, -12.0)], least=5)
    assert high == np.inf and -12 < low < smooth.min()
    assert tail_gap(np.r_[smooth, np.full(3, 12.0)], least=5)[1] == np.inf, "three rows are fewer than five"


def test_neighbour_mean_leaves_the_value_itself_out() -> None:
    assert neighbour_mean(np.array([4, 100, 6]), reach=1).tolist() == [100.0, 5.0, 100.0]
    assert neighbour_mean(np.array([7])).tolist() == [7.0]
