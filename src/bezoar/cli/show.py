"""What the commands print: errors, notes and progress on stderr; results on stdout."""

from __future__ import annotations

import json
import sys
from types import TracebackType
from typing import Any

from bezoar.core.escape import line
from bezoar.core.events import Event, Finished, Note, Started


def complain(message: str, advice: str = "", as_json: bool = False) -> None:
    """One error, one shape: what happened, what to do."""
    if as_json:
        print(json.dumps({"error": message, "advice": advice}))  # noqa: T201
    print(f"bezoar: {line(message, 2000)}" + (f"\n  -> {line(advice, 2000)}" if advice else ""), file=sys.stderr)  # noqa: T201


def say_json(value: Any) -> None:
    """Machine output, and nothing else, on stdout."""
    print(json.dumps(value, indent=1, ensure_ascii=True, allow_nan=False, default=str))  # noqa: T201


class Progress:
    """A bar of the steps on stderr where it is a terminal, plain lines otherwise; silent with `quiet`."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._bar: Any = None
        self._task: Any = None
        self._running: list[str] = []

    def __enter__(self) -> Progress:
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(TextColumn("{task.description:<28}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                            console=Console(stderr=True), transient=True)
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, event: Event) -> None:
        if self._quiet:
            return
        if isinstance(event, Note):
            text = line(event.text, 1000)
            if self._bar is not None:
                self._bar.console.print(text, markup=False, highlight=False)
            else:
                print(text, file=sys.stderr)  # noqa: T201
        elif isinstance(event, Started):
            self._running.append(event.step)
            if self._bar is not None:
                if self._task is None:
                    self._task = self._bar.add_task("", total=event.steps)
                self._bar.update(self._task, description=", ".join(self._running[:2]))
        elif isinstance(event, Finished):
            if event.step in self._running:
                self._running.remove(event.step)
            if self._bar is not None:
                self._bar.update(self._task, advance=1, description=", ".join(self._running[:2]))
