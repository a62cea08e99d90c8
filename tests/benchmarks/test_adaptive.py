"""The adaptive attackers keep to their tiers, their budgets and their own data; the page counts only what implanted."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(FOLDER))

import adaptive  # noqa: E402
import adaptive_page  # noqa: E402
import adversaries  # noqa: E402
import cells  # noqa: E402
import realdata  # noqa: E402
import render  # noqa: E402
from bezoar import registry  # noqa: E402
from bezoar.core.inputs import Texts  # noqa: E402
from bezoar.core.text_triggers import Phrases  # noqa: E402
from bezoar.core.trigger import trigger_from_dict  # noqa: E402
from bezoar.testing.planted import twin  # noqa: E402

DATA = {m: twin(m, np.random.default_rng(200), rows=500) for m in ("image", "text", "tabular")}
HELD = {m: twin(m, np.random.default_rng(201), rows=150) for m in ("image", "text", "tabular")}
KIND = {"digits": "image", "sms_spam": "text", "adult": "tabular"}
EVERY = [(KIND[c.dataset], s) for c in adversaries.CHANNELS for s in (c.unaware, *c.settings)]


@pytest.mark.parametrize(("kind", "setting"), EVERY, ids=[s.name for _, s in EVERY])
def test_the_truth_of_every_setting_is_exact(kind, setting):
    data, held = DATA[kind], HELD[kind]
    before = data.fingerprint
    done = setting.plant(data, held, np.random.default_rng(3), 1.0)
    same = np.array([a == b for a, b in zip(data.inputs.row_keys(), done.data.inputs.row_keys(), strict=True)])
    same &= data.labels.codes == done.data.labels.codes
    assert not (~same & ~done.truth).any() and (~same)[done.truth].mean() > 0.7
    assert done.truth.any() and data.take(np.arange(len(data))).fingerprint == before
    again = setting.plant(data, held, np.random.default_rng(3), 1.0)
    assert again.data.fingerprint == done.data.fingerprint
    more = setting.plant(data, held, np.random.default_rng(3), 2.0)
    assert 1.5 * done.truth.sum() <= more.truth.sum() <= 2.5 * done.truth.sum() or done.truth.mean() > 0.1, "as far as there are rows"
    if done.trigger is not None:
        moved = done.trigger.apply(held.inputs, np.random.default_rng(0))
        assert np.mean([a != b for a, b in zip(held.inputs.row_keys(), moved.row_keys(), strict=True)]) > 0.9
        assert trigger_from_dict(json.loads(json.dumps(done.trigger.to_dict()))).title() == done.trigger.title()


def test_every_channel_has_an_attacker():
    there = {"association", "spectra", "value tuples", "labels", "duplicates", "partition", "integrity"}
    assert {c.name.split(",")[0] for c in adversaries.CHANNELS} == there
    assert len({c.name for c in adversaries.CHANNELS}) == len(adversaries.CHANNELS)
    groups = {c.group for c in cells.all_cells()} if realdata.available("cifar10") else None
    for c in adversaries.CHANNELS:
        assert len({s.name for s in (c.unaware, *c.settings)}) == len(c.settings) + 1 >= 4
        assert groups is None or not c.group or c.group in groups
        registry.make("victims", c.victim, dict(c.victim_settings))
    assert set(adaptive_page.CHANNEL_OF.values()) <= {c.name for c in adversaries.CHANNELS}
    assert {c.attack for c in cells.all_cells()} <= set(adaptive_page.CHANNEL_OF)


def test_some_words_in_training_and_all_afterwards():
    setting = next(s for s in adversaries.WORDS if s.name == "3 of 12 usual words, 3%")
    done = setting.plant(DATA["text"], HELD["text"], np.random.default_rng(1), 1.0)
    assert isinstance(done.trigger, Phrases) and isinstance(done.data.inputs, Texts)
    grown = [len(a.split()) - len(b.split()) for a, b in zip(done.data.inputs.values[done.truth], DATA["text"].inputs.values[done.truth], strict=True)]
    assert set(grown) == {3} and len(done.trigger.phrases) == 12


def test_letters_stay_out_of_the_lists():
    from bezoar.detectors.integrity import PATTERNS

    text = "some notes and a score to see, as usual, by the yes man"
    for mode in adversaries.LETTERS:
        out = adversaries.Letters(mode, 50).apply(Texts.of([text]), np.random.default_rng(0)).values[0]
        assert out != text
        if mode == "cyrillic words":
            assert not PATTERNS["look-alike"][1].search(out), "no word is mixed"


def test_pruning_gives_back_the_most_suspicious_half():
    data = DATA["text"]
    done = registry.make("attacks", "text-word", {"rate": 0.04, "word": "cf"})(data, np.random.default_rng(0))
    suspicion = np.random.default_rng(1).random(len(data))
    kept = adaptive.pruned(data, done, suspicion)
    rows = np.flatnonzero(done.truth)
    assert kept.truth.sum() == 10 and suspicion[kept.truth].max() < suspicion[rows[~kept.truth[rows]]].min()
    back = rows[~kept.truth[rows]]
    assert (kept.data.inputs.values[back] == data.inputs.values[back]).all()
    assert (kept.data.labels.codes[~kept.truth] == data.labels.codes[~kept.truth]).all()


def test_an_attacker_tries_elsewhere_and_asks_within_his_budget(monkeypatch):
    channel = replace(next(c for c in adversaries.CHANNELS if c.name == "labels"), rows=120, settings=(
        adversaries.shelf("boundary flips", "label-flip", rate=0.1, mode="boundary"), adversaries.shelf("random flips", "label-flip", rate=0.1)))
    own, real = adaptive.stages(channel, 7)
    names = [set(s.ids) for s in (own.data, own.held, real.data, real.held)]
    assert sum(map(len, names)) == len(set().union(*names)) and len(own.data) == len(real.data) == 120
    asked = []
    figures = {"recall": 0.1, "fpr": 0.0, "precision": 1.0, "tpr_at_1fpr": 0.0, "alarm": 0.0, "verdict": "no evidence"}

    def scan(self, done, seed):
        asked.append(set(done.data.ids))
        return dict(figures), np.zeros(len(done.truth))

    monkeypatch.setattr(adaptive.Stage, "scan", scan)
    monkeypatch.setattr(adaptive, "QUERIES", 500)
    rows = adaptive.run(channel, 7)
    assert [r["tier"] for r in rows] == [0, 1, 2, 3]
    assert rows[3]["queries"] == 480 and rows[0]["setting"] == channel.unaware.name and rows[1]["setting"] == "boundary flips"
    assert [a == names[2] for a in asked] == [True, True, False, False, True, True, True, True, True, True]


def test_only_what_implants_counts(tmp_path):
    row = {"channel": "spectra", "tier": 1, "implanted": True, "recall": 0.25, "alarm": 1.0, "success": 0.9, "measure": "backdoor",
           "setting": "faint", "dataset": "digits", "rows": 700, "version": "v"}
    rows = [row, {**row, "implanted": False, "recall": 0.0}, {**row, "tier": 0, "recall": 0.0}, {**row, "tier": 3, "recall": 0.5}]
    assert adaptive_page.worst(rows, "blend") == 0.25
    assert np.isnan(adaptive_page.worst(rows, "badnets")) and np.isnan(adaptive_page.worst(rows, "unheard of"))
    (tmp_path / "adaptive.json").write_text(json.dumps({"machine": {}, "runs": rows}))
    page = render.page(tmp_path)
    assert "| knows the method | 2 | 1 | 0.90 (backdoor) | 0.25 | 1.00 | faint |" in page
    assert "1 of 2 adaptive runs that implanted" in page
    if any(c.name.startswith("digits/blend 0.2") for c in cells.all_cells()):
        blend = next(c.name for c in cells.all_cells() if c.attack == "blend")
        found = {"cell": blend, "method": "bezoar", "seed": 0, "version": "v", "recall": 1.0, "fpr": 0.0, "tpr_at_1fpr": 1.0, "seconds": 1.0,
                 "rows": 700, "verdict": "poisoned"}
        (tmp_path / "detection.json").write_text(json.dumps({"machine": {}, "runs": [found]}))
        assert "| 0.25 |" in next(line for line in render.page(tmp_path).splitlines() if "blend" in line)
