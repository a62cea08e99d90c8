"""The red team's timings on small sizes: rows are kept, a second run times nothing, the page says what was missed."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(FOLDER))

import realdata  # noqa: E402
import red_team  # noqa: E402
from ledger import Ledger  # noqa: E402


def test_every_attack_without_a_network_is_planted_at_two_rates_or_says_why(tmp_path):
    ledger = Ledger(tmp_path / "red_team.json", red_team.KEYS)
    names = [n for n in red_team.plan() if n.startswith("planting-")]
    assert len(names) >= 18
    red_team.execute(names, ledger, pictures=300)
    assert {r["what"] for r in ledger.rows} == set(names)
    assert all(r.get("seconds") or r.get("seconds_error") for r in ledger.rows)
    assert sum("seconds" in r and "seconds_more" in r for r in ledger.rows) >= 16
    assert all(r["planted_more"] > r["planted"] for r in ledger.rows if r["what"] in ("planting-badnets", "planting-sticker"))


def test_a_second_run_times_nothing(tmp_path, monkeypatch):
    ledger = Ledger(tmp_path / "red_team.json", red_team.KEYS)
    red_team.execute(["planting-badnets"], ledger, pictures=300)
    monkeypatch.setattr(red_team, "planting", lambda *a: pytest.fail("again"))
    red_team.execute(["planting-badnets"], Ledger(tmp_path / "red_team.json", red_team.KEYS), pictures=300)


def test_a_small_board(tmp_path):
    row = red_team.scoreboard(("badnets",), (0.1,), 1, workers=1, rows=300)
    assert (row["cells"], row["rows"], row["errors"]) == (1, 6, 0)
    assert row["seconds"] > 0
    assert row["peak_rss_mb"] > 10


def test_the_simple_filters_keep_most_of_clean_data():
    data = realdata.digits().take(np.arange(400))
    for keep in (red_team.neighbours, red_team.middle):
        assert 0.85 <= keep(data).mean() < 1.0 + 1e-9
    assert abs((~red_team.middle(data)).mean() - 0.05) < 0.02


def test_the_page_says_what_was_missed():
    assert "Not run yet" in "\n".join(red_team.section([]))
    rows = [{"what": "scoreboard", "seconds": 1000.0, "attacks": 10, "rates": 2, "seeds": 3, "cells": 60, "implanted": 31, "workers": 2,
             "victim": "ImageLinear()", "errors": 0, "peak_rss_mb": 500.0},
            {"what": "planting-badnets", "count": 50000, "seconds": 1.0, "seconds_more": 21.0, "planted": 500, "planted_more": 4000},
            {"what": "planting-ctrl", "count": 50000, "seconds": 1.0, "seconds_more_error": "no room", "planted": 1000}]
    page = "\n".join(red_team.section(rows))
    assert "16.7 min for 60 cells, 31 of which implanted" in page
    assert "Goal 15 min: **no**" in page
    assert "| badnets | 1.0 | 500 | 21.0 | 4000 | **no** |" in page
    assert "| ctrl | 1.0 | 1000 | no room |  | yes |" in page
