"""The graph of a trace as one HTML file: inline SVG, no script, nothing from outside, all names escaped."""

from __future__ import annotations

from collections import Counter
from html import escape
from importlib.resources import files
from typing import Any

from bezoar.core.escape import html_line, style_source
from bezoar.core.wording import many
from bezoar.provenance.lineage import KINDS, Graph

MOST = 400
"""Boxes that are drawn; the table below the picture lists all."""
_STEP, _ROW, _WIDE, _HIGH = 270, 58, 210, 42
"""Drawing units from column to column and from box to box, and the size of a box."""
_MOST_COLUMNS = 40
"""Where a circle of statements would go on for ever."""
_PEOPLE = {"person": "people"}
_TIP = ('<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z"/></marker></defs>')


def _text(value: object, limit: int = 60) -> str:
    return escape(html_line(value, limit))


def page(graph: Graph, told: dict[str, Any]) -> bytes:
    """`told` is what `lineage.trace` gave."""
    pages = files("bezoar").joinpath("pages")
    style = pages.joinpath("scoreboard.css").read_text("utf-8") + pages.joinpath("lineage.css").read_text("utf-8")
    policy = f"default-src 'none'; style-src 'sha256-{style_source(style)}'; img-src data:; base-uri 'none'; form-action 'none'"
    drawn, left_out = _drawing(graph, told)
    more = f'<p class="quiet">{many(left_out, "more box", "more boxes")} in the tables.</p>' if left_out else ""
    names = ", ".join(_text(s["label"], 120) for s in told["of"])
    return ('<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
            '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="referrer" content="no-referrer">'
            f'<title>trace of {names} (bezoar)</title><style>{style}</style></head><body><main><header>'
            f'<p class="kicker">bezoar trace</p><h1>{names}</h1>{_checked(graph, told)}</header>'
            f'<section><h2>From what was there first to what came of it</h2><div class="wide graph" tabindex="0">{drawn}</div>{more}'
            "</section>"
            f'{"".join(_tables(start) for start in told["of"])}</main></body></html>\n').encode()


def _checked(graph: Graph, told: dict[str, Any]) -> str:
    """Whether the statements that the arrows stand for were verified, said before anything is believed."""
    ids = {s["id"] for s in told["of"]} | {r["id"] for s in told["of"] for r in (*s["behind"], *s["reached"])}
    states = Counter(graph.nodes[i].facts.get("signature", "") for i in ids)
    loose, proved = states["not checked"], states["checked"]
    if loose:
        of = f"{loose:,} of {many(loose + proved, 'statement')}"
        return f'<p><span class="chip h2">signatures not checked</span> of {of}: what they say may be anybody\'s word.</p>'
    return f'<p><span class="chip h0">signatures checked</span> of {many(proved, "statement")}.</p>' if proved else ""


