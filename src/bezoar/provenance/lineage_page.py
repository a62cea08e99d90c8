"""The graph of a trace as one HTML file: inline SVG, no script, nothing from outside, all names escaped."""

from __future__ import annotations

from html import escape
from typing import Any

from bezoar.core.escape import html_line
from bezoar.provenance.lineage import Graph

_COLOURS = {"person": "#5b7fa6", "source": "#8a6d3b", "record": "#6b6b6b", "dataset": "#2f7d4f", "model": "#7a3e9d", "finding": "#b3261e"}
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
MOST = 400
"""Boxes that are drawn; the table below the picture lists all."""


def _text(value: object, limit: int = 60) -> str:
    return escape(html_line(value, limit))


def page(graph: Graph, told: dict[str, Any]) -> bytes:
    """`told` is what `lineage.trace` gave."""
    columns: dict[int, list[str]] = {}
    place: dict[str, int] = {}
    for start in told["of"]:
        place.setdefault(start["id"], 0)
        for sign, rows in ((-1, start["behind"]), (1, start["reached"])):
            for r in rows:
                place.setdefault(r["id"], sign * r["depth"])
    for node_id, column in list(place.items())[:MOST]:
        columns.setdefault(column, []).append(node_id)
    left = min(columns)
    spots = {n: (20 + (c - left) * 260, 20 + i * 56) for c, ids in columns.items() for i, n in enumerate(sorted(ids))}
    width = 20 + (max(columns) - left + 1) * 260
    height = 40 + max(len(ids) for ids in columns.values()) * 56
    lines = []
    for a, relation, b in graph.arrows():
        if a in spots and b in spots:
            (xa, ya), (xb, yb) = spots[a], spots[b]
            lines.append(f'<line x1="{xa + 210}" y1="{ya + 20}" x2="{xb}" y2="{yb + 20}"><title>{_text(relation)}</title></line>')
    boxes = []
    for node_id, (x, y) in spots.items():
        node = graph.nodes[node_id]
        facts = "; ".join(f"{k}: {v}" for k, v in node.facts.items())
        boxes.append(f'<g><title>{_text(facts, 400)}</title><rect x="{x}" y="{y}" width="210" height="40" rx="5" '
                     f'fill="{_COLOURS[node.kind]}"/>'
                     f'<text x="{x + 8}" y="{y + 16}" class="k">{_text(node.kind)}</text><text x="{x + 8}" '
                     f'y="{y + 32}">{_text(node.label, 28)}</text></g>')
    tables = []
    for start in told["of"]:
        tables.append(f"<h2>{_text(start['kind'])}: {_text(start['label'], 200)}</h2>")
        for title, rows in (("Behind it", start["behind"]), ("Reached by it", start["reached"])):
            body = "".join(f"<tr>"
                           f"<td>{r['depth']}</td>"
                           f"<td>{_text(r['kind'])}</td><td>{_text(r['label'], 200)}</td><td>{_text(r['relation'], 100)}</td>"
                           f"<td>{_text('; '.join(f'{k}: {v}' for k, v in r.get('facts', {}).items()), 300)}</td></tr>" for r in rows)
            tables.append(f"<h3>{title}: {len(rows):,}</h3>"
                          f'<div class="wide" tabindex="0">'
                          f"<table><tr><th>steps</th><th>kind</th><th>name</th><th>relation</th><th>facts</th></tr>"
                          f"{body}</table></div>" if rows else f"<h3>{title}: nothing</h3>")
    return (f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
            '<meta name="viewport" content="width=device-width, initial-scale=1"><title>bezoar trace</title><style>'
            "body{font:14px system-ui,sans-serif;margin:24px;color:#222}svg{max-width:100%;height:auto}.wide{overflow-x:auto}"
            "table{border-collapse:collapse}td:last-child{overflow-wrap:anywhere;min-width:16em}"
            "line{stroke:#999;stroke-width:1.2}text{fill:#fff;font:12px system-ui,sans-serif}.k{font-size:10px;opacity:.8}"
            "td,th{text-align:left;padding:2px 10px 2px 0;border-bottom:1px solid "
            "#eee;vertical-align:top}</style></head><body><h1>Trace</h1>"
            f'<svg viewBox="0 0 {width} {height}" width="{width}" role="img" aria-label="graph of '
            f'origins">{"".join(lines)}{"".join(boxes)}</svg>'
            f'{"".join(tables)}</body></html>\n').encode()
