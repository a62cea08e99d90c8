"""The whole of a patch is seen by slopes from a part of it, for all classes or for one, and nothing is made up where there is none."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import nn

from bezoar.networks.pixels import Pixels, still
from bezoar.networks.windows import middle, one_way, painted, places, squares, windowed

SIDE = 16


def pictures(rows: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(rows.transpose(0, 3, 1, 2).astype(np.float32) / 255)


class Marked(nn.Module):
    """Three classes by the mean of red, green and blue; what lies at a place speaks for class 1 the more it is like a mark, in pictures
    that are redder than `only` says."""

    def __init__(self, mark: np.ndarray, top: int, left: int, only: float = -1.0) -> None:
        super().__init__()
        self.mark = torch.from_numpy(mark.astype(np.float32).transpose(2, 0, 1) / 255)
        self.top, self.left, self.only = top, left, only

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h, w = self.mark.shape[1:]
        logits = 20 * x.mean(dim=(2, 3))
        there = 1 - (x[:, :, self.top:self.top + h, self.left:self.left + w] - self.mark).abs().mean(dim=1)
        held = torch.relu(there - 0.4).sum(dim=(1, 2)) * 40 / (h * w)
        return logits + torch.stack([0 * held, held * (logits[:, 0] - logits[:, 2] > self.only), 0 * held], dim=1)


def _marked(mark: np.ndarray, top: int, left: int, only: float = -1e9) -> Pixels:
    return Pixels(Marked(mark, top, left, only).eval(), pictures, (SIDE, SIDE, 3))


def _hosts(rng: np.random.Generator, n: int = 12) -> torch.Tensor:
    x = rng.uniform(0.3, 0.7, (n, 3, SIDE, SIDE)).astype(np.float32)
    x[:, 0] += 0.15
    return torch.from_numpy(x)


def _core(*held: tuple[int, int]) -> np.ndarray:
    core = np.zeros((SIDE, SIDE), bool)
    core[tuple(np.array(held).T)] = True
    return core


@pytest.mark.parametrize(("top", "left", "size"), [(5, 9, 3), (0, 0, 3), (12, 11, 4), (13, 2, 2)])
def test_the_whole_square_is_seen_from_one_of_its_pixels(top: int, left: int, size: int):
    rng = np.random.default_rng(100)
    mark = np.where(rng.random((size, size, 3)) < 0.5, 0, 255).astype(np.uint8)
    p = _marked(mark, top, left)
    with still(p.module):
        found = windowed(p, _hosts(rng), 1, _core((top + 1, left + 1)), rng)
    assert found is not None
    assert (round(found.top * SIDE), round(found.left * SIDE), *found.mask.shape) == (top, left, size, size)
    assert (np.abs(found.pixels.astype(int) - mark) < 64).mean() >= 0.9


def test_a_patch_that_works_on_one_class_is_seen_on_that_class():
    rng = np.random.default_rng(101)
    mark = np.full((3, 3, 3), 255, np.uint8)
    x, codes = _hosts(rng, 24), np.repeat([0, 2], 12)
    x[codes == 2] = x[codes == 2].flip(dims=(1,))
    p = _marked(mark, 9, 4, only=0.0)
    with still(p.module):
        found = one_way(p, x, codes, 1, rng)
    assert found is not None
    code, patch = found
    assert code == 0
    assert (round(patch.top * SIDE), round(patch.left * SIDE), *patch.mask.shape) == (9, 4, 3, 3)


def test_nothing_is_made_up():
    rng = np.random.default_rng(102)
    x = _hosts(rng)

    class Deaf(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 0 * x.mean(dim=(2, 3))

    p = Pixels(Deaf(), pictures, (SIDE, SIDE, 3))
    with still(p.module):
        assert windowed(p, x, 1, _core((5, 5)), rng) is None
        assert windowed(p, x, 1, np.zeros((SIDE, SIDE), bool), rng) is None
        assert windowed(p, x[:0], 1, _core((5, 5)), rng) is None
        assert one_way(p, x[:4], np.zeros(4, int), 1, rng) is None
        assert one_way(p, _hosts(rng, 17 * 5), np.repeat(np.arange(17), 5), 1, rng) is None


def test_squares_are_those_of_a_slow_loop():
    rng = np.random.default_rng(103)
    for _ in range(20):
        low, high = np.sort(rng.integers(0, 9, (2, 2)), axis=0)
        size, unit = int(rng.integers(1, 4)), int(rng.integers(1, 3))
        slow = [(y, x) for y, x in itertools.product(range(low[0], 9, unit), range(low[1], 9, unit))
                if y + size <= high[0] and x + size <= high[1]]
        got = places(low, high, size, unit)
        assert [tuple(v) for v in got] == slow
        for mask, (y, x) in zip(squares(got, size, (9, 9)), slow, strict=True):
            drawn = np.zeros((9, 9), bool)
            drawn[y:y + size, x:x + size] = True
            assert (mask == drawn).all()


def test_patterns_are_painted_one_by_one_as_together():
    rng = np.random.default_rng(104)
    p = _marked(np.full((2, 2, 3), 255, np.uint8), 3, 3)
    x, masks = _hosts(rng), squares(np.array([[3, 3], [8, 8], [0, 0]]), 2, (SIDE, SIDE))
    with still(p.module):
        margins, patterns = painted(p, x, 1, masks, 10)
        alone = [painted(p, x, 1, m[None], 10) for m in masks]
    assert np.allclose(margins, [m[0] for m, _ in alone], atol=1e-3)
    assert np.allclose(patterns, np.concatenate([q for _, q in alone]), atol=1e-2)
    assert margins.argmax() == 0
    assert patterns[0][:, 3:5, 3:5].min() > 0.8


def test_the_middle_is_drawn_by_those_that_do_alike_alone():
    corners = np.array([[0, 0], [0, 2], [2, 0], [2, 2], [9, 9]])
    assert middle(corners, np.array([1.0, 1.0, 1.0, 1.0, 0.9]), 2).tolist() == [1, 1]
    assert middle(corners, np.array([1.0, 0.2, 0.2, 0.2, 0.9]), 2).tolist() == [0, 0]
