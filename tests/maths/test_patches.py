"""Patches: a planted window is found at its place and jittered by a pixel; random pictures hold no crowd to speak of."""

from __future__ import annotations

import numpy as np
import pytest

from bezoar.maths import gradients, patches


def _pictures(rng: np.random.Generator, n: int = 500) -> np.ndarray:
    soft = np.kron(rng.integers(30, 200, (n, 6, 6, 3)), np.ones((1, 4, 4, 1)))
    return np.clip(soft + rng.normal(0, 8, soft.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("jitter", [0, 1])
def test_a_patch_is_found(jitter):
    rng = np.random.default_rng(100)
    x = _pictures(rng)
    mark = rng.integers(0, 256, (3, 3, 3)).astype(np.uint8)
    for i in range(15):
        dy, dx = rng.integers(-jitter, jitter + 1, 2)
        x[i, 18 + dy:21 + dy, 10 + dx:13 + dx] = mark
    found = patches.crowded(x, gradients.thumbnails(x), patches.standing_out(x))
    best = int(np.argmin(found.log_p))
    assert abs(found.y[best] - 18) <= jitter
    assert abs(found.x[best] - 10) <= jitter
    held = found.row[found.of == best]
    assert np.isin(np.arange(15), held).mean() >= 0.9
    assert (held >= 15).sum() <= 1
    assert found.log_p[best] < -20


def test_pictures_without_a_patch_hold_no_crowd():
    x = _pictures(np.random.default_rng(101))
    found = patches.crowded(x, gradients.thumbnails(x), patches.standing_out(x))
    assert found.log_p.min(initial=0.0) > -12


def test_tiny_and_empty():
    for shape in ((0, 8, 8, 3), (3, 4, 4, 3)):
        x = np.zeros(shape, np.uint8)
        assert len(patches.crowded(x, gradients.thumbnails(x), patches.standing_out(x)).y) == 0


@pytest.mark.parametrize("side", [24, 28])
def test_enlarged_pixels_are_no_crowd(side):
    """Each pixel of an 8x8 digit becomes a block of 3x3, which stands out on a grid that the search must not take for chance."""
    from sklearn.datasets import load_digits

    at = np.arange(side) * 8 // side
    small = (load_digits().images * 15.9).astype(np.uint8)
    x = np.repeat(small[:, at][:, :, at][..., None], 3, axis=3)
    found = patches.crowded(x, gradients.thumbnails(x), patches.standing_out(x))
    assert found.log_p.min(initial=0.0) > -6


def test_a_patch_among_enlarged_pixels_is_found():
    from sklearn.datasets import load_digits

    x = np.repeat((load_digits().images * 15.9).astype(np.uint8).repeat(3, 1).repeat(3, 2)[..., None], 3, axis=3)
    x[:18, 19:22, 19:22] = np.random.default_rng(100).integers(0, 256, (3, 3, 3))
    found = patches.crowded(x, gradients.thumbnails(x), patches.standing_out(x))
    best = int(np.argmin(found.log_p))
    assert (found.y[best], found.x[best]) == (19, 19)
    assert set(found.row[found.of == best]) == set(range(18))
