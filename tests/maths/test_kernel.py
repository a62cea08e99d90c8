"""Kernel cross-fitting: bent classes, groups, order, odd shapes; pooling and even columns."""

import numpy as np
import pytest

from bezoar.maths.crossfit import crossfit_probabilities
from bezoar.maths.kernel import crossfit_kernel, even_columns, pooled


def bent(rng, n=800, d=6):
    """Two classes that no plane divides: the sign of a product."""
    x = rng.standard_normal((n, d)).astype(np.float32)
    x[:, :2] *= 3
    return x, (x[:, 0] * x[:, 1] > 0).astype(np.int64)


def test_bends_where_a_linear_model_cannot():
    x, y = bent(np.random.default_rng(0))
    p = crossfit_kernel(x, y, 2)
    assert p.dtype == np.float32
    assert np.allclose(p.sum(axis=1), 1, atol=1e-5)
    assert (p.argmax(axis=1) == y).mean() > 0.9
    assert (crossfit_probabilities(x, y, 2).argmax(axis=1) == y).mean() < 0.6


def test_never_sees_the_row_or_its_group():
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 100).repeat(4)
    x = rng.standard_normal((100, 300)).repeat(4, axis=0).astype(np.float32)  # four copies of noise, one label for all four
    assert (crossfit_kernel(x, y, 2, groups=np.arange(400) // 4).argmax(axis=1) == y).mean() < 0.65
    assert (crossfit_kernel(x, y, 2).argmax(axis=1) == y).mean() > 0.8


def test_permuting_rows_permutes_the_result():
    rng = np.random.default_rng(2)
    x, y = bent(rng, n=2000)
    order = rng.permutation(len(y))
    assert np.allclose(crossfit_kernel(x, y, 2)[order], crossfit_kernel(x[order], y[order], 2), atol=2e-3)


@pytest.mark.parametrize(("n", "k"), [(0, 3), (1, 2), (5, 1), (4, 4), (7, 300)])
def test_small_and_odd(n, k):
    rng = np.random.default_rng(3)
    p = crossfit_kernel(rng.standard_normal((n, 3)), rng.integers(0, k, n), k)
    assert p.shape == (n, k)
    assert np.isfinite(p).all()


def test_unlabelled_rows_constants_and_zeros():
    x, y = bent(np.random.default_rng(4))
    truth = y[:100].copy()
    y[:100] = -1
    p = crossfit_kernel(x, y, 2)
    assert (p[:100].argmax(axis=1) == truth).mean() > 0.85
    for value in (0, 1):
        assert np.isfinite(crossfit_kernel(np.full((60, 4), value, np.float32), np.arange(60) % 3, 3)).all()


def test_sizes_must_fit():
    with pytest.raises(ValueError, match="fit"):
        crossfit_kernel(np.ones((3, 2)), np.zeros(2, int), 2)


def test_pooled_lies_between_and_even_columns_are_even():
    a, b = np.array([[0.9, 0.1]]), np.array([[0.5, 0.5]])
    assert 0.5 < pooled(a, b)[0, 0] < 0.9
    assert np.isclose(pooled(a, b).sum(), 1)
    x = (np.random.default_rng(5).standard_normal((5000, 3)) * [1, 2, 0] + [5, 0, 7]).astype(np.float32)
    x = even_columns(x)
    assert np.allclose(x.mean(axis=0), 0, atol=1e-4)
    assert np.allclose(x.std(axis=0), [1, 1, 0], atol=1e-3)
