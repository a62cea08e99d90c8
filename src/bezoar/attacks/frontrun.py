"""Frontrunning: rows are edited just before a snapshot whose moment is known, so that it is taken before anybody reverts them.

Without a trigger the edits change labels, with one they put it in and set the target's label. The origin column `time` tells the
story: all edits lie among the newest rows.
Threat model: the attacker may edit a public collection (an encyclopaedia) like anybody, knows when its dump is made, and is
reverted soon after. Budget: `rate` of all samples. Fails where snapshots are made at random moments or where edits must stand for
a while before they count; `bezoar diff` of two snapshots shows the edits. Cost: milliseconds.
Paper: Carlini et al. 2023, arXiv 2302.10149 (6.5% of Wikipedia's pages could be held in a dump).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.inputs import frozen
from bezoar.core.trigger import Trigger
from bezoar.core.victims import backdoor_among, budget, relabelled

SNAPSHOT = np.datetime64("2024-01-01T00:00", "m")


class Frontrun(Attack):
    """Edits in the last window.

    rate     share of all samples that are edited, above 0 and at most 1
    window   the edits lie among so many times as many newest rows, 1 or more
    target   class that edited rows get; None: flips go to any other class, a trigger's target is drawn
    trigger  a Trigger to plant with the target's label; None changes labels only

    Where the data has no origin column `time`, the rows get moments of one year, in random order. Moments are compared as numbers
    where all are numbers, else as text (ISO dates sort that way); rows without one are left alone.
    Raises UsageError for a window under 1, an unknown target, too few samples in the window.
    """

    info = Info(name="frontrun", summary="rows of the newest window are edited just before the snapshot",
                threats=("source", "label-flip"), modalities=("image", "text", "tabular"), needs=("labels",),
                reference="Carlini et al. 2023, arXiv 2302.10149")

    def __init__(self, *, rate: float = 0.01, window: float = 3.0, target: str | None = None, trigger: Trigger | None = None) -> None:
        self.rate = rate
        self.window = window
        self.target = target
        self.trigger = trigger

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        if self.window < 1:
            raise UsageError(f"a window of {self.window:g} times the edits cannot hold them", advice="three is usual")
        count = budget(len(data), self.rate)
        if "time" not in data.origin:
            minutes = np.sort(rng.integers(1, 366 * 24 * 60, len(data)))[rng.permutation(len(data))]
            moments = np.datetime_as_string(SNAPSHOT - minutes, unit="m").astype(object)
            data = replace(data, origin={**data.origin, "time": frozen(moments)})
        newest = _newest(data.origin["time"], min(len(data), int(np.ceil(self.window * count))))
        if self.trigger is not None:
            return backdoor_among(data, newest, self.trigger, rng, rate=count / len(newest), target=self.target)
        return relabelled(data, newest, count, rng, target=self.target)


def _newest(moments: np.ndarray, count: int) -> np.ndarray:
    """Sorted numbers of the `count` newest rows among those that have a moment."""
    texts = moments.astype(str)
    there = np.flatnonzero(texts != "")
    if len(there) < count:
        raise UsageError(f"only {len(there)} rows have a moment and the window holds {count}", advice="lower the rate or the window")
    try:
        keys = texts[there].astype(np.float64)
    except ValueError:
        keys = texts[there]
    return np.sort(there[np.argsort(keys, kind="stable")[len(there) - count:]])
