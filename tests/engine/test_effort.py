"""Checks that train a network run from --effort standard on, or when they are named; a quick scan does not know them."""

from __future__ import annotations

import numpy as np
import pytest

from bezoar import api, registry
from bezoar.core.errors import UsageError

LATER = sorted(n for n, d in registry.shelf("detectors").items() if d.info.effort != "quick")
DATA = api.load(np.zeros((60, 8, 8, 3), np.uint8), np.arange(60) % 2)


def test_there_are_such_checks_and_they_say_what_they_need():
    assert LATER == ["confusion", "dynamics", "fragility", "probe-geometry"]
    for name in LATER:
        info = registry.get("detectors", name).info
        assert info.effort in api.EFFORTS
        assert "learned" in info.needs
        assert "torch" in info.extras


def test_the_plan_tells_them_apart_and_says_the_cost():
    quick, standard = api.plan(DATA), api.plan(DATA, effort="standard")
    assert set(standard["detectors"]) - set(quick["detectors"]) == set(LATER)
    assert standard["seconds"] > quick["seconds"]
    assert set(LATER) <= set(api.plan(DATA, effort="deep")["detectors"])
    assert api.plan(DATA, detectors=["dynamics"])["detectors"] == ["dynamics"]
    assert "dynamics" not in api.plan(DATA, without=["dynamics"], effort="standard")["detectors"]
    with pytest.raises(UsageError, match="heroic"):
        api.plan(DATA, effort="heroic")


def _seconds(rows: int, side: int = 28, **asked: object) -> float:
    data = api.load(np.zeros((rows, side, side, 3), np.uint8), np.arange(rows) % 10)
    return api.plan(data, effort="standard", **asked)["seconds"]


def test_what_a_check_trains_by_itself_is_said_once_and_by_itself():
    shared, more = (_seconds(2_000, detectors=names) for names in (["dynamics", "probe-geometry"], ["dynamics", "probe-geometry", "confusion"]))
    unit = api.modality_of(DATA).pass_seconds(api.load(np.zeros((2_000, 28, 28, 3), np.uint8)).inputs)
    assert more - shared == pytest.approx(registry.make("detectors", "confusion").passes(2_000) * unit * 2, abs=0.2)
    assert shared == pytest.approx(_seconds(2_000, detectors=["dynamics"]), abs=0.2)  # the network is one
    assert registry.make("detectors", "confusion", {"rounds": 4}).passes(2_000) == 2 * registry.make("detectors", "confusion").passes(2_000)
    assert [n for n, d in registry.shelf("detectors").items() if d().passes(1_000)] == ["confusion"]


def test_a_model_of_the_users_own_is_not_trained_on_so_it_costs_one_pass():
    assert _seconds(2_000, detectors=["confusion"], model=True) < _seconds(2_000, detectors=["confusion"]) / 4


def test_small_pictures_cost_less_and_large_sets_are_passed_over_less_often():
    assert _seconds(2_000, 8) < 0.6 * _seconds(2_000, 28) < 0.6 * _seconds(2_000, 64)
    assert _seconds(20_000) < 4 * _seconds(5_000)
    assert _seconds(2_000, 640) == pytest.approx(_seconds(2_000, 64), abs=0.2)  # brought to 32 pixels a side


def test_a_quick_scan_has_no_line_of_them():
    report = api.scan(DATA, without=[n for n in registry.shelf("detectors") if n not in (*LATER, "outliers")])
    ran = {o.ability for o in report.outcomes}
    assert "outliers" in ran
    assert not ran & set(LATER)
    assert "torch" not in report.environment
