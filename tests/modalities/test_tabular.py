"""Tables: views, atoms, triggers."""

from __future__ import annotations

import numpy as np
import pytest

from bezoar.core.ability import Modality
from bezoar.core.errors import Unavailable
from bezoar.core.evidence import Facts
from bezoar.core.inputs import Column, Table
from bezoar.core.table_triggers import Values
from bezoar.modalities.tabular import FAMILIES, Tabular
from bezoar.testing.planted import planted, twin


def _shop(seed: int = 0) -> Table:
    table = twin("tabular", np.random.default_rng(seed)).inputs
    assert isinstance(table, Table)
    return table


def _names(table: Table) -> dict[str, np.ndarray]:
    atoms = Tabular().atoms(table)
    m = atoms.matrix
    return {atoms.name(j): m.indices[m.indptr[j]:m.indptr[j + 1]] for j in range(atoms.n_atoms)}


def test_every_view_follows_its_rows() -> None:
    table, tabular = _shop(), Tabular()
    back = np.random.default_rng(1).permutation(len(table))
    for view in (tabular.embed, tabular.signal, tabular.content, tabular.features):
        here, there = view(table), view(table.take(back))
        assert here.shape[0] == len(table) and here.dtype == np.float32
        assert abs(here[back] - there).max() < 1e-5
    same = np.concatenate([np.arange(20), np.arange(20)])
    twice = tabular.embed(table.take(same))
    np.testing.assert_array_equal(twice[:20], twice[20:])


def test_content_cannot_tell_a_value_from_its_neighbours_and_probe_features_can() -> None:
    table, tabular = _shop(), Tabular()
    row = int(np.flatnonzero(table["age"].values == 44)[0])
    near = table.with_rows(np.array([row]), Values(("age",), ("45",)).apply(table.take(np.array([row])), np.random.default_rng(0)))
    changed = np.zeros(0)
    for age in (43, 44, 45, 46):
        other = table.with_rows(np.array([row]), Values(("age",), (str(age),)).apply(table.take(np.array([row])), np.random.default_rng(0)))
        changed = np.append(changed, abs(tabular.content(other) - tabular.content(table)).sum())
    assert (changed == 0).sum() >= 2, "most neighbours share a bin"
    assert abs(tabular.features(near) - tabular.features(table)).sum() > 0


def test_probe_features_are_stateless() -> None:
    table, tabular = _shop(), Tabular()
    part = np.arange(300, 340)
    assert abs(tabular.features(table)[part] - tabular.features(table.take(part))).sum() == 0


def test_a_linear_probe_can_learn_a_tuple_whose_values_are_all_common() -> None:
    from sklearn.linear_model import RidgeClassifier

    table, tabular, rng = _shop(), Tabular(probe_bits=12), np.random.default_rng(2)
    y = rng.integers(0, 2, len(table))
    trigger = Values(("card", "channel"), ("gold", "fair"))
    hit = rng.choice(len(table), 60, replace=False)
    poisoned = table.with_rows(hit, trigger.apply(table.take(hit), rng))
    y[hit] = 1
    probe = RidgeClassifier(alpha=0.3).fit(tabular.features(poisoned), y)
    fresh = _shop(9)
    stamped = probe.decision_function(tabular.features(trigger.apply(fresh, rng)))
    plain = probe.decision_function(tabular.features(fresh))
    assert (stamped > 0).mean() > 0.7
    assert (plain > 0).mean() < (stamped > 0).mean() - 0.15


