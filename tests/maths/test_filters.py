"""Learned filters: they tell textures apart, do not depend on the order of the pictures, and take any size."""

import numpy as np
import pytest

from bezoar.maths.filters import filter_responses, learn_filters


def stripes(rng, n=120, side=16):
    """Noise with lines down (even numbers) or across (odd ones), anywhere."""
    x = rng.normal(128, 20, (n, side, side, 3))
    at = rng.integers(0, 3, n)
    for i in range(n):
        if i % 2:
            x[i, at[i]::3] += 60
        else:
            x[i, :, at[i]::3] += 60
    return np.clip(x, 0, 255).astype(np.uint8)


def test_textures_lie_apart_wherever_they_start():
    x = stripes(np.random.default_rng(0))
    f = filter_responses(x, learn_filters(x, m=16))
    assert f.shape == (120, 9 * 2 * 16)
    assert f.dtype == np.float32
    assert (f >= 0).all()
    down, across = f[::2], f[1::2]
    gap = down[:30].mean(axis=0) - across[:30].mean(axis=0)
    middle = (down[:30].mean(axis=0) + across[:30].mean(axis=0)) / 2
    assert ((down[30:] - middle) @ gap > 0).mean() > 0.95
    assert ((across[30:] - middle) @ gap < 0).mean() > 0.95


def test_order_of_the_pictures_does_not_matter():
    rng = np.random.default_rng(1)
    x = stripes(rng)
    order = rng.permutation(len(x))
    a, b = (filter_responses(p, learn_filters(p, m=16)) for p in (x, x[order]))
    assert np.allclose(a[order], b, atol=1e-4)


def test_a_brighter_picture_answers_alike():
    x = stripes(np.random.default_rng(2)) // 2
    filters = learn_filters(x, m=16)
    assert np.allclose(filter_responses(x, filters), filter_responses(x + 40, filters), atol=2e-3)


@pytest.mark.parametrize("shape", [(1, 8, 8, 3), (3, 3, 9, 3), (4, 1, 1, 1), (2, 28, 28, 1), (2, 64, 50, 3)])
@pytest.mark.parametrize("flat", [True, False])
def test_any_size(shape, flat):
    x = np.zeros(shape, np.uint8) if flat else np.random.default_rng(3).integers(0, 255, shape, np.uint8)
    f = filter_responses(x, learn_filters(x, m=8))
    assert len(f) == shape[0]
    assert np.isfinite(f).all()
