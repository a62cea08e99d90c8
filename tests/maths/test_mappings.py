"""Ways from class to class: what leans by nature is not called, a step of all classes is."""

from __future__ import annotations

import numpy as np
import pytest

from bezoar.maths import mappings


def _natural(rng: np.random.Generator, k: int = 10) -> np.ndarray:
    """Easy targets, easy sources, pairs that are alike both ways, and a little of everything."""
    ease = rng.normal(size=k)[:, None] + 2 * rng.normal(size=k)[None] + 0.5 * rng.standard_t(4, (k, k))
    for _ in range(3):
        a, b = rng.choice(k, 2, replace=False)
        ease[a, b] += 3
        ease[b, a] += 3
    np.fill_diagonal(ease, np.nan)
    return ease


def test_nature_is_called_no_more_often_than_promised():
    found = np.array([mappings.led_round(_natural(np.random.default_rng(s)), np.random.default_rng(s), 399)[0] for s in range(300)])
    assert (found <= 0.05).mean() <= 0.09 and (found <= 0.01).mean() <= 0.03
    assert abs(float(found.mean()) - 0.5) < 0.08


@pytest.mark.parametrize("step", [1, 3, 9])
def test_a_step_of_all_classes_is_named(step: int):
    ease = _natural(np.random.default_rng(step))
    ease[np.arange(10), (np.arange(10) + step) % 10] += 2
    assert mappings.led_round(ease, np.random.default_rng(0)) == (pytest.approx(0.0, abs=0.01), step)


def test_one_way_alone_is_no_mapping():
    ease = _natural(np.random.default_rng(3))
    ease[4, 7] += 50
    assert mappings.led_round(ease, np.random.default_rng(0))[0] > 0.05


def test_equal_ways_say_nothing():
    ease = np.ones((6, 6))
    np.fill_diagonal(ease, np.nan)
    assert mappings.led_round(ease, np.random.default_rng(0))[0] == 1.0
