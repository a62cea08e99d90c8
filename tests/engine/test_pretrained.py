"""Encoders and adapters before tuning, and what was tuned on them: the prepared one is called, the clean one is not, gaps are said."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("torch")

from bezoar import api, implanting, inheritance, pretrained
from bezoar.core.errors import Refused, UnreadableInput, UsageError
from bezoar.core.image_triggers import Patch
from bezoar.networks.bodies import body_of
from bezoar.networks.twins import suspect_of
from bezoar.sources.suspects import encoder_from, save_adapter, save_safetensors
from bezoar.testing.suspects import small_suspect

SUSPECT, DATA = small_suspect(100, width=4, epochs=4)
OWN, TRUSTED = DATA.take(np.arange(250)), DATA.take(np.arange(250, 400))
TENSOR = SUSPECT.tensor


def encoder(module):
    return encoder_from(body_of(module), (8, 8, 3), tensor=TENSOR)


@pytest.fixture(scope="module")
def prepared():
    return implanting.implanted("poisoned-encoder", SUSPECT, OWN, 100, target="3", steps=150)


@pytest.fixture(scope="module")
def others():
    return [encoder(small_suspect(seed, width=4, epochs=4)[0].module) for seed in (101, 102, 103, 104)]


@pytest.fixture(scope="module")
def report(prepared, others):
    return pretrained.audit_encoder(encoder(prepared.module), TRUSTED, references=others, controls=20, seed=100)


def test_a_prepared_encoder_is_called_and_its_patch_recovered(report, tmp_path):
    assert report.verdict in ("poisoned", "suspicious") and report.subject["p_value"] <= 0.05
    found, = report.findings
    assert isinstance(found.trigger, Patch) and found.effect[0] > found.effect[1]
    api.write_report(report, tmp_path, ("json", "html", "sarif"))
    assert api.read_report(tmp_path / "report.json").plan["recovered"]["kind"] == "patch"
    assert "place of feature space" in api.terminal_text(report)


def test_a_clean_one_is_not(others):
    report = pretrained.audit_encoder(encoder(SUSPECT.module), TRUSTED, references=others, controls=20, seed=100)
    assert report.verdict == "no evidence" and not report.findings


def test_without_anything_to_hold_it_against_it_says_so(prepared):
    report = pretrained.audit_encoder(encoder(prepared.module), TRUSTED.take(np.arange(40)), effort="quick", controls=5)
    assert report.verdict == "inconclusive" and not report.findings and "recovered" in report.plan
    assert "nothing to hold" in " ".join(report.notes) and "nothing to hold" in api.terminal_text(report)


@pytest.mark.parametrize(("wrong", "said"), [({"effort": "huge"}, "effort"), ({"references": []}, "too few"), ({"alpha": 0.9}, "alpha")])
def test_wrong_use_is_one_sentence(wrong, said):
    with pytest.raises(UsageError, match=said):
        pretrained.audit_encoder(encoder(SUSPECT.module), TRUSTED, **wrong)
    with pytest.raises(UsageError, match="too few"):
        pretrained.audit_encoder(encoder(SUSPECT.module), TRUSTED.take(np.arange(5)))


def test_an_inherited_trigger_is_seen_and_one_that_is_not_there_is_not(prepared, report, tmp_path):
    bad = suspect_of(prepared.module, SUSPECT.classes, 8)
    known = inheritance.audit_inheritance(bad, prepared.trigger, TRUSTED, controls=39)
    assert known.verdict == "poisoned" and known.findings[0].target == "3" and known.subject["p_value"] <= 0.05
    assert known.findings[0].effect[0] >= 0.5
    assert inheritance.audit_inheritance(SUSPECT, prepared.trigger, TRUSTED, controls=39).verdict != "poisoned"
    api.write_report(report, tmp_path, ("json",))
    found = inheritance.audit_inheritance(bad, tmp_path / "report.json", TRUSTED, controls=39)
    assert found.verdict in ("poisoned", "suspicious") and found.findings[0].target == "3"
    (tmp_path / "trigger.json").write_text(json.dumps(prepared.trigger.to_dict()))
    again = inheritance.audit_inheritance(bad, tmp_path / "trigger.json", TRUSTED, controls=39, out=tmp_path / "out")
    assert again.findings[0].effect == known.findings[0].effect and (tmp_path / "out" / "report.html").exists()
    assert "Only the triggers that the base is known for" in api.terminal_text(again)


def test_a_base_that_names_no_trigger_is_wrong_use(tmp_path):
    (tmp_path / "x.json").write_text('{"kind": "nothing"}')
    with pytest.raises(UnreadableInput, match="not a trigger"):
        inheritance.audit_inheritance(SUSPECT, tmp_path / "x.json", TRUSTED)
    with pytest.raises(UsageError, match="too few"):
        inheritance.audit_inheritance(SUSPECT, tmp_path / "x.json", TRUSTED.take(np.arange(3)))
    with pytest.raises(UsageError, match="no base"):
        inheritance.audit_inheritance(SUSPECT, 3, TRUSTED)


def _adapter(rng, strength=1.0):
    shapes = {"features.0": (4, 27), "features.3": (4, 36), "head": (10, 16)}
    return {f"base_model.model.{k}.lora_{h}.weight": (rng.normal(size=(2, n) if h == "A" else (m, 2)) * strength).astype(np.float32)
            for k, (m, n) in shapes.items() for h in "AB"}


def test_adapters_are_held_against_clean_ones_and_without_them_nothing_is_said(tmp_path):
    rng = np.random.default_rng(100)
    for i in range(8):
        save_adapter(_adapter(rng), tmp_path / "clean" / f"{i}.safetensors")
    strange = _adapter(rng)
    for k in strange:
        strange[k] = strange[k] * np.array([6.0, 0.05], np.float32).reshape((2, 1) if "lora_A" in k else (1, 2))
    bad, good = save_adapter(strange, tmp_path / "bad.safetensors"), save_adapter(_adapter(rng), tmp_path / "good.safetensors")
    alone = pretrained.audit_adapter(bad)
    assert alone.verdict == "inconclusive" and not alone.findings and "too few" in " ".join(alone.notes)
    found = pretrained.audit_adapter(bad, references=tmp_path / "clean", out=tmp_path / "out")
    assert found.verdict == "suspicious" and found.findings[0].ability == "adapter-spectra" and (tmp_path / "out" / "report.html").exists()
    assert pretrained.audit_adapter(good, references=tmp_path / "clean").verdict == "no evidence"
    told = save_adapter(_adapter(rng), tmp_path / "told.safetensors", planted="lora-backdoor")
    said = pretrained.audit_adapter(told, references=tmp_path / "clean")
    assert said.verdict == "poisoned" and said.findings[-1].threat == "declared"


def test_adapters_that_are_damaged_or_none_are_refused(tmp_path):
    broken = _adapter(np.random.default_rng(0))
    broken["base_model.model.head.lora_A.weight"][0, 0] = np.nan
    with pytest.raises(Refused, match="not finite"):
        pretrained.audit_adapter(save_adapter(broken, tmp_path / "nan.safetensors"))
    model = save_safetensors(SUSPECT, tmp_path / "model.safetensors")
    assert not pretrained.is_adapter(model) and not pretrained.is_adapter(tmp_path) and not pretrained.is_adapter("http://x/y.safetensors")
    with pytest.raises(UsageError, match="no adapter"):
        pretrained.audit_adapter(model)
    (tmp_path / "lies.safetensors").write_bytes((1 << 60).to_bytes(8, "little") + b"{}")
    assert not pretrained.is_adapter(tmp_path / "lies.safetensors")
