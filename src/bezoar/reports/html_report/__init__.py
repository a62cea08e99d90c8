"""report.html: one page that opens offline, on a phone and on paper, and that is safe to open.

Verdict first, then what could not be seen, then the campaigns with their triggers, members and places of origin, then
the whole run. No script, no outside reference, a content policy that allows the page's own style (by hash) and embedded
pictures, nothing else. All foreign text is escaped and its hidden characters are written out. At most `campaigns` cards,
`members` samples each and about 2 MB; what is left out is counted. `folder` is where the report is written, for the commands that
are suggested. Cost: about 10 ms a picture. Needs Jinja2 and Pillow.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from bezoar.core.ability import Info, Renderer
from bezoar.core.escape import html_block, html_line, style_source
from bezoar.core.evidence import Bars, Evidence, Facts, Picture
from bezoar.core.finding import Finding
from bezoar.core.model_wording import about_model
from bezoar.core.report import SCHEMA, Report
from bezoar.core.taxonomy import threat_record
from bezoar.core.wording import (
    applies,
    chance,
    finding_commands,
    flips_some,
    headline,
    many,
    matters,
    next_commands,
    p_text,
    percent,
    sure,
    sureness,
    unseen,
)
from bezoar.reports.html_report.figures import Album, bars, cropped, figure, member, picture, rows, where

_TONES = {"poisoned": "bad", "suspicious": "warn", "no evidence": "calm", "inconclusive": "open"}
_MOST_FIGURES = 8
_MOST_OVERVIEW = 32
_MOST_LINES = 200


@cache
def _template() -> tuple[Any, str, str]:
    """The compiled page, its style, and the style's hash for the content policy."""
    import jinja2
    from markupsafe import Markup

    folder = files("bezoar.reports.html_report")
    style = folder.joinpath("page.css").read_text("utf-8")
    digest = style_source(style)

    def shown(value: Any) -> Any:
        """Every output of the template passes here: what is not markup of ours has its hidden characters written out."""
        return value if isinstance(value, Markup) or value is None else html_block(value, 4000)

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, finalize=shown, trim_blocks=True,
                                     lstrip_blocks=True, keep_trailing_newline=True)
    environment.filters["clip"] = lambda value, limit=200: html_line(value, limit)
    return environment.from_string(folder.joinpath("page.html").read_text("utf-8")), style, digest