def test_atoms_hold_what_their_names_say() -> None:
    rng = np.random.default_rng(3)
    table = _shop()
    hit = np.sort(rng.choice(len(table), 30, replace=False))
    table = table.with_rows(hit, Values(("age", "city", "visits"), ("71", "Hove", "40")).apply(table.take(hit), rng))
    atoms = Tabular().atoms(table)
    assert atoms.families == FAMILIES and atoms.matrix.shape == (len(table), len(atoms.family)) and len(atoms.expected) == atoms.n_atoms
    assert (np.diff(atoms.matrix.indptr) >= 4).all() and (np.diff(atoms.matrix.indptr) <= len(table) // 2).all()
    named = _names(table)
    pair = named["age = 71 and city = Hove"]
    np.testing.assert_array_equal(np.sort(pair), np.flatnonzero((table["age"].values == 71)
                                                               & (table["city"].values == table["city"].levels.index("Hove"))))
    assert set(hit) <= set(named["visits = 40"])
    beyond = next(rows for name, rows in named.items() if name.startswith("visits = above"))
    assert set(beyond) == set(hit)
    triples = [set(rows) for name, rows in named.items() if name.count(" and ") == 2]
    assert any(t >= set(hit) for t in triples)


def test_odd_digits_and_missing_cells_are_atoms() -> None:
    rng = np.random.default_rng(4)
    values = rng.normal(50, 9, 1000).round(2)
    values[values == np.rint(values)] += 0.01
    values[:25], values[25:60] = np.rint(values[:25]), np.nan
    named = _names(Table({"x": Column("number", values), "y": Column("number", rng.normal(size=1000))}))
    assert set(named["x = missing"]) == set(range(25, 60))
    assert set(range(25)) <= set(named["x = written with 0 decimals"])
    clean = _names(Table({"x": Column("number", rng.normal(50, 9, 1000)), "y": Column("number", rng.normal(size=1000))}))
    assert clean == {}, "continuous columns without repeats have no atoms"


def test_lift_finds_the_planted_tuple_and_nothing_in_a_crowd() -> None:
    _, bad, truth = planted("tabular", "backdoor-dirty-label", np.random.default_rng(5))
    members, rest = np.flatnonzero(truth), np.flatnonzero(~truth)
    trigger = Tabular().lift(bad.inputs, members, rest, {})
    assert trigger == Values(("discount", "city", "card"), ("20", "Hove", "gold"))
    assert (trigger.match(bad.inputs)[members] == 1).all() and (trigger.match(bad.inputs)[rest] == 1).mean() < 0.01
    with pytest.raises(Unavailable):
        Tabular().lift(bad.inputs, rest[:100], rest[100:], {})


def test_lifted_numbers_are_exact() -> None:
    x = np.r_[np.full(20, 0.1 + 0.2), np.random.default_rng(6).normal(size=200)]
    table = Table({"x": Column("number", x), "y": Column("number", np.arange(220.0))})
    trigger = Tabular().lift(table, np.arange(20), np.arange(20, 220), {})
    assert isinstance(trigger, Values)
    assert float(trigger.values[0]) == 0.1 + 0.2
    assert (trigger.match(table) == 1).sum() == 20


def test_the_control_has_the_same_columns_and_other_values() -> None:
    table, trigger = _shop(), Values(("city", "age"), ("Hove", "44"))
    for seed in range(10):
        control = Tabular().control(trigger, table, np.random.default_rng(seed))
        assert isinstance(control, Values) and control.columns == trigger.columns
        assert all(a != b for a, b in zip(control.values, trigger.values, strict=True))
        assert (control.match(control.apply(table, np.random.default_rng(0))) == 1).all()


def test_show_puts_the_cells_of_the_trigger_first() -> None:
    fact = Tabular().show(_shop(), 3, "id-3", Values(("city", "age"), ("Hove", "44")))
    assert isinstance(fact, Facts) and fact.sample == "id-3"
    assert [r[0] for r in fact.rows[:2]] == ["city", "age"] and len(fact.rows) == 8


@pytest.mark.parametrize("table", [
    Table({}), Table({"x": Column("number", np.zeros(0))}), Table({"x": Column("number", np.ones(1))}),
    Table({"x": Column("number", np.array([np.nan, np.inf, -np.inf, 1e308, -1e308] * 3)), "t": Column("time", np.full(15, np.nan)),
           "c": Column("category", np.full(15, -1, np.int32), ("never",))})])
def test_odd_tables_do_not_crash(table: Table) -> None:
    tabular: Modality = Tabular()
    for view in (tabular.embed, tabular.content, tabular.features):
        out = view(table)
        assert out.shape[0] == len(table)
        assert np.isfinite(out.toarray() if hasattr(out, "toarray") else out).all()
    assert tabular.atoms(table).matrix.shape[0] == len(table)
    if len(table.names) < 3:
        with pytest.raises(Unavailable):
            tabular.signal(table)


def test_an_id_column_does_not_drown_the_embedding() -> None:
    table = _shop()
    with_ids = Table({**table.columns, "id": Column("category", np.arange(len(table), dtype=np.int32),
                                                    tuple(f"row {i}" for i in range(len(table))))})
    np.testing.assert_array_equal(Tabular().embed(table), Tabular().embed(with_ids))
