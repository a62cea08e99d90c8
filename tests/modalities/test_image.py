"""Image modality: shapes of the views, sizes that differ, lifting a patch, controls that keep the size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bezoar.core.dataset import Dataset, Labels
from bezoar.core.evidence import Picture
from bezoar.core.image_triggers import Overlay, Patch
from bezoar.core.inputs import Images
from bezoar.core.view import View
from bezoar.modalities.image import Image, canonical
from bezoar.modalities.text import Text
from bezoar.testing.planted import twin


def _noise(n: int = 80, side: int = 16) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (n, side, side, 3)).astype(np.uint8)


def test_views_have_their_shapes():
    x = Images.of(_noise())
    m = Image()
    assert m.embed(x).shape[0] == m.content(x).shape[0] == 80
    assert m.signal(x).shape == (80, 768)
    assert m.features(x).dtype == np.float32
    assert m.atoms(x).matrix.shape[0] == 80
    energy = (canonical(x).astype(np.float64) ** 2).sum()
    assert np.isclose((m.signal(x).astype(np.float64) ** 2).sum(), energy, rtol=1e-4)


def test_pictures_of_several_sizes_and_none():
    m = Image()
    mixed = Images.of([_noise(1, 20)[0], _noise(1, 90)[0], _noise(1, 3)[0]])
    assert m.signal(mixed).shape == (3, 32 * 32 * 3)
    assert m.atoms(mixed).matrix.shape[0] == 3
    empty = Images.of(np.zeros((0, 8, 8, 3), np.uint8))
    assert len(m.embed(empty)) == len(m.signal(empty)) == len(m.features(empty)) == m.atoms(empty).matrix.shape[0] == 0


def test_details_follow_the_pictures_and_not_their_order():
    m = Image()
    x = _noise()
    order = np.random.default_rng(1).permutation(len(x))
    a = m.details(Images.of(x))
    assert a.dtype == np.float32
    assert np.isfinite(a).all()
    assert np.allclose(a[order], m.details(Images.of(x[order])), atol=1e-3)
    grey = np.repeat(x[..., :1], 3, axis=3)
    assert len(m.details(Images.of(grey))) == 80
    mixed = Images.of([_noise(1, 20)[0], _noise(1, 90)[0], _noise(1, 3)[0]])
    assert len(m.details(mixed)) == 3
    assert len(m.details(Images.of(np.zeros((0, 8, 8, 3), np.uint8)))) == 0


def test_what_stands_in_fine_structure_is_not_in_the_coarse():
    m = Image()
    x = _noise(80, 32)
    fine = (np.indices((32, 32)).sum(axis=0) % 2 * 60 - 30)[None, :, :, None]
    plain, marked = (m.coarse(Images.of(np.clip(p, 0, 255).astype(np.uint8))) for p in (x // 2 + 60, x // 2 + 60 + fine))
    assert plain.shape == (80, 192) and np.allclose(plain, marked, atol=0.05)
    assert m.coarse(Images.of(np.zeros((0, 8, 8, 3), np.uint8))).shape[0] == 0
    assert np.isfinite(m.coarse(Images.of(np.full((3, 5, 9, 3), 7, np.uint8)))).all()


def test_labels_that_only_a_fine_trigger_speaks_for_are_doubted_by_the_coarse_look():
    rng = np.random.default_rng(5)
    data = twin("image", rng)
    x, codes = data.inputs.dense().astype(np.int64), data.labels.codes.copy()
    hit = np.flatnonzero(codes != 3)[::9]
    x[hit] += (np.indices((16, 16)).sum(axis=0) % 2 * 100 - 50)[None, :, :, None]
    codes[hit] = 3
    view = View(Dataset.from_arrays(np.clip(x, 0, 255).astype(np.uint8), codes), m := Image())
    seen, coarse = view.doubts()
    assert m.coarse(data.inputs) is not None and (seen == view.doubt()).all() and not coarse.flags.writeable
    assert np.median(coarse[hit]) > 0.8 and np.median(coarse[codes != 3]) < 0.4
    words = View(twin("text", rng), Text())
    assert len(words.doubts()) == len(words.doubts_of_strangers()) == 1


def test_the_doubt_of_strangers_is_what_samples_of_other_classes_would_meet():
    clean = twin("image", np.random.default_rng(5))
    codes = clean.labels.codes.copy()
    codes[::17] = -1
    view = View(replace(clean, labels=Labels(codes, clean.labels.classes)), Image())
    p, near = view.content_probabilities(), view.neighbours()[0]
    for c, told in enumerate(view.doubts_of_strangers()[0]):
        slow = [1 - (p[i, c] + np.mean(codes[near[i]] == c)) / 2 for i in range(len(codes)) if codes[i] not in (c, -1)]
        assert told == pytest.approx(np.mean(slow), abs=1e-6)


def test_lift_finds_the_patch_and_nothing_larger():
    x = _noise()
    x[:20, 10:13, 4:7] = (255, 0, 128)
    trigger = Image().lift(Images.of(x), np.arange(20), np.arange(20, 80), {})
    assert isinstance(trigger, Patch)
    assert (trigger.mask.shape, round(trigger.top * 16), round(trigger.left * 16)) == ((3, 3), 10, 4)
    assert trigger.pixels[1, 1].tolist() == [255, 0, 128]


def test_lift_finds_an_overlay():
    x = (_noise(400) // 4 + 90).astype(np.int16)
    wave = (20 * np.sin(2 * np.pi * np.arange(16) * 4 / 16)).astype(np.int16)[None, :, None]
    x[:100] += wave
    trigger = Image().lift(Images.of(x.astype(np.uint8)), np.arange(100), np.arange(100, 400), {})
    assert isinstance(trigger, Overlay)
    plain = np.broadcast_to(wave, trigger.pattern.shape).astype(np.float64)
    assert np.corrcoef(plain.ravel(), trigger.pattern.ravel())[0, 1] > 0.9


def test_control_keeps_size_and_strength_and_show_frames_the_place():
    x = Images.of(_noise())
    rng = np.random.default_rng(0)
    patch = Patch(np.full((3, 3, 3), 255, np.uint8), np.ones((3, 3), np.float32), 0.5, 0.5)
    other = Image().control(patch, x, rng)
    assert isinstance(other, Patch)
    assert other.pixels.shape == (3, 3, 3)
    wave = Overlay(rng.normal(size=(16, 16, 3)).astype(np.float32))
    mixed = Image().control(wave, x, rng)
    assert isinstance(mixed, Overlay)
    assert np.isclose(np.linalg.norm(mixed.pattern), np.linalg.norm(wave.pattern), rtol=1e-3)
    shown = Image().show(x, 0, "a", patch)
    assert isinstance(shown, Picture)
    assert (shown.pixels == (255, 0, 60)).all(axis=2).any()
