"""Boosted trees that are none: circles, children and columns that are not there, numbers that are not finite, far too many of them."""

from __future__ import annotations

import json
from typing import Any

from bezoar.testing.hostile.models.kit import INCONCLUSIVE, REFUSED, of_bytes, register


def xgboost(trees: Any, count: int | None = None, columns: str = "2", base: str = "[5E-1]") -> bytes:
    """An XGBoost file of two classes with these trees."""
    number = len(trees) if count is None else count
    model = {"gbtree_model_param": {"num_trees": str(number)}, "tree_info": [0] * len(trees), "trees": trees}
    shape = {"base_score": base, "num_class": "0", "num_feature": columns, "num_target": "1"}
    learner = {"learner_model_param": shape, "objective": {"name": "binary:logistic"}, "feature_names": [],
               "gradient_booster": {"name": "gbtree", "model": model}}
    return json.dumps({"learner": learner}, separators=(",", ":")).encode()


def stump(**more: Any) -> dict[str, Any]:
    """One question and two leaves, with other lists where given."""
    whole = {"left_children": [1, -1, -1], "right_children": [2, -1, -1], "split_indices": [0, 0, 0], "split_conditions": [0.5, -1.0, 1.0],
             "default_left": [0, 0, 0], "tree_param": {"num_nodes": "3", "size_leaf_vector": "1"}}
    return {**whole, **more}


def lightgbm(size: int | None = None, **more: str) -> bytes:
    """A LightGBM file of two classes with one tree of one question, with other lines where given."""
    lines = {"Tree": "0", "num_leaves": "2", "num_cat": "0", "split_feature": "0", "threshold": "0.5", "decision_type": "2",
             "left_child": "-1", "right_child": "-2", "leaf_value": "-1 1", "shrinkage": "1", **more}
    tree = "\n".join(f"{k}={v}" for k, v in lines.items()) + "\n\n\n"
    head = {"version": "v4", "num_class": "1", "num_tree_per_iteration": "1", "max_feature_idx": "1", "objective": "binary sigmoid:1",
            "feature_names": "Column_0 Column_1", "tree_sizes": str(len(tree) if size is None else size)}
    return ("tree\n" + "\n".join(f"{k}={v}" for k, v in head.items()) + "\n\n" + tree + "end of trees\n").encode()


CASES = {
    "xgboost-circle": (xgboost([stump(left_children=[1, 2, -1], right_children=[2, 1, -1])]), REFUSED, "none"),
    "xgboost-child-that-is-not": (xgboost([stump(right_children=[1 << 40, -1, -1])]), REFUSED, "not there"),
    "xgboost-column-that-is-not": (xgboost([stump(split_indices=[2, 0, 0])]), REFUSED, "column"),
    "xgboost-nan": (xgboost([stump(split_conditions=[float("nan"), 0.0, 0.0])]), REFUSED, "finite"),
    "xgboost-text-for-numbers": (xgboost([stump(split_conditions=["x" * 400_000, 0.0, 0.0])]), REFUSED, "no numbers"),
    "xgboost-too-many-trees": (xgboost([{}] * 200_000), INCONCLUSIVE, "trees"),
    "xgboost-lies-about-its-trees": (xgboost([stump()], 10**11), REFUSED, "another number"),
    "xgboost-huge-columns": (xgboost([stump()], columns="999999999999"), INCONCLUSIVE, "columns"),
    "xgboost-base-of-code": (xgboost([stump()], base="__import__('os').mkdir('x')"), REFUSED, "base score"),
    "xgboost-deep": (b'{"learner":' * 60_000 + b"1" + b"}" * 60_000, INCONCLUSIVE, "deeper"),
    "lightgbm-circle": (lightgbm(num_leaves="3", split_feature="0 0", threshold="0 0", decision_type="2 2", left_child="1 0",
                                 right_child="-1 -2", leaf_value="1 2 3"), REFUSED, "none"),
    "lightgbm-leaf-that-is-not": (lightgbm(right_child="-99"), REFUSED, "not there"),
    "lightgbm-nan": (lightgbm(threshold="nan"), REFUSED, "finite"),
    "lightgbm-infinite-leaf": (lightgbm(leaf_value="1e999 1"), REFUSED, "finite"),
    "lightgbm-lies-about-its-size": (lightgbm(10**11), INCONCLUSIVE, "sizes"),
    "lightgbm-lies-about-its-leaves": (lightgbm(num_leaves="99999999999"), REFUSED, "lengths")}
for _name, (_raw, _verdict, _says) in CASES.items():
    register(f"trees-{_name}", of_bytes(_raw, "model.json" if _name.startswith("x") else "model.txt", _verdict, _says))
