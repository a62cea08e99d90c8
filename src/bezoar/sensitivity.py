"""What would this run have found? Canaries planted in a copy of the user's own data, a rung of the ladder at a time.

Canaries of several families share one run: the rows are dealt at random into as many parts as there are families, and each part gets one
canary of its own. A canary is found when campaigns that pass flag at least half of it. The smallest count that is found in all
repeats is reported, with the next lower rung as the interval's other end, and the exact interval of the rate at which it was found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bezoar.core.ability import Attack
from bezoar.core.dataset import Dataset
from bezoar.core.errors import BezoarError
from bezoar.core.events import Listener, Note, deaf
from bezoar.core.report import Sensitivity
from bezoar.maths.multiple import clopper_pearson

LADDER = (5, 10, 20, 40, 80, 160, 320, 640)
MOST_SHARE = 0.05
"""Rungs above this share of the data are not tried: poison that large is not what a canary is for."""
BASIS = "planted canaries"

Flags = Callable[[Dataset], np.ndarray]
"""A scan: a dataset -> (n,) bool, what it flags."""


@dataclass(frozen=True)
class Rung:
    """One family at one count: found in `hits` of `tries` runs."""

    family: str
    count: int
    hits: int
    tries: int

    @property
    def rate(self) -> tuple[float, float]:
        """95% Clopper-Pearson interval of the rate at which canaries of that size are found."""
        return clopper_pearson(self.hits, self.tries)


def planted(data: Dataset, families: Mapping[str, Attack], count: int, rng: np.random.Generator) -> tuple[Dataset, dict[str, np.ndarray]]:
    """A copy with one canary of about `count` samples per family in disjoint rows, and each family's rows.

    A family that the data cannot bear at that count is left out.
    """
    parts = np.array_split(rng.permutation(len(data)), len(families))
    rows: dict[str, np.ndarray] = {}
    for (family, attack), part in zip(families.items(), parts, strict=True):
        part = np.sort(part)
        try:
            made = type(attack)(**{**attack.parameters(), "rate": min(1.0, count / max(len(part), 1))})
            done = made(data.take(part), rng)
        except BezoarError:
            continue
        hit = np.flatnonzero(done.truth)
        if not len(hit) or len(done.data) != len(part) or data.labels is None or done.data.labels is None:
            continue
        codes = data.labels.codes.copy()
        codes[part] = done.data.labels.codes
        data = data.with_changes(inputs=data.inputs.with_rows(part[hit], done.data.inputs.take(hit)), codes=codes)
        rows[family] = part[hit]
    return data, rows


def ladder(data: Dataset, families: Mapping[str, Attack], flags: Flags, rng: np.random.Generator, *, repeats: int = 3,
           rungs: Sequence[int] = LADDER, listener: Listener = deaf) -> list[Rung]:
    """Climb until every family was found in all repeats of a rung, or the data end. Families that are done leave the later runs."""
    out: list[Rung] = []
    left = dict(families)
    for count in (c for c in rungs if c <= MOST_SHARE * len(data)):
        if not left:
            break
        hits, tries = dict.fromkeys(left, 0), dict.fromkeys(left, 0)
        for _ in range(repeats):
            copy, rows = planted(data, left, count, rng)
            flagged = flags(copy)
            for family, mine in rows.items():
                tries[family] += 1
                hits[family] += bool(flagged[mine].mean() >= 0.5)
        done = [Rung(f, count, hits[f], tries[f]) for f in left if tries[f]]
        out += done
        listener(Note(f"canaries of {count}: found " + ", ".join(f"{r.family} {r.hits}/{r.tries}" for r in done)))
        left = {f: a for f, a in left.items() if not tries[f] or hits[f] < tries[f]}
    return out


def sensitivities(rungs: Sequence[Rung], families: Sequence[str]) -> tuple[Sensitivity, ...]:
    """The smallest count per family that was found every time, bracketed by the rung below; None where no rung was.

    >>> sensitivities([Rung("patch", 5, 0, 3), Rung("patch", 10, 3, 3)], ["patch"])[0].interval
    (6, 10)
    """
    out = []
    for family in families:
        mine = [r for r in rungs if r.family == family]
        good = next((r for r in mine if r.hits == r.tries), None)
        below = max((r.count for r in mine if good and r.count < good.count), default=0)
        if good is None:
            most = max((r.count for r in mine), default=0)
            said = f"not found at {most} or fewer" if mine else "could not be planted"
            out.append(Sensitivity(family, None, None, f"{BASIS}: {said}"))
        else:
            low, high = good.rate
            out.append(Sensitivity(family, good.count, (below + 1, good.count),
                                   f"{BASIS}: found in {good.hits} of {good.tries} runs (rate {low:.0%}-{high:.0%})"))
    return tuple(out)
