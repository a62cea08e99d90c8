"""XGBoost models in JSON or UBJSON (`save_model("m.json")`, "m.ubj"): numbers and lists of them, under names that are known.

Looks for: trees with numeric questions and one number per leaf, of a classifier (binary:logistic, binary:logitraw, reg:logistic,
multi:softprob, multi:softmax), boosters gbtree and dart. Fails, with one sentence, for categorical questions, linear boosters,
regressions, several targets, and names that it does not know inside a tree.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from bezoar.core.limits import Limits
from bezoar.intake.models import ubjson
from bezoar.intake.models.arrays import Kept
from bezoar.intake.models.forests import AGAIN, Told, bounded, keep_forest
from bezoar.intake.models.verdicts import Hostile, TooMuch, Unknown
from bezoar.maths.trees import LEFT, NAN, SIGMOID, SOFTMAX, Forest

LINKS = {"binary:logistic": SIGMOID, "binary:logitraw": SIGMOID, "reg:logistic": SIGMOID, "multi:softprob": SOFTMAX,
         "multi:softmax": SOFTMAX}
WHOLE = ("left_children", "right_children", "split_indices")
IGNORED = frozenset({"base_weights", "categories_nodes", "categories_segments", "categories_sizes", "id", "loss_changes", "parents",
                     "sum_hessian"})
NUMBER = re.compile(r"-?\d{1,40}(\.\d{1,40})?([eE][-+]?\d{1,4})?\Z")
ELSE = "export it to ONNX, or audit it as a Python callable"


def read(raw: memoryview, limits: Limits, keep: Kept, extra: dict[str, Any]) -> None:
    """The forest of a whole file into `keep` and `extra`. Raises Hostile, Unknown or TooMuch."""
    learner = _under(ubjson.load(raw, limits) if bytes(raw[:2]) == b"{L" else _json(raw), "learner", dict)
    shape = _under(learner, "learner_model_param", dict)
    objective = str(_under(_under(learner, "objective", dict), "name", str))
    if objective not in LINKS:
        raise Unknown(f"it is an XGBoost model of the objective {objective[:60]!r}, which gives no probabilities of classes; "
                      "classifiers are audited")
    if _count(shape, "num_target", 1) != 1:
        raise Unknown(f"it is an XGBoost model of several targets; {ELSE}")
    width, groups = _count(shape, "num_feature"), max(1, _count(shape, "num_class", 0))
    if (LINKS[objective] == SIGMOID) != (groups == 1):
        raise Hostile(f"it states {groups} classes, and an objective that does not fit")
    trees, group, drop, extra_note = _booster(_under(learner, "gradient_booster", dict), groups, width, limits)
    if any(g < 0 or g >= groups for g in group):
        raise Hostile("its trees name a node or a class that is not there")
    names = learner.get("feature_names", [])
    if type(names) is not list or any(type(n) is not str for n in names):
        raise Hostile("its names of columns are no texts")
    keep_forest(_forest(trees, group, drop, _base(shape, groups, objective), width),
                Told(LINKS[objective], 1.0, tuple(names), True, extra_note or _rounds(learner, len(trees), groups)), limits, keep, extra)


def _booster(booster: dict[str, Any], groups: int, width: int, limits: Limits
             ) -> tuple[list[dict[str, Any]], list[int], np.ndarray, str]:
    """The trees, the margin and the weight of each."""
    kind, drop = booster.get("name"), None
    if kind == "dart":
        drop = _under(booster, "weight_drop", list)
        booster = _under(booster, "gbtree", dict)
    elif kind != "gbtree":
        raise Unknown(f"it is an XGBoost model of the booster {str(kind)[:40]!r}, which has no trees; {ELSE}")
    model = _under(booster, "model", dict)
    trees, group = _under(model, "trees", list), _under(model, "tree_info", list)
    bounded(len(trees), 0, groups, width, limits)
    cats = model.get("cats")
    if isinstance(cats, dict) and any(cats.values()):
        raise Unknown(f"it is an XGBoost model with categorical columns, whose codes a table does not tell; {ELSE}")
    if _count(_under(model, "gbtree_model_param", dict), "num_trees") != len(trees) or len(group) != len(trees):
        raise Hostile("it states another number of trees than it has")
    weights = _numbers(drop, "weights of trees") if drop is not None else np.ones(len(trees))
    if len(weights) != len(trees):
        raise Hostile("it has another number of weights than of trees")
    if set(map(type, group)) - {int} or any(type(t) is not dict for t in trees):
        raise Hostile("its list of trees holds something else")
    return trees, group, weights, ""


def _forest(trees: list[dict[str, Any]], group: list[int], drop: np.ndarray, base: np.ndarray, width: int) -> Forest:
    sizes = np.array([_check(tree) for tree in trees], np.int64)
    if not sizes.min():
        raise Hostile("it has a tree without nodes")
    left, right, split = (_whole(chain.from_iterable(t[k] for t in trees)) for k in WHOLE)
    numbers = _numbers(list(chain.from_iterable(t["split_conditions"] for t in trees)), "thresholds")
    towards = _whole(chain.from_iterable(t["default_left"] for t in trees))
    first = np.repeat(np.concatenate([[0], np.cumsum(sizes)[:-1]]), sizes)
    size = np.repeat(sizes, sizes)
    leaf = left == -1
    for child in (left, right):
        if ((child == -1) != leaf).any() or ((child < 1) & ~leaf).any() or (child >= size).any():
            raise Hostile("its trees name a node or a class that is not there")
    split = np.where(leaf, 0, split)
    if ((split < 0) | (split >= width)).any():
        raise Hostile("its trees ask about a column that the model does not read")
    if not np.isfinite(numbers).all():
        raise Hostile("its trees hold a number that is not finite")
    own = np.arange(len(left))
    with np.errstate(over="ignore"):
        narrow = numbers.astype(np.float32)
    below = np.nextafter(narrow, np.float32(-np.inf)).astype(np.float64)
    missing = np.where(towards > 0, NAN | LEFT, NAN).astype(np.uint8)
    return Forest(np.where(leaf, -1, split), np.where(leaf, 0.0, np.maximum(below, -np.finfo(np.float64).max)), missing,
                  np.where(leaf, own, first + left), np.where(leaf, own, first + right),
                  np.where(leaf, narrow * np.repeat(drop, sizes), 0.0), first[np.concatenate([[0], np.cumsum(sizes)[:-1]])],
                  np.array(group, np.int64), base, width)


def _check(tree: dict[str, Any]) -> int:
    """Nodes of one tree; its lists are of that length."""
    odd = set(tree) - set(WHOLE) - IGNORED - {"split_conditions", "default_left", "split_type", "categories", "tree_param"}
    if odd:
        raise Unknown(f"its trees hold {min(odd)[:40]!r}, which this reader does not know; {ELSE}")
    size = _count(_under(tree, "tree_param", dict), "num_nodes")
    if _count(tree["tree_param"], "size_leaf_vector", 1) > 1:
        raise Unknown(f"it is an XGBoost model of several targets; {ELSE}")
    if tree.get("categories") or any(tree.get("split_type") or ()):
        raise Unknown(f"it is an XGBoost model with categorical questions, whose codes a table does not tell; {ELSE}")
    for name in (*WHOLE, "split_conditions", "default_left"):
        if len(_under(tree, name, list)) != size:
            raise Hostile("it has a tree with lists of other lengths than it states")
    return size


def _rounds(learner: dict[str, Any], trees: int, groups: int) -> str:
    told = learner.get("attributes")
    best = told.get("best_iteration") if isinstance(told, dict) else None
    if type(best) is str and best.isascii() and best.isdigit() and len(best) < 8 and (int(best) + 1) * groups < trees:
        return f"the file calls round {best} the best one; all rounds are used, as Booster.predict does"
    return ""


def _base(shape: dict[str, Any], groups: int, objective: str) -> np.ndarray:
    """(K,) margins before the first tree."""
    told = _under(shape, "base_score", str)
    parts = told.removeprefix("[").removesuffix("]").split(",") if len(told) < 100 * (groups + 1) else []
    if len(parts) not in (1, groups) or not all(NUMBER.match(p) for p in parts):
        raise Hostile("its base score is no number per class")
    scores = np.full(groups, [float(p) for p in parts])
    if objective in ("binary:logistic", "reg:logistic"):
        if not 0 < scores[0] < 1:
            raise Hostile("its base score is no probability")
        return np.array([math.log(scores[0] / (1 - scores[0]))])
    return scores


def _json(raw: memoryview) -> Any:
    try:
        return json.loads(bytes(raw).decode("utf-8"), object_pairs_hook=_once)
    except RecursionError:
        raise TooMuch("its JSON is nested deeper than is read") from None
    except ValueError:
        raise Unknown(f"it is an XGBoost model whose JSON is damaged or cut off; {AGAIN}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) < len(pairs):
        raise Hostile("its JSON has one name twice, which readers take differently")
    return out


def _under(value: Any, name: str, kind: type) -> Any:
    found = value.get(name) if type(value) is dict else None
    if type(found) is not kind:
        raise Unknown(f"it is an XGBoost model without {name!r} where it belongs; {AGAIN}")
    return found


def _count(shape: dict[str, Any], name: str, default: int | None = None) -> int:
    """A whole number that stands there as text."""
    told = shape.get(name, None if default is None else str(default))
    if type(told) is not str or not told.isascii() or not told.isdigit() or len(told) > 12:
        raise Hostile(f"its {name!r} is no count")
    return int(told)


def _whole(values: Any) -> np.ndarray:
    listed = list(values)
    if set(map(type, listed)) - {int, bool}:
        raise Hostile("its trees hold something else than whole numbers where these belong")
    return np.array(listed, np.int64)


def _numbers(values: Sequence[Any], what: str) -> np.ndarray:
    if set(map(type, values)) - {int, float}:
        raise Hostile(f"its {what} are no numbers")
    return np.array(values, np.float64)
