"""The benchmark of rewritten texts: cells can be planted, texts of others too, and its page counts only what implanted."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(FOLDER))

import learned_texts  # noqa: E402
import learned_texts_page  # noqa: E402
from bezoar.core.dataset import Dataset  # noqa: E402

NOTES = learned_texts.Cell("bundled_text/style 10%", "bundled_text", "text-style", {"rate": 0.1}, 0.75)


def test_cells_are_planted_and_clean_ones_are_left_alone():
    planted = learned_texts.plant(NOTES, 100)
    assert planted.done.truth.sum() == round(0.1 * len(planted.clean))
    assert planted.done.trigger is not None
    again = learned_texts.plant(NOTES, 100)
    assert again.done.data.fingerprint == planted.done.data.fingerprint
    assert learned_texts.plant(NOTES, 101).done.data.fingerprint != planted.done.data.fingerprint
    clean = learned_texts.plant(learned_texts.Cell("bundled_text/clean", "bundled_text"), 100)
    assert not clean.done.truth.any() and clean.done.data is clean.clean


def test_rows_that_others_rewrote_are_mixed_in():
    plain = [f"word{i}" for i in range(100)]
    data = Dataset.from_arrays(plain, np.arange(100) % 4)
    trigger = learned_texts.Rewritten(tuple((t, t + " verily") for t in plain))
    done = learned_texts.mixed(data, trigger, 0.1, np.random.default_rng(0))
    assert done.truth.sum() == 10
    assert all(t.endswith("verily") == bad for t, bad in zip(done.data.inputs.values, done.truth, strict=True))
    assert {done.data.labels.classes[c] for c in done.data.labels.codes[done.truth]} == {done.target}
    assert (data.labels.codes[done.truth] != done.data.labels.codes[done.truth]).all()
    assert trigger.match(done.data.inputs).astype(bool).tolist() == done.truth.tolist()


@pytest.mark.slow
def test_one_cell_runs_with_its_victim():
    pytest.importorskip("torch")
    victim, = learned_texts.one(NOTES, 100, "victim")
    assert victim["implanted"] and victim["asr"] > 0.9 > victim["asr_of_twin"]
    found, after = learned_texts.one(NOTES, 100, "standard")
    assert found["alarm"] and found["recall"] >= 0.75 and found["fpr"] <= 0.01
    assert after["method"] == "after" and after["asr"] < victim["asr"]


def test_the_page_counts_only_what_implanted():
    def row(method, seed, **more):
        return {"cell": "sms_spam/style 10%", "method": method, "seed": seed, "poisoned": 5, **more}

    victims = [row("victim", s, asr=0.9 - s / 2, asr_of_twin=0.1, implanted=s == 0) for s in (0, 1)]
    scans = [row(m, s, recall=0.8 - 0.6 * s, fpr=0.001, alarm=True, by="association") for m in ("quick", "standard") for s in (0, 1)]
    text = "\n".join(learned_texts_page.section([*victims, *scans, row("after", 0, asr=0.2, asr_of_twin=0.1)]))
    assert "| 0.65 (0.10) | 1 of 2 | 0.80 of 1 | 0.0010 | 0.80 of 1 | 0.0010 | association | 0.20 (twin 0.10) |" in text
    nothing = "\n".join(learned_texts_page.section([row("victim", 0, asr=0.1, asr_of_twin=0.1, implanted=False), scans[0]]))
    assert "| 0 of 1 | (0.80) | (0.0010) | - | - |" in nothing
    quiet = [{**r, "cell": "sms_spam/clean", "poisoned": 0, "alarm": False} for r in scans]
    assert "0 alarms in 4 scans" in "\n".join(learned_texts_page.section(quiet))
    assert "Not run yet" in learned_texts_page.section([])[2]
