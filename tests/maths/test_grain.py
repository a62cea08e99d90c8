"""Grain against a naive loop; its excess does not depend on the order of rows."""

from __future__ import annotations

import numpy as np
import pytest

from bezoar.maths.frequency import OPPONENT
from bezoar.maths.grain import excess, grain


@pytest.mark.parametrize(("h", "w"), [(4, 4), (5, 9), (12, 7)])
def test_grain_is_what_a_loop_finds(h, w):
    pictures = np.random.default_rng(h).integers(0, 256, (3, h, w, 3)).astype(np.uint8)
    found = grain(pictures)
    for i, picture in enumerate(pictures):
        x = picture.astype(np.float64) @ OPPONENT.T.astype(np.float64)
        half = np.array([[x[2 * r:2 * r + 2, 2 * c:2 * c + 2].mean(axis=(0, 1)) for c in range(w // 2)] for r in range(h // 2)])
        fine, slow = ([[abs(p[r, c, k] - p[r + 1, c, k] - p[r, c + 1, k] + p[r + 1, c + 1, k]) for r in range(len(p) - 1)
                        for c in range(p.shape[1] - 1)] for k in range(3)] for p in (x, half))
        for j, q in enumerate((25, 50, 75)):
            want = [np.percentile(fine[0], q), np.mean([np.percentile(fine[k], q) for k in (1, 2)]),
                    np.mean([np.percentile(slow[k], q) for k in (1, 2)])]
            np.testing.assert_allclose(found[i, j], want, rtol=1e-4, atol=1e-3)


def test_small_pictures_have_none():
    assert np.isnan(grain(np.zeros((2, 3, 8, 3), np.uint8))).all()


def test_the_excess_follows_the_rows():
    rng = np.random.default_rng(0)
    found = rng.gamma(2.0, 3.0, (60, 3, 3))
    found[5] = np.nan
    order = rng.permutation(60)
    np.testing.assert_allclose(excess(found)[order], excess(found[order]), atol=1e-9)
    assert np.isnan(excess(found)[5]).all()


def test_few_rows_foretell_nothing():
    assert (excess(np.ones((7, 3, 3))) == 0).all()


def test_pictures_that_are_all_alike_have_no_excess():
    assert np.abs(excess(np.full((20, 3, 3), 4.0))).max() < 1e-6
