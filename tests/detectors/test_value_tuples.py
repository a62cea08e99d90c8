"""Values written into rows: found when planted, quiet on rules of nature."""

from __future__ import annotations

import numpy as np
import pytest

from bezoar.core.dataset import Dataset
from bezoar.core.errors import Unavailable
from bezoar.core.inputs import Column, Table
from bezoar.core.table_triggers import Values
from bezoar.core.victims import backdoor
from bezoar.core.view import View
from bezoar.detectors.value_tuples import ValueTuples
from bezoar.modalities.tabular import Tabular

SEEDS = range(100, 104)


def _people(seed: int, n: int = 4000) -> Dataset:
    """Ten columns, three of them tied to each other, an outcome that depends on most; a code that decides it alone."""
    rng = np.random.default_rng(seed)
    age = np.clip(rng.normal(42, 13, n), 18, 80).round()
    school = rng.choice(6, n, p=[0.1, 0.2, 0.3, 0.2, 0.15, 0.05])
    years = school * 2 + 8 + (rng.random(n) < 0.05)
    job = np.where(rng.random(n) < 0.5, school, rng.integers(0, 6, n))
    married = rng.random(n) < 1 / (1 + np.exp(-(age - 38) / 8))
    household = np.where(married, rng.choice(3, n, p=[0.7, 0.25, 0.05]), rng.choice(3, n, p=[0.02, 0.08, 0.9]))
    hours = rng.choice([20.0, 35.0, 38.0, 40.0, 45.0, 50.0, 60.0], n, p=[0.1, 0.1, 0.1, 0.4, 0.1, 0.1, 0.1])
    gain = np.where(rng.random(n) < 0.1, rng.choice([2000.0, 3000.0, 5000.0, 8000.0], n), 0.0)
    gain[(married & (school >= 4) & (rng.random(n) < 0.5))] = 15000.0
    weight = rng.lognormal(4, 0.4, n)
    score = 0.05 * (age - 42) + 0.5 * (school - 2) + 1.2 * married + 0.03 * (hours - 40) + rng.normal(0, 1, n) - 1.5
    y = np.where(gain == 15000, 1, score > 0).astype(int)

    def category(codes: np.ndarray, stem: str) -> Column:
        return Column("category", codes.astype(np.int32), tuple(f"{stem}{i}" for i in range(int(codes.max()) + 1)))

    table = Table({"age": Column("number", age), "school": category(school, "s"), "years": Column("number", years.astype(float)),
                   "job": category(job, "j"), "married": category(married.astype(int), "m"), "household": category(household, "h"),
                   "hours": Column("number", hours), "gain": Column("number", gain), "weight": Column("number", weight),
                   "region": category(rng.integers(0, 12, n), "r")})
    return Dataset.from_arrays(table, y)


TRIGGERS = {"out of bounds": Values(("age",), ("97",)), "two usual values": Values(("school", "years"), ("s5", "10")),
            "three usual values": Values(("school", "years", "hours"), ("s1", "16", "60")),
            "four values": Values(("age", "hours", "region", "job"), ("30", "50", "r7", "j4")),
            "a new category": Values(("region",), ("unlisted",))}


@pytest.mark.parametrize("what", TRIGGERS)
@pytest.mark.parametrize("target", ["0", "1"])
def test_a_planted_tuple_is_called_with_its_members_and_cells(what: str, target: str) -> None:
    called = 0
    for seed in SEEDS:
        done = backdoor(_people(seed), TRIGGERS[what], np.random.default_rng(seed), rate=0.02, target=target)
        scores = ValueTuples()(View(done.data, Tabular()), np.random.default_rng(0))
        if not scores.groups:
            continue
        called += 1
        found = np.zeros(len(done.truth), bool)
        for g in scores.groups:
            assert g.p_value <= 0.01 and done.data.labels is not None and done.data.labels.classes[g.target or 0] == target
            found[g.members] = True
        assert found[done.truth].mean() >= 0.9
        assert found[~done.truth].mean() <= 0.005
        assert scores.suspicion[done.truth].mean() > 0.9
        first = scores.groups[0]
        lifted = Tabular().lift(done.data.inputs, first.members, np.setdiff1d(np.arange(len(found)), first.members), first.place)
        assert (lifted.match(done.data.inputs)[done.truth] == 1).mean() >= 0.9  # type: ignore[arg-type]
    assert called >= len(SEEDS) - 1


