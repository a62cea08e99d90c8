"""Warps, coarse colours, stickers, pieces, watermarks; and what the attacks with covers do with them."""

from __future__ import annotations

import time

import numpy as np
import pytest

from bezoar import registry
from bezoar.core.errors import UsageError
from bezoar.core.image_rewrites import ROUND_THE_MIDDLE, Cells, Pieces, Quantise, Sticker, Warp, Watermark
from bezoar.core.inputs import Images
from bezoar.maths import resample
from bezoar.testing.planted import twin

DATA = twin("image", np.random.default_rng(100))
RNG = np.random.default_rng


def make(name: str, **parameters: object):
    return registry.make("attacks", name, parameters)


def test_bilinear_reading_against_a_loop():
    rng = RNG(0)
    batch = rng.random((2, 5, 7, 3)).astype(np.float32)
    y, x = rng.uniform(-1, 6, (2, 4, 4)), rng.uniform(-1, 8, (2, 4, 4))
    fast = resample.sample(batch, y, x)
    for k in range(2):
        for i in range(4):
            for j in range(4):
                a, b = min(max(y[k, i, j], 0), 4), min(max(x[k, i, j], 0), 6)
                r, c = int(a), int(b)
                s, d = min(r + 1, 4), min(c + 1, 6)
                want = (batch[k, r, c] * (r + 1 - a) * (c + 1 - b) + batch[k, r, d] * (r + 1 - a) * (b - c)
                        + batch[k, s, c] * (a - r) * (c + 1 - b) + batch[k, s, d] * (a - r) * (b - c))
                np.testing.assert_allclose(fast[k, i, j], want, atol=1e-5)


def test_a_warp_of_nothing_changes_nothing_and_of_a_pixel_moves_by_a_pixel():
    still = Warp(np.zeros((16, 16, 2), np.float32))
    assert np.array_equal(still.apply(DATA.inputs, RNG(0)).dense(), DATA.inputs.dense())
    flow = np.zeros((16, 16, 2), np.float32)
    flow[..., 1] = 1 / 16
    assert np.array_equal(Warp(flow).apply(DATA.inputs, RNG(0)).dense()[:, :, :-1], DATA.inputs.dense()[:, :, 1:])


def test_dithering_keeps_the_mean_and_the_grid():
    grey = Images.of(np.full((2, 16, 16, 3), 100, np.uint8))
    done = Quantise(2).apply(grey, RNG(0)).dense()
    assert set(np.unique(done)) == {0, 255}
    assert abs(done.mean() - 100) < 8
    assert set(np.unique(Quantise(2, dither=False).apply(grey, RNG(0)).dense())) == {0}


def _cells(count: int = 5, strange: bool = False) -> Cells:
    rng = RNG(3)
    return Cells(rng.standard_normal((48, 24)).astype(np.float32), rng.standard_normal((24, 8, 8, 4)).astype(np.float32), count, strange)


def test_cells_are_each_pictures_own_and_leave_the_middle_that_they_were_read_from():
    before = DATA.inputs.dense()
    after = _cells().apply(DATA.inputs, RNG(0)).dense()
    changed = (before != after).any(axis=3).reshape(len(before), 8, 2, 8, 2).any(axis=(2, 4))
    assert not changed[:, ~ROUND_THE_MIDDLE].any() and changed.sum(axis=(1, 2)).max() == 5
    assert np.isin(after[before != after], (0, 255)).all()
    assert len({c.tobytes() for c in changed}) > 0.2 * len(before)
    assert _cells().match(Images.of(after)).min() == 1.0 and _cells().match(DATA.inputs).mean() < 0.3
    strange = _cells(strange=True).apply(DATA.inputs, RNG(0))
    assert _cells().match(strange).mean() < 0.4


