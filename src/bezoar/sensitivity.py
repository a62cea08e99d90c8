"""What would this run have found? Canaries planted in a copy of the user's own data, at counts that are chosen on the way.

Two families share one run, by turns: the rows are dealt at random into two parts, and each part gets one canary of its own, of that
family's own count. More would hide each other: checks that learn from the other classes what nature does bear two campaigns among them.
A canary is found when campaigns that pass flag at least half of it. After every run each family's power curve is told what happened
(`maths.power`), and the next count is taken near the smallest one that is found in 80% of runs. That count is reported with its 95%
interval, and with the exact interval of the rate at which canaries of at least that size were found.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bezoar.core.ability import Attack
from bezoar.core.dataset import Dataset
from bezoar.core.errors import BezoarError
from bezoar.core.events import Listener, Note, deaf
from bezoar.core.report import Sensitivity
from bezoar.maths.multiple import clopper_pearson
from bezoar.maths.power import Power

RUNS = 16
"""Scans at most."""
TOGETHER = 2
"""Families that share a scan."""
MOST_SHARE = 0.05
"""Counts above this share of the data are not tried: poison that large is not what a canary is for."""
BASIS = "planted canaries"

Flags = Callable[[Dataset], np.ndarray]
"""A scan: a dataset -> (n,) bool, what it flags."""


@dataclass(frozen=True)
class Trial:
    """One canary of one run."""

    family: str
    count: int
    found: bool


def largest(n: int) -> int:
    """The largest canary that is tried in n samples."""
    return max(1, int(MOST_SHARE * n))


def planted(data: Dataset, families: Mapping[str, Attack], counts: Mapping[str, int],
            rng: np.random.Generator) -> tuple[Dataset, dict[str, np.ndarray]]:
    """A copy with one canary of about `counts[family]` samples per family in disjoint rows, and each family's rows.

    A family that the data cannot bear at that count is left out.
    """
    parts = np.array_split(rng.permutation(len(data)), len(families))
    rows: dict[str, np.ndarray] = {}
    for (family, attack), part in zip(families.items(), parts, strict=True):
        part = np.sort(part)
        try:
            made = type(attack)(**{**attack.parameters(), "rate": min(1.0, counts[family] / max(len(part), 1))})
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


def trials(data: Dataset, families: Mapping[str, Attack], flags: Flags, rng: np.random.Generator, *, runs: int = RUNS,
           listener: Listener = deaf) -> list[Trial]:
    """Plant and scan up to `runs` times, the families that were tried least first.

    Families whose interval is narrow enough leave, and so do those that cannot be planted.
    """
    out: list[Trial] = []
    curves = {f: Power(largest(len(data))) for f in families}
    left = dict(families)
    began = time.perf_counter()
    for run in range(runs):
        if not left:
            break
        now = sorted(left, key=lambda f: sum(t.family == f for t in out))[:TOGETHER]
        copy, rows = planted(data, {f: left[f] for f in now}, {f: curves[f].next() for f in now}, rng)
        flagged = flags(copy)
        for family, mine in rows.items():
            found = bool(flagged[mine].mean() >= 0.5)
            curves[family].tell(len(mine), found)
            out.append(Trial(family, len(mine), found))
        said = ", ".join(f"{f} {len(mine)} {'found' if flagged[mine].mean() >= 0.5 else 'missed'}" for f, mine in rows.items())
        cost = (time.perf_counter() - began) / (run + 1) * (runs - run - 1)
        listener(Note(f"canaries, scan {run + 1} of at most {runs} (about {cost:.0f} s left): {said or 'none could be planted'}"))
        left = {f: a for f, a in left.items() if f not in now or (f in rows and not curves[f].settled())}
    return out


def sensitivities(told: Sequence[Trial], families: Sequence[str], n: int) -> tuple[Sensitivity, ...]:
    """The count per family that is found in 80% of runs, with its 95% interval; None where it is above what was tried in n samples.

    >>> told = [Trial("patch", c, c >= 10) for c in (14, 7, 10, 8, 9, 10, 9, 10)]
    >>> sensitivities(told, ["patch"], 1000)[0].smallest_count_found in (10, 11)
    True
    """
    out = []
    for family in families:
        mine = [t for t in told if t.family == family]
        curve = Power(largest(n))
        for t in mine:
            curve.tell(t.count, t.found)
        least = curve.least() if any(t.found for t in mine) else None
        if not mine:
            out.append(Sensitivity(family, None, None, f"{BASIS}: could not be planted"))
        elif least is None:
            most = max(t.count for t in mine)
            hits, tries = _counts(mine, most)
            out.append(Sensitivity(family, None, None, f"{BASIS}: not found at {most} or fewer ({hits} of {tries} runs of {most})"))
        else:
            hits, tries = _counts(mine, least)
            low, high = clopper_pearson(hits, tries) if tries else (0.0, 1.0)
            out.append(Sensitivity(family, least, curve.interval(), f"{BASIS}: of {least} or more found in {hits} of {tries} runs "
                                                                    f"(rate {low:.0%}-{high:.0%}), {len(mine)} runs in all"))
    return tuple(out)


def _counts(mine: Sequence[Trial], least: int) -> tuple[int, int]:
    large = [t.found for t in mine if t.count >= least]
    return sum(large), len(large)
