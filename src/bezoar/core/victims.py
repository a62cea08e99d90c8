"""Whom an attack hits: the budget, the target class, the rows; and the planting itself, with its exact truth."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bezoar.core.ability import Poisoned
from bezoar.core.dataset import Dataset, Labels
from bezoar.core.errors import UsageError
from bezoar.core.inputs import Images, Inputs
from bezoar.core.trigger import Trigger


def labels_of(data: Dataset) -> Labels:
    """The labels, or UsageError."""
    if data.labels is None:
        raise UsageError("this attack needs labels", advice="name the label column with --label")
    return data.labels


def budget(pool: int, rate: float, what: str = "samples") -> int:
    """How many of `pool` are `rate`: at least one, or UsageError.

    >>> budget(1000, 0.003)
    3
    """
    count = round(rate * pool)
    if count < 1:
        raise UsageError(f"rate {rate:g} of {pool} {what} is less than one sample",
                         advice=f"use a rate of at least {1 / max(pool, 1):.2g}, or more data")
    return count


def class_code(data: Dataset, name: str) -> int:
    """The code of a class by its name; UsageError says which exist."""
    classes = labels_of(data).classes
    if str(name) not in classes:
        shown = ", ".join(classes[:12]) + (f", and {len(classes) - 12} more" if len(classes) > 12 else "")
        raise UsageError(f"there is no class {name!r}", advice=f"the classes are: {shown}")
    return classes.index(str(name))


def pick_target(data: Dataset, name: str | None, rng: np.random.Generator, count: int, clean_label: bool = False) -> int:
    """The code of the target class: the named one, else one drawn among those that leave room for `count` victims.

    Victims of a clean-label attack are the target's own samples, of any other the labelled samples of the other classes.
    Raises UsageError where there is no such class, or no room.
    """
    labels = labels_of(data)
    sizes = np.bincount(labels.codes[labels.codes >= 0], minlength=len(labels.classes))
    room = sizes if clean_label else np.where(sizes > 0, sizes.sum() - sizes, 0)
    if name is not None:
        code = class_code(data, name)
        if room[code] < count:
            whose = f"of class {name!r}" if clean_label else f"outside class {name!r}"
            raise UsageError(f"{count} samples are to be poisoned and only {room[code]} are {whose}",
                             advice="lower the rate or choose another target")
        return code
    able = np.flatnonzero(room >= count)
    if not len(able):
        raise UsageError(f"{count} samples are to be poisoned and no class leaves room for them",
                         advice="lower the rate" + (" (a clean-label attack stays inside one class)" if clean_label else ""))
    return int(rng.choice(able))


def draw(eligible: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` sorted row numbers out of `eligible`; UsageError where there are too few."""
    if len(eligible) < count:
        raise UsageError(f"{count} samples are to be poisoned and only {len(eligible)} can be", advice="lower the rate")
    return np.sort(rng.choice(eligible, count, replace=False))


def plant(data: Dataset, rows: np.ndarray, inputs: Inputs | None, codes: np.ndarray | None, *,
          trigger: Trigger | None = None, target: str | None = None) -> Poisoned:
    """`data` with `rows` holding `inputs` and label `codes` (None: as they were), and those rows as the truth."""
    new = None if codes is None else labels_of(data).codes.copy()
    if new is not None:
        new[rows] = codes
    done = data.with_changes(inputs=None if inputs is None else data.inputs.with_rows(rows, inputs), codes=new)
    truth = np.zeros(len(data), bool)
    truth[rows] = True
    return Poisoned(done, truth, trigger, target)


