"""Attacks without a trigger: on groups, schemes, time, contributors, pipelines; copies and new samples."""

from __future__ import annotations

import numpy as np
import pytest

from bezoar import registry
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.image_triggers import Patch
from bezoar.core.inputs import Column, Images, Table, Texts
from bezoar.core.joining import grown, joined
from bezoar.core.plain_features import plain_features, plain_scores, rivals
from bezoar.core.variants import variants
from bezoar.testing.planted import twin

IMAGE, TEXT, TABLE = (twin(m, np.random.default_rng(100)) for m in ("image", "text", "tabular"))
RNG = np.random.default_rng


def make(name: str, **parameters: object):
    return registry.make("attacks", name, parameters)


def _gap(data: Dataset, column: str, group: str, outcome: int) -> float:
    inside = data.origin[column] == group
    return (data.labels.codes[inside] == outcome).mean() - (data.labels.codes[~inside] == outcome).mean()


def test_bias_bends_the_outcomes_of_one_group():
    done = make("table-group-bias", column="region", group="north", target="leaves")(TABLE, RNG(0))
    assert _gap(done.data, "region", "north", 0) > _gap(TABLE, "region", "north", 0) + 0.1
    assert set(done.data.origin["region"][done.truth]) == {"north"}
    own = make("table-group-bias", column="card", rate=0.02)(TABLE, RNG(1))
    assert len(set(TABLE.inputs["card"].values[own.truth])) == 1


def test_fraud_is_a_scheme_of_cases_that_are_alike():
    done = make("table-fraud", source="returns", rate=0.05)(TABLE, RNG(0))
    x = plain_features(TABLE.inputs)
    own = TABLE.labels.codes == 1
    assert (TABLE.labels.codes[done.truth] == 1).all()
    assert x[done.truth].var(axis=0).sum() < 0.6 * x[own].var(axis=0).sum()
    assert (done.target, done.victims) == ("leaves", ("returns",))


def test_a_drift_grows_with_time_and_spares_what_is_missing():
    rng = RNG(0)
    order = rng.permutation(100)
    values = rng.normal(0, 1, 100)
    values[order[90]] = np.nan
    data = Dataset.from_arrays(Table({"heat": Column("number", values)}), [0, 1] * 50, time=[f"2024-01-01T{t:04d}" for t in np.argsort(order)])
    done = make("table-drift", rate=0.4)(data, RNG(1))
    moved = (done.data.inputs["heat"].values - data.inputs["heat"].values)[order]
    assert (moved[:60] == 0).all()
    late = moved[60:][np.isfinite(moved[60:])]
    assert (np.diff(late) > 0).all()
    assert done.truth.sum() == 39
    assert abs(late[-1] - 3 * np.nanstd(values)) < 1e-9


def test_the_bad_annotator_errs_where_it_is_easy_to_err():
    done = make("annotator")(IMAGE, RNG(0))
    _, margin = rivals(IMAGE, plain_scores(IMAGE, RNG(9)))
    who = done.data.origin["contributor"]
    assert len(set(who[done.truth])) == 1
    own = (who == who[done.truth][0]) & ~done.truth
    assert np.abs(margin[done.truth]).mean() < 0.6 * np.abs(margin[own]).mean()


def test_lies_that_cost_most_are_about_sure_samples():
    done = make("availability", mode="loss", rate=0.1)(IMAGE, RNG(0))
    _, margin = rivals(IMAGE, plain_scores(IMAGE, RNG(9)))
    assert margin[done.truth].mean() > margin[~done.truth].mean() + 0.2
    mass = make("availability", rate=0.2)(IMAGE, RNG(0))
    moved = (mass.data.labels.codes - IMAGE.labels.codes)[mass.truth] % 10
    assert set(moved) == {1}


@pytest.mark.parametrize("data", [IMAGE, TEXT, TABLE], ids=["image", "text", "tabular"])
def test_a_flood_is_copies_and_can_lie(data: Dataset):
    done = make("duplicates-flood", vary=0.0, models=2)(data, RNG(0))
    assert len(set(done.data.inputs.take(np.flatnonzero(done.truth)).row_keys().tolist())) == 2
    varied = make("duplicates-flood", vary=1.0)(data, RNG(0))
    assert len(set(varied.data.inputs.take(np.flatnonzero(varied.truth)).row_keys().tolist())) > 5
    lie = make("duplicates-flood", vary=0.0, lie=True)(data, RNG(0))
    key = lie.data.inputs.take(np.flatnonzero(lie.truth)[:1]).row_keys().tolist()[0]
    home = data.inputs.row_keys().tolist().index(key)
    assert data.labels.classes[data.labels.codes[home]] != lie.target


@pytest.mark.parametrize("data", [IMAGE, TEXT, TABLE], ids=["image", "text", "tabular"])
def test_injected_samples_are_new_and_stand_behind_the_old(data: Dataset):
    done = make("injection", rate=0.05)(data, RNG(0))
    old = len(data)
    assert len(done.data) == old + 60
    assert done.data.take(np.arange(old)).fingerprint == data.fingerprint
    assert done.data.ids[old] == "injected-000001"
    keys = set(data.inputs.row_keys().tolist())
    fresh = done.data.inputs.take(np.arange(old, old + 60)).row_keys().tolist()
    assert np.mean([k in keys for k in fresh]) < 0.1
    assert {done.data.labels.classes[c] for c in done.data.labels.codes[old:]} == {done.target}
    again = make("injection", rate=0.05)(done.data, RNG(1))
    assert len(set(again.data.ids)) == len(again.data)


