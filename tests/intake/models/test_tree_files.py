"""XGBoost and LightGBM files answer as the libraries that wrote them; what only looks like them ends in one sentence."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from bezoar.core.errors import BezoarError, LimitExceeded, UsageError
from bezoar.core.inputs import Column, Table
from bezoar.core.limits import Limits
from bezoar.intake.models import read_weights
from bezoar.intake.models.parsing import Nowhere, most_bytes, parse
from bezoar.sources.suspects import open_suspect, trees

HERE = Path(__file__).parent / "trees"
EXPECTED = json.loads((HERE / "expected.json").read_text())
ROWS = np.array(EXPECTED["rows"], float)
BINARY = (HERE / "xgboost-binary.json").read_text()
LINES = (HERE / "lightgbm-binary.txt").read_text()


def table(rows=ROWS, names=EXPECTED["names"]):
    return Table({n: Column("number", rows[:, i].copy()) for i, n in enumerate(names)})


@pytest.mark.parametrize("name", sorted(EXPECTED["cases"]))
def test_it_answers_as_the_library_does(name):
    suspect = open_suspect(HERE / name)
    assert suspect.modality == "tabular" and suspect.module is None and suspect.shape == (4,)
    np.testing.assert_allclose(suspect.predict(table()), EXPECTED["cases"][name]["probabilities"], atol=2e-6)


@pytest.mark.parametrize("name", ["xgboost-three.json", "lightgbm-three.txt"])
def test_columns_go_by_their_names(name):
    suspect, want = open_suspect(HERE / name, classes=("a", "b", "c")), EXPECTED["cases"][name]["probabilities"]
    mixed = dict(reversed(table().columns.items()))
    mixed["beside"] = Column("category", np.zeros(len(ROWS), np.int32), ("x",))
    np.testing.assert_allclose(suspect.predict(Table(mixed)), want, atol=2e-6)
    with pytest.raises(UsageError, match="no column 'petal.length', which the model reads"):
        suspect.predict(Table({n: c for n, c in mixed.items() if n != "petal length"}))
    with pytest.raises(UsageError, match="holds words"):
        suspect.predict(Table({**mixed, "petal width": mixed["beside"]}))
    with pytest.raises(UsageError, match="2 classes are named, the model has 3"):
        open_suspect(HERE / name, classes=("a", "b"))


def test_without_names_the_number_of_columns_must_fit():
    suspect = open_suspect(HERE / "lightgbm-binary.txt")
    assert any("taken in their order" in n for n in suspect.notes)
    with pytest.raises(UsageError, match="reads 4 columns and names none, the table has 3"):
        suspect.predict(table(ROWS[:, :3], "abc"))


def test_answers_that_take_too_long(monkeypatch):
    suspect = open_suspect(HERE / "lightgbm-binary.txt")
    monkeypatch.setattr(trees, "SECONDS", -1.0)
    with pytest.raises(LimitExceeded, match="to answer"):
        suspect.predict(table())


def test_the_same_trees_have_one_fingerprint(tmp_path):
    again = tmp_path / "other.json"
    again.write_text(json.dumps(json.loads(BINARY), indent=1))
    assert open_suspect(again).fingerprint == open_suspect(HERE / "xgboost-binary.json").fingerprint
    assert open_suspect(HERE / "xgboost-raw.json").fingerprint != open_suspect(again).fingerprint


def edited(*path, to):
    """The binary XGBoost model with another value at one place."""
    root = json.loads(BINARY)
    at = root
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = to(at[path[-1]]) if callable(to) else to
    return json.dumps(root)


MODEL = ("learner", "gradient_booster", "model")
TREE = (*MODEL, "trees", 0)
SHAPE = ("learner", "learner_model_param")


def many(count):
    stump = json.loads(BINARY)["learner"]["gradient_booster"]["model"]["trees"][0]
    root = json.loads(BINARY)
    model = root["learner"]["gradient_booster"]["model"]
    model["trees"], model["tree_info"] = [{}] * count if count > 1000 else [stump] * count, [0] * count
    model["gbtree_model_param"]["num_trees"] = str(count)
    return json.dumps(root, separators=(",", ":"))


def chain(length):
    """One tree of XGBoost whose every right child asks again."""
    root, n = json.loads(BINARY), 2 * length + 1
    inner = np.arange(n) % 2 == 0
    inner[-1] = False
    left = [i + 1 if k else -1 for i, k in enumerate(inner)]
    right = [i + 2 if k else -1 for i, k in enumerate(inner)]
    model = root["learner"]["gradient_booster"]["model"]
    model["trees"], model["tree_info"] = [{"left_children": left, "right_children": right, "split_indices": [0] * n, "default_left": [0] * n,
                                           "split_conditions": [0.5] * n, "tree_param": {"num_nodes": str(n), "size_leaf_vector": "1"}}], [0]
    model["gbtree_model_param"]["num_trees"] = "1"
    return json.dumps(root)


def line(name, to, count=1):
    return re.sub(rf"(?m)^{name}=.*$", f"{name}={to}", LINES, count=count)


def sized(text):
    """The same file with the sizes of its trees as they are now."""
    body = text[text.index("\n\n") + 2:text.index("end of trees")]
    blocks = [b for b in re.split(r"(?=Tree=)", body) if b]
    return re.sub(r"(?m)^tree_sizes=.*$", "tree_sizes=" + " ".join(str(len(b)) for b in blocks), text)


HOSTILE_XGBOOST = {
    "circle": (edited(*TREE, "left_children", 3, to=1), "refused", "lists|not there|circle|none"),
    "own-child": (edited(*TREE, "left_children", to=lambda v: [0, *v[1:]]), "refused", "not there"),
    "two-parents": (edited(*TREE, "left_children", to=lambda v: [v[0], *v[1:]] if v[2] < 0 else [v[0], v[1], v[0], *v[3:]]), "refused", "circle|none"),
    "child-out-of-range": (edited(*TREE, "right_children", to=lambda v: [99, *v[1:]]), "refused", "not there"),
    "child-huge": (edited(*TREE, "right_children", to=lambda v: [10**30, *v[1:]]), "inconclusive", "damaged"),
    "child-negative": (edited(*TREE, "right_children", to=lambda v: [-5, *v[1:]]), "refused", "not there"),
    "child-of-half-a-leaf": (edited(*TREE, "right_children", to=lambda v: [-1, *v[1:]]), "refused", "not there"),
    "child-a-fraction": (edited(*TREE, "right_children", to=lambda v: [2.0, *v[1:]]), "refused", "whole numbers"),
    "child-a-text": (edited(*TREE, "right_children", to=lambda v: ["2" * 100_000, *v[1:]]), "refused", "whole numbers"),
    "child-a-list": (edited(*TREE, "right_children", to=lambda v: [[2], *v[1:]]), "refused", "whole numbers"),
    "column-out-of-range": (edited(*TREE, "split_indices", to=lambda v: [4, *v[1:]]), "refused", "column"),
    "threshold-nan": (edited(*TREE, "split_conditions", to=lambda v: [float("nan"), *v[1:]]), "refused", "not finite"),
    "threshold-infinite": (edited(*TREE, "split_conditions", to=lambda v: [float("inf"), *v[1:]]), "refused", "not finite"),
    "leaf-infinite": (edited(*TREE, "split_conditions", to=lambda v: [*v[:-1], 1e300]), "refused", "not finite"),
    "lists-of-other-lengths": (edited(*TREE, "default_left", to=[0]), "refused", "other lengths"),
    "a-tree-that-is-none": (edited(*TREE, to=[1]), "refused", "something else"),
    "an-empty-tree": (edited(*MODEL, "trees", 0, to={k: [] for k in ("left_children", "right_children", "split_indices", "default_left",
                                                                    "split_conditions")} | {"tree_param": {"num_nodes": "0"}}),
                      "refused", "without nodes"),
    "no-trees": (edited(*MODEL, "trees", to=[]), "inconclusive", "without trees"),
    "another-number-of-trees": (edited(*MODEL, "gbtree_model_param", "num_trees", to="9"), "refused", "another number"),
    "a-class-that-is-not": (edited(*MODEL, "tree_info", to=lambda v: [7, *v[1:]]), "refused", "not there"),
    "a-class-below": (edited(*MODEL, "tree_info", to=lambda v: [-1, *v[1:]]), "refused", "not there"),
    "a-million-trees": (many(200_001), "inconclusive", "200,001 trees"),
    "a-billion-columns": (edited(*SHAPE, "num_feature", to="1000000000"), "inconclusive", "columns"),
    "a-billion-classes": (edited(*SHAPE, "num_class", to="1000000000"), "refused", "classes"),
    "classes-of-digits": (edited(*SHAPE, "num_class", to="9" * 5000), "refused", "no count"),
    "a-deep-tree": (chain(1500), "inconclusive", "more than 1,000 questions"),
    "deep-json": ('{"learner":' + "[" * 100_000, "inconclusive", "deeper|damaged"),
    "deep-json-closed": ('{"learner":' + "[" * 50_000 + "]" * 50_000 + "}", "inconclusive", "deeper|damaged"),
    "cut-off": (BINARY[:len(BINARY) // 2], "inconclusive", "cut off"),
    "a-name-twice": (BINARY.replace('"num_class":"0"', '"num_class":"0","num_class":"3"', 1), "refused", "twice"),
    "no-shape": ('{"learner":{}}', "inconclusive", "learner_model_param"),
    "a-list-for-a-learner": ('{"learner":[1,2]}', "inconclusive", "learner"),
    "base-that-is-none": (edited(*SHAPE, "base_score", to="__import__('os')"), "refused", "base score"),
    "base-beyond": (edited(*SHAPE, "base_score", to="[1E0]"), "refused", "base score"),
    "base-endless": (edited(*SHAPE, "base_score", to="[" + "1," * 100_000 + "1]"), "refused", "base score"),
    "a-regression": (edited("learner", "objective", "name", to="reg:squarederror"), "inconclusive", "classifiers"),
    "several-targets": (edited(*SHAPE, "num_target", to="2"), "inconclusive", "several targets"),
    "linear": (edited("learner", "gradient_booster", to={"name": "gblinear", "model": {"weights": [1]}}), "inconclusive", "no trees"),
    "categorical": (edited(*TREE, "split_type", to=lambda v: [1, *v[1:]]), "inconclusive", "categorical"),
    "categories-in-the-model": (edited(*MODEL, "cats", to={"enc": [1]}), "inconclusive", "categorical"),
    "names-that-are-none": (edited("learner", "feature_names", to=[1, 2, 3, 4]), "refused", "no texts"),
    "names-too-few": (edited("learner", "feature_names", to=["a"]), "refused", "names 1 columns"),
    "unknown-key": (edited(*TREE, to=lambda t: {**t, "hook": 1}), "inconclusive", "hook"),
    "no-utf-8": (BINARY[:-1].encode() + b"\xff}", "inconclusive", "damaged"),
}
HOSTILE_LIGHTGBM = {
    "circle": (line("left_child", "0 2 -2"), "refused", "circle|none"),
    "two-parents": (line("left_child", "-1 -1 -2"), "refused", "circle|none"),
    "child-out-of-range": (line("left_child", "9 2 -2"), "refused", "not there"),
    "leaf-out-of-range": (line("right_child", "1 -3 -9"), "refused", "not there"),
    "child-huge": (line("left_child", f"{10**25} 2 -2"), "inconclusive", "damaged"),
    "column-out-of-range": (line("split_feature", "2 3 4"), "refused", "column"),
    "column-below": (line("split_feature", "2 3 -1"), "refused", "column"),
    "threshold-nan": (line("threshold", "nan 1 2"), "refused", "not finite"),
    "threshold-infinite": (line("threshold", "1e999 1 2"), "refused", "not finite"),
    "threshold-of-code": (line("threshold", "__import__('os') 1 2"), "refused", "no number"),
    "leaf-infinite": (line("leaf_value", "1 2 3 1e999"), "refused", "not finite"),
    "lists-of-other-lengths": (line("threshold", "1 2"), "refused", "other lengths"),
    "leaves-huge": (line("num_leaves", "999999999999"), "refused", "other lengths"),
    "no-leaves": (line("num_leaves", "0"), "refused", "other lengths"),
    "categorical": (line("num_cat", "1"), "inconclusive", "categorical"),
    "categorical-unsaid": (line("decision_type", "1 2 2"), "inconclusive", "categorical"),
    "missing-unknown": (line("decision_type", "14 18 2"), "refused", "missing"),
    "linear": (line("is_linear", "1"), "inconclusive", "linear"),
    "a-regression": (line("objective", "regression"), "inconclusive", "classifiers"),
    "no-objective": (LINES.replace("objective=binary sigmoid:1.5\n", ""), "inconclusive", "classifiers"),
    "a-slope-of-nothing": (line("objective", "binary sigmoid:0"), "refused", "objective"),
    "a-slope-of-code": (line("objective", "binary sigmoid:x"), "refused", "objective"),
    "a-million-trees": (line("tree_sizes", "1 " * 200_001), "inconclusive", "200,001 trees"),
    "a-billion-columns": (line("max_feature_idx", "999999999"), "inconclusive", "columns"),
    "classes-that-differ": (line("num_class", "3"), "refused", "classes"),
    "sizes-that-lie": (line("tree_sizes", "10 20 30"), "inconclusive", "other sizes"),
    "sizes-below": (line("tree_sizes", "-1 20 30"), "refused", "no counts"),
    "a-line-twice": (LINES.replace("shrinkage=1\n", "shrinkage=1\nthreshold=1 2 3\n", 1), "refused", "twice"),
    "a-tree-twice": (LINES.replace("Tree=1", "Tree=0", 1), "refused", "order"),
    "unknown-line": (LINES.replace("leaf_weight=", "leaf_hook=", 1), "inconclusive", "leaf_hook"),
    "cut-off": (LINES[:900], "inconclusive", "cut off|other sizes"),
    "head-alone": ("tree\nversion=v4\n", "inconclusive", "cut off"),
    "a-name-twice": (LINES.replace("num_class=1\n", "num_class=1\nnum_class=1\n", 1), "refused", "twice"),
    "no-utf-8": (LINES.encode().replace(b"Column_0", b"Col\xff\xff_0", 1), "inconclusive", "damaged"),
}
AS_THEY_ARE = ("a-million-trees", "sizes-that-lie", "sizes-below", "cut-off", "head-alone", "no-utf-8")
HOSTILE_LIGHTGBM = {n: (c[0] if n in AS_THEY_ARE else sized(c[0]), *c[1:]) for n, c in HOSTILE_LIGHTGBM.items()}
EVERY = [(f"{kind}-{name}", suffix, *case) for kind, suffix, cases in (("xgboost", ".json", HOSTILE_XGBOOST), ("lightgbm", ".txt", HOSTILE_LIGHTGBM))
         for name, case in cases.items()]


@pytest.mark.parametrize(("name", "suffix", "content", "verdict", "says"), EVERY, ids=[e[0] for e in EVERY])
def test_hostile_trees(name, suffix, content, verdict, says):
    raw = content if isinstance(content, bytes) else content.encode()
    assert len(raw) < 2 << 20
    told = parse(memoryview(raw), suffix, Limits(), Nowhere(most_bytes(len(raw), Limits())))
    assert told["verdict"] == verdict and re.search(says, told["reasons"][0]), told["reasons"]
    assert not told["arrays"] and "\n" not in told["reasons"][0]


@pytest.mark.parametrize("name", ["xgboost-circle", "xgboost-a-million-trees", "xgboost-deep-json-closed", "xgboost-cut-off",
                                  "lightgbm-threshold-nan", "lightgbm-a-million-trees", "lightgbm-cut-off"])
def test_hostile_trees_apart(name, tmp_path):
    _, suffix, content, verdict, says = next(e for e in EVERY if e[0] == name)
    path = tmp_path / f"model{suffix}"
    path.write_text(content)
    assert read_weights(path).verdict == verdict
    with pytest.raises(BezoarError, match=says) as caught:
        open_suspect(path)
    assert caught.value.advice and int(caught.value.exit_code) in (2, 3)


def test_flipped_bytes_end_in_a_verdict():
    rng = np.random.default_rng(100)
    for whole, suffix in ((BINARY.encode(), ".json"), (LINES.encode()[:2000], ".txt")):
        for _ in range(300):
            raw = bytearray(whole)
            for place in rng.integers(0, len(raw), 3):
                raw[place] = rng.integers(0, 256)
            told = parse(memoryview(bytes(raw)), suffix, Limits(), Nowhere(1 << 20))
            assert told["verdict"] in ("safe", "refused", "inconclusive") and (told["reasons"] or told["verdict"] == "safe")


def test_limits_are_those_that_are_set():
    raw = BINARY.encode()
    for limits, says in ((Limits(max_trees=1), "trees"), (Limits(max_tree_nodes=5), "nodes"), (Limits(max_tree_depth=1), "questions"),
                         (Limits(max_columns=3), "columns")):
        told = parse(memoryview(raw), ".json", limits, Nowhere(1 << 20))
        assert told["verdict"] == "inconclusive" and told["limit"] and says in told["reasons"][0]


UBJSON = (HERE / "xgboost-three.ubj").read_bytes()


def number_of(value):
    return b"L" + value.to_bytes(8, "big")


@pytest.mark.parametrize(("raw", "verdict", "says"), [
    (UBJSON[:-1], "inconclusive", "cut off"), (UBJSON[:200], "inconclusive", "cut off"), (UBJSON + b"}", "refused", "behind the end"),
    (UBJSON.replace(number_of(5) + b"trees[#" + number_of(6), number_of(5) + b"trees[#" + number_of(1 << 60)), "inconclusive", "beyond its end"),
    (UBJSON.replace(b"[$d#" + number_of(7), b"[$T#" + number_of(3)), "inconclusive", "does not write"),
    (UBJSON.replace(b"[$d#" + number_of(7), b"[$d#" + number_of(1 << 61)), "inconclusive", "beyond its end"),
    (UBJSON.replace(b"[$d#" + number_of(7), b"[$d#L" + b"\xff" * 8), "inconclusive", "beyond its end"),
    (b"{" + number_of(7) + b"learner" + b"[" * 100_000, "inconclusive", "nested deeper"),
    (b"{" + number_of(7) + b"learner{" + number_of(1) + b"aZ" + number_of(1) + b"aZ}}", "refused", "twice"),
    (b"{" + number_of(7) + b"learner" + b"H", "inconclusive", "does not write"), (b"{" + number_of(7) + b"learnerT}", "inconclusive", "learner")])
def test_hostile_binary_json(raw, verdict, says):
    assert raw != UBJSON
    told = parse(memoryview(raw), ".ubj", Limits(), Nowhere(most_bytes(len(raw), Limits())))
    assert told["verdict"] == verdict and says in told["reasons"][0], told["reasons"]


def test_binary_json_that_was_flipped_ends_in_a_verdict():
    for place in range(0, len(UBJSON), 3):
        raw = UBJSON[:place] + bytes([UBJSON[place] ^ 0x41]) + UBJSON[place + 1:]
        told = parse(memoryview(raw), ".ubj", Limits(), Nowhere(1 << 20))
        assert told["reasons"] or told["verdict"] == "safe"
