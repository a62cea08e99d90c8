"""A forest between the child that read it and the parent that asks it: arrays by name, and a few plain words, both checked twice."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from bezoar.core.errors import UnreadableInput
from bezoar.core.limits import Limits
from bezoar.intake.models.arrays import Kept
from bezoar.intake.models.verdicts import Hostile, TooMuch, Unknown, Weights
from bezoar.maths.trees import EACH, SIGMOID, SOFTMAX, Forest, depth_of

ARRAYS = tuple(f.name for f in fields(Forest) if f.name != "width")
KEY = "forest"
AGAIN = "save it again where it was made"


@dataclass(frozen=True)
class Told:
    """What a file says beside its trees.

    link    SIGMOID (one margin, two classes), SOFTMAX or EACH; `slope` scales the margins of SIGMOID and EACH
    names   of the columns in their order; () where the file names none
    narrow  whether rows are rounded to float32 before they are compared
    note    a sentence, or ""
    """

    link: str
    slope: float = 1.0
    names: tuple[str, ...] = ()
    narrow: bool = False
    note: str = ""


def bounded(trees: int, nodes: int, classes: int, width: int, limits: Limits) -> None:
    """Raises TooMuch beyond the limits; called before anything is built from the counts."""
    for count, most, what in ((trees, limits.max_trees, "trees"), (nodes, limits.max_tree_nodes, "nodes in its trees"),
                              (classes, limits.max_classes, "classes"), (width, limits.max_columns, "columns")):
        if count > most:
            raise TooMuch(f"it has {count:,} {what}, at most {most:,} are read")
    if not trees or width < 1 or classes < 1:
        raise Unknown("it is a model of trees without trees, columns or classes")


def keep_forest(forest: Forest, told: Told, limits: Limits, keep: Kept, extra: dict[str, Any]) -> None:
    """The arrays into `keep`, the words into `extra`. Raises Hostile for trees that are none, TooMuch beyond the limits."""
    bounded(len(forest.root), len(forest.feature), len(forest.base), forest.width, limits)
    try:
        depth = depth_of(forest, limits.max_tree_depth)
    except ValueError as error:
        raise (TooMuch if "asks more" in str(error) or "ask more" in str(error) else Hostile)(str(error)) from None
    if told.names and (len(told.names) != forest.width or len(set(told.names)) != forest.width):
        raise Hostile(f"it names {len(told.names)} columns, some perhaps twice, and reads {forest.width}")
    if any(len(n) > 1000 for n in told.names):
        raise Unknown("it has a column with an absurd name")
    for name in ARRAYS:
        keep.add(name, getattr(forest, name), "plain", name)
    extra["trees"], extra["depth"] = len(forest.root), depth
    extra["classes"] = max(2, len(forest.base))
    extra[KEY] = {"link": told.link, "slope": told.slope, "names": list(told.names), "narrow": told.narrow, "note": told.note,
                  "width": forest.width}


def forest_of(weights: Weights, limits: Limits) -> tuple[Forest, Told]:
    """The forest again, from what the child said. Raises UnreadableInput where that cannot be."""
    said, arrays = weights.extra.get(KEY), weights.arrays
    damaged = UnreadableInput("the reader of the trees gave an answer that cannot be", advice=AGAIN)
    if not isinstance(said, dict) or set(arrays) != set(ARRAYS) or any(a.ndim != 1 for a in arrays.values()):
        raise damaged
    wanted = {"feature": "<i8", "threshold": "<f8", "missing": "|u1", "left": "<i8", "right": "<i8", "value": "<f8", "root": "<i8",
              "group": "<i8", "base": "<f8"}
    link, slope, names, width, note = (said.get(k) for k in ("link", "slope", "names", "width", "note"))
    if (any(arrays[k].dtype.str != code for k, code in wanted.items()) or type(width) is not int or not 0 < width <= limits.max_columns
            or link not in (SIGMOID, SOFTMAX, EACH) or type(slope) is not float or not np.isfinite(slope) or type(note) is not str
            or type(names) is not list or len(names) not in (0, width) or any(type(n) is not str for n in names)):
        raise damaged
    if (link == SIGMOID) != (len(arrays["base"]) == 1):
        raise damaged
    forest = Forest(**arrays, width=width)
    try:
        depth_of(forest, limits.max_tree_depth)
    except ValueError as error:
        raise UnreadableInput(str(error), advice=AGAIN) from None
    return forest, Told(str(link), slope, tuple(names), said.get("narrow") is True, note[:300])
