"""`bezoar redteam`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bezoar.cli import columns
from bezoar.cli.machine import Device
from bezoar.cli.show import Progress, say_json

EPILOG = """Examples:

  bezoar redteam photos/ --attack badnets --rate 0.02 --seeds 1 --out scoreboard

  bezoar redteam mails.csv --label verdict --attack text-phrase --rate 0.03 --seeds 1 --out scoreboard-mails --json"""


def redteam(
    data: Annotated[str, columns.data("Clean data with labels.")],
    out: Annotated[Path, typer.Option(help="Folder for scoreboard.html, scoreboard.json, scoreboard.md.")] = Path("scoreboard"),
    attack: Annotated[list[str] | None, typer.Option(help="Attack by name (repeatable); see `bezoar list --shelf attacks`.")] = None,
    rate: Annotated[list[float] | None, typer.Option(help="Share of the training part (0.01; repeatable).")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, max=1000, help="How many seeds (3).")] = None,
    victim: Annotated[str, typer.Option(help="Model to train; see `bezoar list --shelf victims`.")] = "",
    plan: Annotated[Path | None, typer.Option(help="TOML plan: rates, seeds, victim, [[attack]] tables.")] = None,
    effort: Annotated[str, typer.Option(help="Effort of bezoar's own filter.")] = "quick",
    device: Device = "auto",
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes side by side, each on one core.")] = 2,
    modality: columns.Modality = "", label: columns.Label = "", text: columns.Text = "", id_column: columns.Id = "",
    source: columns.SourceColumn = "", contributor: columns.Contributor = "", time: columns.Time = "",
    as_json: Annotated[bool, typer.Option("--json", help="Machine output on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> int:
    """What would an attacker get away with here? Attacks, defences, and what is left of each attack."""
    from bezoar import red

    how = columns.reading(modality, label, text, id_column, source, contributor, time)
    with Progress(quiet or as_json) as progress:
        made = red.redteam(data, attacks=attack or (), rates=rate or None, seeds=seeds, victim=victim, plan=plan, out=out,
                           reading=how, effort=effort, workers=workers, device=device, listener=progress)
    if as_json:
        say_json(made)
    else:
        print(red.markdown(made))  # noqa: T201
        print(f"Written: {out / 'scoreboard.html'}, scoreboard.json, scoreboard.md")  # noqa: T201
    return 0


def register(app: typer.Typer) -> None:
    """Put the command on the app."""
    app.command(epilog=EPILOG)(redteam)
