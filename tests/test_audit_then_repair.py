"""From a downloaded file to a safe one: the audit finds the trigger, the repair unlearns what the audit found, and the planted one is gone."""

import json

import numpy as np
import pytest

pytest.importorskip("torch")

import bezoar
from bezoar.sources.suspects import open_suspect, save_safetensors
from bezoar.testing.suspects import TARGET, planted_trigger, small_suspect


def test_what_an_audit_recovers_a_repair_unlearns(tmp_path):
    suspect, clean = small_suspect(1, planted=True)
    save_safetensors(suspect, tmp_path / "model.safetensors")
    before = (tmp_path / "model.safetensors").read_bytes()
    report = bezoar.audit(tmp_path / "model.safetensors", data=clean, effort="quick", out=tmp_path / "audit")
    assert report.verdict == "poisoned" and report.findings[0].trigger is not None
    bezoar.repair(tmp_path / "model.safetensors", clean, report=tmp_path / "audit" / "report.json", out=tmp_path / "repaired")
    assert json.loads((tmp_path / "repaired" / "repair.json").read_text())["verdict"] == "accepted"
    assert (tmp_path / "model.safetensors").read_bytes() == before
    others = np.flatnonzero(clean.labels.codes != int(TARGET))
    x = clean.inputs.take(others)
    bad, good = (open_suspect(tmp_path / name) for name in ("model.safetensors", "repaired/repaired.safetensors"))
    planted = planted_trigger().apply(x, np.random.default_rng(0))
    assert (bad.predict(planted).argmax(axis=1) == int(TARGET)).mean() > 0.8
    assert (good.predict(planted).argmax(axis=1) == int(TARGET)).mean() < 0.05
    right = [(m.predict(x).argmax(axis=1) == clean.labels.codes[others]).mean() for m in (bad, good)]
    assert right[1] > right[0] - 0.03
