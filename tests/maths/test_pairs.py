"""Pair and triple counts against slow oracles."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bezoar.maths.pairs import grow_triples, joint_counts, labelled_pairs, pair_excess, poisson_strength

SMALL = settings(max_examples=60, deadline=None)
tables = st.integers(5, 60).flatmap(lambda n: st.lists(st.lists(st.integers(-1, 3), min_size=n, max_size=n), min_size=2, max_size=4))


def _columns(rows: list[list[int]]) -> tuple[list[np.ndarray], list[int]]:
    return [np.array(c, np.int32) for c in rows], [4] * len(rows)


@SMALL
@given(tables)
def test_joint_counts_are_what_a_counter_counts(rows: list[list[int]]) -> None:
    codes, sizes = _columns(rows)
    slow = Counter(a * 4 + b for a, b in zip(rows[0], rows[1], strict=True) if a >= 0 and b >= 0)
    cells, counts = joint_counts(codes[0], sizes[0], codes[1], sizes[1])
    assert dict(zip(cells.tolist(), counts.tolist(), strict=True)) == dict(slow)


def test_joint_counts_are_the_same_where_cells_are_many_and_sorted_instead_of_counted() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(-1, 30, 500).astype(np.int32), rng.integers(-1, 30, 500).astype(np.int32)
    few, many = joint_counts(a, 30, b, 30), joint_counts(a, 30, b, 1 << 20)
    assert [(c // 30, c % 30) for c in few[0]] == [(c // (1 << 20), c % (1 << 20)) for c in many[0]]
    assert few[1].tolist() == many[1].tolist()


@SMALL
@given(tables, st.integers(1, 4))
def test_pair_excess_lists_every_pair_above_independence(rows: list[list[int]], least: int) -> None:
    codes, sizes = _columns(rows)
    n = len(rows[0])
    slow = {}
    for i, j in combinations(range(len(rows)), 2):
        joint = Counter((a, b) for a, b in zip(rows[i], rows[j], strict=True) if a >= 0 and b >= 0)
        for (a, b), count in joint.items():
            expected = rows[i].count(a) * rows[j].count(b) / n
            if count >= least and count > expected:
                slow[i, j, a, b] = (count, expected)
    fast = {(e.i, e.j, int(a), int(b)): (int(c), float(x))
            for e in pair_excess(codes, sizes, least=least) for a, b, c, x in zip(e.a, e.b, e.count, e.expected, strict=True)}
    assert fast.keys() == slow.keys()
    for key, (count, expected) in slow.items():
        assert fast[key][0] == count
        assert fast[key][1] == pytest.approx(expected)


@SMALL
@given(tables, st.integers(0, 2**32 - 1))
def test_labelled_pairs_find_the_cells_with_the_largest_z(rows: list[list[int]], seed: int) -> None:
    codes, sizes = _columns(rows)
    n = len(rows[0])
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    share = rng.uniform(0.1, 0.9, n)
    chance = [(1 - share).astype(np.float32), share.astype(np.float32)]
    slow = {}
    for i, j in combinations(range(len(rows)), 2):
        for a in range(4):
            for b in range(4):
                held = (codes[i] == a) & (codes[j] == b)
                for c in range(2):
                    found, mean = int((held & (labels == c)).sum()), float(chance[c][held].sum())
                    if found < 2:
                        continue
                    z = (found - mean) / np.sqrt(mean * (1 - mean / held.sum()) + 1)
                    if z > 2:
                        slow[i, j, a, b, c] = z
    fast = {(i, j, a, b, c): z for i, j, a, b, c, z in labelled_pairs(codes, sizes, labels, chance, least=2, most=n, per_pair=99)}
    near = {k for k, z in slow.items() if abs(z - 2) < 1e-4}
    assert fast.keys() - near == slow.keys() - near
    for key in fast.keys() & slow.keys():
        assert fast[key] == pytest.approx(slow[key], rel=1e-4)


def test_labelled_pairs_work_alike_where_cells_outnumber_rows() -> None:
    rng = np.random.default_rng(1)
    codes = [rng.integers(-1, 300, 400).astype(np.int32) for _ in range(2)]
    codes[0][:12], codes[1][:12] = 7, 9
    labels = np.r_[np.ones(12, np.int64), rng.integers(0, 2, 388)]
    found = list(labelled_pairs(codes, [300, 300], labels, [np.zeros(0, np.float32)] * 2, least=5, most=40))
    assert [(i, j, a, b, c) for i, j, a, b, c, _ in found] == [(0, 1, 7, 9, 1)]


def test_a_third_value_that_the_holders_share_is_found_and_chance_is_not() -> None:
    rng = np.random.default_rng(2)
    codes = [rng.integers(0, 10, 2000).astype(np.int32) for _ in range(4)]
    holders = np.arange(40)
    for column, value in ((0, 1), (1, 2), (3, 6)):
        codes[column][holders] = value
    background = [np.bincount(c, minlength=10).astype(float) for c in codes]
    third = grow_triples(codes, [10] * 4, holders, (0, 1), least=4, background=background)
    assert third is not None and third[:2] == (3, 6)
    assert third[2] == pytest.approx(background[3][6] * 40 / 2000)
    plain = rng.choice(2000, 40, replace=False)
    assert grow_triples(codes, [10] * 4, plain, (0, 3), least=4, background=background) is None


def test_poisson_strength_grows_with_the_excess_and_is_nought_without() -> None:
    counts = np.array([0.0, 2.0, 3.0, 6.0, 60.0])
    strength = poisson_strength(counts, np.full(5, 3.0))
    assert strength[:3].tolist() == [0.0, 0.0, 0.0]
    assert 1.0 < strength[3] < strength[4]
