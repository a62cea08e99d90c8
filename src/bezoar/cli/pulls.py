"""`bezoar trace --prediction INPUT DATA`: what the terminal shows of a traced prediction."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from bezoar.cli.show import say_json
from bezoar.core.ability import Reading
from bezoar.core.escape import line
from bezoar.core.evidence import Excerpt, Facts, Picture
from bezoar.core.pulls import Pull, Traced
from bezoar.core.wording import percent


def trace_prediction(prediction: str, data: str, reading: Reading, *, model: str, factory: str, called: str, top: int, seed: int,
                     html: Path | None, as_json: bool) -> int:
    """Trace it and say what was found; with `html` the page is written too."""
    from bezoar import attribution, store

    traced = attribution.trace_prediction(prediction, data, reading=reading, model=model or None, factory=factory, called=called, top=top,
                                          seed=seed)
    if html is not None:
        from bezoar.reports import pulls_page

        store.write_file(html, pulls_page.page(traced))
    if as_json:
        say_json(traced.to_dict())
        return 0
    sys.stdout.write(told(traced, sys.stdout.isatty()))
    if html is not None:
        print(f"\nWritten: {html}")  # noqa: T201
    return 0


def told(traced: Traced, colour: bool = False) -> str:
    """The answer, the sources of the pull and the strongest samples, in lines; with `colour` small pictures are drawn."""
    from io import StringIO

    from rich.console import Console
    from rich.text import Text

    sink = StringIO()
    console = Console(file=sink, width=120, force_terminal=colour, _environ={}, highlight=False, markup=False, emoji=False,
                      legacy_windows=False, color_system="truecolor" if colour else None)
    console.print(Text(f"'{line(traced.called, 100)}' with {percent(traced.chance)}, says {line(traced.model, 120)}", style="bold"))
    for column, parts in traced.shares.items():
        some = ", ".join(f"{line(k, 60) or '(none)'} {percent(v)}" for k, v in list(parts.items())[:6])
        console.print(Text(f"  pull by {line(column, 60)}: {some}"))
    for title, side in (("pulled towards it", traced.towards), ("pulled away from it", traced.against)):
        console.print(Text(f"{title}:" + ("" if side else " none"), style="bold"))
        for p in side:
            said = f"  {percent(p.share):>6}  {line(p.sample, 60)}  '{line(p.label, 40)}'  {_origin(p)}  {_seen(p.shown)}"
            console.print(Text(said.rstrip()))
            if colour and isinstance(p.shown, Picture):
                _drawn(console, p.shown)
    for note in traced.notes:
        console.print(Text(f"  {line(note, 200)}", style="dim"))
    return "\n".join(text.rstrip() for text in sink.getvalue().split("\n"))


def _origin(p: Pull) -> str:
    return ", ".join(f"{line(k, 30)} {line(v, 40)}" for k, v in p.origin.items())


def _seen(shown: Any) -> str:
    if isinstance(shown, Excerpt):
        return line(shown.text, 60)
    if isinstance(shown, Facts):
        return ", ".join("=".join(line(c, 20) for c in row) for row in shown.rows[:4])
    return ""


def _drawn(console: Any, picture: Picture) -> None:
    """At most 8 rows of half blocks."""
    from rich.color import Color
    from rich.style import Style
    from rich.text import Text

    from bezoar.reports.terminal import half_blocks

    for row in half_blocks(picture.pixels, most=16):
        drawn = Text(" " * 10)
        for top, low in row:
            drawn.append("▀", Style(color=Color.from_rgb(*top), bgcolor=Color.from_rgb(*low)))
        console.print(drawn)
