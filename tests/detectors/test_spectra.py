"""Spectra: a faint pattern in one class is found to the member; digits as they are raise no group."""

from __future__ import annotations

import numpy as np
import pytest

from bezoar.core.dataset import Dataset
from bezoar.core.view import View
from bezoar.detectors.spectra import Spectra
from bezoar.modalities.image import Image


def _digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    d = load_digits()
    return np.repeat((d.images * 15.9375).astype(np.uint8)[..., None], 3, axis=-1), np.asarray(d.target)


def test_a_faint_pattern_with_changed_labels_is_found_to_the_member():
    rng = np.random.default_rng(100)
    falling = 1 / (1 + np.hypot(*np.mgrid[:16, :16]))[None, :, :, None] * np.array([1, 0.3, 0.3])
    from bezoar.maths.frequency import inverse

    x = inverse(np.moveaxis(rng.normal(0, 400, (1200, 16, 16, 3)) * falling, 3, 1).astype(np.float32)) + 128
    y = np.arange(1200) % 4
    hit = rng.choice(np.flatnonzero(y != 3), 24, replace=False)
    x[hit] += 20 * np.sin(2 * np.pi * np.arange(16) * 5 / 16)[None, None, :, None]
    y[hit] = 3
    data = Dataset.from_arrays(np.clip(x, 0, 255).astype(np.uint8), y)
    scores = Spectra()(View(data, Image()), np.random.default_rng(0))
    flagged = np.unique(np.concatenate([g.members for g in scores.groups]))
    assert np.isin(hit, flagged).mean() >= 0.95
    assert np.setdiff1d(flagged, hit).size <= 0.01 * len(y)


def test_clean_digits_are_quiet():
    x, y = _digits()
    assert Spectra()(View(Dataset.from_arrays(x, y), Image()), np.random.default_rng(0)).groups == ()


@pytest.mark.parametrize("n", [1, 12])
def test_too_few_rows_are_said(n):
    x, y = _digits()
    scores = Spectra()(View(Dataset.from_arrays(x[:n], y[:n]), Image()), np.random.default_rng(0))
    assert scores.groups == ()
    assert scores.notes
