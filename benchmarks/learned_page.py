"""The section of docs/benchmarks.md about the learned tier."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

import numpy as np

Row = dict[str, Any]
DEEP = "bezoar, deep"
IMPLANTED = 0.8
"""An attack counts where it succeeds so often on the plain network."""


GOALS = {"invisible": 0.95, "warp": 0.90, "input-aware": 0.90, "tact": 0.95, "adaptive blend": 0.85, "adaptive patch": 0.85,
         "all-to-all patch": 0.92, "sinusoid": 0.95, "label-consistent": 0.95, "ctrl": 0.95, "narcissus": 0.75}
"""Mean recall asked of each family, over the runs in which it implanted."""


def mean(values: list[Any]) -> float:
    """Mean of what is there; NaN where nothing is.

    >>> mean([1.0, None, 0.5])
    0.75
    """
    kept = [float(v) for v in values if v is not None]
    return float(np.mean(kept)) if kept else float("nan")


def figure(value: float, digits: int = 2) -> str:
    return "-" if np.isnan(value) else f"{value:.{digits}f}"


def section(rows: list[Row]) -> list[str]:
    """One line per cell: success, what bezoar lists, and the peers' best possible thresholds."""
    if not rows:
        return ["## Learned tier", "", "Not run yet: `python benchmarks/learned.py`.", ""]
    by: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for r in rows:
        by[r["cell"]][r["method"]].append(r)
    peers = [m for m in dict.fromkeys(r["method"] for r in rows) if m not in ("bezoar", DEEP, "retrained")]
    out = ["## Learned tier", "",
           "`--effort standard` as a user runs it, on at most 5,000 samples. *Recall* and *false positives* are those of the",
           "quarantine list (rows with the trigger and the attacker's label; covers count neither way). The peers are re-implemented",
           "on one plain network per set and get trusted samples where their papers ask for them; their figure is the true",
           "positives at 1% false positives, the best threshold granted. *Success* is on that network;",
           "*probe-geometry* there is bezoar's own check on that very network, by its ranking alone. AGPD is approximated: slopes of",
           "averaged activations stand for gradients of the weights. *After* is the success on such a network that is trained again",
           "without the list, and by how many points its accuracy is below that of one trained on the data before the attack;",
           f"under {IMPLANTED:.0%} the attack did not implant and no figure is a merit or a miss.", "",
           "| data and attack | seeds | success | recall | false positives | alarms | after | TPR | " + " | ".join(peers) + " |",
           "|" + "---|" * (8 + len(peers))]
    for cell in by:
        mine, others = by[cell]["bezoar"], [r for m in peers for r in by[cell][m]]
        line = [cell, str(len({r["seed"] for r in (*mine, *others)})), figure(mean([r.get("asr") for r in others])),
                figure(mean([r.get("recall") for r in mine])), figure(mean([r.get("fpr") for r in mine]), 4),
                f"{sum(bool(r.get('alarm')) for r in mine)} of {len(mine)}", _after(by[cell]["retrained"]),
                figure(mean([r.get("tpr_at_1fpr") for r in mine])),
                *(figure(mean([r.get("tpr_at_1fpr") for r in by[cell][m]])) for m in peers)]
        out.append("| " + " | ".join(line) + " |")
    implanted = [c for c in by if mean([r.get("asr") for m in peers for r in by[c][m]]) >= IMPLANTED and by[c]["bezoar"]]
    if implanted:
        scores = {m: mean([mean([r.get("tpr_at_1fpr") for r in by[c][m]]) for c in implanted if by[c][m]]) for m in peers
                  if m != "probe-geometry"}
        best = max(scores, key=lambda m: -1.0 if np.isnan(scores[m]) else scores[m])
        own = mean([mean([r.get("recall") for r in by[c]["bezoar"]]) for c in implanted])
        worst = min(implanted, key=lambda c: mean([r.get("recall") for r in by[c]["bezoar"]]))
        out += ["", f"Over the {len(implanted)} lines that implanted: mean recall of the list {figure(own)}, worst "
                    f"{figure(mean([r.get('recall') for r in by[worst]['bezoar']]))} ({worst}); the best single peer is {best}, "
                    f"{figure(scores[best])} at 1% false positives."]
    return [*out, "", *_families(rows, peers), *_deep(rows)]