class HtmlReport(Renderer):
    """Report -> report.html.

    >>> page = HtmlReport().render(Report({"name": "x"}, "no evidence", 0.01, 0, (), ()))
    >>> b"<script" in page, b"not the same as clean" in page
    (False, True)
    """

    info = Info(name="html", summary="report.html: one page with pictures, opens offline")
    filename = "report.html"

    def __init__(self, *, campaigns: int = 50, members: int = 24, folder: str = "") -> None:
        self.campaigns = campaigns
        self.members = members
        self.folder = folder

    def render(self, report: Report) -> bytes:
        """UTF-8 bytes of the page; the same report gives the same bytes."""
        from markupsafe import Markup

        page, style, digest = _template()
        album = Album()
        shown = report.findings[:max(self.campaigns, 0)]
        cards = [self._card(report, f, number, album) for number, f in enumerate(shown, 1)]
        ran = [o for o in report.outcomes if o.status in ("found", "nothing")]
        text = page.render(
            style=Markup(style), digest=digest, schema=SCHEMA, report=report, tone=_TONES.get(report.verdict, "open"),  # noqa: S704
            facts=_subject(report), headline=headline(report), sure=sure(report), unseen=unseen(report),
            tiles=_tiles(report, len(ran)), commands=next_commands(report, self.folder),
            counting=[c for c in cards if not c["aside"]], aside=[c for c in cards if c["aside"]],
            more=len(report.findings) - len(cards), model=about_model(report), outcomes=_outcomes(report), most=_MOST_LINES,
            overview=[Markup(figure(e, album)) for e in report.overview[:_MOST_OVERVIEW]],  # noqa: S704
            undrawn=max(len(report.overview) - _MOST_OVERVIEW, 0), spans=any(s.interval for s in report.sensitivity),
            plan=json.dumps(report.plan, indent=2, default=str, skipkeys=True, ensure_ascii=False), many=many)
        return str(text).encode("utf-8", "backslashreplace")

    def _card(self, report: Report, f: Finding, number: int, album: Album) -> dict[str, Any]:
        """What the template shows of one finding."""
        from markupsafe import Markup

        samples = [e for e in f.evidence if getattr(e, "sample", "")]
        spread, figures = _spread(f)
        most = min(self.members, 24 if number <= 4 else 12 if number <= 12 else 6)
        accepted = f.id in report.accepted
        threat = threat_record(f.threat)
        shown = samples[:most]
        table = rows([e for e in shown if isinstance(e, Facts)], tuple(getattr(f.trigger, "columns", ()))) \
            if all(isinstance(e, Facts) for e in shown) else None
        return {
            "table": None if table is None else Markup(table),  # noqa: S704
            "number": number, "id": f.id, "title": f.title, "aside": f.advisory or accepted,
            "state": "accepted" if accepted else "advisory" if f.advisory else
                     "of inputs" if f.kind == "model" and f.members else
                     {True: "confirmed", False: "not confirmed", None: "not tested"}[f.confirmed],
            "tone": "muted" if f.advisory or accepted else "bad" if f.confirmed else "warn",
            "members": [Markup(member(e, album)) for e in shown],  # noqa: S704
            "kind": shown[0].kind if shown else "none", "count": len(f.members), "more": len(f.members) - len(shown),
            "ids": f.members[:12] if not shown else (), "target": f.target, "at_least": f.at_least, "quarantined": len(f.quarantined),
            "chance": chance(f.p_value), "p": p_text(f.p_value), "channel": f.ability,
            "effect_bars": None if f.effect is None or not flips_some(f) else Markup(bars(Bars(  # noqa: S704
                ("the trigger", "matched controls"), f.effect, ("the trigger",)), full=1.0)),
            "because": f.because, "matters": matters(f.threat), "sure": sureness(f), "doubt": f.doubt, "advice": f.advice,
            "commands": finding_commands(report, f, self.folder), "threat": str(threat["name"]),
            "taxonomy": [(edition, ", ".join(threat[k])) for k, edition in threat["editions"].items()],  # type: ignore[attr-defined, arg-type]
            "figures": [Markup(figure(e, album)) for e in (*spread, *figures)],  # noqa: S704
            **_trigger(f, samples, album)}


def _spread(f: Finding) -> tuple[list[Bars], list[Evidence]]:
    """Where the members come from, a bar chart a column (time in its order), and the other figures of the finding."""
    figures = [e for e in f.evidence if not getattr(e, "sample", "")]
    own = {f"members by {column}" for column in f.origin}
    told = {e.caption for e in figures if isinstance(e, Bars)} & own
    spread = []
    for column, parts in f.origin.items():
        caption = f"members by {column}"
        if len(parts) > 1 or caption in told or not told:
            pairs = sorted(parts.items()) if column == "time" else list(parts.items())
            spread.append(Bars(tuple(k for k, _ in pairs), tuple(float(v) for _, v in pairs), caption=caption))
    seen = f.trigger.describe() if f.trigger is not None else None
    again = [e for e in figures if isinstance(e, Facts) and isinstance(seen, Facts) and e.rows == seen.rows]
    return spread, [e for e in figures if e not in again and not (isinstance(e, Bars) and e.caption in own)][:_MOST_FIGURES]


