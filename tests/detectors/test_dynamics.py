"""Dynamics: wrong labels are learned late against the neighbours, triggers early; it ranks and never accuses."""

from __future__ import annotations

import numpy as np
import pytest

from bezoar.core.dataset import Dataset
from bezoar.core.learned import Learned
from bezoar.core.view import View
from bezoar.detectors.dynamics import Dynamics
from bezoar.modalities.tabular import Tabular
from bezoar.testing.contract import auroc

RNG = np.random.default_rng


def _view(seed: int, late: bool) -> tuple[View, np.ndarray]:
    """Two classes of points; 30 of 600 carry the other label and are learned last (`late`) or at once."""
    rng = RNG(seed)
    content = np.arange(600) % 2
    hit = rng.choice(600, 30, replace=False)
    codes = content.copy()
    codes[hit] = 1 - codes[hit]
    x = rng.standard_normal((600, 4)) + 4 * content[:, None]
    losses = rng.exponential(1.0, (600, 1)) * np.exp(-0.5 * np.arange(8))[None, :]
    losses[hit] = 3.0 - 0.1 * np.arange(8) if late else 0.01
    plain = np.zeros((600, 2), np.float32)
    view = View(Dataset.from_arrays(x, codes), Tabular())
    view._kept["learned"] = Learned((plain,), (plain,), plain, losses, plain)
    truth = np.zeros(600, bool)
    truth[hit] = True
    return view, truth


@pytest.mark.parametrize("late", [True, False])
def test_labels_learned_at_odds_with_the_neighbours_come_first(late: bool):
    for seed in (0, 1):
        view, truth = _view(seed, late)
        scores = Dynamics()(view, RNG(0))
        assert auroc(scores.suspicion, truth) >= 0.9
        assert scores.groups == ()


def test_a_model_with_one_state_ranks_by_its_loss():
    view, truth = _view(0, True)
    losses = RNG(1).exponential(0.05, (600, 1)).astype(np.float32)
    truth &= view.labels == 1  # all in one class: a rank within it would hide most of them
    losses[truth] += 3
    plain = np.zeros((600, 2), np.float32)
    view._kept["learned"] = Learned((plain,), (plain,), plain, losses, plain)
    scores = Dynamics()(view, RNG(0))
    assert auroc(scores.suspicion, truth) == 1.0
    assert f"your model doubts {truth.sum()} of 600 labels" in scores.notes[0]


def test_rows_without_a_label_are_not_judged():
    view, _ = _view(0, True)
    codes = view.labels.copy()
    codes[:5] = -1
    other = View(view.dataset.with_changes(codes=codes), Tabular())
    other._kept["learned"] = view.learned()
    suspicion = Dynamics()(other, RNG(0)).suspicion
    assert np.isnan(suspicion[:5]).all()
    assert np.isfinite(suspicion[5:]).all()
