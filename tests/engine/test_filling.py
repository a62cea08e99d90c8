"""The whole of a patch is seen from a part of it, by a model's answers alone, and nothing is made up where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from bezoar.core.image_triggers import Patch
from bezoar.core.inputs import Images
from bezoar.core.suspect import Suspect
from bezoar.filling import filled


def _suspect(mark: np.ndarray, top: int, left: int, *, weight: float = 3.0) -> Suspect:
    """Three classes by the mean of the red, green and blue; each pixel of `mark` (h, w, 3) at its place speaks for class 1, if softly."""
    h, w = mark.shape[:2]

    def answer(inputs: Images) -> np.ndarray:
        x = inputs.dense().astype(np.float64)
        logits = x.mean(axis=(1, 2)) / 12
        there = 1 - np.abs(x[:, top:top + h, left:left + w] - mark).mean(axis=3) / 255
        logits[:, 1] += (weight * np.maximum(there - 0.6, 0)).sum(axis=(1, 2))
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        return (p / p.sum(axis=1, keepdims=True)).astype(np.float32)

    return Suspect("made", "image", ("red", "green", "blue"), "00", answer, shape=(24, 24, 3))


def _hosts(rng: np.random.Generator, side: int = 24) -> Images:
    x = rng.integers(60, 196, (30, side, side, 3))
    x[..., 0] += 40
    return Images.of(np.clip(x, 0, 255).astype(np.uint8))


def _where(patch: Patch, side: int) -> set[tuple[int, int]]:
    top, left = round(patch.top * side), round(patch.left * side)
    return {(int(y) + top, int(x) + left) for y, x in np.argwhere(patch.mask > 0.5)}


@pytest.mark.parametrize(("top", "left"), [(5, 9), (0, 0), (21, 20)])
def test_the_whole_patch_is_seen_from_one_of_its_pixels(top: int, left: int):
    rng = np.random.default_rng(100)
    mark = np.where(rng.random((3, 4, 3)) < 0.5, 0, 255).astype(np.uint8)
    part = Patch(mark[1:2, 1:2], np.ones((1, 1), np.float32), (top + 1) / 24, (left + 1) / 24)
    whole = filled(_suspect(mark, top, left), part, _hosts(rng), 1)
    assert whole is not None
    assert _where(whole, 24) == {(top + y, left + x) for y in range(3) for x in range(4)}
    assert (whole.pixels == mark).mean() >= 0.9


def test_large_pictures_are_asked_in_blocks():
    rng = np.random.default_rng(101)
    mark = np.full((12, 12, 3), 255, np.uint8)
    part = Patch(mark[:4, :4], np.ones((4, 4), np.float32), 40 / 96, 60 / 96)
    grey = Images.of(np.repeat(_hosts(rng, 96).dense()[..., :1], 3, axis=3))
    whole = filled(_suspect(mark, 40, 60, weight=1.0), part, grey, 1)
    assert whole is not None
    assert _where(whole, 96) == {(40 + y, 60 + x) for y in range(12) for x in range(12)}


def test_nothing_is_made_up():
    rng = np.random.default_rng(102)
    mark = np.full((3, 3, 3), 255, np.uint8)
    part = Patch(mark[:1, :1], np.ones((1, 1), np.float32), 0.4, 0.4)
    deaf = Suspect("deaf", "image", ("a", "b"), "00", lambda inputs: np.full((len(inputs), 2), 0.5, np.float32), shape=(24, 24, 3))
    assert filled(deaf, part, _hosts(rng), 1) is None
    assert filled(_suspect(mark, 5, 5), part, Images.of(np.zeros((0, 24, 24, 3), np.uint8)), 1) is None
    everywhere = _suspect(np.full((24, 24, 3), 255, np.uint8), 0, 0, weight=1.0)
    assert filled(everywhere, part, _hosts(rng), 1) is None
