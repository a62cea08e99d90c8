"""The summary that stands in the terminal when a scan is done: verdict, campaigns, triggers, gaps, next commands.

Every foreign text goes through `escape.line`, so that no sample name can move the cursor, change a title or forge a line.
Colour is off unless asked for; a small trigger picture is drawn in half blocks where there is colour. Lines fit `width` (60 to
160 cells); `folder` is where the other reports were written, for the commands that are suggested. Cost: milliseconds. Needs
rich. Members are never listed here: report.json and report.html have them.
"""

from __future__ import annotations

from io import StringIO
from typing import Any

import numpy as np

from bezoar.core.ability import Info, Renderer
from bezoar.core.escape import line
from bezoar.core.evidence import Excerpt, Facts, Picture
from bezoar.core.finding import Finding
from bezoar.core.model_wording import about_model
from bezoar.core.report import Report
from bezoar.core.wording import PUT_TO_THE_TEST, applies, flips_some, headline, many, next_commands, p_text, percent, sure, unseen

_MARK = {"poisoned": ("POISONED", "bold white on red"), "suspicious": ("SUSPICIOUS", "bold black on yellow"),
         "no evidence": ("NO EVIDENCE", "bold white on blue"), "inconclusive": ("INCONCLUSIVE", "bold white on magenta")}
_MOST_ROWS = 20
_MOST_TRIGGERS = 5
_MOST_GAPS = 12
_MOST_STEPS = 8


