"""One switch for where networks run: the same words in every command, one sentence where a card is missing, the processor by name as by default."""

import inspect
import json

import numpy as np
import pytest

pytest.importorskip("torch")
import torch

from bezoar import api, auditing, inheritance, pretrained, red, remedy
from bezoar.cli import audit, machine, mend, redteam, scan
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.image_triggers import Patch
from bezoar.demo import texts
from bezoar.networks import builds, device, training
from bezoar.sources.suspects import save_safetensors, suspect_from, with_module

COMMANDS = {"scan": (scan.scan, ["nothing.csv"]), "audit": (audit.audit, ["model.safetensors"]),
            "repair": (mend.repair, ["model.safetensors", "--data", "photos/"]), "redteam": (redteam.redteam, ["nothing.csv"])}
VERBS = {"scan": api.scan, "audit": auditing.audit, "encoder": pretrained.audit_encoder, "base": inheritance.audit_inheritance,
         "repair": remedy.repair, "redteam": red.redteam}
WITHOUT = pytest.mark.skipif(torch.cuda.is_available(), reason="a card is there")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_the_one_switch(name):
    told = inspect.signature(COMMANDS[name][0], eval_str=True).parameters["device"]
    assert told.annotation == machine.Device and told.default == "auto"


@pytest.mark.parametrize("name", VERBS)
def test_every_function_has_it_and_says_what_it_takes(name):
    told = inspect.signature(VERBS[name]).parameters["device"]
    assert told.default == "auto" and told.kind is told.KEYWORD_ONLY
    assert "    device" in inspect.getdoc(VERBS[name]) or "\ndevice" in inspect.getdoc(VERBS[name])


@WITHOUT
@pytest.mark.parametrize("name", COMMANDS)
def test_a_card_that_is_not_there_is_said_before_anything_is_read(said, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = said(name, *COMMANDS[name][1], "--device", "cuda", "--out", tmp_path / "out")
    assert code == 2 and "no graphics card" in err and "--device cpu" in err, err
    assert not list(tmp_path.iterdir())


def test_another_name_is_refused_with_those_there_are(said):
    code, _, err = said("audit", "model.safetensors", "--device", "tpu")
    assert code == 2 and "no device 'tpu'" in err and "auto, cpu, cuda" in err


@WITHOUT
@pytest.mark.parametrize("name", VERBS)
def test_a_function_that_asks_for_a_missing_card_is_refused(name):
    given = (None, None, None)[:2 if name in ("encoder", "repair") else 3 if name == "base" else 1]
    with pytest.raises(UsageError, match="no graphics card"):
        VERBS[name](*(given if name not in ("scan", "redteam") else (texts(np.random.default_rng(0), 60),)), device="cuda")


def striped(n, seed):
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % 5
    x = rng.integers(0, 90, (n, 16, 16, 3)).astype(np.uint8)
    for c in range(5):
        x[codes == c, 3 * c:3 * c + 4, :, c % 3] += 120
    return x, codes


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    x, codes = striped(200, 1)
    with training.seeded(0):
        module = training.fit(builds.resnet(5, 4), x, codes, np.random.default_rng(2), tensor=training.pictures, epochs=4, batch=16)
    return save_safetensors(module, tmp_path_factory.mktemp("model") / "model.safetensors", shape=(16, 16, 3), pixels="-1..1")


def timeless(record):
    """Without what a clock says."""
    if isinstance(record, dict):
        return {k: timeless(v) for k, v in record.items() if k != "seconds"}
    return [timeless(v) for v in record] if isinstance(record, list) else record


def report(made, tmp_path, name):
    api.write_report(made, tmp_path / name, ("json",))
    return timeless(json.loads((tmp_path / name / "report.json").read_text()))


@WITHOUT
def test_the_processor_by_name_gives_the_bytes_of_the_default(model, tmp_path, monkeypatch):
    data = Dataset.from_arrays(*striped(60, 3))

    def audited(name, **switch):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / f"cache {name}"))  # no twin is shared
        return report(auditing.audit(model, data=data, auditors=["weights"], effort="quick", **switch), tmp_path, name)

    first = audited("default")
    assert first == audited("cpu", device="cpu") and first["plan"]["device"] == "cpu"

    patch = Patch(np.full((3, 3, 3), 255, np.uint8), np.ones((3, 3), np.float32), 0.75, 0.75)
    mended = [remedy.repair(model, data, trigger=patch, repairs=["fine-tune"], out=tmp_path / name, **switch)
              for name, switch in (("a", {}), ("b", {"device": "cpu"}))]
    assert timeless(mended[0].record) == timeless(mended[1].record) and mended[0].record["device"] == "cpu"
    assert json.loads((tmp_path / "a" / "repair.json").read_text())["device"] == "cpu"
    weights = [tmp_path / name / "repaired.safetensors" for name in "ab"]
    assert weights[0].exists() == weights[1].exists() and (not weights[0].exists() or weights[0].read_bytes() == weights[1].read_bytes())

    boards = [red.redteam(texts(np.random.default_rng(0), 120), attacks=["text-word"], rates=[0.1], seeds=1, **switch)
              for switch in ({}, {"device": "cpu"})]
    assert timeless(boards[0]) == timeless(boards[1])
    assert "'device': 'cpu'" in repr(boards[0])


def test_an_encoder_and_a_tuned_model_name_their_place(model):
    data = Dataset.from_arrays(*striped(40, 3))
    seen = pretrained.audit_encoder(model, data, effort="quick", controls=9, device="cpu")
    assert seen.plan["device"] == "cpu"
    tuned = inheritance.audit_inheritance(model, Patch(np.full((3, 3, 3), 255, np.uint8), np.ones((3, 3), np.float32), 0.75, 0.75), data,
                                          controls=9, device="cpu")
    assert tuned.plan["device"] == "cpu"


def test_networks_go_where_the_switch_says_and_outside_of_it_to_a_card(monkeypatch):
    asked = []
    monkeypatch.setattr(device, "_card", lambda: asked.append(1) or False)
    with device.using("cpu"):
        assert device.wanted() == "cpu" and not asked
    assert device.wanted() == "cpu" and asked


def test_inputs_follow_the_module_they_are_given_to():
    """A suspect whose `tensor` was made elsewhere is asked all the same."""
    x, _ = striped(10, 4)
    with training.seeded(0):
        module = builds.vgg(5, 4)
    suspect = suspect_from(module, shape=(16, 16, 3), pixels="-1..1")
    moved = []

    class Elsewhere:
        def __init__(self, inner):
            self.inner, self.device = inner, torch.device("meta")

        def to(self, place, non_blocking=False):
            moved.append(place)
            return self.inner

    far = suspect_from(module, shape=(16, 16, 3), tensor=lambda rows: Elsewhere(suspect.tensor(rows)))
    near = with_module(suspect, module)
    assert np.array_equal(far.predict(Dataset.from_arrays(x, np.zeros(10)).inputs), near.predict(Dataset.from_arrays(x, np.zeros(10)).inputs))
    assert {str(m) for m in moved} == {str(next(module.parameters()).device)}