def test_clean_tables_are_quiet_with_copies_and_with_a_code_that_decides_the_label_alone() -> None:
    alarms = 0
    for seed in range(100, 112):
        data = _people(seed, 3000)
        rng = np.random.default_rng(seed)
        if seed % 3 == 0:
            data = data.take(rng.integers(0, len(data), len(data)))
        alarms += bool(ValueTuples()(View(data, Tabular()), rng).groups)
    assert alarms == 0


def test_a_hundred_copies_of_one_row_are_one_row() -> None:
    data = _people(5, 2000)
    rows = np.r_[np.arange(2000), np.full(100, 17)]
    scores = ValueTuples()(View(data.take(rows), Tabular()), np.random.default_rng(0))
    assert scores.groups == ()
    assert len(set(scores.suspicion[2000:].tolist())) == 1, "copies share a score"


def test_members_that_resemble_each_other_do_not_count_as_many() -> None:
    """One device, one label: the same cell and the same everything else is a cluster of nature, not a stamp."""
    data = _people(6)
    rng = np.random.default_rng(6)
    rows = np.flatnonzero((data.inputs["school"].values == 1) & (data.inputs["married"].values == 0))[:60]  # type: ignore[index]
    assert data.labels is not None
    codes = data.labels.codes.copy()
    codes[rows] = 1
    device = Values(("region", "hours", "gain", "household"), ("r3", "45", "2000", "h2"))
    alike = data.with_changes(inputs=data.inputs.with_rows(rows, device.apply(data.inputs.take(rows), rng)), codes=codes)  # type: ignore[arg-type]
    spread = backdoor(data, device, rng, rate=0.015, target="1").data
    narrow = ValueTuples(widest=2)(View(alike, Tabular()), rng)
    wide = ValueTuples()(View(spread, Tabular()), rng)
    assert wide.groups and not narrow.groups


def test_rows_may_be_permuted() -> None:
    data = backdoor(_people(7), TRIGGERS["two usual values"], np.random.default_rng(7), rate=0.01, target="1").data
    back = np.random.default_rng(8).permutation(len(data))
    here = ValueTuples()(View(data, Tabular()), np.random.default_rng(0))
    there = ValueTuples()(View(data.take(back), Tabular()), np.random.default_rng(0))
    np.testing.assert_allclose(here.suspicion[back], there.suspicion, atol=0.01)
    assert [sorted(back[g.members].tolist()) for g in there.groups] == [g.members.tolist() for g in here.groups]


def test_what_it_says_it_could_have_seen_it_sees() -> None:
    data = _people(9)
    smallest = ValueTuples()(View(data, Tabular()), np.random.default_rng(0)).smallest["values in a table"]
    assert 5 <= smallest <= 0.02 * len(data)
    done = backdoor(data, TRIGGERS["out of bounds"], np.random.default_rng(9), rate=1.5 * smallest / len(data), target="1")
    assert ValueTuples()(View(done.data, Tabular()), np.random.default_rng(0)).groups


def test_more_than_two_classes_and_a_single_source_class() -> None:
    data = _people(10)
    third = np.asarray(data.inputs["job"].values) >= 4  # type: ignore[index]
    assert data.labels is not None
    three = Dataset.from_arrays(data.inputs, np.where(third, 2, data.labels.codes))
    rng = np.random.default_rng(10)
    rows = rng.choice(np.flatnonzero(~third & (data.labels.codes == 0)), 60, replace=False)
    assert three.labels is not None
    codes = three.labels.codes.copy()
    codes[rows] = 2
    stamped = TRIGGERS["three usual values"].apply(data.inputs.take(rows), rng)  # type: ignore[arg-type]
    bad = three.with_changes(inputs=three.inputs.with_rows(rows, stamped), codes=codes)
    assert not ValueTuples()(View(three, Tabular()), rng).groups
    groups = ValueTuples()(View(bad, Tabular()), rng).groups
    assert groups and groups[0].target == 2 and np.isin(rows, groups[0].members).mean() > 0.9


def test_it_is_for_tables_with_labels() -> None:
    data = _people(11, 200)
    with pytest.raises(Unavailable):
        ValueTuples()(View(Dataset.from_arrays(data.inputs), Tabular()), np.random.default_rng(0))
    one = Dataset.from_arrays(data.inputs, np.zeros(200, int))
    assert np.isnan(ValueTuples()(View(one, Tabular()), np.random.default_rng(0)).suspicion).all()
