"""Grain: pictures that an optimiser moved are found to the member; photographs, other cameras everywhere and grey pictures are quiet."""

from __future__ import annotations

import numpy as np
import pytest

from bezoar import registry
from bezoar.core.dataset import Dataset
from bezoar.core.view import View
from bezoar.detectors.grain import Grain
from bezoar.maths.frequency import inverse
from bezoar.modalities.image import Image


def _photographs(rng: np.random.Generator, n: int = 600, side: int = 24, classes: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Scenes whose spectrum falls, that of colour faster than that of light, each as sharp and as colourful as it happens to be."""
    slow = np.hypot(*np.mgrid[:side, :side])
    sharp, colourful = rng.uniform(1.0, 1.6, (n, 1, 1)), rng.uniform(0.2, 1.0, (n, 1, 1))
    light = (1 + slow) ** -sharp
    colour = colourful * (1 + slow) ** (-sharp - 0.5)
    x = inverse((rng.normal(0, 500, (n, 3, side, side)) * np.stack([light, colour, colour], axis=1)).astype(np.float32)) + 128
    return np.clip(x, 0, 255), np.arange(n) % classes


def _scored(x: np.ndarray, y: np.ndarray):
    return Grain()(View(Dataset.from_arrays(np.clip(np.rint(x), 0, 255).astype(np.uint8), y), Image()), np.random.default_rng(0))


def _moved(x: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What signed steps leave: every channel by itself, mostly up or down by the whole bound."""
    out = x.copy()
    out[rows] += 12 * np.tanh(rng.normal(0, 2, out[rows].shape))
    return out


@pytest.mark.parametrize("share", [0.1, 0.6])
def test_optimised_perturbations_are_found_to_the_member(share):
    rng = np.random.default_rng(100)
    x, y = _photographs(rng)
    hit = rng.choice(np.flatnonzero(y == 2), int(share * 100), replace=False)
    scores = _scored(_moved(x, hit, rng), y)
    assert len(scores.groups) == 1
    group = scores.groups[0]
    assert group.target == 2
    assert group.threat == "targeted"
    assert group.p_value < 1e-3
    assert np.isin(hit, group.members).mean() >= 0.95
    assert np.setdiff1d(group.members, hit).size <= 0.01 * len(y)


def test_the_poison_of_an_attack_on_the_shelf_is_found():
    pytest.importorskip("torch")
    rng = np.random.default_rng(101)
    x, y = _photographs(rng, n=300, side=16)
    clean = Dataset.from_arrays(np.rint(x).astype(np.uint8), y)
    done = registry.make("attacks", "feature-collision", {"rate": 0.05, "mode": "collision", "steps": 20})(clean, rng)
    scores = Grain()(View(done.data, Image()), np.random.default_rng(0))
    found = np.unique(np.concatenate([g.members for g in scores.groups]))
    assert np.isin(np.flatnonzero(done.truth), found).mean() >= 0.9
    assert np.setdiff1d(found, np.flatnonzero(done.truth)).size <= 3


@pytest.mark.parametrize("seed", [102, 103, 104])
def test_photographs_are_quiet(seed):
    assert _scored(*_photographs(np.random.default_rng(seed))).groups == ()


def test_another_camera_in_all_classes_is_quiet():
    rng = np.random.default_rng(105)
    x, y = _photographs(rng)
    assert _scored(_moved(x, rng.choice(len(x), 120, replace=False), rng), y).groups == ()


def test_copies_are_one_witness():
    rng = np.random.default_rng(106)
    x, y = _photographs(rng)
    rows = np.flatnonzero(y == 1)[:12]
    x[rows] = _moved(x, rows[:1], rng)[rows[0]]
    assert _scored(x, y).groups == ()


def test_grey_pictures_and_few_classes_are_said():
    rng = np.random.default_rng(107)
    x, y = _photographs(rng, n=200)
    grey = np.repeat(x.mean(axis=3, keepdims=True), 3, axis=3)
    assert "grey" in _scored(grey, y).notes[0]
    assert "fewer than two classes" in _scored(x[:20], y[:20]).notes[0]
    moved = _moved(x, np.flatnonzero(y % 2 == 0)[:15], rng)
    told = _scored(moved, y % 2)
    assert told.groups == ()
    assert "only ranked" in told.notes[0]
    assert told.suspicion[np.flatnonzero(y % 2 == 0)[:15]].min() > 0.9


def test_pictures_of_all_sizes_have_a_grain():
    rng = np.random.default_rng(108)
    pictures = [rng.integers(0, 256, (s, 2 * s, 3), dtype=np.uint8) for s in (3, 20, 300)]
    from bezoar.core.inputs import Images

    found = Image().grain(Images.of(pictures))
    assert found.shape == (3, 3, 3)
    assert np.isnan(found[0]).all()
    assert np.isfinite(found[1:]).all()
