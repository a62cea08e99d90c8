"""The section of docs/benchmarks.md about rewritten texts and clean-label words."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from learned_page import figure, mean
from learned_texts import all_cells

Row = dict[str, Any]
LARGEST_FPR = 0.01


def section(rows: list[Row]) -> list[str]:
    """One line per cell: success of the attack, the list at both efforts, success after the list was removed, the goal."""
    if not rows:
        return ["## Rewritten texts", "", "Not run yet: `python benchmarks/learned_texts.py`.", ""]
    by: dict[str, dict[str, dict[int, Row]]] = defaultdict(lambda: defaultdict(dict))
    for r in rows:
        by[r["cell"]][r["method"]][r["seed"]] = r
    goals = {c.name: c.goal for c in all_cells()}
    out = ["## Rewritten texts", "",
           "Sentence skeletons, styles and clean-label words in at most 5,000 texts; the styles of `styleattack_ag_bible` were written by",
           "a network of others. *Success* is on a convolution over words, beside a clean twin, and *implanted* says in how many seeds it",
           "reached 80% and 10 points more than the twin; *recall* and *false positives* are those of the quarantine list, over the seeds",
           "that implanted (over all, in brackets, where none did). *After* is the success on a network trained without the list of",
           "standard effort. A goal counts as reached where the mean recall does, with no more than 1% false positives, once every seed",
           "that implanted was scanned.", "",
           "| data and attack | success (twin) | implanted | recall, quick | false positives | recall, standard | false positives | by "
           "| after | goal |", "|" + "---|" * 10]
    for cell in by:
        victims, parts = by[cell]["victim"], {m: by[cell][m] for m in ("quick", "standard", "after")}
        took = {s for s, r in victims.items() if r["implanted"]}
        success = f"{figure(mean([r['asr'] for r in victims.values()]))} ({figure(mean([r['asr_of_twin'] for r in victims.values()]))})"
        listed = [f for m in ("quick", "standard") for f in _listed(parts[m], took)]
        names = sorted({n for m in ("quick", "standard") for r in parts[m].values() for n in str(r.get("by", "")).split(", ") if n})
        after = parts["after"].values()
        gone = f"{figure(mean([r['asr'] for r in after]))} (twin {figure(mean([r['asr_of_twin'] for r in after]))})" if after else "-"
        out.append("| " + " | ".join([cell, success if victims else "-", f"{len(took)} of {len(victims)}" if victims else "-", *listed,
                                      ", ".join(names) or "-", gone, _met(goals.get(cell), parts, took)]) + " |")
    quiet = [r for cell in by for m in ("quick", "standard") for r in by[cell][m].values() if not r["poisoned"]]
    if quiet:
        out += ["", f"Clean sets of these sizes: {sum(bool(r['alarm']) for r in quiet)} alarms in {len(quiet)} scans."]
    return [*out, ""]


def _listed(rows: dict[int, Row], took: set[int]) -> list[str]:
    """Recall and false positives over the seeds that implanted; in brackets over all where none did."""
    kept = [r for s, r in rows.items() if s in took]
    if not rows:
        return ["-", "-"]
    if kept:
        return [f"{figure(mean([r['recall'] for r in kept]))} of {len(kept)}", figure(mean([r["fpr"] for r in kept]), 4)]
    return [f"({figure(mean([r['recall'] for r in rows.values()]))})", f"({figure(mean([r['fpr'] for r in rows.values()]), 4)})"]


def _met(goal: float | None, parts: dict[str, dict[int, Row]], took: set[int]) -> str:
    """yes | no at standard effort, or at quick; '-' without a goal, or where neither was run for every seed that implanted."""
    rows = next((parts[m] for m in ("standard", "quick") if took and took <= set(parts[m])), None)
    if goal is None or rows is None:
        return "-"
    kept = [rows[s] for s in sorted(took)]
    reached = mean([r["recall"] for r in kept]) >= goal and mean([r["fpr"] for r in kept]) <= LARGEST_FPR
    return f"{goal:.2f}: " + ("yes" if reached else "**no**")