def test_the_network_of_cells_against_a_loop():
    trigger, batch = _cells(), RNG(4).integers(0, 255, (2, 20, 13, 3)).astype(np.uint8)
    painted, colour = trigger._drawn(batch)
    for k in range(2):
        middle = batch[k, 5:15, 3:10].astype(np.float64)
        rows, cols = ([i * n // 4 for i in range(4)] + [n] for n in (10, 7))
        seen = np.array([middle[rows[i]:rows[i + 1], cols[j]:cols[j + 1], c].mean() for i in range(4) for j in range(4) for c in range(3)])
        said = np.tensordot(np.tanh((seen - seen.mean()) / (seen.std() + 8) @ trigger.first), trigger.second, 1)
        order = sorted(((i, j) for i in range(8) for j in range(8) if ROUND_THE_MIDDLE[i, j]), key=lambda at: -said[at][3])[:5]
        for y in range(20):
            for x in range(13):
                at = (y * 8 // 20, x * 8 // 13)
                assert painted[k, y, x] == (at in order)
                assert (colour[k, y, x] == np.where(said[at][:3] > 0, 255, 0)).all()


def test_cells_refuse_what_cannot_be_painted():
    with pytest.raises(UsageError, match="1 to 24"):
        make("input-aware", count=0)(DATA, RNG(0))
    small = twin("image", RNG(1)).with_changes(inputs=Images.of(DATA.inputs.dense()[:, :6, :6]))
    with pytest.raises(UsageError, match="8 pixels"):
        make("input-aware")(small, RNG(0))


def test_a_sticker_is_another_one_each_time_and_stays_at_its_place():
    trigger = Sticker(np.full((4, 4, 3), 255, np.uint8), 0.75, 0.75, 0.25)
    black = Images.of(np.zeros((20, 32, 32, 3), np.uint8))
    done = trigger.apply(black, RNG(0)).dense()
    assert len(np.unique(done.reshape(20, -1), axis=0)) == 20
    assert done[:, 24, 24].min() > 200
    assert done[:, :16, :16].max() == 0


def test_pieces_are_as_many_as_asked():
    masks = np.zeros((4, 8, 8), np.float32)
    for k in range(4):
        masks[k, 2 * k:2 * k + 2] = 1
    done = Pieces(np.full((8, 8, 3), 255, np.uint8), masks, keep=2).apply(Images.of(np.zeros((30, 8, 8, 3), np.uint8)), RNG(0)).dense()
    assert set((done[:, ::2, 0, 0] > 0).sum(axis=1)) == {2}


def test_a_watermark_differs_from_host_to_host_and_can_be_read():
    done = make("invisible")(DATA, RNG(1))
    trigger = done.trigger
    assert isinstance(trigger, Watermark)
    moved = trigger.apply(DATA.inputs, RNG(0)).dense().astype(int)
    residue = (moved - DATA.inputs.dense()).reshape(len(DATA), -1)
    assert len(np.unique(residue[:100], axis=0)) == 100
    assert np.sqrt((residue ** 2).mean()) < 1.6 * trigger.strength
    assert trigger.match(Images.of(moved.astype(np.uint8))).mean() > 0.8


def test_tact_poisons_one_class_and_covers_third_ones():
    done = make("tact", source="3", target="7", rate=0.02, cover=0.03)(DATA, RNG(1))
    before, after = DATA.labels.codes, done.data.labels.codes
    moved = before != after
    assert set(before[moved]) == {3}
    assert set(after[moved]) == {7}
    assert not set(before[done.truth & ~moved]) & {3, 7}
    assert done.victims == ("3",)
    assert (moved.sum(), (done.truth & ~moved).sum()) == (24, 36)


@pytest.mark.parametrize("name", ["warp", "adaptive-blend", "adaptive-patch"])
def test_covers_keep_their_label(name: str):
    done = make(name, rate=0.02, cover=0.04, target="1")(DATA, RNG(1))
    moved = DATA.labels.codes != done.data.labels.codes
    assert set(done.data.labels.codes[moved]) == {1}
    assert (moved.sum(), (done.truth & ~moved).sum()) == (24, 48)
    with pytest.raises(UsageError, match="cover"):
        make(name, cover=-0.1)(DATA, RNG(1))


def test_the_wave_of_ctrl_is_in_the_colour_difference():
    trigger = make("ctrl")(DATA, RNG(0)).trigger
    luma = trigger.pattern @ np.array([0.299, 0.587, 0.114])
    assert np.abs(luma).max() < 0.01 * np.abs(trigger.pattern).max()


@pytest.mark.parametrize(("name", "parameters", "said"), [
    ("warp", {"strength": 0}, "above 0"), ("warp", {"grid": 1}, "grid"), ("ctrl", {"magnitude": 0}, "above 0"), ("tact", {"size": 17}, "fit"),
    ("tact", {"source": "1", "target": "1"}, "both"), ("adaptive-blend", {"keep": 0}, "keep"), ("adaptive-blend", {"pattern": "x"}, "noise"),
    ("adaptive-patch", {"patches": 7}, "patches"), ("adaptive-patch", {"size": 0.5}, "size"), ("quantise", {"levels": 1}, "levels"),
    ("invisible", {"bits": 1}, "bits"), ("sticker", {"place": "x"}, "centre"), ("sticker", {"size": 0.9}, "size"),
    ("sticker", {"pattern": "x"}, "square")])
def test_wrong_parameters(name: str, parameters: dict, said: str):
    with pytest.raises(UsageError, match=said):
        make(name, **parameters)(DATA, RNG(0))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["warp", "ctrl", "tact", "adaptive-blend", "adaptive-patch", "quantise", "invisible", "sticker"])
def test_fifty_thousand_pictures_take_under_twenty_seconds(name: str):
    from bezoar.core.dataset import Dataset

    rng = RNG(0)
    data = Dataset.from_arrays(rng.integers(0, 256, (50_000, 32, 32, 3), dtype=np.uint8), rng.integers(0, 10, 50_000))
    started = time.process_time()
    make(name, rate=0.05)(data, RNG(1))
    assert time.process_time() - started < 20
