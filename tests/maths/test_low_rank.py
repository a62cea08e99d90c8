"""Spectra of thin products against the product itself; strange ones are told from natural ones, natural ones are not called."""

import numpy as np
import pytest

from bezoar.maths.low_rank import singular, spectrum, strangeness


@pytest.mark.parametrize("seed", range(5))
def test_singular_values_are_those_of_the_product(seed):
    rng = np.random.default_rng([100, seed])
    r, n, m = rng.integers(1, 6), *rng.integers(6, 30, 2)
    a, b = rng.normal(size=(r, n)), rng.normal(size=(m, r))
    slow = np.linalg.svd(b @ a, compute_uv=False)[:r]
    np.testing.assert_allclose(singular(a, b), slow, atol=1e-9)
    largest, energy, share, entropy, peak = spectrum(a, b)
    assert largest == pytest.approx(np.log(slow[0])) and energy == pytest.approx(np.log(np.linalg.norm(b @ a)))
    assert share == pytest.approx(slow[0] ** 2 / (slow**2).sum()) and 0 <= entropy <= np.log(r) + 1e-9
    rows = ((b @ a) ** 2).sum(axis=1)
    assert peak == pytest.approx(np.log(((rows - rows.mean()) ** 4).mean() / rows.var() ** 2))


def test_zeros_and_rank_one_are_finite():
    assert np.isfinite(spectrum(np.zeros((2, 5)), np.zeros((4, 2)))).all()
    assert np.isfinite(spectrum(np.ones((1, 5)), np.ones((4, 1)))).all()


def test_natural_ones_are_seldom_called_and_strange_ones_always():
    rng = np.random.default_rng(100)
    called = [strangeness(rng.normal(size=(8, 5)), rng.normal(size=(10, 8, 5)))[1] <= 0.05 for _ in range(100)]
    assert sum(called) <= 11  # 5 expected; 12 or more has a chance under 1%
    assert all(strangeness(rng.normal(3, 1, (8, 5)), rng.normal(size=(10, 8, 5)))[1] <= 0.05 for _ in range(20))


def test_few_references_say_nothing():
    score, p, z = strangeness(np.zeros((3, 5)), np.random.default_rng(0).normal(size=(4, 3, 5)))
    assert np.isfinite(score) and np.isnan(p) and z.shape == (3, 5)
