"""The section of docs/benchmarks.md about adaptive attackers, and the figure that stands beside every published one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Row = dict[str, Any]
TIERS = ("unaware", "knows the method", "knows thresholds and size", "has a score oracle")
CHANNEL_OF = {"badnets": "association, pictures", "blend": "spectra", "sinusoid": "spectra", "low-frequency": "spectra",
              "label-consistent": "spectra", "narcissus": "spectra",
              "text-word": "association, texts", "text-phrase": "association, texts", "text-multiword": "association, texts",
              "style": "association, texts", "table-out-of-bounds": "value tuples", "table-in-bounds": "value tuples",
              "table-rare-category": "value tuples", "label-flip": "labels", "bad-source": "partition"}
"""Attack of a published cell -> the channel that its adaptive attacker is up against."""


def counted(rows: list[Row], channel: str, tier: int) -> list[Row]:
    """The runs of a channel and tier that implanted."""
    return [r for r in rows if r["channel"] == channel and r["tier"] == tier and r["implanted"]]


def worst(rows: list[Row], attack: str) -> float:
    """Least mean recall over the adaptive tiers of that attack's channel, over runs that implanted; NaN where there is none.

    >>> row = {"channel": "labels", "tier": 1, "implanted": True, "recall": 0.25}
    >>> worst([row, {**row, "implanted": False, "recall": 0.0}], "label-flip")
    0.25
    """
    found = [float(np.mean([r["recall"] for r in own])) for tier in (1, 2, 3)
             if (own := counted(rows, CHANNEL_OF.get(attack, ""), tier))]
    return min(found, default=math.nan)


def section(rows: list[Row]) -> list[str]:
    """Channel by channel, tier by tier."""
    if not rows:
        return ["## Adaptive attackers", "", "Not run yet: `python benchmarks/adaptive.py`.", ""]
    out = ["## Adaptive attackers", "",
           "Who knows bezoar gets past it more often than who does not. Three tiers: the attacker *knows the method* (one setting, chosen",
           "from the documentation of the channel), *knows thresholds and reference size* (has bezoar and other data of the same kind",
           "and size, and takes of several settings the one that is listed least there), or *has a score oracle* on the very data (up to",
           "10,000 sample scores and whether a sample is listed; plants too much and keeps what is least suspected, best of several",
           "tries). *Unaware* is the usual attack of that kind on the same small data. *Recall* is that of the quarantine list and",
           "*alarm* the share of runs with a finding most of whose members were planted, over the runs that implanted (a backdoor",
           "or an aim that succeeds, or 2% of accuracy lost): the others count neither as evaded nor as defended.", "",
           "| channel | data | tier | runs | implanted | success | recall | alarm | settings |", "|" + "---|" * 9]
    for channel in dict.fromkeys(r["channel"] for r in rows):
        for tier, name in enumerate(TIERS):
            mine = [r for r in rows if r["channel"] == channel and r["tier"] == tier]
            if not mine:
                continue
            good = counted(rows, channel, tier)
            recall = f"{np.mean([r['recall'] for r in good]):.2f}" if good else "-"
            alarm = f"{np.mean([r['alarm'] for r in good]):.2f}" if good else "-"
            used = "; ".join(dict.fromkeys(r["setting"] for r in mine))
            first = tier == min(r["tier"] for r in rows if r["channel"] == channel)
            size = f"{mine[0]['dataset']}, {mine[0]['rows']:,}" if first else ""
            out.append(f"| {channel if first else ''} | {size} | {name} | {len(mine)} | {len(good)} | "
                       f"{np.mean([r['success'] for r in mine]):.2f} ({mine[0]['measure']}) | {recall} | {alarm} | {used} |")
    states = sorted({r["version"] for r in rows})
    quick = [r for r in rows if r["tier"] and r["implanted"] and r["recall"] < 0.5]
    total = [r for r in rows if r["tier"] and r["implanted"]]
    out += ["", f"{len(quick)} of {len(total)} adaptive runs that implanted kept more than half of their poison off the list. What to do",
            "about it: what a scan cannot see has to be kept out by provenance (signatures, pins, sources that are limited), and by",
            f"training that tolerates some poison. Measured with code {', '.join(states)}.", ""]
    return out
