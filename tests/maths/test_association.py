"""Vectorised statistics against slow loops on drawn shapes."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csc_array, csr_array

from bezoar.maths import association as ma
from bezoar.maths.conjunctions import frequent_pairs, holders_of_both, pairs_looked_at
from bezoar.maths.crossfit import softmax
from bezoar.maths.leaveout import linear_folds
from bezoar.maths.ngrams import incidence, number, runs


def drawn(seed, n, m, k, density=0.4):
    rng = np.random.default_rng(seed)
    return (rng.random((n, m)) < density).astype(np.float32), rng.integers(-1, k, n), rng


shapes = given(seed=st.integers(0, 10**6), n=st.integers(1, 25), m=st.integers(1, 8), k=st.integers(1, 4))


@shapes
@settings(max_examples=40, deadline=None)
def test_counts_and_sums_equal_the_loop(seed, n, m, k):
    x, codes, rng = drawn(seed, n, m, k)
    chance = rng.random((n, k)).astype(np.float32)
    counts = ma.class_counts(csc_array(x), codes, k).toarray()
    for j, c in product(range(m), range(k)):
        assert counts[j, c] == sum(x[i, j] for i in range(n) if codes[i] == c)
    atom, target = (v.ravel() for v in np.meshgrid(np.arange(m), np.arange(k), indexing="ij"))
    sums = ma.column_sums(csc_array(x), atom, target, chance)
    slow = [sum(float(chance[i, c]) for i in range(n) if x[i, j]) for j, c in zip(atom, target, strict=True)]
    assert np.allclose(sums, slow, atol=1e-5)


@shapes
@settings(max_examples=40, deadline=None)
def test_collapse_counts_copies_once(seed, n, m, k):
    x, codes, rng = drawn(seed, n, m, k)
    groups = rng.integers(0, max(1, n // 2), n)
    units, unit, unit_codes = ma.collapse(csc_array(x), codes, groups)
    keys = {(g, c) for g, c in zip(groups.tolist(), codes.tolist(), strict=True)}
    assert units.shape == (len(keys), m)
    for i in range(n):
        assert unit_codes[unit[i]] == codes[i]
        same = (groups == groups[i]) & (codes == codes[i])
        assert np.array_equal(units.toarray()[unit[i]], x[same].max(axis=0))


@given(seed=st.integers(0, 10**6), h=st.integers(1, 9), shift=st.floats(-2, 2))
@settings(max_examples=40, deadline=None)
def test_the_tail_bound_is_never_below_the_exact_tail(seed, h, shift):
    rng = np.random.default_rng(seed)
    p = rng.uniform(0.01, 0.99, h)
    q = 1 / (1 + np.exp(-(np.log(p / (1 - p)) + shift)))
    law = np.ones(1)
    for v in q:
        law = np.convolve(law, [1 - v, v])
    for found in range(h + 1):
        exact = np.log(law[found:].sum())
        bound = ma.tilted_log_tail(p, found, shift)
        assert bound >= exact - 1e-9
        if found == h:
            assert bound == pytest.approx(exact)
    assert ma.tilted_log_tail(p, q.sum() * 0.9, shift) == 0.0


def test_least_shift_is_where_the_bound_crosses_the_level():
    p = np.full(30, 0.2)
    shift = ma.least_shift(p, 30, np.log(1e-4))
    assert ma.tilted_log_tail(p, 30, shift) <= np.log(1e-4) < ma.tilted_log_tail(p, 30, shift + 0.01)
    assert ma.least_shift(p, 6, np.log(1e-4)) < 0


@pytest.mark.parametrize(("found", "held", "mean", "sign"), [(20, 20, 5, 1), (5, 20, 5, 0), (2, 20, 5, 0), (6, 20, 5, 1)])
def test_surprise_is_positive_only_for_an_excess(found, held, mean, sign):
    score = ma.surprise(np.array([found]), np.array([held]), np.array([mean]), np.array([mean * (1 - mean / held)]))
    assert np.sign(score[0]) == sign


def test_surprise_grows_with_the_effect_and_with_the_number():
    found, held, mean = np.array([10.0, 20.0, 20.0]), np.array([10.0, 20.0, 20.0]), np.array([5.0, 10.0, 2.0])
    a, b, c = ma.surprise(found, held, mean, mean / 2)
    assert a < b < c


def test_tails_need_peers_and_see_the_one_that_stands_out():
    rng = np.random.default_rng(0)
    clean = rng.exponential(1.0, 300)
    p = ma.tail_p(np.r_[clean, 60.0], power=1.0)
    assert p[-1] < 0.01
    assert p[:-1].min() > 0.01
    assert (ma.tail_p(clean[:10]) == 1).all()


def test_false_alarms_of_the_tail_stay_near_the_level():
    rng = np.random.default_rng(1)
    hits = sum(ma.tail_p(rng.exponential(1.0, 200), power=1.0).min() < 0.05 for _ in range(200))
    assert hits <= 25


def test_leaders_take_those_that_share_their_holders():
    x = csc_array(np.array([[1, 1, 0], [1, 1, 0], [1, 0, 0], [0, 0, 1]], np.float32))
    assert ma.leaders(x, np.array([0, 1, 2])).tolist() == [0, 0, 2]
    assert ma.leaders(x, np.array([1, 0, 2])).tolist() == [1, 1, 2]


def test_distinct_joins_copies_and_rows_that_hold_nothing_else():
    x = csr_array(np.array([[1, 1, 1, 0, 0], [1, 1, 1, 0, 0], [1, 0, 0, 1, 1], [5, 0, 0, .1, 0], [5, 0, 0, 0, .1]], np.float32))
    group = ma.distinct(x, np.array([0]))
    assert group[0] == group[1] != group[2]
    assert group[3] == group[4] not in (group[0], group[2])


@given(seed=st.integers(0, 10**6), n=st.integers(1, 20), m=st.integers(2, 8), least=st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_pairs_equal_the_loop(seed, n, m, least):
    x, _, rng = drawn(seed, n, m, 2, 0.6)
    rows = np.flatnonzero(rng.random(n) < 0.7)
    a, b = frequent_pairs(csc_array(x), rows, least=least, most=100)
    slow = {(i, j) for i in range(m) for j in range(i + 1, m) if (x[rows][:, i] * x[rows][:, j]).sum() >= least}
    assert set(zip(a.tolist(), b.tolist(), strict=True)) == slow
    assert np.array_equal(holders_of_both(csc_array(x), a, b).toarray(), x[:, a] * x[:, b])
    everywhere, _ = frequent_pairs(csc_array(x), np.arange(n), least=least, most=100)
    assert pairs_looked_at(csc_array(x), least) >= len(everywhere)


@given(lines=st.lists(st.lists(st.sampled_from("abcd"), max_size=9), max_size=7), least=st.integers(1, 3), longest=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_runs_equal_the_loop(lines, least, longest):
    codes, sequence, names = number(lines)
    got = {tuple(names[c] for c in r): matrix.toarray()[:, j].astype(bool).tolist()
           for spelled, matrix, _ in runs(codes, sequence, len(lines), least=least, longest=longest)
           for j, r in enumerate(spelled)}
    slow = {}
    for length in range(1, longest + 1):
        for gram in {tuple(x[i:i + length]) for x in lines for i in range(len(x) - length + 1)}:
            holds = [any(tuple(x[i:i + length]) == gram for i in range(len(x))) for x in lines]
            if sum(holds) >= least:
                slow[gram] = holds
    assert got == slow


def test_incidence_ignores_negative_kinds():
    assert incidence(np.array([0, 0, -1, 1]), np.array([0, 0, 1, 1]), 2, 2).toarray().tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize("k", [2, 3])
def test_leaving_columns_out_equals_zeroing_them(k):
    rng = np.random.default_rng(k)
    x = (rng.random((120, 15)) < 0.3) * rng.random((120, 15))
    codes = rng.integers(0, k, 120)
    x[np.arange(120), codes] += 1.5
    model = linear_folds(csr_array(x.astype(np.float32)), codes, k, groups=np.arange(120))
    rows = np.array([3, 50, 119])
    columns = np.array([[0, 1], [2, -1], [-1, -1]], np.int32)
    got = model.without(rows, columns)
    for r, cols, p in zip(rows, columns, got, strict=True):
        zeroed = x[r].astype(np.float32).copy()
        gone = x[r].astype(np.float32) - np.where(np.isin(np.arange(15), cols[cols >= 0]), 0, zeroed)
        logits = model.logits[r] - gone @ model.weights[model.fold[r]]
        assert np.allclose(p, softmax(logits[None])[0], atol=1e-5)
    assert (softmax(model.logits).argmax(axis=1) == codes).mean() > 0.8
    again = model.refitted(rows, np.zeros(0, np.int64))
    assert np.abs(again - softmax(model.logits[rows])).max() < 0.1


def test_natural_holders_are_told_by_their_chance_and_add_up():
    rng = np.random.default_rng(0)
    q = rng.uniform(0.01, 0.99, 200)
    for total in (0.5, 20.0, 120.0):
        natural = ma.by_nature(q, total)
        assert abs(natural.sum() - total) < 1e-6 and ((natural > 0) & (natural < 1)).all()
        assert (np.diff(natural[np.argsort(q)]) >= 0).all()
    alike = ma.by_nature(np.full(10, 0.3), 2.0)
    np.testing.assert_allclose(alike, 0.2, atol=1e-9)
    assert ma.by_nature(q, 0.0).max() == 0 and ma.by_nature(q, 500.0).min() == 1 and len(ma.by_nature(q[:0], 1.0)) == 0


def test_natural_holders_are_those_that_a_draw_put_there():
    rng = np.random.default_rng(1)
    q = rng.beta(0.5, 2, 20_000)
    planted = rng.random(len(q)) < 0.2
    inside = planted | (rng.random(len(q)) < q)
    guess = ma.by_nature(q[inside], float((~planted[inside]).sum()))
    for low, high in ((0.0, 0.3), (0.3, 0.7), (0.7, 1.0)):
        here = (guess >= low) & (guess < high)
        assert abs(guess[here].mean() - (~planted[inside])[here].mean()) < 0.03, "calibrated"
