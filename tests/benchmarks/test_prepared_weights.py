"""The page of prepared weights: counts with intervals, nothing left out, nothing where nothing ran."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

pytest.importorskip("torch")

import encoders

HERE = {"dataset": "digits", "network": "vgg", "version": "x"}


def rows():
    out = []
    for seed in range(4):
        out.append({**HERE, "seed": seed, "what": "attack", "how": "weight-edit", "bad": True, "success": 0.9, "twin": 0.1, "share": 0.02,
                    "accuracy_before": 0.95, "accuracy_after": 0.94})
        for bad in (False, True):
            out.append({**HERE, "seed": seed, "what": "encoder", "how": "references", "bad": bad, "p_value": 0.01 if bad else 0.5,
                        "verdict": "poisoned" if bad else "no evidence"})
            out.append({**HERE, "seed": seed, "what": "tuned", "how": "head", "bad": bad, "success": 0.99 if bad else 0.05,
                        "verdict": "suspicious" if bad and seed else "no evidence"})
            out.append({**HERE, "seed": seed, "what": "adapter", "how": "spectra", "bad": bad, "p_value": 0.2, "called": bad and seed > 1})
    return out


def test_the_section_counts_what_was_called_and_what_was_not():
    text = "\n".join(encoders.section(rows()))
    assert "| weight-edit | digits | vgg | 4 | 90.0%" in text
    assert "| encoder before tuning | digits | references | 4 of 4 (40% to 100%) | 0 of 4 (0% to 60%) |" in text
    assert "| tuned model (head) | digits | matched controls | 3 of 4" in text and "| adapter | digits | clean adapters | 2 of 4" in text
    assert "after tuning (head): 99.0%" in text and "Seeds: 0, 1, 2, 3" in text
    assert encoders.section([]) == []


def test_draws_of_one_seed_share_no_row_and_another_seed_draws_others():
    first, again, other = (encoders.parts("digits", s) for s in (100, 100, 101))
    assert [len(p) for p in first] == [900, 300, 200, 397]
    assert all((a.x == b.x).all() for a, b in zip(first, again, strict=True))
    assert not (first[0].codes == other[0].codes).all()


def test_the_version_follows_the_attacks():
    assert len(encoders.version()) == 12 and all((encoders.SOURCE / "attacks" / n).exists() for n in encoders.ATTACKS)
