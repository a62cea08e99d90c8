"""`bezoar demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bezoar.cli.show import Progress, say_json

EPILOG = """Examples:

  bezoar demo

  bezoar demo --out demo-report --json"""


def demo(out: Annotated[Path, typer.Option(help="Folder for the reports.")] = Path("demo-report"),
         seed: Annotated[int, typer.Option(min=0, help="Seed.")] = 0,
         as_json: Annotated[bool, typer.Option("--json", help="Machine output on stdout.")] = False) -> int:
    """Plant six kinds of poison in small real data, scan, and compare with the truth. No network, under a minute."""
    from bezoar.demo import demo as run
    from bezoar.demo import table

    with Progress(quiet=True):
        rows = run(out, seed, None if as_json else print)
    if as_json:
        say_json(rows)
    else:
        print("\n" + table(rows))  # noqa: T201
        print(f"\nOpen {out / 'patch' / 'report.html'} to see the evidence.")  # noqa: T201
    return 0


def register(app: typer.Typer) -> None:
    """Put the command on the app."""
    app.command(epilog=EPILOG)(demo)