def family(cell: str) -> str:
    """The attack of a cell, without data and rate.

    >>> family("gtsrb_signs/tact 1% + 1%"), family("cifar10/ctrl, 20% of class")
    ('tact', 'ctrl')
    """
    return re.sub(r"[ ,]*\d.*$", "", cell.split("/", 1)[-1])


def _families(rows: list[Row], peers: list[str]) -> list[str]:
    """One line per family, over the single runs that implanted."""
    told: dict[tuple[str, int], dict[str, Row]] = defaultdict(dict)
    for r in rows:
        told[(r["cell"], r["seed"])][r["method"]] = r
    success = {run: mean([r.get("asr") for m, r in of.items() if m in peers]) for run, of in told.items()}
    lines = []
    for name, goal in GOALS.items():
        runs = [(run, of) for run, of in told.items() if family(run[0]) == name and "bezoar" in of and not np.isnan(success[run])]
        took = [(run[0], of) for run, of in runs if success[run] >= IMPLANTED]
        if not runs:
            continue
        own = [of["bezoar"]["recall"] for _, of in took]
        rivals = {m: mean([of[m].get("tpr_at_1fpr") for _, of in took if m in of]) for m in peers if m != "probe-geometry"}
        best = max(rivals, key=lambda m: np.nan_to_num(rivals[m], nan=-1.0)) if took else "-"
        alarms = sum(bool(of["bezoar"].get("alarm")) for _, of in took)
        lines.append([name, ", ".join(sorted({c.split("/")[0] for c, _ in took})) or "-", f"{len(took)} of {len(runs)}", figure(mean(own)),
                      figure(min(own)) if own else "-", figure(mean([of["bezoar"].get("fpr") for _, of in took]), 4),
                      f"{alarms} of {len(took)}", f"{best} {figure(rivals[best])}" if took else "-", f"{goal:.2f}",
                      "-" if not took else "yes" if mean(own) >= goal else "**no**"])
    return ["By family, over the single runs that implanted:", "",
            "| family | data | implanted | mean recall | worst run | false positives | alarms | best peer | goal | reached |",
            "|" + "---|" * 10, *("| " + " | ".join(line) + " |" for line in lines), ""] if lines else []


def _deep(rows: list[Row]) -> list[str]:
    """One line per cell that was scanned at both efforts, over the seeds of both."""
    told = {(r["cell"], r["method"], r["seed"]): r for r in rows if r["method"] in ("bezoar", DEEP)}
    lines = []
    for cell in dict.fromkeys(c for c, m, _ in told if m == DEEP):
        both = [(told[cell, "bezoar", s], r) for (c, m, s), r in told.items() if (c, m) == (cell, DEEP) and (cell, "bezoar", s) in told]
        if both:
            line = [cell, str(len(both))]
            for rows_of in zip(*both, strict=True):
                line += [figure(mean([r.get("recall") for r in rows_of])), figure(min(float(r["recall"]) for r in rows_of))
                         if all(r.get("recall") is not None for r in rows_of) else "-",
                         figure(mean([r.get("fpr") for r in rows_of]), 4), f"{sum(bool(r.get('alarm')) for r in rows_of)} of {len(both)}"]
            lines.append(line)
    return ["With `--effort deep` (three networks of different make), on the same sets:", "",
            "| data and attack | runs | recall, standard | worst | false positives | alarms | recall, deep | worst | false positives "
            "| alarms |", "|" + "---|" * 10, *("| " + " | ".join(line) + " |" for line in lines), ""] if lines else []


def _after(rows: list[Row]) -> str:
    if not rows:
        return "-"
    lost = 100 * mean([r["accuracy_of_twin"] - r["accuracy"] for r in rows])
    return f"{figure(mean([r['asr'] for r in rows]))} (twin {figure(mean([r['asr_of_twin'] for r in rows]))}), {lost:+.1f}"
