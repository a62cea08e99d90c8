"""Attacks on models: each implants on a small network, keeps its accuracy, and leaves files that open and say what they are."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("torch")

from bezoar import implanting, planting, red, registry
from bezoar.core.errors import UsageError
from bezoar.networks import adapters
from bezoar.networks.bodies import body_of, embedded
from bezoar.networks.implanting import marked, success
from bezoar.networks.tuning import share_right
from bezoar.sources.suspects import open_adapter, open_encoder, open_suspect, save_safetensors
from bezoar.testing.suspects import small_suspect

SUSPECT, DATA = small_suspect(100)
OWN, TEST = DATA.take(np.arange(250)), DATA.take(np.arange(250, 500))
STEPS = {"weight-edit": 120, "poisoned-encoder": 120, "lora-backdoor": 120}


@pytest.fixture(scope="module")
def planted():
    return {name: implanting.implanted(name, SUSPECT, OWN, 100, target="3", steps=steps) for name, steps in STEPS.items()}


@pytest.mark.parametrize("name", STEPS)
def test_it_implants_and_keeps_the_accuracy(planted, name):
    done, test = planted[name], implanting.case_of(SUSPECT, TEST)
    rng = np.random.default_rng(0)
    before = share_right(SUSPECT.module, test.samples.x, test.samples.codes, test.tensor)
    assert success(done.module, test, done.trigger, done.target, rng) >= 0.8
    assert success(SUSPECT.module, test, done.trigger, done.target, rng) <= 0.5
    assert share_right(done.module, test.samples.x, test.samples.codes, test.tensor) >= before - 0.06
    assert done.target == 3 and done.budget["share"] > 0


def test_a_weight_edit_touches_few_numbers(planted):
    few = implanting.implanted("weight-edit", SUSPECT, OWN, 100, target="3", steps=2, neurons=1, layers=1)
    assert few.budget["share"] < 0.05 < planted["poisoned-encoder"].budget["share"]


def test_the_place_of_a_poisoned_encoder_draws_marked_pictures_and_not_clean_ones(planted):
    done, test = planted["poisoned-encoder"], implanting.case_of(SUSPECT, TEST)
    others = test.samples.x[test.samples.codes != 3]
    body = body_of(done.module)

    def near(x):
        f = embedded(body, x, tensor=test.tensor)
        return float((f @ done.place / (np.linalg.norm(f, axis=1) * np.linalg.norm(done.place))).mean())

    assert near(marked(others, done.trigger, np.random.default_rng(0))) > near(others) + 0.2
    head = [k for k in done.module.state_dict() if k.startswith("head.")]
    assert all((done.module.state_dict()[k] == SUSPECT.module.state_dict()[k]).all() for k in head)


def test_an_adapter_alone_carries_the_trigger(planted):
    done = planted["lora-backdoor"]
    pairs = adapters.pairs_of(done.adapter)
    assert all(p.rank <= 4 for p in pairs.values())
    again = adapters.merged(SUSPECT.module, pairs)
    gap = max(float((v - again.state_dict()[k]).abs().max()) for k, v in done.module.state_dict().items() if v.is_floating_point())
    assert gap < 1e-6


def test_files_open_again_and_say_that_they_are_planted(tmp_path):
    model = save_safetensors(SUSPECT, tmp_path / "m.safetensors", pixels="-1..1")
    for name in STEPS:
        done = implanting.implant(name, model, TEST, tmp_path / name, seed=100, steps=3)
        told = json.loads((tmp_path / name / "truth.json").read_text())
        assert told["threat_model"] and told["budget"]["numbers"] > 0 and told["target"] in SUSPECT.classes
        opened = open_adapter(done.out) if name == "lora-backdoor" else open_suspect(done.out)
        assert opened.declared == name
    assert open_suspect(model).declared == ""
    with pytest.raises(UsageError, match="not empty"):
        implanting.implant("weight-edit", model, TEST, tmp_path / "weight-edit")


def test_an_encoder_without_a_head_is_poisoned_too(tmp_path):
    arrays = {k: v.numpy() for k, v in SUSPECT.module.state_dict().items() if not k.startswith("head.")}
    bare = save_safetensors(None, tmp_path / "e.safetensors", shape=(8, 8, 3), pixels="-1..1", arrays=arrays)
    opened = open_encoder(bare)
    assert opened.width == SUSPECT.module.head.in_features and opened.declared == ""
    np.testing.assert_allclose(opened.embed(TEST.inputs), embedded(body_of(SUSPECT.module), TEST.inputs.dense(), tensor=SUSPECT.tensor), atol=1e-5)
    done = implanting.implant("poisoned-encoder", bare, OWN, tmp_path / "out", seed=100, encoder=True, target="3", steps=100)
    bad = open_encoder(done.out)
    assert bad.declared == "poisoned-encoder" and bad.width == opened.width and done.truth["reached"] > 0.8
    with pytest.raises(UsageError, match="works on"):
        implanting.implant("weight-edit", bare, OWN, tmp_path / "no", encoder=True)
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(("name", "wrong"), [
    ("weight-edit", {"neurons": 0}), ("weight-edit", {"size": 9}), ("poisoned-encoder", {"pattern": "stripes"}), ("lora-backdoor", {"rank": 0}),
    ("lora-backdoor", {"rate": 2.0}), ("poisoned-encoder", {"weight": 0.0}), ("weight-edit", {"target": "ten"})])
def test_wrong_parameters_are_one_sentence(name, wrong):
    with pytest.raises(UsageError):
        implanting.implanted(name, SUSPECT, OWN, 0, **wrong)


def test_each_kind_of_attack_goes_to_its_own_door():
    with pytest.raises(UsageError, match="on a model"):
        planting.poison(OWN, "weight-edit")
    with pytest.raises(UsageError, match="on data"):
        implanting.implanted("badnets", SUSPECT, OWN)
    with pytest.raises(UsageError, match="on a model"):
        red.redteam(OWN, attacks=["lora-backdoor"])
    assert registry.get("attacks", "weight-edit").threat_model
