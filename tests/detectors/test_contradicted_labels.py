"""Labels and partition on blobs and on digits: planted noise is found and estimated, clean twins stay quiet."""

import numpy as np
import pytest

from bezoar.core.dataset import Dataset
from bezoar.core.errors import Unavailable
from bezoar.core.view import View
from bezoar.detectors.labels import Labels
from bezoar.detectors.partition import Partition
from bezoar.modalities.tabular import Tabular


def table(seed, n=1500, k=4, gap=4.0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, k, n)
    centre = np.random.default_rng(99).standard_normal((k, 8)) * gap / np.sqrt(2)
    return centre[y] + rng.standard_normal((n, 8)), y, rng


def flipped(y, rng, rate, k=4):
    hit = rng.random(len(y)) < rate
    out = y.copy()
    out[hit] = (y[hit] + rng.integers(1, k, hit.sum())) % k
    return out, hit


def run(detector, x, y, **origin):
    view = View(Dataset.from_arrays(x, y, **origin), Tabular())
    return detector(view, np.random.default_rng(0))


def f1(members, truth):
    said = np.zeros(len(truth), bool)
    said[members] = True
    return 2 * (said & truth).sum() / (said.sum() + truth.sum())


@pytest.mark.parametrize("seed", [100, 101])
def test_random_flips_are_listed_and_measured(seed):
    x, y, rng = table(seed)
    noisy, truth = flipped(y, rng, 0.06)
    scores = run(Labels(), x, noisy)
    alarms = [g for g in scores.groups if not g.advisory]
    assert len(alarms) == 1
    assert alarms[0].p_value <= 0.01
    assert f1(alarms[0].members, truth) > 0.85
    share = float(scores.overview[0].rows[0][1].rstrip("%"))
    assert 4 < share < 8


def test_a_list_of_hard_labels_spares_the_right_ones():
    x, y, rng = table(100, n=6000, gap=1.5)  # classes overlap: no list finds most of the changes and only those
    noisy, hit = flipped(y, rng, 0.08)
    strict, loose = run(Labels(), x, noisy), run(Labels(spill=1.0), x, noisy)
    (few,), (many,) = ([g for g in s.groups if not g.advisory and g.target is None] for s in (strict, loose))
    share = [(~hit[g.members]).sum() / (~hit).sum() for g in (few, many)]
    assert share[0] <= 0.01 < share[1]
    assert set(few.members) < set(many.members)
    assert hit[few.members].mean() > hit[many.members].mean()


def test_labels_moved_one_way_are_named():
    x, y, rng = table(102)
    truth = (y == 0) & (rng.random(len(y)) < 0.2)
    noisy = np.where(truth, 1, y)
    alarms = [g for g in run(Labels(), x, noisy).groups if not g.advisory]
    assert alarms[0].target == 1
    assert f1(alarms[0].members, truth) > 0.8


@pytest.mark.parametrize("gap", [4.0, 1.2])
def test_clean_labels_raise_no_alarm_however_hard(gap):
    for seed in range(110, 115):
        x, y, _ = table(seed, gap=gap)
        scores = run(Labels(), x, y)
        assert not [g for g in scores.groups if not g.advisory]
        assert sum(len(g.members) for g in scores.groups) <= 0.01 * len(y)


def test_permuted_rows_permuted_suspicion():
    x, y, rng = table(103)
    noisy, _ = flipped(y, rng, 0.05)
    order = rng.permutation(len(y))
    a = run(Labels(), x, noisy).suspicion[order]
    b = run(Labels(), x[order], noisy[order]).suspicion
    assert np.abs(a - b).mean() < 0.01


def test_odd_datasets():
    x, y, _ = table(104, n=60)
    assert np.isnan(run(Labels(), x, np.zeros(60, int)).suspicion).all()
    assert len(run(Labels(), x, np.arange(60)).suspicion) == 60
    with pytest.raises(Unavailable):
        run(Labels(), x, None)
    with pytest.raises(Unavailable, match="origin"):
        run(Partition(), x, y)


def test_the_bad_source_is_named_first():
    for seed in (120, 121, 122):
        x, y, rng = table(seed, n=3000)
        source = rng.integers(0, 10, len(y))
        bad = (source == 7) & (rng.random(len(y)) < 0.1)
        noisy = np.where(bad, (y + rng.integers(1, 4, len(y))) % 4, y)
        groups = run(Partition(), x, noisy, source=[f"vendor-{s}" for s in source]).groups
        alarms = [g for g in groups if not g.advisory]
        assert [g.title for g in alarms] == ["source 'vendor-7'"]
        assert bad[alarms[0].members].mean() > 0.8


def test_honest_sources_are_not_accused():
    for seed in range(130, 136):
        x, y, rng = table(seed, gap=1.5)
        source = rng.integers(0, 10, len(y))
        assert not [g for g in run(Partition(), x, y, source=source).groups if not g.advisory]


def test_a_bad_week_and_a_shifted_camera():
    x, y, rng = table(140, n=3000)
    time = np.arange(3000)
    bad = (time >= 900) & (time < 1200) & (rng.random(3000) < 0.2)
    noisy = np.where(bad, (y + 1) % 4, y)
    alarms = [g for g in run(Partition(), x, noisy, time=time).groups if not g.advisory]
    assert "900" in alarms[0].title
    camera = rng.integers(0, 5, 3000)
    x[camera == 2] += 0.8
    groups = run(Partition(), x, y, camera=camera).groups
    assert any(g.advisory and "'2'" in g.title and "differ" in g.title for g in groups)
    assert not [g for g in groups if not g.advisory]


def test_networks_that_did_not_see_a_row_join_where_they_know_more():
    x, y, rng = table(100, gap=1.0)  # content alone is at a loss
    noisy, hit = flipped(y, rng, 0.06)
    level = np.where(rng.random(len(y)) < 0.85, 0.999, 0.6)  # what it is less sure of it gets wrong as often as it says
    guess = np.where(rng.random(len(y)) < level, y, (y + rng.integers(1, 4, len(y))) % 4)
    sure = np.repeat((1 - level)[:, None] / 3, 4, axis=1).astype(np.float32)
    sure[np.arange(len(y)), guess] = level

    def listed(networks, opinion):
        view = View(Dataset.from_arrays(x, noisy), Tabular(), networks=networks)
        if opinion is not None:
            view._kept["network_probabilities"] = opinion
        scores = Labels()(view, np.random.default_rng(0))
        return f1(np.concatenate([np.zeros(0, int), *(g.members for g in scores.groups)]), hit), scores

    alone, first = listed(False, None)
    helped, _ = listed(True, sure)
    assert helped > max(0.7, alone + 0.2)
    _, without = listed(True, None)  # tables have no such networks
    np.testing.assert_array_equal(first.suspicion, without.suspicion)
    dull, _ = listed(True, np.full((len(y), 4), 0.25, np.float32))
    assert dull >= alone - 0.05
