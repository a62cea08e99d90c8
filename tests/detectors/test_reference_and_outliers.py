"""Comparison with a trusted set, and the outlier ranking."""

import numpy as np
import pytest

from bezoar.core.dataset import Dataset
from bezoar.core.errors import Unavailable
from bezoar.core.view import View
from bezoar.detectors.outliers import Outliers, rank_within
from bezoar.detectors.reference import Reference
from bezoar.maths.smallp import hit_pmf, together, upper_tail
from bezoar.modalities.tabular import Tabular


def part(seed, n):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    return np.random.default_rng(9).standard_normal((3, 8))[y] * 3 + rng.standard_normal((n, 8)), y, rng


def compare(x, y, seed=1000, n=1200):
    clean, labels, _ = part(seed, n)
    trusted = View(Dataset.from_arrays(clean, labels), Tabular())
    return Reference()(View(Dataset.from_arrays(x, y), Tabular(), reference=trusted), np.random.default_rng(0))


def test_flips_stand_out_against_the_reference():
    x, y, rng = part(1, 900)
    hit = rng.random(900) < 0.05
    y = np.where(hit, (y + 1) % 3, y)
    scores = compare(x, y)
    assert scores.groups
    members = scores.groups[-1].members
    assert hit[members].mean() > 0.7
    assert hit[members].sum() / hit.sum() > 0.6
    assert any("cannot see below" in note for note in scores.notes)


def test_an_honest_twin_does_not():
    alarms = sum(bool(compare(*part(seed, 600)[:2], seed=2000 + seed, n=600).groups) for seed in range(20))
    assert alarms <= 1


def test_no_reference_no_score_and_unknown_classes_are_nan():
    x, y, _ = part(3, 100)
    with pytest.raises(Unavailable, match="reference"):
        Reference()(View(Dataset.from_arrays(x, y), Tabular()), np.random.default_rng(0))
    y[:40] = 7
    scores = compare(x, y)
    assert np.isnan(scores.suspicion[:40]).all()
    assert not np.isnan(scores.suspicion[40:]).any()


def test_count_of_small_p_values_is_exact():
    rng = np.random.default_rng(4)
    hits = [int(((1 + (rng.random(49)[:, None] >= rng.random(30)).sum(axis=0)) <= 5).sum()) for _ in range(4000)]
    pmf = hit_pmf(30, 49, 5)
    assert np.isclose(pmf.sum(), 1)
    assert abs(np.mean(hits) - (np.arange(31) * pmf).sum()) < 0.15
    assert abs(np.mean(np.array(hits) >= 8) - upper_tail(pmf)[8]) < 0.02
    assert np.isclose(together([pmf, pmf], 60).sum(), 1)


def test_outliers_rank_the_strange_and_the_mislabelled_high():
    x, y, rng = part(5, 900)
    strange = rng.random(900) < 0.03
    x[strange] = rng.standard_normal((strange.sum(), 8)) * 6
    view = View(Dataset.from_arrays(x, y), Tabular())
    s = Outliers()(view, rng)
    assert s.groups == ()
    assert s.suspicion[strange].mean() > 0.8
    assert abs(s.suspicion.mean() - 0.5) < 0.02
    order = rng.permutation(900)
    again = Outliers()(View(Dataset.from_arrays(x[order], y[order]), Tabular()), rng)
    assert np.abs(again.suspicion - s.suspicion[order]).max() < 0.02


def test_ranks():
    assert rank_within(np.array([1.0, 1.0, 2.0]), np.zeros(3, int)).tolist() == [0.25, 0.25, 1.0]
    assert np.isnan(Outliers()(View(Dataset.from_arrays(np.ones((2, 2)), [0, 1]), Tabular()), np.random.default_rng(0)).suspicion).all()
