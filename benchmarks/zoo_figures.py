"""What the audits of the model zoo reached, as numbers and as a section of the page. No torch."""

from __future__ import annotations

from typing import Any

import numpy as np

HELD_OUT = ("warp", "adaptive-patch")
"""Families that nothing was chosen on before the search for warps and the last rule of fusion; these were chosen on models of other seeds,
of all families."""
IMPLANTS_AT = 0.8
MODES = {"few": "10 clean samples of each class",
         "twins": "60 clean samples of each class, 8 clean twins", "free": "no data",
         "cleanse": "Neural Cleanse, 10 clean samples of each class"}
GOALS = {"few": "AUROC 0.97, worst held-out 0.90, recall 0.90 at 5%, target 0.90, IoU 0.80", "free": "AUROC 0.88"}


def auroc(bad: np.ndarray, good: np.ndarray) -> float:
    """Chance that a backdoored model scores above a clean one."""
    if not len(bad) or not len(good):
        return float("nan")
    gap = bad[:, None] - good[None]
    return float((gap > 0).mean() + (gap == 0).mean() / 2)


def summary(rows: list[dict[str, Any]], mode: str) -> dict[str, Any]:
    """What a mode reached; families count alike in the mean."""
    mine = [r for r in rows if r["mode"] == mode and (not r["family"] or r["success"] >= IMPLANTS_AT)]
    good = np.array([r["score"] for r in mine if not r["family"]], float)
    if not len(good) or len(good) == len(mine):
        return {"mode": mode, "clean": len(good), "backdoored": 0}
    bad = [r for r in mine if r["family"]]
    families = sorted({r["family"] for r in bad})
    each = {f: auroc(np.array([r["score"] for r in bad if r["family"] == f], float), good) for f in families}
    cut = float(np.quantile(good, 0.95, method="higher"))
    held = [v for f, v in each.items() if f in HELD_OUT]
    named = [r for r in bad if r["alarm"] and r["true_target"] is not None]
    overlaps = [r["iou"] for r in bad if r["alarm"] and r.get("iou") is not None]
    return {"mode": mode, "clean": len(good), "backdoored": len(bad), "families": len(families),
            "sets": ", ".join(sorted({r["dataset"] for r in mine})),
            "auroc": float(np.mean(list(each.values()))),
            "worst_held_out": min(held, default=float("nan")), "worst": min(each.values()), "by_family": each,
            "recall_at_5": float(np.mean([r["score"] > cut for r in bad])), "recall": float(np.mean([r["alarm"] for r in bad])),
            "alarms_on_clean": float(np.mean([r["alarm"] for r in mine if not r["family"]])),
            "target_right": float(np.mean([r["target"] == r["true_target"] for r in named])) if named else float("nan"),
            "iou_half": float(np.mean([o >= 0.5 for o in overlaps])) if overlaps else float("nan"),
            "seconds": float(np.median([r["seconds"] for r in mine])), "slowest": float(max(r["seconds"] for r in mine))}


def section(rows: list[dict[str, Any]]) -> list[str]:
    """Markdown; nothing where nothing was measured."""
    got = [s for s in (summary(rows, m) for m in MODES) if s["backdoored"]]
    if not got:
        return []
    head = ["mode", "sets", "clean", "backdoored", "AUROC, mean of families", "worst held-out family", "recall at 5% false alarms",
            "recall as called", "false alarms as called", "target right", "patch found (IoU >= 0.5)", "seconds",
            "slowest (with its twins)", "goal"]
    lines = []
    for s in got:
        figures = [f"{s[k]:.2f}".replace("nan", "-") for k in ("auroc", "worst_held_out", "recall_at_5", "recall", "alarms_on_clean",
                                                              "target_right", "iou_half")]
        lines.append([MODES[s["mode"]], s["sets"], str(s["clean"]), str(s["backdoored"]), *figures,
                      f"{s['seconds']:.0f}", f"{s['slowest']:.0f}", GOALS.get(s["mode"], "-")])
    families = sorted({f for s in got for f in s["by_family"]})
    each = [[f + (" (held out)" if f in HELD_OUT else ""), *(f"{s['by_family'][f]:.2f}" if f in s["by_family"] else "-" for s in got)]
            for f in families]
    return ["## Audit of models", "", "Small networks that bezoar trained, some with a backdoor (`python benchmarks/zoo.py`). Only attacks",
            "that implanted count: at least 80% of triggered samples go to the target. The two families that are",
            "marked held out were not looked at before the search for warps and the last rule of fusion were chosen, on models of other",
            "seeds that held all families.",
            "Planned are digits, mnist, gtsrb and cifar; each line names the sets that were audited in that mode.", "",
            *_table(head, lines), "AUROC by family:", "", *_table(["family", *(MODES[s["mode"]] for s in got)], each)]


def _table(header: list[str], lines: list[list[str]]) -> list[str]:
    return ["| " + " | ".join(header) + " |", "|" + "---|" * len(header), *("| " + " | ".join(x) + " |" for x in lines), ""]
