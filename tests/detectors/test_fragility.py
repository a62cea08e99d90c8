"""Fragility: pictures that imitate another class to the user's own model are found; without one the check says so."""

from __future__ import annotations

import numpy as np
import pytest

from bezoar.core.dataset import Dataset
from bezoar.core.errors import Unavailable
from bezoar.core.learned import Learned, Taught
from bezoar.core.view import View
from bezoar.detectors.fragility import Fragility, gains
from bezoar.modalities.image import Image

SIDE, CLASSES = 16, 6
BOARD = np.indices((SIDE, SIDE)).sum(axis=0) % 2 * 2.0 - 1


def _templates() -> np.ndarray:
    row, column = np.mgrid[:SIDE, :SIDE] / SIDE
    return np.stack([np.sin(2 * np.pi * (c + 1) * row / 3 + c) * np.cos(2 * np.pi * column * (c % 3)) for c in range(CLASSES)])


def _data(seed: int, n: int = 360) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.arange(n) % CLASSES
    x = 128 + 40 * _templates()[y] + rng.normal(0, 25, (n, SIDE, SIDE))
    return np.repeat(x[..., None], 3, axis=3), y


def _model(view: View, weak: float = 0.3) -> Taught:
    """Templates against pixels, and class 1 also where a checkerboard stands: the weakness of an encoder."""
    flat = _templates().reshape(CLASSES, -1) / 400
    flat[1] += weak * BOARD.ravel() / 100

    def ask(inputs) -> np.ndarray:
        x = np.stack(inputs.read(np.arange(len(inputs))))[..., 0].reshape(len(inputs), -1).astype(float) - 128
        return (x @ flat.T).astype(np.float32)

    logits = ask(view.dataset.inputs)
    layer = logits.astype(np.float32)
    return Taught(Learned((layer,), (layer,), logits, layer[:, :1], layer), ask, "your model")


def _view(x: np.ndarray, y: np.ndarray, model=_model) -> View:
    return View(Dataset.from_arrays(np.clip(np.rint(x), 0, 255).astype(np.uint8), y), Image(), network=model)


@pytest.mark.parametrize("count", [10, 25])
def test_imitations_are_found_and_clean_rows_are_not(count):
    x, y = _data(100)
    hit = np.random.default_rng(101).choice(np.flatnonzero(y == 4), count, replace=False)
    x[hit] += 14 * BOARD[..., None]
    scores = Fragility()(_view(x, y), np.random.default_rng(0))
    assert len(scores.groups) == 1
    group = scores.groups[0]
    assert group.target == 4
    assert group.threat == "targeted"
    assert "sees class 1" in group.because
    assert np.isin(hit, group.members).mean() >= 0.9
    assert np.setdiff1d(group.members, hit).size <= 3


@pytest.mark.parametrize("seed", [102, 103])
def test_clean_pictures_are_quiet(seed):
    assert Fragility()(_view(*_data(seed)), np.random.default_rng(0)).groups == ()


def test_a_network_trained_here_is_not_enough():
    def trained(view: View) -> Taught:
        told = _model(view)
        return Taught(told.learned, told.ask, confuse=lambda rows, others, seed: told.learned.logits)

    with pytest.raises(Unavailable, match="model of your own"):
        Fragility()(_view(*_data(104), model=trained), np.random.default_rng(0))


def test_rows_without_a_label_have_no_gain():
    logits = np.zeros((5, 2), np.float32)
    found = gains(logits, np.stack([logits, logits]), np.array([0, -1, 1, 0, 1]))
    assert np.isnan(found[1]).all()
    assert (found[[0, 2, 3, 4]] == 0).all()
