"""`bezoar clean` and `bezoar restore`."""

from __future__ import annotations

import json
import shlex
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer

from bezoar.cli import columns
from bezoar.cli.book import LogFolder, LogPrivateKey, book
from bezoar.cli.show import say_json
from bezoar.core.escape import line

CLEAN_EPILOG = """Examples:

  bezoar clean photos/ --report bezoar-report/report.json --out safe

  bezoar clean mails.csv --label verdict --report bezoar-report/report.json --out safe --allow-more"""
RESTORE_EPILOG = """Examples:

  bezoar restore safe --out photos-again

  bezoar restore safe --out photos-again --json"""


def clean(
    data: Annotated[str, columns.data("The data that was scanned.")],
    report: Annotated[Path, typer.Option(help="report.json of its scan.")],
    out: Annotated[Path, typer.Option(help="New folder: clean/, quarantine/, changes.json.")],
    allow_more: Annotated[bool, typer.Option("--allow-more", help="Also where this removes more than 5% of a class.")] = False,
    include_advisory: Annotated[bool, typer.Option("--include-advisory", help="Also members of advisory findings.")] = False,
    modality: columns.Modality = "", label: columns.Label = "", text: columns.Text = "", id_column: columns.Id = "",
    source: columns.SourceColumn = "", contributor: columns.Contributor = "", time: columns.Time = "",
    log: LogFolder = None, log_private_key: LogPrivateKey = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine output on stdout.")] = False,
) -> int:
    """Set aside what a report says, never delete it; `bezoar restore` gives the original back byte for byte.

    Columns that are not named are read as the scan read them.
    """
    from bezoar import api

    how = columns.reading(modality, label, text, id_column, source, contributor, time)
    with book(log, log_private_key) as write:
        done = api.clean(data, report, out, allow_more=allow_more, include_advisory=include_advisory, reading=how)
        said = {"report": sha256(report.read_bytes()).hexdigest(), "quarantined": done["quarantined"], "samples": done["samples"]}
        write("clean", _changes(out), json.dumps(said).encode())
    if as_json:
        say_json(done)
    else:
        print(f"{done['quarantined']:,} of {done['samples']:,} samples set aside; the rest is in {done['clean']}")  # noqa: T201
        for note in done["notes"]:
            print("  " + line(note, 1000))  # noqa: T201
        print(f"undo: bezoar restore {shlex.quote(str(out))} --out NEW-PLACE")  # noqa: T201
    return 0


def restore(
    folder: Annotated[Path, typer.Argument(help="What `bezoar clean` wrote.")],
    out: Annotated[Path, typer.Option(help="New place for the original data.")],
    log: LogFolder = None, log_private_key: LogPrivateKey = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine output on stdout.")] = False,
) -> int:
    """Undo `bezoar clean`: the data as it was, byte for byte, checked by digest."""
    from bezoar import api

    with book(log, log_private_key) as write:
        done = api.restore(folder, out)
        write("note", f"restore {_changes(folder)}", b"")
    say_json(done) if as_json else print(f"restored {done['samples']:,} samples to {done['restored']}")  # noqa: T201
    return 0


def _changes(folder: Path) -> str:
    """The change list stands for what was set aside."""
    return sha256((folder / "changes.json").read_bytes()).hexdigest()


def register(app: typer.Typer) -> None:
    """Put the commands on the app."""
    app.command(epilog=CLEAN_EPILOG)(clean)
    app.command(epilog=RESTORE_EPILOG)(restore)
