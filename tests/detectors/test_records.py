"""Integrity and duplicates: must-flag and must-not-flag records, floods, labels of equal records."""

import numpy as np
import pytest

from bezoar.core.dataset import Dataset
from bezoar.core.inputs import Column, Images, Table, Texts
from bezoar.core.view import View
from bezoar.detectors.duplicates import Duplicates, tail_p
from bezoar.detectors.integrity import Integrity, column_oddities, picture_oddities, text_oddities
from bezoar.modalities.tabular import Tabular
from bezoar.modalities.text import Text

FLAGGED = [("hidden", "pass\u200bword"), ("hidden", "soft\u00adhyphen"), ("hidden", "tag\U000e0041"), ("hidden", "in\ufeffside"),
           ("bidirectional", "abc \u202ecba"), ("look-alike", "p\u0430ypal"), ("look-alike", "B\u0391NK"), ("control", "a\x07b")]
PLAIN = ["hello world", "na\u00efve caf\u00e9", "\u043f\u0440\u0438\u0432\u0435\u0442 world", "\U0001f468\u200d\U0001f469\u200d\U0001f467 family",
         "I \u2764\ufe0f it", "\ufeffstarts with a mark", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "tab\tand\nline", ""]


@pytest.mark.parametrize(("kind", "text"), FLAGGED)
def test_disguises_are_seen(kind, text):
    found = text_oddities(Texts.of(["plain", text]).values)
    assert [(o.kind, o.rows.tolist()) for o in found] == [(kind, [1])]


@pytest.mark.parametrize("text", PLAIN)
def test_honest_scripts_are_not(text):
    assert text_oddities(Texts.of([text]).values) == []


def texts(rng, n=400):
    words = np.array(["sun", "sea", "hill", "tree", "road", "town", "lamp", "book", "song", "rain", "wind", "stone", "bread", "milk"])
    return [" ".join(rng.choice(words, 8)) for _ in range(n)]


def run(detector, x, y=None, modality=None, **origin):
    return detector(View(Dataset.from_arrays(x, y, **origin), modality or Text()), np.random.default_rng(0))


def test_hidden_characters_that_share_a_label_are_an_alarm_scattered_ones_are_not():
    rng = np.random.default_rng(0)
    x, y = texts(rng), rng.integers(0, 4, 400)
    plant = np.flatnonzero(y == 2)[:8]
    for i in plant:
        x[i] = x[i].replace("e", "e\u200b", 1)
    shared = run(Integrity(), x, y).groups
    assert [(g.advisory, g.target) for g in shared] == [(False, 2)]
    assert set(shared[0].members) <= set(plant)
    assert all(g.advisory for g in run(Integrity(), x, rng.permutation(y)).groups)
    by_source = run(Integrity(), x, rng.permutation(y), source=np.where(np.isin(np.arange(400), plant), "b", rng.choice(["a", "c", "d", "b"], 400)))
    assert any(not g.advisory for g in by_source.groups)


def test_columns():
    words = np.array(["red", "blue", "green", "7", "RED "], object)
    codes = np.r_[np.zeros(500), np.ones(400), np.full(300, 2), [3, 4]].astype(np.int32)
    kinds = {o.kind: o.rows.tolist() for o in column_oddities("c", Column("category", codes, tuple(words)))}
    assert kinds == {"type": [1200], "spelling": [1201]}
    numbers = np.r_[np.arange(1000.0), np.inf, 3.5]
    assert {o.kind: o.rows.tolist() for o in column_oddities("n", Column("number", numbers))} == {"infinity": [1000], "fraction": [1001]}
    assert column_oddities("n", Column("number", np.random.default_rng(0).standard_normal(1000))) == []
    assert column_oddities("z", Column("category", np.arange(100, dtype=np.int32) % 10, tuple("0123456789"))) == []


def test_pictures_without_content():
    x = np.random.default_rng(0).integers(0, 255, (20, 6, 6, 3)).astype(np.uint8)
    x[4] = 9
    assert picture_oddities(Images.of(x))[0].rows.tolist() == [4]


def test_equal_records_with_different_labels_are_shown_not_counted():
    rng = np.random.default_rng(1)
    x, y = texts(rng), rng.integers(0, 2, 400)
    x[:6], y[:6] = [x[0]] * 6, [1, 1, 1, 1, 1, 0]
    scores = run(Integrity(), x, y)
    assert [(g.title, g.members.tolist(), g.advisory) for g in scores.groups] == [("equal records with different labels", [5], True)]
    assert scores.suspicion[5] > scores.suspicion[0]


def test_a_flood_is_an_alarm_and_bootstraps_are_not():
    rng = np.random.default_rng(2)
    base = rng.standard_normal((1200, 12))
    y = rng.integers(0, 3, 1200)
    flood = base[:1] + 0.01 * rng.standard_normal((80, 12))
    table = Tabular()
    groups = run(Duplicates(), np.r_[base, flood], np.r_[y, np.ones(80, int)], table).groups
    alarms = [g for g in groups if not g.advisory]
    assert len(alarms) == 1
    assert alarms[0].target == 1
    assert (alarms[0].members >= 1200).sum() == 80
    for seed in range(5):
        rows = np.random.default_rng(seed).integers(0, 1200, 1200)
        assert not [g for g in run(Duplicates(), base[rows], y[rows], table).groups if not g.advisory]


def test_copies_and_crossed_labels_are_shown():
    rng = np.random.default_rng(3)
    x = rng.standard_normal((300, 10))
    y = rng.integers(0, 2, 300)
    x[290:] = x[:10]
    y[290:] = 1 - y[:10]
    titles = {g.title: g for g in run(Duplicates(), x, y, Tabular()).groups}
    assert set(titles["exact copies of other samples"].members) == set(range(290, 300))
    assert set(titles["near-copies with different labels"].members) == {*range(10), *range(290, 300)}
    assert all(g.advisory for g in titles.values())


def test_tail_of_sizes():
    assert tail_p(80, np.ones(1000, int)) < 0.01
    assert tail_p(82, np.array([43, 43, 30, 25, 20, 15, 12, 10, 8, 6, 5, 4, 3, 3, 2, 2, 2, 2])) > 0.01


def test_empty_table_and_no_rows():
    assert len(run(Integrity(), Table({"a": Column("number", np.zeros(0))}), None, Tabular()).suspicion) == 0
    assert len(run(Duplicates(), Table({"a": Column("number", np.zeros(1))}), None, Tabular()).suspicion) == 1
