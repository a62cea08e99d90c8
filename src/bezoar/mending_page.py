"""The report of a repair as one self-contained page: bars before and after, what was tried, why it was accepted or not."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from bezoar.core.escape import html_line, style_source
from bezoar.core.evidence import Picture
from bezoar.core.trigger import trigger_from_dict
from bezoar.mending import NOT_NEEDED
from bezoar.reports.html_report import figures as drawn

_HEADS = {"accepted": "repaired", "rejected": "rejected: still unsafe, or too much was lost", "impossible": "nothing could run",
          "unmeasured": "not accepted: nothing to measure success with"}
_HEAT = {"accepted": "h0", "rejected": "h4", "failed": "h3", "skipped": "none", "unmeasured": "h2"}
_WIDE = 320


def to_html(record: dict[str, Any]) -> bytes:
    """One page, no script, no outside reference, opens offline; everything foreign is escaped."""
    from jinja2 import Environment
    from markupsafe import Markup

    pages = files("bezoar").joinpath("pages")
    style = pages.joinpath("scoreboard.css").read_text(encoding="utf-8")
    page = Environment(autoescape=True, trim_blocks=True).from_string(pages.joinpath("mending.html").read_text(encoding="utf-8"))
    attempts = [{"repair": html_line(a["repair"]), "status": a["status"], "heat": _HEAT[a["status"]], 
                 "seconds": f"{a['seconds']:.1f} s" if a["seconds"] >= 0.05 else "",
                 "figures": figures(record["before"], a["after"]), "reasons": [html_line(r, 400) for r in a["reasons"]]}
                for a in record["attempts"] if not _needless(a)]
    chosen = next((a for a in record["attempts"] if a["status"] == "accepted"), None)
    limits = record["limits"]
    return page.render(
        name=html_line(record["subject"]["name"]), verdict=record["verdict"], head=_HEADS[record["verdict"]],
        style=Markup(style),  # noqa: S704 - our own file
        style_hash=style_source(style), chosen=html_line(chosen["repair"]) if chosen else "",
        triggers=[(html_line(k), html_line(t["title"], 200), html_line(t["target"] or "not one class", 80), Markup(_shown(t)))  # noqa: S704
                  for k, t in record["triggers"].items()],
        attempts=attempts, needless=", ".join(html_line(a["repair"]) for a in record["attempts"] if _needless(a)),
        notes=[html_line(n, 600) for n in record["notes"]], checked=record["checked"], tuned=record["tuned_on"],
        bars=bars(record["before"], chosen["after"] if chosen else None, limits), classes=_classes(record, chosen), wide=_WIDE,
        limits=f"success at most {limits['success']:.1%}, accuracy lost at most {limits['drop'] * 100:.1f} points, by a class at most "
               f"{limits['class_drop']:.0%}, success after {limits['poisoned']} poisoned samples at most {limits['reactivated']:.0%}",
        fingerprint=html_line(record["subject"]["fingerprint"][:16])).encode("utf-8", "backslashreplace")


def _needless(attempt: dict[str, Any]) -> bool:
    """Whether it was not tried because one before it was accepted."""
    return bool(attempt["status"] == "skipped" and attempt["reasons"] == [NOT_NEEDED])


def _shown(trigger: dict[str, Any]) -> str:
    """The trigger as a picture, its own part enlarged, or as the words or values that it writes; escaped."""
    made = trigger_from_dict(trigger["trigger"])
    seen = made.describe()
    if isinstance(seen, Picture):
        return drawn.picture(drawn.cropped(seen, getattr(made, "mask", None)), drawn.Album(), side=128, shown=96,
                             alt=f"the trigger: {trigger['title']}")
    return drawn.figure(seen, drawn.Album())


def rows(measured: dict[str, Any], beside: dict[str, Any] | None = None) -> list[tuple[str, dict[str, Any], bool]]:
    """(what, share, whether less is better) of everything that was measured; the same lines as of `beside`."""
    both = [m["without"] for m in (measured, beside) if m is not None]
    return [("accuracy", measured["accuracy"], False), *((f"success, {k} trigger", v, True) for k, v in measured["success"].items()),
            *((f"answered with its class, without the {k} trigger", v, True) for k, v in measured["without"].items()
              if any(w[k]["share"] for w in both)),
            *((f"success after re-activation, {k} trigger", v, True) for k, v in measured["reactivated"].items())]


def figures(before: dict[str, Any], after: dict[str, Any] | None) -> list[str]:
    """One line of words per figure.

    >>> share = {"share": 0.5, "low": 0.4, "high": 0.6}
    >>> figures(*[{"accuracy": share, "success": {}, "without": {}, "reactivated": {}}] * 2)
    ['accuracy 50.0% to 50.0% (40.0% to 60.0%)']
    >>> none = {"share": 0.0, "low": 0.0, "high": 0.1}
    >>> some, more = ({"accuracy": share, "success": {}, "without": {"known": w}, "reactivated": {}} for w in (none, share))
    >>> len(figures(some, more)), len(figures(some, some))  # nothing went there before
    (2, 1)
    """
    if after is None:
        return []
    return [f"{what} {a['share']:.1%} to {b['share']:.1%} ({b['low']:.1%} to {b['high']:.1%})"
            for (what, a, _), (_, b, _) in zip(rows(before, after), rows(after, before), strict=True)]


def bars(before: dict[str, Any], after: dict[str, Any] | None, limits: dict[str, Any]) -> list[dict[str, Any]]:
    """Bars in drawing units, their intervals as whiskers, and the limit that each was held to."""
    out = []
    later = rows(after, before) if after is not None else [(w, None, b) for w, _, b in rows(before)]
    for (what, first, less), (_, second, _) in zip(rows(before, after), later, strict=True):
        pair = [("before", first), *([("after", second)] if second is not None else [])]
        most = limits["success"] if what.startswith("success, ") else limits["reactivated"] if what.startswith("success after") else None
        out.append({"what": html_line(what), "less": less, "mark": None if most is None else round(_WIDE * most, 1),
                    "limit": "" if most is None else f"at most {most:.1%}", "bars": [
            {"when": when, "width": round(_WIDE * s["share"], 1), "low": round(_WIDE * s["low"], 1), "high": round(_WIDE * s["high"], 1),
             "share": f"{s['share']:.1%}", "spread": f"({s['low']:.1%} to {s['high']:.1%}, {s['of']:,} samples)"} for when, s in pair]})
    return out


def _classes(record: dict[str, Any], chosen: dict[str, Any] | None) -> list[tuple[str, str, str, int]]:
    names = record["subject"]["classes"]
    after = chosen["after"]["classes"] if chosen else [None] * len(names)
    return [(html_line(n), f"{b['share']:.1%}", "" if a is None else f"{a['share']:.1%} ({a['low']:.1%} to {a['high']:.1%})", b["of"])
            for n, b, a in zip(names, record["before"]["classes"], after, strict=True) if b["of"]][:200]
