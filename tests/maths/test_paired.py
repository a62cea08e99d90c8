"""Paired changes: bounds hold as often as they say, ranks are exact, members unlike others are told apart."""

from __future__ import annotations

import numpy as np

from bezoar.maths.paired import lower_bound, mixed_p, rank_p

RNG = np.random.default_rng


def test_the_bound_is_above_the_truth_no_more_often_than_it_says():
    rng = RNG(3)
    for draw in (lambda: rng.normal(2.0, 3.0, 100), lambda: rng.exponential(2.0, 100)):
        above = np.mean([lower_bound(draw(), 0.05) > 2.0 for _ in range(600)])
        assert above <= 0.08
    assert np.mean([lower_bound(rng.normal(2.0, 3.0, 100), 0.05) > 0 for _ in range(100)]) == 1.0


def test_too_few_changes_bound_nothing():
    assert lower_bound(np.zeros(0), 0.01) == lower_bound(np.ones(1), 0.01) == -np.inf
    assert lower_bound(np.ones(5), 0.01) == 1.0


def test_a_rank_counts_ties_against_the_value():
    assert rank_p(1.0, np.zeros(99)) == 0.01
    assert rank_p(0.0, np.zeros(99)) == 1.0


def test_members_like_the_others_are_rarely_told_apart_and_others_always():
    rng = RNG(4)
    null = np.array([mixed_p(rng.normal(size=20), rng.normal(size=30), rng, 199) for _ in range(300)])
    assert (null <= 0.05).mean() <= 0.09
    assert (null <= 0.5).mean() >= 0.4
    assert mixed_p(rng.normal(3, 1, 20), rng.normal(0, 1, 30), rng) == 0.001
    assert mixed_p(np.zeros(0), np.ones(3), rng) == mixed_p(np.ones(3), np.zeros(0), rng) == 1.0
