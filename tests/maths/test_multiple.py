"""Multiple testing against slow, literal oracles."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bezoar.maths.multiple import benjamini_hochberg, clopper_pearson, holm, least_false, least_members

P = st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=7).map(np.array)


def slow_holm(p, alpha):
    order = np.argsort(p, kind="stable")
    rejected = np.zeros(len(p), bool)
    for step, i in enumerate(order):
        if p[i] * (len(p) - step) > alpha:
            break
        rejected[i] = True
    return rejected


def slow_bh(p, q):
    s = np.sort(p)
    k = max((i + 1 for i in range(len(p)) if s[i] <= q * (i + 1) / len(p)), default=0)
    return p <= s[k - 1] if k else np.zeros(len(p), bool)


def simes(p, alpha):
    s = np.sort(p)
    return any(s[i] <= alpha * (i + 1) / len(s) for i in range(len(s)))


def slow_least_false(p, alpha):
    """Closed testing, literally: the smallest number of false nulls over all subsets that no local test contradicts."""
    m = len(p)
    largest_true = 0
    for size in range(1, m + 1):
        for subset in combinations(range(m), size):
            inside = p[list(subset)]
            closed = all(simes(np.concatenate([inside, p[list(extra)]]) if extra else inside, alpha)
                         for k in range(m - size + 1) for extra in combinations(sorted(set(range(m)) - set(subset)), k))
            if not closed:
                largest_true = max(largest_true, size)
    return m - largest_true


@given(P, st.sampled_from([0.01, 0.05, 0.3]))
def test_holm_agrees_with_the_steps(p, alpha):
    assert ((holm(p) <= alpha) == slow_holm(p, alpha)).all()


@given(P, st.sampled_from([0.05, 0.2]))
def test_bh_agrees_with_the_definition(p, q):
    assert ((benjamini_hochberg(p) <= q) == slow_bh(p, q)).all()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=5).map(np.array), st.sampled_from([0.05, 0.3]))
def test_closed_testing_agrees_with_all_subsets(p, alpha):
    assert least_false(p, alpha) == slow_least_false(p, alpha)


def test_least_false_keeps_its_confidence():
    rng = np.random.default_rng(0)
    wrong = sum(least_false(rng.random(200), 0.05) > 0 for _ in range(400))
    assert wrong <= 400 * 0.05 + 3 * np.sqrt(400 * 0.05 * 0.95)


@pytest.mark.parametrize(("members", "expected", "least"), [(0, 0.0, 0), (10, 0.0, 10), (3, 50.0, 0)])
def test_least_members(members, expected, least):
    assert least_members(members, expected, 0.01) == least


def test_clopper_pearson_is_the_published_interval():
    low, high = clopper_pearson(2, 20)
    assert (round(low, 4), round(high, 4)) == (0.0123, 0.317)
    assert clopper_pearson(0, 0) == (0.0, 1.0)
