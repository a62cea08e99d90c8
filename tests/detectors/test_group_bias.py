"""Outcomes bent in one group: found, named, counted; quiet where the other columns explain the difference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bezoar.core.dataset import Dataset
from bezoar.core.errors import Unavailable
from bezoar.core.inputs import Column, Table
from bezoar.core.view import View
from bezoar.detectors.group_bias import GroupBias
from bezoar.modalities.tabular import Tabular
from bezoar.testing.planted import planted


def _loans(seed: int, n: int = 1600, groups: int = 8, wide: float = 0.0) -> Dataset:
    """Two columns explain the outcome and differ by branch; `wide` is how much branches differ beyond them, in log-odds."""
    rng = np.random.default_rng(seed)
    branch = rng.integers(0, groups, n)
    income = rng.normal(branch * 0.1, 1, n)
    debt = rng.normal(size=n)
    own = rng.normal(0, wide, groups)[branch]
    y = rng.random(n) < 1 / (1 + np.exp(-1.2 * income + debt - own))
    table = Table({"income": Column("number", income), "debt": Column("number", debt)})
    return Dataset.from_arrays(table, y.astype(int), source=[f"branch {b}" for b in branch])


def _bend(data: Dataset, group: str, share: float, seed: int) -> tuple[Dataset, int]:
    assert data.labels is not None
    rng = np.random.default_rng(seed)
    own = np.flatnonzero((data.origin["source"] == group) & (data.labels.codes == 0))
    rows = rng.choice(own, int(share * len(own)), replace=False)
    codes = data.labels.codes.copy()
    codes[rows] = 1
    return data.with_changes(codes=codes), len(rows)


def _run(data: Dataset, *columns: str) -> tuple:
    return GroupBias()(View(data, Tabular(), groups=columns), np.random.default_rng(0)).groups


def test_the_bent_branch_is_named_first_and_the_number_of_labels_is_about_right() -> None:
    for seed in range(100, 103):
        bad, changed = _bend(_loans(seed), "branch 3", 0.5, seed)
        first = _run(bad, "source")[0]
        assert first.place["group"] == "branch 3" and first.target == 1 and first.p_value <= 0.01
        excess = len(first.members) - first.expected
        assert 0.5 * changed <= excess <= 1.5 * changed
        assert str(int(np.ceil(excess))) in first.because and "confounding" in first.doubt and "points" in first.title
        assert first.sure is not None and first.sure.sum() == pytest.approx(excess, rel=0.1)
        assert not first.liftable and first.threat == "bias"


def test_clean_branches_are_quiet_though_their_outcomes_differ() -> None:
    alarms, rates = 0, []
    for seed in range(100, 106):
        data = _loans(seed)
        assert data.labels is not None
        rates.append(np.ptp([data.labels.codes[data.origin["source"] == f"branch {b}"].mean() for b in range(8)]))
        alarms += bool(_run(data, "source"))
    assert alarms == 0
    assert np.mean(rates) > 0.12, "raw outcomes do differ"


def test_where_all_branches_differ_by_nature_none_is_singled_out() -> None:
    assert sum(bool(_run(_loans(seed, wide=0.5), "source")) for seed in range(100, 105)) <= 1


def test_the_planted_region_is_found_and_its_clean_twin_is_not() -> None:
    clean, bad, truth = planted("tabular", "bias", np.random.default_rng(3))
    groups = _run(bad, "region")
    assert groups and groups[0].place == {"column": "region", "group": "north"}
    assert np.isin(np.flatnonzero(truth), groups[0].members).all()
    assert not _run(clean, "region")


def test_a_column_of_the_table_is_left_out_of_what_explains_it() -> None:
    bad, _ = _bend(_loans(7), "branch 3", 0.5, 7)
    names, codes = np.unique(bad.origin["source"].astype(str), return_inverse=True)
    assert isinstance(bad.inputs, Table)
    within = replace(bad, inputs=Table({**bad.inputs.columns, "branch": Column("category", codes.astype(np.int32), tuple(names))}))
    assert _run(within, "branch")[0].place == {"column": "branch", "group": "branch 3"}


def test_periods_are_cut_from_a_time_column() -> None:
    data = _loans(8)
    assert data.labels is not None
    times = np.array([f"2024-{1 + i // 334:02d}-{1 + (i % 334) // 12:02d}T{i % 12:02d}" for i in range(1600)], dtype=object)
    codes = data.labels.codes.copy()
    codes[1040:1120] = 1
    bad = replace(data.with_changes(codes=codes), origin={"time": times})
    first = _run(bad, "time")[0]
    assert " to " in first.place["group"] and np.isin(first.members, np.arange(1040, 1120)).mean() > 0.9


def test_what_it_cannot_compare_it_says() -> None:
    data = _loans(9, 300, groups=100)
    with pytest.raises(Unavailable, match="group column"):
        GroupBias()(View(data, Tabular()), np.random.default_rng(0))
    with pytest.raises(Unavailable, match="nowhere"):
        GroupBias()(View(data, Tabular(), groups=("nowhere",)), np.random.default_rng(0))
    scores = GroupBias()(View(data, Tabular(), groups=("source",)), np.random.default_rng(0))
    assert not scores.groups and any("nothing to compare" in n for n in scores.notes)
