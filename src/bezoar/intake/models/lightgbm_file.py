"""LightGBM models as text (`save_model("m.txt")`): lines of a name and numbers, trees of the lengths that the head states.

Looks for: trees with numeric questions of a classifier (binary, cross_entropy, multiclass, multiclassova). Fails, with one sentence, for
categorical questions, linear leaves, regressions and rankings, and lines that it does not know inside a tree.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import Any

import numpy as np

from bezoar.core.limits import Limits
from bezoar.intake.models.arrays import Kept
from bezoar.intake.models.forests import AGAIN, Told, bounded, keep_forest
from bezoar.intake.models.verdicts import Hostile, Unknown
from bezoar.maths.trees import EACH, LEFT, NAN, NEVER, SIGMOID, SOFTMAX, ZERO, Forest

LINKS = {"binary": SIGMOID, "cross_entropy": SIGMOID, "xentropy": SIGMOID, "multiclass": SOFTMAX, "softmax": SOFTMAX,
         "multiclassova": EACH, "ova": EACH}
HEAD = frozenset({"version", "num_class", "num_tree_per_iteration", "label_index", "max_feature_idx", "objective", "feature_names",
                  "feature_infos", "tree_sizes", "monotone_constraints"})
USED = ("split_feature", "decision_type", "left_child", "right_child", "threshold", "leaf_value")
IGNORED = frozenset({"split_gain", "leaf_weight", "leaf_count", "internal_value", "internal_weight", "internal_count", "shrinkage"})
COUNT = re.compile(r"\d{1,12}\Z")
PLAIN = re.compile(r"[-+0-9.eE ]*\Z")
MOST_HEAD = 64 << 20
GENERIC = re.compile(r"Column_\d+\Z")
ELSE = "export it to ONNX, or audit it as a Python callable"


def read(raw: memoryview, limits: Limits, keep: Kept, extra: dict[str, Any]) -> None:
    """The forest of a whole file into `keep` and `extra`. Raises Hostile, Unknown or TooMuch."""
    whole = bytes(raw)
    stop = whole.find(b"\n\n", 0, MOST_HEAD)
    if stop < 0:
        raise Unknown(f"it is a LightGBM model whose head is cut off; {AGAIN}")
    head = _lines(whole[len(b"tree\n"):stop], HEAD | {"average_output"}, flags=("average_output",))
    words = head.get("objective", "").split(" ")
    if words[0] not in LINKS:
        raise Unknown(f"it is a LightGBM model of the objective {words[0][:60]!r}, which gives no probabilities of classes; "
                      "classifiers are audited")
    link = LINKS[words[0]]
    groups, width = _count(head, "num_tree_per_iteration"), _count(head, "max_feature_idx") + 1
    if (link == SIGMOID) != (groups == 1) or _count(head, "num_class") != groups:
        raise Hostile(f"it states {groups} classes, and an objective that does not fit")
    sizes = head.get("tree_sizes", "").split()
    bounded(len(sizes), 0, groups, width, limits)
    if not all(COUNT.match(s) for s in sizes):
        raise Hostile("the sizes of its trees are no counts")
    if len(sizes) % groups:
        raise Hostile("it has another number of trees than one per class and round")
    trees = [_tree(block, i) for i, block in enumerate(_blocks(whole, stop + 2, [int(s) for s in sizes]))]
    names = tuple(head.get("feature_names", "").split(" "))
    named = () if all(GENERIC.match(n) for n in names) and len(names) == width else names
    share = len(trees) // groups if "average_output" in head else 1
    keep_forest(_forest(trees, groups, share, width, limits), Told(link, _slope(words), named), limits, keep, extra)


def _blocks(whole: bytes, at: int, sizes: list[int]) -> list[bytes]:
    """The texts of the trees. The sizes are what LightGBM goes by, so they are held against the text."""
    out = []
    for size in sizes:
        out.append(whole[at:at + size])
        at += size
    if whole[at:at + 13] != b"end of trees\n":
        raise Unknown(f"it is a LightGBM model that is cut off, or whose trees have other sizes than its head states; {AGAIN}")
    return out


def _tree(block: bytes, number: int) -> dict[str, Any]:
    """One tree: its counts and its lists of numbers."""
    lines = _lines(block.rstrip(b"\n"), IGNORED.union(USED, ("Tree", "num_leaves", "num_cat", "is_linear", "leaf_features", "leaf_coeff",
                                                           "leaf_const", "num_features", "cat_boundaries", "cat_threshold")))
    if lines.get("Tree") != str(number):
        raise Hostile("its trees are not in the order that it states")
    if lines.get("num_cat", "0") != "0":
        raise Unknown(f"it is a LightGBM model with categorical questions, whose codes a table does not tell; {ELSE}")
    if lines.get("is_linear", "0") != "0":
        raise Unknown(f"it is a LightGBM model with linear leaves; {ELSE}")
    leaves = _count(lines, "num_leaves")
    out: dict[str, Any] = {"leaves": leaves}
    for name in USED:
        told = lines.get(name, "")
        if not PLAIN.match(told):
            raise Hostile("its trees hold a number that is not finite, or no number at all")
        out[name] = list(map(float if name in ("threshold", "leaf_value") else int, told.split()))
        if len(out[name]) != (leaves if name == "leaf_value" else leaves - 1):
            raise Hostile("it has a tree with lists of other lengths than it states")
    return out


def _forest(trees: list[dict[str, Any]], groups: int, share: int, width: int, limits: Limits) -> Forest:
    leaves = np.array([t["leaves"] for t in trees], np.int64)
    bounded(len(trees), int(2 * leaves.sum()), groups, width, limits)
    inner = leaves - 1
    feature, kinds, left, right = (np.array(list(chain.from_iterable(t[k] for t in trees)), np.int64) for k in USED[:4])
    threshold, value = (np.array(list(chain.from_iterable(t[k] for t in trees)), np.float64) for k in USED[4:])
    most_inner, most_leaf = np.repeat(inner, inner), np.repeat(leaves, inner)
    for child in (left, right):
        if ((child >= most_inner) | (-child - 1 >= most_leaf)).any():
            raise Hostile("its trees name a node or a class that is not there")
    if ((feature < 0) | (feature >= width)).any():
        raise Hostile("its trees ask about a column that the model does not read")
    if (kinds & 1).any():
        raise Unknown(f"it is a LightGBM model with categorical questions, whose codes a table does not tell; {ELSE}")
    if ((kinds < 0) | (kinds > 0b1010)).any():
        raise Hostile("its trees treat what is missing in a way that is not known")
    total = len(feature)
    first_inner = np.repeat(np.cumsum(inner) - inner, inner)
    first_leaf = np.repeat(np.cumsum(leaves) - leaves, inner) + total
    ends = total + np.arange(len(value))
    asked = np.array([NEVER, ZERO, NAN, NAN], np.uint8)[kinds >> 2] | np.where(kinds & 2, LEFT, 0).astype(np.uint8)
    root = np.where(inner > 0, np.cumsum(inner) - inner, total + np.cumsum(leaves) - leaves)
    below, above = (np.concatenate([np.where(c >= 0, first_inner + c, first_leaf - c - 1), ends]) for c in (left, right))
    blank = np.zeros(len(value))
    return Forest(np.concatenate([feature, np.full(len(value), -1)]), np.concatenate([threshold, blank]),
                  np.concatenate([asked, blank.astype(np.uint8)]), below, above, np.concatenate([np.zeros(total), value / share]), root,
                  np.arange(len(trees)) % groups, np.zeros(groups), width)


def _slope(words: list[str]) -> float:
    told = [w.removeprefix("sigmoid:") for w in words if w.startswith("sigmoid:")]
    if len(told) > 1 or any(not PLAIN.match(t) or not t for t in told):
        raise Hostile("its objective is no plain setting")
    slope = float(told[0]) if told else 1.0
    if not 0 < slope < 1e6:
        raise Hostile("its objective is no plain setting")
    return slope


def _lines(raw: bytes, known: frozenset[str] | set[str], flags: tuple[str, ...] = ()) -> dict[str, str]:
    """Name -> text behind "=". Raises Hostile for a name twice, Unknown for one that is not known."""
    out: dict[str, str] = {}
    for line in raw.decode("utf-8").split("\n"):
        name, equals, value = line.partition("=")
        if name in out:
            raise Hostile(f"it states {name[:40]!r} twice, which readers take differently")
        if name not in known or (not equals and name not in flags):
            raise Unknown(f"it holds the line {line[:40]!r}, which this reader does not know; {AGAIN}")
        out[name] = value
    return out


def _count(lines: dict[str, str], name: str) -> int:
    told = lines.get(name, "")
    if not COUNT.match(told):
        raise Hostile(f"its {name!r} is no count")
    return int(told)
