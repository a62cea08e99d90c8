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


def _scenes(rng: np.random.Generator, scenes: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Smooth random scenes, each in several nearly equal frames; four classes."""
    from bezoar.maths.frequency import inverse

    falling = 1 / (1 + np.hypot(*np.mgrid[:16, :16]))[None, :, :, None] * np.array([1, 0.3, 0.3])
    base = rng.normal(0, 400, (scenes, 16, 16, 3)) * falling
    all_frames = np.repeat(base, frames, axis=0) + rng.normal(0, 40, (scenes * frames, 16, 16, 3)) * falling
    x = inverse(np.moveaxis(all_frames, 3, 1).astype(np.float32)) + 128
    return x, np.repeat(np.arange(scenes) % 4, frames)


def test_a_natural_kind_that_comes_in_all_strengths_is_quiet():
    rng = np.random.default_rng(100)
    x, y = _scenes(rng, 1200, 1)
    kind = np.flatnonzero(y == 2)[:60]
    wave = np.sin(2 * np.pi * np.arange(16) * 3 / 16)
    strength = rng.exponential(20, (60, 1, 1, 1)) * rng.choice([-0.5, 1], (60, 1, 1, 1))
    x[kind] += strength * wave[None, None, :, None] + rng.normal(0, 20, (60, 1, 1, 1)) * wave[None, :, None, None]
    scores = Spectra()(View(Dataset.from_arrays(np.clip(x, 0, 255).astype(np.uint8), y), Image()), np.random.default_rng(0))
    assert not [g for g in scores.groups if g.p_value <= 0.001]


def test_frames_of_the_same_scenes_are_quiet_and_do_not_hide_a_pattern():
    rng = np.random.default_rng(101)
    x, y = _scenes(rng, 60, 20)
    clean = Dataset.from_arrays(np.clip(x, 0, 255).astype(np.uint8), y)
    assert Spectra()(View(clean, Image()), np.random.default_rng(0)).groups == ()
    hit = rng.choice(np.flatnonzero(y == 1), 24, replace=False)
    x[hit] += 12 * np.sin(2 * np.pi * np.arange(16) * 5 / 16)[None, None, :, None]
    poisoned = Dataset.from_arrays(np.clip(x, 0, 255).astype(np.uint8), y)
    scores = Spectra(kinds=200)(View(poisoned, Image()), np.random.default_rng(0))
    flagged = np.unique(np.concatenate([g.members for g in scores.groups]))
    assert np.isin(hit, flagged).mean() >= 0.9
    assert np.setdiff1d(flagged, hit).size <= 0.01 * len(y)


def test_pictures_without_a_label_are_left_out():
    x, y = _digits()
    y = y.copy()
    y[:30] = -1
    from bezoar.core.dataset import Labels

    data = Dataset.from_arrays(x, np.maximum(y, 0))
    data = data.with_changes(inputs=data.inputs, codes=y)
    assert isinstance(data.labels, Labels)
    scores = Spectra()(View(data, Image()), np.random.default_rng(0))
    assert np.isnan(scores.suspicion[:30]).all() and np.isfinite(scores.suspicion[30:]).all() and scores.groups == ()


def test_a_class_that_holds_as_much_poison_as_its_own_samples_is_seen():
    from bezoar import registry

    x, y = _digits()
    done = registry.make("attacks", "low-frequency", {"rate": 0.1, "target": "3"})(Dataset.from_arrays(x, y), np.random.default_rng(100))
    scores = Spectra()(View(done.data, Image()), np.random.default_rng(0))
    flagged = np.unique(np.concatenate([g.members for g in scores.groups]))
    assert np.isin(np.flatnonzero(done.truth), flagged).mean() >= 0.95
    assert np.setdiff1d(flagged, np.flatnonzero(done.truth)).size <= 0.01 * len(y)
