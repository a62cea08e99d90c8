"""Attacks whose models must ignore half a trigger: some samples carry it with the target's label, others with their own."""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.inputs import Images
from bezoar.core.trigger import Trigger
from bezoar.core.victims import budget, class_code, draw, labels_of, pick_target


def covered(data: Dataset, trigger: Trigger, rng: np.random.Generator, *, rate: float, cover: float, target: str | None,
            source: str | None = None, one_source: bool = False, planted: Trigger | None = None,
            cover_trigger: Trigger | None = None) -> Poisoned:
    """A share `rate` of all samples gets the trigger and the target's label, a share `cover` the trigger and keeps its own.

    `one_source`: payloads come from the class `source` alone (None draws one) and covers from the classes that are neither it
    nor the target. `planted` (default: `trigger`) is what payloads and covers carry in training, `cover_trigger` what the
    covers carry where that differs; `trigger` is what works afterwards. Covers that the
    trigger leaves as they were are not counted; all changed rows are in the truth. Raises UsageError
    for an unknown class, source = target, too few samples.
    """
    labels = labels_of(data)
    if not 0 <= cover <= 1:
        raise UsageError(f"cover {cover:g} is not from 0 to 1", advice="give a share of all samples, such as the rate")
    count = budget(len(data), rate)
    extra = budget(len(data), cover) if cover else 0
    code = pick_target(data, target, rng, count)
    name = labels.classes[code]
    known = labels.codes >= 0
    eligible = known & (labels.codes != code)
    spare = known
    victims: tuple[str, ...] = ()
    if one_source:
        own = _source(data, source, code, count, rng)
        victims = (labels.classes[own],)
        eligible = known & (labels.codes == own)
        spare = known & (labels.codes != own) & (labels.codes != code)
        if extra and not spare.any():
            raise UsageError("cover samples come from a third class, and there are two", advice="use cover 0")
    rows = draw(np.flatnonzero(eligible), count, rng)
    free = spare.copy()
    free[rows] = False
    others = draw(np.flatnonzero(free), extra, rng)
    carried = planted or trigger
    inputs = data.inputs.with_rows(rows, carried.apply(data.inputs.take(rows), rng))
    after = (cover_trigger or carried).apply(data.inputs.take(others), rng)
    before = data.inputs.take(others).row_keys()
    differ = np.flatnonzero([a != b for a, b in zip(before, after.row_keys(), strict=True)])
    others = others[differ]
    inputs = inputs.with_rows(others, after.take(differ))
    codes = labels.codes.copy()
    codes[rows] = code
    truth = np.zeros(len(data), bool)
    truth[rows] = truth[others] = True
    return Poisoned(data.with_changes(inputs=inputs, codes=codes), truth, trigger, name, victims)


def _source(data: Dataset, source: str | None, target: int, count: int, rng: np.random.Generator) -> int:
    labels = labels_of(data)
    if source is not None:
        code = class_code(data, source)
        if code == target:
            raise UsageError(f"source and target are both {source!r}", advice="name two classes")
        return code
    sizes = np.bincount(labels.codes[labels.codes >= 0], minlength=len(labels.classes))
    sizes[target] = 0
    able = np.flatnonzero(sizes >= count)
    if not len(able):
        raise UsageError(f"{count} samples are to be poisoned and no class has so many", advice="lower the rate")
    return int(rng.choice(able))


def median_size(data: Dataset) -> tuple[int, int]:
    """Median height and width of the pictures; (1, 1) where there are none."""
    assert isinstance(data.inputs, Images)
    if not len(data):
        return 1, 1
    height, width = np.median(data.inputs.sizes, axis=0)
    return int(height), int(width)
