"""Conformal p-values: validity on draws, exactness against loops."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bezoar.maths.conformal import conformal_p, rank_p_within, suspicion_within
from bezoar.maths.fuse import top_two

NUMBERS = st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0, float("nan")]), min_size=1, max_size=12).map(np.array)


@given(NUMBERS, NUMBERS)
def test_conformal_p_agrees_with_the_definition(scores, reference):
    known = reference[~np.isnan(reference)]
    for s, p in zip(scores, conformal_p(scores, reference), strict=True):
        assert (np.isnan(s) and np.isnan(p)) or p == (1 + (known >= s).sum()) / (len(known) + 1)


@given(NUMBERS, st.randoms())
def test_ranks_within_strata_agree_with_the_definition(scores, random):
    strata = np.array([random.randrange(3) for _ in scores])
    p = rank_p_within(scores, strata)
    for i, s in enumerate(scores):
        peers = scores[(strata == strata[i]) & ~np.isnan(scores)]
        assert (np.isnan(s) and np.isnan(p[i])) or p[i] == (peers >= s).mean()


def test_conformal_p_is_uniform_on_exchangeable_scores():
    rng = np.random.default_rng(1)
    p = np.concatenate([conformal_p(rng.normal(size=5), rng.normal(size=99)) for _ in range(400)])
    for level in (0.01, 0.05, 0.2):
        assert (p <= level).mean() <= level + 3 * np.sqrt(level / len(p))


def test_suspicion_never_reaches_one():
    assert suspicion_within(np.arange(10.0), np.zeros(10)).max() == 0.9


def test_fusion_prefers_agreement_and_ignores_the_silent():
    s = np.array([[0.99, 0.99, 0.0], [0.99, 0.0, 0.0], [np.nan, 0.99, np.nan], [np.nan, np.nan, np.nan]])
    f = top_two(s)
    assert f[0] > f[1] and f[2] == f[0] and np.isnan(f[3])
