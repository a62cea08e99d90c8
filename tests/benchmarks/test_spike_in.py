"""Predicted against measured smallest poison: rows are kept as they come, a second run goes on, the page counts what is right."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(FOLDER))

import spike_in  # noqa: E402
from ledger import Ledger, version_of_scan  # noqa: E402


def row(family, **more):
    return {"set": "digits", "family": family, "seed": 100, "rows": 1797, "predicted": 8, "interval": [6, 11], "basis": "planted canaries",
            "version": version_of_scan(), **more}


def test_a_stopped_run_goes_on_with_what_is_missing(tmp_path, monkeypatch, capsys):
    asked = []

    class Pool:
        def __init__(self, *a, **k): ...
        def __enter__(self): return self
        def __exit__(self, *a): ...
        def map(self, do, *arguments): return [do(*a) for a in zip(*arguments, strict=True)]

    monkeypatch.setattr(spike_in, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(spike_in, "predicted", lambda name, seed: pytest.fail("predicted again"))
    monkeypatch.setattr(spike_in, "measured", lambda name, family, seed: asked.append(family) or (20, 1.0))
    ledger = Ledger(tmp_path / "spike_in.json", spike_in.KEYS)
    ledger.add(row("patch", measured=4, right=True, seconds=1.0))
    ledger.add(row("blend"))
    spike_in.execute(["digits"], 100, ledger)
    assert asked == ["blend"]
    again = {r["family"]: r for r in Ledger(tmp_path / "spike_in.json", spike_in.KEYS).rows}
    assert (again["blend"]["measured"], again["blend"]["right"], again["patch"]["measured"]) == (20, False, 4)
    assert "WRONG" in capsys.readouterr().out


def test_the_page():
    assert "Not run yet" in "\n".join(spike_in.section([row("blend")]))
    blend = row("blend", predicted=None, interval=[], measured=20, right=False)
    page = "\n".join(spike_in.section([row("patch", measured=11, right=True), blend]))
    assert "| digits | patch | 100 | 8 | 6-11 | 11 | yes |" in page
    assert "| digits | blend | 100 | not found | - | 20 | **no** |" in page
    assert "1 of 2 within a factor of 2; goal 80%: **no**" in page


@pytest.mark.parametrize(("one", "other", "right"), [(10, 20, True), (20, 10, True), (10, 21, False), (None, None, True), (None, 4, False),
                                                     (4, None, False), (1, 2, True)])
def test_within_a_factor_of_two(one, other, right):
    assert spike_in.within(one, other) is right


def test_plantings_are_found_or_not():
    data = spike_in.part("digits")
    assert len(data) <= spike_in.ROWS
    assert spike_in.part("digits").fingerprint == data.fingerprint
    assert spike_in.found(data, "patch", 60, 100) is True
    assert spike_in.found(data, "patch", 1700, 100) is None, "more than the target's class leaves"
