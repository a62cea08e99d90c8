"""`bezoar repair`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bezoar.cli import columns
from bezoar.cli.book import passphrase
from bezoar.cli.machine import Device
from bezoar.cli.show import Progress, say_json
from bezoar.core.escape import line

EPILOG = """Examples:

  bezoar repair model.safetensors --data photos/ --trigger trigger.json --out repaired

  bezoar repair model.safetensors --data photos/ --trigger trigger.json --repair unlearn --out repaired-2 --json"""


def repair(
    model: Annotated[str, typer.Argument(help="A model file: safetensors, .pt or .pth weights.")],
    data: Annotated[str, typer.Option(help="Trusted samples with labels, in any format DATA can have; half of them measure.")],
    out: Annotated[Path, typer.Option(help="New folder: repair.html, repair.json; if accepted repaired.safetensors, change.json.")],
    report: Annotated[list[Path] | None, typer.Option(help="report.json of its audit, or of the scan of --training (repeatable).")] = None,
    trigger: Annotated[Path | None, typer.Option(help="A trigger that you know yourself (trigger.json).")] = None,
    target: Annotated[str, typer.Option(help="Class that --trigger leads to; inferred when left out.")] = "",
    test: Annotated[str, typer.Option(help="Further trusted samples, to measure with; then all of --data tunes.")] = "",
    training: Annotated[str, typer.Option(help="The data that it was trained on.")] = "",
    repairs: Annotated[list[str] | None, typer.Option("--repair", help="Try only these, in this order (repeatable).")] = None,
    every: Annotated[bool, typer.Option("--every", help="Go on after the first accepted one, to compare.")] = False,
    minutes: Annotated[float, typer.Option(min=0, help="Start no further repair after so long; 0: no limit.")] = 0.0,
    factory: Annotated[str, typer.Option("--model", help="package.module:function that builds the network; inferred if known.")] = "",
    classes: Annotated[str, typer.Option(help="Names of the model's classes in their order, with commas between.")] = "",
    shape: Annotated[str, typer.Option(help="Height x width of the pictures it reads, such as 32x32.")] = "",
    pixels: Annotated[str, typer.Option(help="How pictures are scaled, if the file does not say: -1..1, 0..1, imagenet.")] = "",
    most_success: Annotated[float, typer.Option(min=0, max=1, help="Limit: attack success.")] = 0.03,
    most_drop: Annotated[float, typer.Option(min=0, max=1, help="Limit: accuracy lost.")] = 0.015,
    most_class_drop: Annotated[float, typer.Option(min=0, max=1, help="Limit: accuracy that one class loses.")] = 0.10,
    most_reactivated: Annotated[float, typer.Option(min=0, max=1, help="Limit: attack success after 10 poisoned samples.")] = 0.20,
    unmeasured: Annotated[bool, typer.Option("--unmeasured", help="Accept without a trigger to measure with.")] = False,
    key: Annotated[Path | None, typer.Option(help="private.pem: sign the folder (repair.sig).")] = None,
    modality: columns.Modality = "", label: columns.Label = "", text: columns.Text = "", id_column: columns.Id = "",
    device: Device = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random choice.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Machine output on stdout, and nothing else.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> int:
    """Make a backdoored model safe, or say that it could not be done. MODEL is never changed.

    Exit codes: 0 repaired and within the limits, 1 nothing kept to them, 2 wrong use, 3 nothing could be measured or run.
    """
    from bezoar import remedy
    from bezoar.mending import Allowed

    how = columns.reading(modality, label, text, id_column, "", "", "")
    allowed = Allowed(success=most_success, drop=most_drop, class_drop=most_class_drop, reactivated=most_reactivated, unmeasured=unmeasured)
    with Progress(quiet or as_json) as progress:
        done = remedy.repair(model, data, test=test or None, report=report or (), trigger=trigger, target=target, training=training or None,
                             repairs=repairs, allowed=allowed, every=every, minutes=minutes, seed=seed, reading=how, factory=factory,
                             classes=[c.strip() for c in classes.split(",")] if classes else (), shape=remedy.shape_of(shape),
                             pixels=pixels, key=key, passphrase=passphrase() if key is not None else None, out=out, device=device,
                             listener=progress)
    if as_json:
        say_json(done.record)
    else:
        print("\n".join(line(s, 1000) for s in remedy.sentences(done)))  # noqa: T201
        print(f"Written: {', '.join(str(out / f) for f in remedy.written(done))}")  # noqa: T201
    return int(done.exit_code)


def register(app: typer.Typer) -> None:
    """Put the command on the app."""
    app.command(epilog=EPILOG)(repair)