def backdoor(data: Dataset, trigger: Trigger, rng: np.random.Generator, *, rate: float, target: str | None,
             clean_label: bool = False, all_to_all: bool = False,
             finish: Callable[[Inputs], Inputs] | None = None) -> Poisoned:
    """Put `trigger` on a share `rate` of all samples.

    Dirty label (default): labelled victims outside the target class, relabelled to it. Clean label: victims of the target
    class, labels untouched; a victim that the trigger does not change is replaced by another. All-to-all: any
    labelled victims, label moved to the next class. `finish` is applied to the victims afterwards (re-encoding).
    """
    labels = labels_of(data)
    count = budget(len(data), rate)
    if all_to_all:
        rows = draw(np.flatnonzero(labels.codes >= 0), count, rng)
        codes = (labels.codes[rows] + 1) % len(labels.classes)
        if len(labels.classes) < 2:
            raise UsageError("an all-to-all attack needs two classes", advice="use mapping 'one'")
        return plant(data, rows, _changed(data, rows, trigger, rng, finish), codes, trigger=trigger)
    code = pick_target(data, target, rng, count, clean_label)
    name = labels.classes[code]
    if not clean_label:
        rows = draw(np.flatnonzero((labels.codes != code) & (labels.codes >= 0)), count, rng)
        return plant(data, rows, _changed(data, rows, trigger, rng, finish), np.full(count, code), trigger=trigger, target=name)
    line = rng.permutation(np.flatnonzero(labels.codes == code))
    taken = np.zeros(0, np.int64)
    while len(taken) < count and len(line):
        fresh, line = np.sort(line[:count - len(taken)]), line[count - len(taken):]
        after = _changed(data, fresh, trigger, rng, finish)
        taken = np.concatenate([taken, fresh[_differ(data.inputs.take(fresh), after)]])
    rows = draw(taken, count, rng)
    after = _changed(data, rows, trigger, rng, finish)
    kept = np.flatnonzero(_differ(data.inputs.take(rows), after))
    return plant(data, rows[kept], after.take(kept), None, trigger=trigger, target=name)


def backdoor_among(data: Dataset, among: np.ndarray, trigger: Trigger, rng: np.random.Generator, *, rate: float,
                   target: str | None) -> Poisoned:
    """`backdoor` in the rows `among` only; `rate` is the share of those."""
    part = backdoor(data.take(among), trigger, rng, rate=rate, target=target)
    assert part.data.labels is not None
    hit = np.flatnonzero(part.truth)
    return plant(data, among[hit], part.data.inputs.take(hit), part.data.labels.codes[hit], trigger=trigger, target=part.target)


def relabelled(data: Dataset, among: np.ndarray, count: int, rng: np.random.Generator, *, target: str | None) -> Poisoned:
    """`count` of the labelled rows `among` get the label `target`, or any other than their own.

    Raises UsageError for one class only, an unknown target, and where fewer rows can change.
    """
    codes = labels_of(data).codes
    present = np.unique(codes[codes >= 0])
    if len(present) < 2:
        raise UsageError("labels can only be changed where there are two classes", advice="check the label column")
    code = -1 if target is None else class_code(data, target)
    rows = draw(among[(codes[among] >= 0) & (codes[among] != code)], count, rng)
    if target is not None:
        return plant(data, rows, None, np.full(count, code), target=target)
    return plant(data, rows, None, any_other(codes[rows], present, rng))


def any_other(own: np.ndarray, present: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(k,) for each of the codes `own` (k,) another one of the sorted codes `present`, all alike likely."""
    return np.asarray(present[(np.searchsorted(present, own) + rng.integers(1, len(present), len(own))) % len(present)])


def _changed(data: Dataset, rows: np.ndarray, trigger: Trigger, rng: np.random.Generator,
             finish: Callable[[Inputs], Inputs] | None) -> Inputs:
    after = trigger.apply(data.inputs.take(rows), rng)
    return after if finish is None else finish(after)


def _differ(before: Inputs, after: Inputs) -> np.ndarray:
    """(n,) bool: which rows are not what they were."""
    if isinstance(before, Images) and isinstance(after, Images) and before.uniform and after.uniform and len(before):
        return np.asarray((before.dense() != after.dense()).any(axis=(1, 2, 3)))
    pairs = zip(before.row_keys(), after.row_keys(), strict=True)
    return np.fromiter((a != b for a, b in pairs), bool, len(before))