def _drawing(graph: Graph, told: dict[str, Any]) -> tuple[str, int]:
    """The SVG, and how many boxes it leaves out."""
    every = list(dict.fromkeys(i for s in told["of"] for i in (s["id"], *(r["id"] for r in (*s["behind"], *s["reached"])))))
    kept = set(every[:MOST])
    arrows = [(a, relation, b) for a, relation, b in graph.arrows() if a in kept and b in kept]
    columns: dict[int, list[str]] = {}
    for node_id, column in _columns(every[:MOST], [(a, b) for a, _, b in arrows]).items():
        columns.setdefault(column, []).append(node_id)
    spots = {n: (16 + c * _STEP, 16 + i * _ROW) for c, ids in columns.items() for i, n in enumerate(sorted(ids))}
    width = 32 + max(columns) * _STEP + _WIDE
    height = 24 + max(len(ids) for ids in columns.values()) * _ROW
    asked = {start["id"] for start in told["of"]}
    lines, boxes = [], []
    for a, relation, b in arrows:
        (xa, ya), (xb, yb) = spots[a], spots[b]
        start, stop = (xa + _WIDE, ya + _HIGH // 2), (xb - 1, yb + _HIGH // 2)
        bow = _HIGH + 6 if xb - xa > _STEP else 0  # round the boxes that stand between
        lines.append(f'<path class="arrow" d="M{start[0]} {start[1]}C{start[0] + 50} {start[1] + bow} {stop[0] - 50} {stop[1] + bow} '
                     f'{stop[0]} {stop[1]}" marker-end="url(#tip)"><title>{_text(relation)}</title></path>')
    for node_id, (x, y) in spots.items():
        node = graph.nodes[node_id]
        facts = "; ".join(f"{k}: {v}" for k, v in node.facts.items())
        boxes.append(f'<g class="{node.kind}{" asked" if node_id in asked else ""}"><title>{_text(facts, 400)}</title>'
                     f'<rect x="{x}" y="{y}" width="{_WIDE}" height="{_HIGH}" rx="5"/>'
                     f'<text x="{x + 10}" y="{y + 17}" class="k">{_text(node.kind)}</text>'
                     f'<text x="{x + 10}" y="{y + 34}">{_text(node.label, 28)}</text></g>')
    return (f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" aria-label="graph of origins">'
            f'{_TIP}{"".join(lines)}{"".join(boxes)}</svg>'), len(every) - len(spots)


def _columns(ids: list[str], arrows: list[tuple[str, str]]) -> dict[str, int]:
    """A column for each, so that arrows go to the right: after all that came before it, then as near as can be to what came of it.

    >>> _columns(["a", "b", "c", "d"], [("a", "b"), ("b", "c"), ("a", "c"), ("d", "c")])
    {'a': 0, 'b': 1, 'c': 2, 'd': 1}
    """
    at = dict.fromkeys(ids, 0)
    for _ in range(min(len(ids), _MOST_COLUMNS)):
        late = [(b, at[a] + 1) for a, b in arrows if at[b] <= at[a] < _MOST_COLUMNS]
        if not late:
            break
        for b, column in late:
            at[b] = max(at[b], column)
    came: dict[str, list[str]] = {}
    for a, b in arrows:
        came.setdefault(a, []).append(b)
    for a in sorted(came, key=lambda a: (-at[a], a)):
        at[a] = max(at[a], min(at[b] for b in came[a]) - 1)
    return at


def _tables(start: dict[str, Any]) -> str:
    """What stands behind one thing, and what it reached."""
    out = [f"<section><h2>{_text(start['kind']).capitalize()} {_text(start['label'], 200)}</h2>"]
    for title, nothing, rows in (("Behind it", "Nothing that these bundles know stands behind it.", start["behind"]),
                                 ("Reached by it", "It reached nothing that these bundles know.", start["reached"])):
        if not rows:
            out.append(f'<p class="quiet">{nothing}</p>')
            continue
        counts = Counter(r["kind"] for r in rows)
        told = ", ".join(many(counts[k], k, _PEOPLE.get(k, "")) for k in KINDS if counts[k])
        body = "".join(f'<tr><td class="num">{r["depth"]}</td><td>{_text(r["kind"])}</td><th scope="row">{_text(r["label"], 200)}</th>'
                       f"<td>{_text(r['relation'], 100)}</td><td>{_facts(r.get('facts', {}))}</td></tr>" for r in rows)
        out.append(f'<p class="kicker">{title}: {told}</p><div class="wide lineage" tabindex="0"><table><thead><tr>'
                   '<th scope="col" class="num">steps away</th><th scope="col">kind</th>'
                   '<th scope="col">name</th><th scope="col">relation</th>'
                   f'<th scope="col">what is known</th></tr></thead><tbody>{body}</tbody></table></div>')
    return "".join(out) + "</section>"


def _facts(facts: dict[str, Any]) -> str:
    """One line each; digests are cut to what tells them apart, the whole is in the title."""
    return "<br>".join(f'<span title="{_text(v, 200)}">{_text(k)}: {_text(_short(str(v)), 100)}</span>' for k, v in facts.items())


def _short(value: str) -> str:
    return f"{value[:16]}…" if len(value) == 64 and all(c in "0123456789abcdef" for c in value) else value
