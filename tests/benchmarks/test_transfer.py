"""Attacks in the transfer setting: an encoder on most of the data, a head on a few other samples per class."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(FOLDER))

pytest.importorskip("torch")

import attacks  # noqa: E402
import realdata  # noqa: E402
import transfer  # noqa: E402
from bezoar import registry  # noqa: E402
from bezoar.testing.planted import twin  # noqa: E402
from bezoar.validity import Validity, halves  # noqa: E402


def parts():
    return halves(realdata.digits(), np.random.default_rng(100), 0.2)


def cell(name, parameters, cache, aims=4, seed=100):
    victim = registry.make("victims", "image-vgg", {"width": 8})
    return transfer.run(name, parameters, victim, *parts(), np.random.default_rng(seed), seed=seed, cache=cache, aims=aims)


def test_the_parts_of_encoder_and_head_share_no_row_and_repeat():
    data = twin("image", np.random.default_rng(0), rows=200)
    rest, tuned = transfer.divided(data, 7)
    assert len(rest) + len(tuned) == len(data)
    assert not set(rest.ids) & set(tuned.ids)
    sizes = np.bincount(data.labels.codes)
    assert (np.bincount(tuned.labels.codes) == np.minimum(transfer.EACH, sizes // 2)).all()
    assert transfer.divided(data, 7)[1].fingerprint == tuned.fingerprint != transfer.divided(data, 8)[1].fingerprint


def test_feature_collision_takes_over_a_head_and_the_encoder_is_trained_once(tmp_path, monkeypatch):
    one = cell("feature-collision", {"mode": "bullseye", "rate": 0.05, "bound": 48.0, "steps": 60}, tmp_path)
    assert (one.measure, one.of, one.victim) == ("aim", 4, "head on image-vgg")
    assert one.success >= 0.5
    assert one.twin <= 0.25
    assert one.accuracy > one.twin_accuracy - 0.1
    assert len(list(tmp_path.glob("*.npz"))) == 1
    monkeypatch.setattr("bezoar.networks.training.fit", lambda *a, **k: pytest.fail("trained again"))
    again = cell("feature-collision", {"mode": "bullseye", "rate": 0.05, "bound": 48.0, "steps": 60}, tmp_path)
    assert replace(again, seconds=0) == replace(one, seconds=0)


def test_a_bound_of_one_grey_level_does_not_implant(tmp_path):
    weak = cell("feature-collision", {"mode": "collision", "rate": 0.02, "bound": 1.0, "steps": 5}, tmp_path)
    assert weak.success <= 0.25
    assert not weak.implanted


def test_concept_is_one_attack_on_a_class(tmp_path):
    found = cell("concept", {"rate": 0.05, "bound": 32.0, "steps": 20}, tmp_path)
    assert found.measure == "aim"
    assert found.of > 1


def test_repeats_add_up():
    base = Validity("a", "v", "aim", 1.0, (0.0, 1.0), 1, 1, 0.0, 0.9, (0.8, 1.0), 0.9, 5, 100, True, 1.0)
    both = transfer.merged([base, replace(base, success=0.0, hits=0, implanted=False)])
    assert (both.hits, both.of, both.success, both.seconds) == (1, 2, 0.5, 2.0)


def test_the_cells_are_on_the_list():
    if not realdata.available("cifar10"):
        pytest.skip("needs real data")
    assert sum(c.transfer for c in attacks.all_cells()) == 5