def half_blocks(pixels: np.ndarray, most: int = 24) -> list[list[tuple[tuple[int, int, int], tuple[int, int, int]]]]:
    """Rows of (upper, lower) colours for "▀": an (h, w, 3|4) uint8 picture at no more than `most` cells a side.

    >>> half_blocks(np.zeros((2, 1, 3), np.uint8))[0][0]
    ((0, 0, 0), (0, 0, 0))
    """
    skip = max(1, max(np.shape(pixels)[:2]) // (16 * most))
    small = np.asarray(pixels)[::skip, ::skip, :3].astype(np.float32)
    step = max(1, -(-max(small.shape[:2]) // most))
    h, w = -(-small.shape[0] // step), -(-small.shape[1] // step)
    blocks = np.pad(small, ((0, h * step - small.shape[0]), (0, w * step - small.shape[1]), (0, 0)), mode="edge")
    small = blocks.reshape(h, step, w, step, 3).mean(axis=(1, 3))
    grow = max(1, min(4, 8 // max(h, w)))
    small = small.repeat(grow, axis=0).repeat(grow, axis=1)
    if len(small) % 2:
        small = np.concatenate([small, small[-1:]])
    cells = np.clip(np.nan_to_num(np.rint(small)), 0, 255).astype(int)
    return [[(tuple(a), tuple(b)) for a, b in zip(top.tolist(), low.tolist(), strict=True)]
            for top, low in zip(cells[::2], cells[1::2], strict=True)]


class Terminal(Renderer):
    """Report -> what a person reads first, as UTF-8.

    >>> report = Report({"name": "x", "samples": 40}, "no evidence", 0.01, 0, (), ())
    >>> b"not the same as clean" in Terminal().render(report)
    True
    """

    info = Info(name="terminal", summary="the summary on the screen")
    filename = "summary.txt"

    def __init__(self, *, width: int = 88, colour: bool = False, folder: str = "") -> None:
        self.width = width
        self.colour = colour
        self.folder = folder

    def render(self, report: Report) -> bytes:
        """UTF-8 text; with `colour` it holds our own colour sequences and no others."""
        from rich.console import Console

        sink = StringIO()
        console = Console(file=sink, width=min(max(self.width, 60), 160), force_terminal=self.colour, _environ={},
                          highlight=False, markup=False, emoji=False, legacy_windows=False,
                          color_system="truecolor" if self.colour else None)
        self._subject(console, report)
        self._verdict(console, report)
        self._campaigns(console, report)
        self._triggers(console, report)
        self._tests(console, report)
        self._gaps(console, report)
        self._next(console, report)
        lines = [text.rstrip() for text in sink.getvalue().split("\n")]
        return ("\n".join(lines).rstrip("\n") + "\n").encode("utf-8", "backslashreplace")

    def _hang(self, console: Any, label: str, text: str, style: str = "", label_style: str = "bold") -> None:
        """A label in a column of its own, the text wrapped beside it."""
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=13, no_wrap=True)
        grid.add_column(overflow="fold", ratio=1)
        grid.add_row(Text(label, style=label_style), Text(text, style=style))
        console.print(grid)

    def _subject(self, console: Any, report: Report) -> None:
        s = report.subject
        parts = [line(s.get("name", ""), 60), line(s.get("modality", ""), 30)]
        if isinstance(s.get("samples"), int):
            parts.append(many(s["samples"], "sample"))
        classes = s.get("classes")
        if isinstance(classes, int) and classes:
            parts.append(many(classes, "class", "classes"))
        console.print()
        self._hang(console, "bezoar", " · ".join(p for p in parts if p))
        console.print()

    def _verdict(self, console: Any, report: Report) -> None:
        from rich.text import Text

        word, style = _MARK.get(report.verdict, (line(report.verdict).upper(), "bold"))
        console.print(Text(f" {word} ", style=style))
        console.print(Text(line(headline(report), 400), style="bold"))
        if report.reason:
            self._hang(console, "Why", line(report.reason, 600))
        if sure(report):
            self._hang(console, "How sure", line(sure(report), 600))
        self._hang(console, "Not seen", line(unseen(report), 800))

    def _campaigns(self, console: Any, report: Report) -> None:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        if not report.findings:
            return
        table = Table(box=box.SIMPLE_HEAD, expand=True, pad_edge=False, padding=(0, 1), show_edge=False)
        table.add_column("#", justify="right", no_wrap=True)
        table.add_column("Finding" if about_model(report) else "Campaign", ratio=1, overflow="fold")
        table.add_column("Target" if about_model(report) else "Members", justify="right", no_wrap=True)
        table.add_column("Chance", justify="right", no_wrap=True)
        table.add_column("Transplant", overflow="fold", max_width=16)
        for number, f in enumerate(report.findings[:_MOST_ROWS], 1):
            what = Text(line(f.title, 160))
            what.append(f"\n{f.id} · {line(f.ability, 40)}", style="dim")
            if f.id in report.accepted:
                what.append(" · accepted", style="dim")
            elif f.advisory:
                what.append(" · advisory, does not count", style="dim")
            counted = line(f.target or "", 20) if about_model(report) else f"{len(f.members):,}"
            table.add_row(str(number), what, counted, p_text(f.p_value).replace("p = ", "").replace("p ", ""),
                          _transplant(f), style="dim" if f.advisory or f.id in report.accepted else "")
        console.print()
        console.print(table)
        rest = len(report.findings) - _MOST_ROWS
        if rest > 0:
            console.print(Text(f"and {rest:,} more in report.html and report.json", style="dim"))

    def _triggers(self, console: Any, report: Report) -> None:
        from rich.color import Color
        from rich.style import Style
        from rich.text import Text

        shown = 0
        for number, f in enumerate(report.findings[:_MOST_ROWS], 1):
            if f.trigger is None or shown >= _MOST_TRIGGERS:
                continue
            shown += 1
            seen = f.trigger.describe()
            self._hang(console, f"Trigger {number}", line(f.trigger.title(), 200))
            if isinstance(seen, Picture) and self.colour and np.shape(seen.pixels)[2:] in ((3,), (4,)) and seen.pixels.size:
                for row in half_blocks(seen.pixels):
                    drawn = Text(" " * 14)
                    for top, low in row:
                        drawn.append("▀", Style(color=Color.from_rgb(*top), bgcolor=Color.from_rgb(*low)))
                    console.print(drawn)
            elif isinstance(seen, Excerpt):
                self._hang(console, "", line(seen.text, 200), style="yellow")
            elif isinstance(seen, Facts):
                for cells in seen.rows[:8]:
                    self._hang(console, "", " = ".join(line(c, 60) for c in cells), style="yellow")

    def _tests(self, console: Any, report: Report) -> None:
        """What models did with and without each of the first campaigns."""
        for number, f in enumerate(report.findings[:_MOST_TRIGGERS], 1):
            for e in f.evidence:
                if isinstance(e, Facts) and e.caption == PUT_TO_THE_TEST:
                    for k, row in enumerate(e.rows[:_MOST_STEPS]):
                        what, model, answer, holds = (line(c, 200) for c in (*row, "", "", "", "")[:4])
                        self._hang(console, f"Test {number}" if k == 0 else "", f"{what}, {model}: {holds}; {answer}",
                                   style="" if holds != "no" else "bold yellow")

    def _gaps(self, console: Any, report: Report) -> None:
        gaps = [o for o in report.outcomes if o.status in ("failed", "skipped") and applies(o)]
        gaps.sort(key=lambda o: o.status)
        if gaps or report.unreadable or report.sensitivity:
            console.print()
        for s in report.sensitivity[:_MOST_GAPS]:
            count = s.smallest_count_found
            least = "none of any size" if count is None else f"{many(count, 'sample')} or more"
            self._hang(console, "Would see", f"{line(s.family, 60)}: {least}", style="dim")
        for o in gaps[:_MOST_GAPS]:
            self._hang(console, o.status.capitalize(), f"{line(o.ability, 40)}: {line(o.reason or 'no reason given', 200)}",
                       label_style="bold red" if o.status == "failed" else "bold")
        if len(gaps) > _MOST_GAPS:
            self._hang(console, "", f"and {len(gaps) - _MOST_GAPS} more in report.html")
        others = [line(o.ability, 40) for o in report.outcomes if not applies(o)]
        if others:
            self._hang(console, "Other kinds", "for other kinds of data: " + line(", ".join(others), 400), style="dim")
        if report.unreadable:
            first = report.unreadable[0]
            text = f"{many(len(report.unreadable), 'sample')}, first {line(first[0], 60)}: {line(first[1], 120)}"
            self._hang(console, "Unreadable", text, label_style="bold red")

    def _next(self, console: Any, report: Report) -> None:
        console.print()
        for k, (command, does) in enumerate(next_commands(report, self.folder)):
            self._hang(console, "Next" if k == 0 else "", line(command, 300), style="bold cyan")
            self._hang(console, "", does, style="dim")


def _transplant(f: Finding) -> str:
    if f.confirmed is None:
        return "not tested"
    shares = f"{percent(f.effect[0])} vs {percent(f.effect[1])}" if f.effect and flips_some(f) else ""
    return (("confirmed " if f.confirmed else "not confirmed ") + shares).rstrip()
