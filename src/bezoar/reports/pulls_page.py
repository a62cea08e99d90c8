"""A traced prediction as one HTML page: the input, the samples that pulled to its answer and away, and where they come from.

No script, nothing from outside, all foreign text escaped.
"""

from __future__ import annotations

from dataclasses import replace
from html import escape
from importlib.resources import files

from bezoar.core.escape import html_line, style_source
from bezoar.core.evidence import Bars
from bezoar.core.pulls import Pull, Traced
from bezoar.core.wording import percent
from bezoar.reports.html_report.figures import Album, figure, member


def _text(value: object, limit: int = 200) -> str:
    return escape(html_line(value, limit))


def page(traced: Traced) -> bytes:
    """UTF-8 bytes; the same trace gives the same bytes."""
    style = files("bezoar.reports.html_report").joinpath("page.css").read_text("utf-8")
    digest = style_source(style)
    album = Album()
    bars = "".join(figure(Bars(tuple(parts), tuple(parts.values()), caption=f"share of the pull towards the answer, by {column}"), album)
                   for column, parts in traced.shares.items() if parts)
    notes = "".join(f"<li>{_text(n, 400)}</li>" for n in traced.notes)
    body = (f'<header class="top"><p class="brand">bezoar trace</p><p class="name">{_text(traced.name, 120)}</p></header><main>'
            f'<section class="verdict open"><h1>Why &#39;{_text(traced.called)}&#39; ({percent(traced.chance)})</h1>'
            f"<p>Asked: {_text(traced.model)}. {traced.samples:,} training samples.</p></section>"
            f'<section><h2>The input</h2><ul class="members">{member(traced.shown, album)}</ul></section>'
            f"<section><h2>Where the pull comes from</h2><div class=\"figs\">{bars}</div></section>"
            f"{_side('Samples that pulled towards the answer', traced.towards, album)}"
            f"{_side('Samples that pulled away from it', traced.against, album)}"
            f"<section><h2>How this was made</h2><p>Gradients of the last layer, multiplied and summed over checkpoints. "
            f'A pull is influence, not intent.</p><ul class="notes">{notes}</ul></section></main>')
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    return (f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">'
            '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="referrer" content="no-referrer">'
            f'<link rel="icon" href="data:,"><title>trace: {_text(traced.called, 60)} (bezoar)</title><style>{style}</style></head>'
            f"<body>{body}</body></html>\n").encode("utf-8", "backslashreplace")


def _side(title: str, some: tuple[Pull, ...], album: Album) -> str:
    if not some:
        return f"<section><h2>{title}</h2><p>None.</p></section>"
    members = "".join(member(replace(p.shown, caption=f"{percent(p.share)}, labelled {p.label}"), album) for p in some)
    told = f'<p class="lead">Share of the pull, and the label, under each.</p><ul class="members {some[0].shown.kind}">{members}</ul>'
    if not any(p.origin for p in some):
        return f"<section><h2>{title}</h2>{told}</section>"
    lines = "".join(f'<tr><td class="num">{percent(p.share)}</td><td>{_text(p.sample)}</td><td>{_text(p.label)}</td>'
                    f"<td>{_text('; '.join(f'{k}: {v}' for k, v in p.origin.items()), 300)}</td></tr>" for p in some)
    return (f'<section><h2>{title}</h2>{told}<div class="scroll"><table class="plain"><thead><tr><th scope="col" class="num">share</th>'
            '<th scope="col">sample</th><th scope="col">label</th><th scope="col">origin</th></tr></thead>'
            f"<tbody>{lines}</tbody></table></div></section>")
