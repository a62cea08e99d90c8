"""Checks that train a network run from --effort standard on, or when they are named; a quick scan does not know them."""

from __future__ import annotations

import numpy as np
import pytest

from bezoar import api, registry
from bezoar.core.errors import UsageError

LATER = sorted(n for n, d in registry.shelf("detectors").items() if d.info.effort != "quick")
DATA = api.load(np.zeros((60, 8, 8, 3), np.uint8), np.arange(60) % 2)


def test_there_are_such_checks_and_they_say_what_they_need():
    assert LATER == ["confusion", "dynamics", "probe-geometry"]
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


def test_a_quick_scan_has_no_line_of_them():
    report = api.scan(DATA, without=[n for n in registry.shelf("detectors") if n not in (*LATER, "outliers")])
    ran = {o.ability for o in report.outcomes}
    assert "outliers" in ran
    assert not ran & set(LATER)
    assert "torch" not in report.environment
