"""The scoreboard of a red-team run as JSON, Markdown and one self-contained page. Foreign text is escaped by each sink."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import numpy as np

from bezoar.core.escape import html_line, line, style_source
from bezoar.trials import BASELINES, Row, summary
from bezoar.validity import IMPLANTS_AT

SCHEMA = "bezoar.scoreboard/1"
_STEPS = (0.05, 0.2, 0.5, 0.8)
_COLUMNS = ("seed", "defence", "success before", "success after", "recall", "precision", "false positives", "accuracy before",
            "accuracy after", "samples removed", "seconds")


def board(rows: Sequence[Row], subject: dict[str, Any], victim: str, plan: dict[str, Any]) -> dict[str, Any]:
    """The JSON form: rows, their summary over seeds, and what was run."""
    return {"schema": SCHEMA, "subject": subject, "victim": victim, "plan": plan, "rows": [r.to_dict() for r in rows],
            "summary": summary(rows)}


def to_json(made: dict[str, Any]) -> bytes:
    """UTF-8, no NaN."""
    return (json.dumps(made, indent=1, ensure_ascii=True, allow_nan=False) + "\n").encode()


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _interval(spread: dict[str, float] | None, seeds: int) -> str:
    """The mean and its interval over seeds, which one seed does not have."""
    if spread is None:
        return ""
    return f"{spread['mean']:.0%}" + ("" if seeds == 1 else f" ({max(spread['low'], 0):.0%}-{spread['high']:.0%})")


def _order(made: dict[str, Any]) -> list[str]:
    """Defences in the order in which they ran."""
    return list(dict.fromkeys(r["defence"] for r in made["rows"]))


def to_markdown(made: dict[str, Any]) -> bytes:
    """One table: attack, rate, defence, success before and after, recall, precision, false positives, accuracy."""
    head = ("attack", "rate", "implanted", "defence", "success before", "success after", "recall", "precision", "false positives",
            "accuracy before", "accuracy after")
    out = [f"# Scoreboard of {line(made['subject']['name'])}", "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for s in made["summary"]:
        cells = [s["attack"], f"{s['rate']:g}", f"{s['implanted']}/{s['seeds']}", s["defence"],
                 *(_interval(s[k], s["seeds"]) for k in ("asr_before", "asr_after", "recall", "precision", "false_positive_rate",
                                                         "accuracy_before", "accuracy_after"))]
        if s["error"]:
            cells[4:] = [s["error"], *[""] * 6]
        elif not s["implanted"]:
            cells[5] = "did not implant"
        out.append("| " + " | ".join(line(c).replace("|", "\\|") for c in cells) + " |")
    return ("\n".join(out) + "\n").encode()


def _cell(s: dict[str, Any] | None) -> dict[str, str]:
    if s is None:
        return {"heat": "", "title": "", "text": ""}
    if s["error"]:
        return {"heat": "none", "title": html_line(s["error"]), "text": "could not run"}
    if not s["implanted"]:
        reached = f", {s['asr_before']['mean']:.0%}" if s["asr_before"] and s["defence"] == "none" else ""
        return {"heat": "none", "title": f"success {_interval(s['asr_before'], s['seeds'])}", "text": f"did not implant{reached}"}
    if s["asr_after"] is None:
        return {"heat": "none", "title": "", "text": "could not run"}
    left = s["asr_after"]["mean"]
    heat = int(np.searchsorted(_STEPS, left, "left"))
    words = [f"success {_interval(s['asr_before'], s['seeds'])} before, {_interval(s['asr_after'], s['seeds'])} after"]
    if s["recall"]:
        words.append(f"recall {_interval(s['recall'], s['seeds'])}, false positives {_interval(s['false_positive_rate'], s['seeds'])}")
    words.append(f"accuracy {_interval(s['accuracy_before'], s['seeds'])} before, {_interval(s['accuracy_after'], s['seeds'])} after")
    some = "" if s["implanted"] == s["seeds"] else f" (of {s['implanted']} of {s['seeds']})"
    return {"heat": f"h{heat}", "title": "; ".join(words), "text": f"{left:.0%}{some}"}


def _words(s: dict[str, Any]) -> str:
    return s["error"] or (f"success {_interval(s['asr_before'], s['seeds'])}, implanted in {s['implanted']} of {s['seeds']}"
                          f", accuracy {_interval(s['accuracy_before'], s['seeds'])} "
                          f"(clean twin {_interval(s['accuracy_clean'], s['seeds'])})")


def to_html(made: dict[str, Any]) -> bytes:
    """One page, no script, no outside reference, opens offline."""
    from jinja2 import Environment
    from markupsafe import Markup

    pages = files("bezoar").joinpath("pages")
    style = pages.joinpath("scoreboard.css").read_text(encoding="utf-8")
    defences = _order(made)
    by = {(s["attack"], s["rate"], s["defence"]): s for s in made["summary"]}
    cells = list(dict.fromkeys((r["attack"], r["rate"]) for r in made["rows"]))
    blocks = []
    for attack, rate in cells:
        rows = [(r["seed"], html_line(r["defence"]), _share(r["asr_before"]), _share(r["asr_after"]), _share(r["recall"]),
                 _share(r["precision"]), _share(r["false_positive_rate"]), _share(r["accuracy_before"]), _share(r["accuracy_after"]),
                 r["removed"], f"{r['seconds']:.1f}") for r in made["rows"] if (r["attack"], r["rate"]) == (attack, rate)]
        blocks.append({"attack": html_line(attack), "rate": rate, "words": html_line(_words(by[attack, rate, "none"]), 400), "rows": rows})
    first = [r for r in made["rows"] if r["defence"] == "none"]
    subject = {**made["subject"], "name": html_line(made["subject"]["name"])}
    page = Environment(autoescape=True, trim_blocks=True).from_string(pages.joinpath("scoreboard.html").read_text(encoding="utf-8"))
    return page.render(
        subject=subject, victim=html_line(made["victim"]), style=Markup(style),  # noqa: S704 - our own file
        style_hash=style_source(style),
        seeds=len({r["seed"] for r in made["rows"]}), implanted=sum(r["implanted"] for r in first), trials=len(first),
        defences=[html_line(d) for d in defences], first=next((html_line(d) for d in defences if d not in BASELINES), ""),
        lines=[{"attack": html_line(a), "rate": r, "cells": [_cell(by.get((a, r, d))) for d in defences]} for a, r in cells],
        blocks=blocks, columns=_COLUMNS, bound=f"{IMPLANTS_AT['backdoor']:.0%}").encode("utf-8", "backslashreplace")
