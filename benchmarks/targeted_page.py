"""The section of docs/benchmarks.md about targeted clean-label poison."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from learned_page import figure, mean

Row = dict[str, Any]
GOALS = {"transfer": 0.95, "gradient": 0.05}
"""Least mean recall of the list at no more than `ALLOWED` false positives; most success that is left."""
ALLOWED = 0.01


def section(rows: list[Row]) -> list[str]:
    """One line per cell and way of scanning, and whether the goals are met where the attack implanted."""
    if not rows:
        return ["## Targeted poison", "", "Not run yet: `python benchmarks/targeted.py`.", ""]
    by: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for r in rows:
        by[r["cell"], r["method"]].append(r)
    out = ["## Targeted poison", "",
           "A few pictures of one class, correctly labelled, are moved by an optimiser so that one chosen picture gets their label.",
           "*Transfer*: a linear head is trained on an encoder that the attacker knows, from 50 samples per class. *Gradient matching*:",
           "a network is trained from scratch on 2,000 samples; the attacker aims at pictures that a clean network doubts.",
           "`--effort standard`, once *plain* and once with the encoder, or the trained network, as the user's *own model*. *Implanted*:",
           "seeds in which one of the pictures aimed at got the wanted class, which a clean twin did not give it. *Recall* (and the least",
           "of all seeds) and *false positives* (and the most) are those of the quarantine list. *grain* and *other* are true positives at",
           "1% false positives, of that ranking and of the best other one (the best of all by the truth). *After*: the success left",
           "without the list, and without the top 5% of the ranking `grain`, over the seeds that implanted.", "",
           "| data and attack | scan | seeds | implanted | poisoned | recall | false positives | alarms | grain | other | after list | "
           "after top 5% | goal |", "|" + "---|" * 13]
    for (cell, method), own in sorted(by.items(), key=lambda item: (item[0][0], item[0][1] != "plain")):
        attacked = any(r["poisoned"] for r in own)
        counted = [r for r in own if r.get("implanted")]
        shown = counted or own
        out.append("| " + " | ".join([
            cell, method, str(len(own)), f"{len(counted)}" if attacked else "-",
            f"{figure(mean([r['poisoned'] for r in shown]), 0)} of {figure(mean([r['rows'] for r in shown]), 0)}" if attacked else "-",
            f"{_figure(shown, 'recall', 2, min)}" if attacked else "-", _figure(shown, "fpr", 4, max),
            f"{sum(bool(r['alarm']) for r in shown)} of {len(shown)}", figure(mean([r.get("ranked") for r in shown])),
            figure(mean([r.get("others") for r in shown])), figure(mean([r.get("after") for r in counted])),
            figure(mean([r.get("after_top") for r in counted])), _met(cell, counted) if attacked else "-"]) + " |")
    return [*out, "", "Lines without a seed that implanted show what is listed of the planted rows all the same: no merit and no miss.", ""]


def _figure(rows: list[Row], key: str, digits: int, worst: Any) -> str:
    values = [float(r[key]) for r in rows if r.get(key) is not None]
    return f"{figure(mean(values), digits)} ({figure(worst(values), digits)})"


def _met(cell: str, counted: list[Row]) -> str:
    """Whether the goal of a cell is met over the seeds that implanted."""
    if not counted:
        return "did not implant"
    if "gradient" in cell:
        least = min(mean([r.get("after") for r in counted]), mean([r.get("after_top") for r in counted]))
        return f"{'yes' if least <= GOALS['gradient'] else 'no'} (at most {GOALS['gradient']:.0%} left)"
    found = mean([r["recall"] for r in counted]) >= GOALS["transfer"] and mean([r["fpr"] for r in counted]) <= ALLOWED
    return f"{'yes' if found else 'no'} ({GOALS['transfer']:.2f} at {ALLOWED:.0%})"
