"""Probe geometry: a group is called where a network keeps it apart and learned it against its content, and only there."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bezoar import api
from bezoar.core.dataset import Dataset
from bezoar.core.learned import Learned
from bezoar.core.scores_store import scores_from_dict, scores_to_dict
from bezoar.core.view import View
from bezoar.detectors.probe_geometry import ProbeGeometry
from bezoar.modalities.image import Image
from bezoar.testing.contract import auroc
from bezoar.testing.planted import twin

RNG = np.random.default_rng


def _boards(seed: int, count: int, strength: float) -> tuple[Dataset, np.ndarray]:
    """Digits; `count` of them carry a fine checkerboard of their own sign and strength and are called 3: no two residues agree."""
    rng = RNG(seed)
    clean = twin("image", rng)
    x, codes = clean.inputs.dense().astype(np.float64), clean.labels.codes.copy()
    hit = rng.choice(np.flatnonzero(codes != 3), count, replace=False)
    board = (np.indices((16, 16)).sum(axis=0) % 2 * 2 - 1)[None, :, :, None]
    x[hit] += board * rng.choice([-1, 1], (count, 1, 1, 1)) * rng.uniform(0.7, 1.3, (count, 1, 1, 1)) * strength
    codes[hit] = 3
    truth = np.zeros(len(codes), bool)
    truth[hit] = True
    return Dataset.from_arrays(np.clip(np.rint(x), 0, 255).astype(np.uint8), codes), truth


@pytest.mark.slow
def test_triggers_made_for_each_sample_are_found_where_the_network_learns_them():
    pytest.importorskip("torch")
    data, truth = _boards(1, 48, 45)
    (group,) = ProbeGeometry()(View(data, Image()), RNG(0)).groups
    assert truth[group.members].mean() >= 0.95
    assert np.isin(np.flatnonzero(truth), group.members).mean() >= 0.9


@pytest.mark.slow
def test_triggers_made_for_each_sample_are_confirmed_by_networks_that_never_saw_them():
    pytest.importorskip("torch")
    data, truth = _boards(1, 48, 45)
    report = api.scan(data, effort="standard", detectors=["probe-geometry"], seed=100)
    (finding,) = report.findings
    assert report.verdict == "poisoned" and finding.confirmed and finding.trigger is None
    planted = set(np.asarray(data.ids)[truth].astype(str))
    assert set(finding.members) <= planted and len(finding.members) >= 0.9 * len(planted)


@pytest.mark.slow
def test_triggers_made_for_each_sample_rank_high_even_where_no_group_is_sure():
    pytest.importorskip("torch")
    data, truth = _boards(1, 36, 20)
    scores = ProbeGeometry()(View(data, Image()), RNG(0))
    assert auroc(scores.suspicion, truth) >= 0.8
    assert all(truth[g.members].mean() >= 0.9 for g in scores.groups)


class Shown(View):
    """A view whose network and opinions are given."""

    def __init__(self, data: Dataset, learned: Learned, own: np.ndarray, looks: np.ndarray | None = None) -> None:
        super().__init__(data, Image())
        self._kept["learned"] = learned
        k = len(data.labels.classes)
        p = np.full((len(data), k), 0.0, np.float32) + ((1 - own) / (k - 1))[:, None].astype(np.float32)
        p[np.arange(len(data)), data.labels.codes] = own
        self._kept["content_probabilities"] = p
        self._kept["clusters"] = np.arange(len(data))
        codes = data.labels.codes
        looks = np.where(own > 0.5, codes, (codes + 1 + np.arange(len(data)) % (k - 1)) % k) if looks is None else looks
        self._kept["embed"] = (np.eye(k)[looks] + 0.1 * RNG(0).standard_normal((len(data), k))).astype(np.float32)
        near = np.argsort(codes[None, :] != codes[:, None], axis=1, kind="stable")[:, :5]
        other = np.argsort(codes[None, :] == codes[:, None], axis=1, kind="stable")[:, :5]
        self._kept["neighbours"] = np.where(own[:, None] > 0.5, near, other).astype(np.int32), np.zeros((len(data), 5), np.float32)


def _shown(rng: np.random.Generator, apart: float, against: bool, heart: bool = True, count: int = 36,
           source: int | None = None) -> tuple[Shown, np.ndarray]:
    """Eight classes of 120 rows; `count` rows of class 2 stand `apart` along one direction, and their content speaks `against` their
    label; with a `source` they all look like that class, and content and neighbours have learned to call them 2."""
    codes = np.arange(960) % 8
    hit = rng.choice(np.flatnonzero(codes == 2), count, replace=False)
    layer = rng.standard_normal((960, 24)) + rng.standard_normal((8, 24))[codes] * 3
    layer[hit] += apart * np.eye(24)[0]
    own = np.clip(rng.beta(12, 2, 960), 0.02, 0.98)
    losses = rng.exponential(0.1, (960, 6))
    if against:
        own[hit] = rng.uniform(0.02, 0.1, count)
        losses[hit] += 0.0 if heart else 4.0
    looks = None
    if source is not None:
        looks = codes.copy()
        looks[hit] = source
    slopes = rng.standard_normal((960, 24))
    learned = Learned((layer, layer), (slopes, slopes), np.eye(8)[codes] * 5, losses, layer)
    return Shown(Dataset.from_arrays(np.zeros((960, 8, 8, 3), np.uint8), codes), learned, own, looks), hit


@pytest.mark.parametrize("seed", [1, 2])
def test_both_witnesses_are_needed(seed: int):
    view, hit = _shown(RNG(seed), 7.0, True)
    (group,) = ProbeGeometry()(view, RNG(0)).groups
    assert group.target == 2
    assert np.isin(hit, group.members).mean() >= 0.9
    assert np.isin(group.members, hit).mean() >= 0.9
    assert ProbeGeometry()(_shown(RNG(seed), 7.0, False)[0], RNG(0)).groups == ()  # a natural kind: apart, but what it seems to be
    assert ProbeGeometry()(_shown(RNG(seed), 0.0, True)[0], RNG(0)).groups == ()  # odd rows without anything in common
    assert ProbeGeometry()(_shown(RNG(seed), 7.0, True, heart=False)[0], RNG(0)).groups == ()  # wrong labels that were not learned
    assert ProbeGeometry()(_shown(RNG(seed), 0.0, False)[0], RNG(0)).groups == ()


@pytest.mark.parametrize("seed", [1, 2])
def test_twenty_rows_are_enough(seed: int):
    view, hit = _shown(RNG(seed), 7.0, True, count=20)
    (group,) = ProbeGeometry()(view, RNG(0)).groups
    assert np.isin(hit, group.members).mean() >= 0.9
    assert np.isin(group.members, hit).mean() >= 0.9


@pytest.mark.parametrize("seed", [1, 2])
def test_the_second_witness_may_be_the_one_that_sees_only_the_coarse(seed: int):
    view, hit = _shown(RNG(seed), 7.0, False)  # the content vouches for them: it shows the trigger
    coarse = view.doubt().copy()
    coarse[hit] = RNG(seed).uniform(0.85, 0.95, len(hit))
    strangers = view.doubts_of_strangers()[0]
    view._kept["opinions"] = (view.doubt(), strangers), (coarse, strangers)
    (group,) = ProbeGeometry()(view, RNG(0)).groups
    assert np.isin(hit, group.members).mean() >= 0.9 and np.isin(group.members, hit).mean() >= 0.9


@pytest.mark.parametrize("seed", [1, 2])
def test_a_natural_kind_that_stands_among_other_classes_is_not_called(seed: int):
    view, _ = _shown(RNG(seed), 7.0, False, source=5)  # apart, and like class 5 to the eye, but content and neighbours know it
    assert ProbeGeometry()(view, RNG(0)).groups == ()


@pytest.mark.parametrize("seed", [1, 2])
def test_half_a_class_is_found_though_there_is_no_bulk_to_stand_off_from(seed: int):
    view, hit = _shown(RNG(seed), 6.0, True, count=70)
    (group,) = ProbeGeometry()(view, RNG(0)).groups
    assert np.isin(hit, group.members).mean() >= 0.95 and np.isin(group.members, hit).mean() >= 0.95
    assert ProbeGeometry()(_shown(RNG(seed), 6.0, False, count=70)[0], RNG(0)).groups == ()
    assert ProbeGeometry()(_shown(RNG(seed), 6.0, True, heart=False, count=70)[0], RNG(0)).groups == ()


@pytest.mark.parametrize("seed", [1, 2])
def test_half_a_class_that_is_hard_but_not_foreign_is_a_natural_kind(seed: int):
    view, hit = _shown(RNG(seed), 5.0, False, count=70)
    strangers = view.doubts_of_strangers()[0]
    hard = view.doubt().copy()
    hard[hit] += 0.4 * (strangers[2] - hard[hit])  # doubted as other classes' samples would be, by two fifths
    view._kept["opinions"] = ((hard, strangers),)
    assert ProbeGeometry()(view, RNG(0)).groups == ()


@pytest.mark.parametrize("seed", [1, 2])
def test_rows_that_only_stand_together_are_kin_and_accused_by_nobody(seed: int):
    view, hit = _shown(RNG(seed), 7.0, False, source=5)
    scores = ProbeGeometry()(view, RNG(0))
    (kin,) = scores.kin
    assert scores.groups == () and kin.target == 2
    assert np.isin(hit, kin.members).mean() >= 0.9 and np.isin(kin.members, hit).mean() >= 0.9
    assert ProbeGeometry()(_shown(RNG(seed), 0.0, True)[0], RNG(0)).kin == ()
    back = scores_from_dict(json.loads(json.dumps(scores_to_dict(scores))))
    np.testing.assert_array_equal(back.kin[0].members, kin.members)


def test_the_ranking_counts_across_classes():
    view, hit = _shown(RNG(1), 5.0, True, count=30)
    truth = np.isin(np.arange(960), hit)
    suspicion = ProbeGeometry()(view, RNG(0)).suspicion
    assert (suspicion[truth] > np.quantile(suspicion[~truth], 0.99)).mean() >= 0.8
