"""Matched filters: what tells a planted pattern from a natural kind."""

from __future__ import annotations

import numpy as np

from bezoar.maths import matched, whitening


def _rows(n: int = 600, p: int = 400, k: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(100)
    unit = rng.standard_normal((n, p)).astype(np.float32)
    member = np.arange(n) < k
    pattern = rng.standard_normal(p).astype(np.float32)
    return unit, member, pattern / np.linalg.norm(pattern)


def test_a_fixed_pattern_leaves_nothing_beside_it_and_a_kind_does():
    unit, member, pattern = _rows()
    other = np.roll(pattern, 7)
    planted, kind = unit.copy(), unit.copy()
    planted[member] += 6 * pattern
    swing = np.linspace(-6, 6, int(member.sum()), dtype=np.float32)[:, None]
    kind[member] += 6 * pattern + swing * other
    assert matched.beside(planted, member, planted @ pattern) < 1.2
    assert matched.beside(kind, member, kind @ pattern) > 1.4


def test_a_long_tail_has_rows_half_way_and_a_mixture_has_not():
    rng = np.random.default_rng(100)
    mixed = np.concatenate([rng.normal(0, 1, 540), rng.normal(8, 1, 60)])
    tail = np.sort(rng.exponential(2, 600))
    assert matched.between(mixed > 5, mixed) < 0.2
    assert matched.between(tail > np.quantile(tail, 0.95), tail) > 1.1


def test_members_are_found_and_no_row_is_its_own_evidence():
    unit, member, pattern = _rows()
    unit[member] += 5 * pattern
    unit *= np.sqrt(unit.shape[1]) / np.linalg.norm(unit, axis=1, keepdims=True)
    found, _, _, strength = matched.refine(unit, (pattern + 0.05)[None].astype(np.float32))
    assert (found[:, 0] & member).sum() >= 0.8 * member.sum()
    assert strength[0] > 40
    pure = np.random.default_rng(101).standard_normal(unit.shape).astype(np.float32)
    assert matched.refine(pure, pattern[None])[3].max() < 20


def test_those_most_alike_are_the_nearest_and_never_a_copy():
    rng = np.random.default_rng(100)
    looks = rng.standard_normal((300, 8)).astype(np.float32)
    looks[1] = looks[0]
    looks /= np.linalg.norm(looks, axis=1, keepdims=True)
    near = whitening.alike(looks, 3)
    cosine = looks @ looks.T
    cosine[cosine > 0.99999] = -2
    found = np.sort(np.take_along_axis(cosine, near, axis=1), axis=1)
    assert np.allclose(found, np.sort(cosine, axis=1)[:, -3:], atol=1e-6)
    assert 1 not in near[0]


def test_what_frames_of_one_film_share_goes_and_what_was_added_stays():
    rng = np.random.default_rng(100)
    film = rng.standard_normal((20, 50)).astype(np.float32) * 10
    x = np.repeat(film, 8, axis=0) + rng.standard_normal((160, 50)).astype(np.float32)
    hit = np.arange(0, 160, 16)
    x[hit, :5] += 4
    near = whitening.alike(x / np.linalg.norm(x, axis=1, keepdims=True), 6)
    rest = whitening.without_alike(x, near)
    assert rest.std() < 2
    assert (rest[hit, :5].mean(axis=1) > 2.5).all()


def test_rows_get_one_length():
    z = whitening.same_energy(np.random.default_rng(0).standard_normal((10, 25)).astype(np.float32) * 3)
    assert np.allclose(np.linalg.norm(z, axis=1), 5, atol=1e-4)


def test_a_group_that_is_a_third_of_all_is_as_sure_as_it_stands_apart():
    rng = np.random.default_rng(100)
    truth = np.arange(600) < 200
    scores = matched.standard(np.where(truth, rng.normal(8, 1, 600), rng.normal(0, 1, 600))[:, None])[:, 0]
    chance = matched.belonging(scores, truth)
    assert (chance[truth] > 0.99).mean() > 0.95 and (chance[~truth] < 0.5).all()


def test_one_long_tail_is_not_made_a_sure_group():
    scores = matched.standard(np.random.default_rng(100).normal(0, 1, 600)[:, None])[:, 0]
    chance = matched.belonging(scores, scores > np.quantile(scores, 0.9))
    assert (chance > 0.95).mean() < 0.03


def test_a_second_witness_takes_rows_out_that_only_the_first_accuses():
    rng = np.random.default_rng(100)
    truth = np.arange(500) < 60
    first = np.where(truth, 0.97, 0.01)
    first[60:75] = 0.9
    second = np.where(truth, rng.uniform(0.6, 1.0, 500), rng.uniform(0.0, 0.3, 500))
    chance = matched.witnessed(first, second)
    assert (chance[truth] > 0.98).all() and np.median(chance[60:75]) < 0.8
    even = matched.witnessed(first, np.zeros(500))
    assert np.allclose(even, first, atol=0.02)
