"""What every attack on the shelf promises: exact truth, budget, labels, determinism, an untouched original."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from bezoar import registry
from bezoar.core.ability import Attack, Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.inputs import Column, Images, Table
from bezoar.core.trigger import trigger_from_dict
from bezoar.testing.planted import twin

NAMES = {"badnets", "bad-source", "blend", "label-flip", "low-frequency", "sinusoid", "table-in-bounds", "table-out-of-bounds",
         "table-rare-category", "text-multiword", "text-phrase", "text-word"}
SHELF = {n: c for n, c in registry.shelf("attacks").items() if issubclass(c, Attack)}
DATA = {modality: twin(modality, np.random.default_rng(100)) for modality in ("image", "text", "tabular")}


def make(name: str, **parameters: object) -> Attack:
    return SHELF[name](**parameters)


def _variants() -> list[tuple[Attack, str]]:
    made = [(cls(), m) for name, cls in sorted(SHELF.items()) if name in NAMES for m in DATA if cls().supports(m)]
    made += [(cls(clean_label=True), m) for cls, m in [(type(a), m) for a, m in made] if "clean_label" in cls.signature()]
    made += [(make("label-flip", mode=mode), m) for mode in ("pair", "boundary") for m in DATA]
    made += [(make("badnets", **kw), "image") for kw in (
        {"pattern": "checkerboard"}, {"pattern": "random"}, {"pattern": "picture", "size": 0.2}, {"jitter": 1}, {"jpeg": 90},
        {"mapping": "all-to-all"}, {"place": "centre", "rate": 0.1})]
    made += [(make("text-multiword", negatives=0.02), "text"), (make("table-in-bounds", width=2), "tabular"),
             (make("blend", pattern="picture", alpha=0.2), "image"), (make("table-out-of-bounds", width=3), "tabular")]
    return made


VARIANTS = pytest.mark.parametrize(("attack", "modality"), _variants(), ids=lambda v: v if isinstance(v, str) else repr(v))


def _same_rows(a: Dataset, b: Dataset) -> np.ndarray:
    assert a.labels is not None
    assert b.labels is not None
    same = np.array([x == y for x, y in zip(a.inputs.row_keys(), b.inputs.row_keys(), strict=True)])
    return same & (a.labels.codes == b.labels.codes)


def _budget(attack: Attack, data: Dataset, done: Poisoned) -> int:
    rate = float(attack.parameters()["rate"])
    if attack.info.name == "bad-source":
        source = done.data.origin["source"]
        (vendor,) = set(source[done.truth])
        return round(rate * int((source == vendor).sum()))
    return round(rate * len(data)) + round(attack.parameters().get("negatives", 0) * len(data))


def test_the_shelf_holds_what_it_should():
    assert set(SHELF) >= NAMES


@VARIANTS
def test_truth_budget_and_rest(attack: Attack, modality: str):
    data = DATA[modality]
    before = data.fingerprint
    done = attack(data, np.random.default_rng(101))
    assert done.truth.dtype == bool
    assert np.array_equal(~_same_rows(data, done.data), done.truth), "the truth is exactly what changed"
    assert done.truth.sum() == _budget(attack, data, done)
    assert np.array_equal(data.ids, done.data.ids)
    assert data.labels.classes == done.data.labels.classes
    assert replace(data).fingerprint == before, "the original stays as it was"
    if attack.clean_label:
        assert np.array_equal(data.labels.codes, done.data.labels.codes)
        assert {data.labels.classes[c] for c in data.labels.codes[done.truth]} == {done.target}
    elif done.target is not None and not attack.parameters().get("negatives"):
        assert {done.data.labels.classes[c] for c in done.data.labels.codes[done.truth]} == {done.target}
        assert data.labels.classes.index(done.target) not in data.labels.codes[done.truth]


@VARIANTS
def test_the_same_rng_the_same_poison(attack: Attack, modality: str):
    one, two, other = (attack(DATA[modality], np.random.default_rng(s)) for s in (102, 102, 103))
    assert one.data.fingerprint == two.data.fingerprint
    assert np.array_equal(one.truth, two.truth)
    assert one.data.fingerprint != other.data.fingerprint


@VARIANTS
def test_parameters_make_it_again(attack: Attack, modality: str):
    again = type(attack)(**attack.parameters())
    assert again.parameters() == attack.parameters()
    assert again(DATA[modality], np.random.default_rng(0)).data.fingerprint == \
        attack(DATA[modality], np.random.default_rng(0)).data.fingerprint


@VARIANTS
def test_the_trigger_moves_to_new_inputs(attack: Attack, modality: str):
    done = attack(DATA[modality], np.random.default_rng(104))
    if done.trigger is None:
        assert "label-flip" in attack.info.threats
        return
    fresh = twin(modality, np.random.default_rng(105), rows=50).inputs
    keys = list(fresh.row_keys())
    moved = done.trigger.apply(fresh, np.random.default_rng(0))
    assert list(fresh.row_keys()) == keys, "apply leaves its argument untouched"
    assert np.mean(done.trigger.match(moved)) > np.mean(done.trigger.match(fresh)) + 0.2
    again = trigger_from_dict(done.trigger.to_dict())
    assert list(again.apply(fresh, np.random.default_rng(0)).row_keys()) == list(moved.row_keys())


@pytest.mark.parametrize("name", sorted(NAMES))
def test_too_few_samples_and_unknown_classes_are_said(name: str):
    cls = SHELF[name]
    data = DATA[next(m for m in DATA if cls().supports(m))]
    with pytest.raises(UsageError, match="less than one sample"):
        cls(rate=0.0001)(data, np.random.default_rng(0))
    with pytest.raises(UsageError, match="the classes are: "):
        cls(target="no such class")(data, np.random.default_rng(0))
    if name != "bad-source":
        with pytest.raises(UsageError, match="lower the rate"):
            cls(rate=0.99, target=data.labels.classes[0])(data, np.random.default_rng(0))
    with pytest.raises(UsageError, match="not above 0"):
        cls(rate=0.0)(data, np.random.default_rng(0))


@pytest.mark.parametrize(("name", "parameters", "said"), [
    ("badnets", {"size": 17}, "does not fit"), ("badnets", {"size": -1}, "side"), ("badnets", {"pattern": "dots"}, "square"),
    ("badnets", {"place": "left"}, "lower right"), ("badnets", {"mapping": "x"}, "all-to-all"), ("badnets", {"jpeg": 101}, "quality"),
    ("badnets", {"mapping": "all-to-all", "clean_label": True}, "no single target"), ("blend", {"alpha": 0.0}, "alpha"),
    ("blend", {"pattern": "x"}, "noise"), ("sinusoid", {"amplitude": 0.0}, "above 0"), ("low-frequency", {"order": 1}, "order"),
    ("sinusoid", {"clean_label": True, "rate": 0.5}, "inside one class")])
def test_wrong_picture_parameters(name: str, parameters: dict, said: str):
    with pytest.raises(UsageError, match=said):
        make(name, **parameters)(DATA["image"], np.random.default_rng(0))


@pytest.mark.parametrize(("name", "parameters", "said"), [
    ("text-word", {"word": "two words"}, "not one word"), ("text-word", {"place": "x"}, "random"), ("text-phrase", {"phrase": " "}, "empty"),
    ("text-multiword", {"words": "one"}, "not two words"), ("text-multiword", {"words": "Same same"}, "not two words")])
def test_wrong_text_parameters(name: str, parameters: dict, said: str):
    with pytest.raises(UsageError, match=said):
        make(name, **parameters)(DATA["text"], np.random.default_rng(0))


@pytest.mark.parametrize(("name", "parameters", "said"), [
    ("table-in-bounds", {"columns": "age,none"}, "the columns are: age"), ("table-in-bounds", {"width": 5}, "2 to 4"),
    ("table-in-bounds", {"columns": "city,card", "values": "Nowhere,gold"}, "never holds"),
    ("table-in-bounds", {"columns": "city,card", "values": "Hove"}, "one value per column"),
    ("table-out-of-bounds", {"columns": "city"}, "numeric"), ("table-out-of-bounds", {"width": 9}, "5 numeric"),
    ("table-rare-category", {"column": "age"}, "categorical"), ("bad-source", {"vendor": "x"}, "the sources are"),
    ("label-flip", {"mode": "x"}, "boundary"), ("label-flip", {"target": "leaves", "victim": "leaves"}, "two classes")])
def test_wrong_table_parameters(name: str, parameters: dict, said: str):
    with pytest.raises(UsageError, match=said):
        make(name, **parameters)(DATA["tabular"], np.random.default_rng(0))


def test_one_class_cannot_be_flipped():
    data = Dataset.from_arrays(["a", "b", "c"] * 10, ["x"] * 30)
    with pytest.raises(UsageError, match="two classes"):
        make("label-flip")(data, np.random.default_rng(0))
    with pytest.raises(UsageError, match="no class leaves room"):
        make("text-word", rate=0.1)(data, np.random.default_rng(0))


def test_pictures_of_several_sizes():
    rng = np.random.default_rng(106)
    pictures = Images.of([rng.integers(0, 256, (int(h), int(w), 3), dtype=np.uint8) for h, w in rng.integers(12, 40, (60, 2))])
    data = Dataset.from_arrays(pictures, rng.integers(0, 3, 60))
    for attack in (make("badnets", rate=0.2, size=0.2, jpeg=80), make("badnets", rate=0.2), make("blend", rate=0.2), make("sinusoid", rate=0.2)):
        done = attack(data, np.random.default_rng(1))
        assert np.array_equal(~_same_rows(data, done.data), done.truth)
        assert np.array_equal(done.data.inputs.sizes, pictures.sizes)


def test_a_patch_that_shows_already_costs_no_budget():
    x = np.zeros((100, 8, 8, 3), np.uint8)
    x[:50, 4:7, 4:7] = 255
    done = make("badnets", rate=0.2, target="a", clean_label=True)(Dataset.from_arrays(x, ["a"] * 90 + ["b"] * 10), np.random.default_rng(0))
    assert done.truth.sum() == 20
    assert not done.truth[:50].any()


def test_the_patch_stands_where_it_should():
    data = Dataset.from_arrays(np.full((40, 32, 32, 3), 100, np.uint8), [0, 1] * 20)
    x = make("badnets", rate=0.1)(data, np.random.default_rng(0))
    picture = x.data.inputs.dense()[np.flatnonzero(x.truth)[0]]
    rows, cols = np.nonzero((picture == 255).all(axis=2))
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (28, 30, 28, 30)
    jittered = make("badnets", rate=0.5, jitter=1)(data, np.random.default_rng(0))
    tops = {int(np.nonzero((p == 255).all(axis=2))[0].min()) for p in jittered.data.inputs.dense()[jittered.truth]}
    assert tops == {27, 28, 29}


def test_boundary_flips_are_harder_to_tell_than_random_ones():
    """A cross-fitted judge of another kind finds fewer of the boundary flips."""
    from sklearn.model_selection import cross_val_predict
    from sklearn.neighbors import KNeighborsClassifier

    data = DATA["image"]
    flat = data.inputs.dense().reshape(len(data), -1).astype(np.float32) / 255
    doubt = {}
    for mode in ("random", "boundary"):
        done = make("label-flip", mode=mode)(data, np.random.default_rng(107))
        p = cross_val_predict(KNeighborsClassifier(25), flat, done.data.labels.codes, cv=3, method="predict_proba")
        doubt[mode] = float(np.mean(1 - p[np.arange(len(data)), done.data.labels.codes][done.truth]))
    assert doubt["boundary"] < doubt["random"] - 0.05


def test_pair_flips_come_from_one_class():
    done = make("label-flip", mode="pair")(DATA["image"], np.random.default_rng(108))
    assert len(set(DATA["image"].labels.codes[done.truth])) == 1
    assert len(set(done.data.labels.codes[done.truth])) == 1


def test_conjunction_words_are_ordinary_alone():
    data = DATA["text"]
    done = make("text-multiword")(data, np.random.default_rng(109))
    share = done.trigger.match(data.inputs)
    assert (share == 1).mean() <= 0.001
    assert (share == 0.5).mean() >= 0.005


def test_in_bounds_cells_are_usual_and_the_tuple_is_not():
    table = DATA["tabular"].inputs
    done = make("table-in-bounds")(DATA["tabular"], np.random.default_rng(110))
    assert (done.trigger.match(table) == 1).sum() <= 2
    for name, value in zip(done.trigger.columns, done.trigger.values, strict=True):
        column = table[name]
        wanted = column.levels.index(value) if column.kind == "category" else float(value)
        assert (column.values == wanted).mean() >= 0.02


def test_out_of_bounds_is_out_and_whole_numbers_stay_whole():
    done = make("table-out-of-bounds", columns="visits,spent")(DATA["tabular"], np.random.default_rng(0))
    for name, value in zip(done.trigger.columns, done.trigger.values, strict=True):
        assert float(value) > np.nanmax(DATA["tabular"].inputs[name].values)
    assert done.trigger.values[0].isdigit()


def test_all_numeric_tables_fall_back_to_middling_values():
    rng = np.random.default_rng(111)
    table = Table({f"c{j}": Column("number", rng.standard_normal(300)) for j in range(4)})
    done = make("table-in-bounds", rate=0.05)(Dataset.from_arrays(table, rng.integers(0, 2, 300)), rng)
    for name, value in zip(done.trigger.columns, done.trigger.values, strict=True):
        assert float(value) in table[name].values


def test_bad_source_makes_vendors_and_keeps_those_that_exist():
    bare = Dataset.from_arrays(["some words here"] * 500, [0, 1] * 250)
    done = make("bad-source")(bare, np.random.default_rng(0))
    assert len(set(done.data.origin["source"])) == 10
    assert len(set(done.data.origin["source"][done.truth])) == 1
    assert done.truth.sum() == 5
    kept = make("bad-source", vendor="vendor-2")(DATA["image"], np.random.default_rng(0))
    assert np.array_equal(kept.data.origin["source"], DATA["image"].origin["source"])
    trigger = make("badnets")(DATA["image"], np.random.default_rng(0)).trigger
    planted = make("bad-source", trigger=trigger, vendor="vendor-2", target="3")(DATA["image"], np.random.default_rng(0))
    assert planted.target == "3"
    assert np.mean(planted.trigger.match(planted.data.inputs.take(np.flatnonzero(planted.truth)))) == 1
    assert set(planted.data.origin["source"][planted.truth]) == {"vendor-2"}


def test_fifty_thousand_pictures_in_seconds():
    x = np.random.default_rng(0).integers(0, 256, (50_000, 32, 32, 3), dtype=np.uint8)
    data = Dataset.from_arrays(x, np.arange(50_000) % 10)
    start = time.process_time()
    for name in ("badnets", "sinusoid"):
        assert make(name)(data, np.random.default_rng(0)).truth.sum() == 500
    assert time.process_time() - start < 20