def _trigger(f: Finding, samples: list[Evidence], album: Album) -> dict[str, Any]:
    """The trigger enlarged, in words, and where it sits."""
    from markupsafe import Markup

    if f.trigger is None:
        return {"trigger": None, "trigger_words": "", "place": None}
    seen, mask = f.trigger.describe(), getattr(f.trigger, "mask", None)
    spot = ""
    if isinstance(seen, Picture):
        drawn = picture(cropped(seen, mask), album, side=128, shown=144, alt=f"the trigger: {f.trigger.title()}")
        host = next((e.pixels.shape[:2] for e in samples if isinstance(e, Picture) and e.pixels.ndim == 3), None)
        if mask is not None and host and 0 not in host and hasattr(f.trigger, "top"):
            spot = where(float(f.trigger.top), float(f.trigger.left), mask, host, float(getattr(f.trigger, "scale", 0)))  # type: ignore[attr-defined]
    else:
        drawn = figure(seen, album)
    return {"trigger": Markup(drawn), "trigger_words": "" if f.trigger.title() in f.title else f.trigger.title(), "place": Markup(spot)}  # noqa: S704


def _subject(report: Report) -> list[tuple[str, str]]:
    s = report.subject
    out = [("kind", str(s.get("modality", ""))), ("samples", f"{s['samples']:,}" if isinstance(s.get("samples"), int) else ""),
           ("clean samples", f"{s['clean_samples']:,}" if isinstance(s.get("clean_samples"), int) else ""),
           ("classes", f"{s['classes']:,}" if isinstance(s.get("classes"), int) and s["classes"] else ""),
           ("fingerprint", str(s.get("fingerprint", ""))[:16])]
    return [(k, v) for k, v in out if v]


def _tiles(report: Report, ran: int) -> list[tuple[str, str, str]]:
    """(figure, what it counts, a word more)."""
    if about_model(report):
        return _model_tiles(report, ran)
    out = len({m for f in report.counted for m in f.quarantined})
    aside = len(report.findings) - len(report.counted)
    gaps = sum(applies(o) for o in report.outcomes) - ran
    campaigns = "campaign" if len(report.counted) == 1 else "campaigns"
    least = f"≥ {report.poisoned_at_least:,}" if report.poisoned_at_least else "0"
    return [(f"{len(report.counted):,}", campaigns, f"and {aside} advisory or accepted" if aside else ""),
            (least, "beyond chance and nature", f"at {percent(1 - report.alpha)} confidence" if report.poisoned_at_least else ""),
            (f"{out:,}", "to quarantine", "never deleted" if out else ""),
            (f"{ran:,}", "check ran" if ran == 1 else "checks ran", f"{gaps} could not" if gaps else "none skipped")]


def _model_tiles(report: Report, ran: int) -> list[tuple[str, str, str]]:
    s, finding = report.subject, next(iter(report.counted), None)
    p, works = s.get("p_value"), finding.effect[0] if finding and finding.effect else None
    gaps = sum(applies(o) for o in report.outcomes) - ran
    return [(f"{p:.2g}" if isinstance(p, (int, float)) else "-", "p-value of the model", f"alarm at {report.alpha:g}"),
            (percent(works) if works is not None else "-", "moved by the trigger", "of clean samples"),
            *_asked(s.get("inputs")),
            (f"{s.get('reference_models') or 0}", "reference models", "clean, of the same shape"),
            (f"{ran:,}", "check ran" if ran == 1 else "checks ran", f"{gaps} could not" if gaps else "none skipped")]


def _asked(told: Any) -> list[tuple[str, str, str]]:
    """The tile of the inputs that somebody asked about."""
    given, flagged, rate = (told.get(k) for k in ("given", "flagged", "rate")) if isinstance(told, dict) else (None, None, None)
    if not isinstance(given, int) or not isinstance(flagged, int) or not isinstance(rate, float):
        return []
    return [(f"{flagged:,} of {given:,}", "inputs flagged", f"{rate * given:.1f} expected by chance")]


def _outcomes(report: Report) -> list[tuple[str, str, str, str]]:
    order = {"failed": 0, "skipped": 1, "found": 2, "nothing": 3}
    lines = sorted(report.outcomes, key=lambda o: order.get(o.status, 4) if applies(o) else 5)
    return [(o.ability, o.status if applies(o) else "other kind", o.reason, f"{o.seconds:.1f} s" if o.seconds >= 0.05 else "")
            for o in lines]