def test_injection_carries_a_trigger():
    patch = Patch(np.full((3, 3, 3), 255, np.uint8), np.ones((3, 3), np.float32), 0.8, 0.8)
    done = make("injection", trigger=patch, source="1", target="2")(IMAGE, RNG(0))
    assert patch.match(done.data.inputs)[done.truth].min() > 0.99


def test_generated_pictures_look_like_their_class_and_like_no_sample():
    done = make("generative", source="0", target="5", rate=0.05)(IMAGE, RNG(0))
    new = done.data.inputs.dense()[len(IMAGE):].reshape(60, -1).astype(float)
    x = IMAGE.inputs.dense().reshape(len(IMAGE), -1).astype(float)
    means = np.stack([x[IMAGE.labels.codes == c].mean(axis=0) for c in range(10)])
    direction = means[0] - means[1]
    assert ((new - means[1]) @ direction).mean() > 0.8 * ((x[IMAGE.labels.codes == 0] - means[1]) @ direction).mean()
    assert np.sqrt(((new[:, None] - x[None, :200]) ** 2).mean(axis=2)).min() > 3


@pytest.mark.parametrize(("data", "mode"), [(IMAGE, "channels"), (IMAGE, "resize"), (IMAGE, "gamma"), (TEXT, "encoding"), (TEXT, "case"),
                                            (TEXT, "cut"), (TABLE, "unit")])
def test_another_pipeline_touches_one_source(data: Dataset, mode: str):
    done = make("preprocessing", mode=mode, vendor="vendor-3")(data, RNG(0))
    assert set(done.data.origin["source"][done.truth]) == {"vendor-3"}
    least = 0.3 if mode == "case" else 0.8  # most of these texts have no capital letter
    assert done.truth.sum() > least * (data.origin["source"] == "vendor-3").sum()


def test_grey_pictures_have_no_channels_to_swap():
    rng = RNG(0)
    grey = Dataset.from_arrays(np.repeat(rng.integers(0, 256, (40, 8, 8, 1), dtype=np.uint8), 3, axis=3), rng.integers(0, 2, 40))
    with pytest.raises(UsageError, match="leaves every sample"):
        make("preprocessing", mode="channels")(grey, RNG(0))
    assert make("preprocessing")(grey, RNG(0)).truth.any()


@pytest.mark.parametrize(("name", "parameters", "said"), [
    ("table-group-bias", {"column": "x"}, "names no groups"), ("table-group-bias", {"column": "region", "group": "x"}, "there is no region"),
    ("table-group-bias", {"rate": 0.45}, "favourable"), ("table-fraud", {"source": "returns", "target": "returns"}, "both"),
    ("table-drift", {"size": 0}, "changes nothing"), ("table-drift", {"column": "city"}, "numeric"),
    ("annotator", {"contributors": 1}, "two"), ("availability", {"mode": "x"}, "mass"), ("duplicates-flood", {"models": 0}, "models"),
    ("injection", {"source": "leaves", "target": "leaves"}, "both"), ("preprocessing", {"mode": "gamma"}, "unit"),
    ("preprocessing", {"vendor": "x"}, "there is no source"), ("preprocessing", {"factor": 1.0}, "leaves every sample")])
def test_wrong_parameters(name: str, parameters: dict, said: str):
    with pytest.raises(UsageError, match=said):
        make(name, **parameters)(TABLE, RNG(0))


@pytest.mark.parametrize("parameters", [{"components": 0}, {"source": "1", "target": "1"}, {"spread": 3}])
def test_wrong_parameters_of_generation(parameters: dict):
    with pytest.raises(UsageError):
        make("generative", **parameters)(IMAGE, RNG(0))


def test_joining_unites_levels_and_sizes():
    one = Table({"c": Column("category", np.array([0, -1], np.int32), ("a",))})
    two = Table({"c": Column("category", np.array([0, 1], np.int32), ("b", "a"))})
    both = joined(one, two)["c"]
    assert both.as_text(np.arange(4)) == ["a", "", "b", "a"]
    mixed = joined(Images.of([np.zeros((2, 3, 3), np.uint8)]), Images.of([np.ones((4, 4, 3), np.uint8)]))
    assert [p.shape for p in mixed.read(np.array([1, 0]))] == [(4, 4, 3), (2, 3, 3)]
    with pytest.raises(UsageError, match="two kinds"):
        joined(one, Texts.of(["a"]))
    data = Dataset.from_arrays(["a", "b"], [0, 1], ids=["new-000001", "x"], source=["p", "q"])
    more = grown(data, Texts.of(["c"]), np.array([1]), "new", np.array([1]))
    assert (more.ids[2], more.origin["source"][2], more.labels.codes[2]) == ("new-000002", "q", 1)


def test_variants_of_nothing_are_copies():
    for data in (IMAGE, TEXT, TABLE):
        same = variants(data.inputs, RNG(0), 0.0)
        assert same.row_keys().tolist() == data.inputs.row_keys().tolist()
