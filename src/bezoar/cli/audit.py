"""`bezoar audit`."""

from __future__ import annotations

import sys
from pathlib import Path
from shutil import get_terminal_size
from typing import Annotated

import typer

from bezoar.cli import columns
from bezoar.cli.machine import Device
from bezoar.cli.show import Progress

EPILOG = """Examples:

  bezoar audit model.safetensors --data photos/ --out audit

  bezoar audit model.safetensors --data photos/ --inputs reported/ --out audit-inputs

  bezoar audit model.safetensors --classes cat,dog,bird,fish,hen --shape 32x32 --effort quick --fail-on poisoned"""
TUNING = """

Before tuning, and after:

  bezoar audit encoder.safetensors --encoder --data trusted/ --out encoder-audit

  bezoar audit tuned.safetensors --base encoder-audit/report.json --data trusted/

  bezoar audit adapter.safetensors --references clean-adapters/"""


def audit(
    model: Annotated[str, typer.Argument(help="A model file (safetensors, .pt or .pth weights, torch.export, ONNX, TorchScript, trees of "
                                              "XGBoost or LightGBM), or an http(s) address.")],
    out: Annotated[Path, typer.Option(help="Folder for report.json, report.html, report.sarif.")] = Path("bezoar-audit"),
    factory: Annotated[str, typer.Option("--model", help="package.module:function that builds the network; inferred if known.")] = "",
    data: Annotated[str, typer.Option(help="Clean samples that you trust, in any format DATA can have; a handful is enough.")] = "",
    inputs: Annotated[str, typer.Option(help="Inputs of unknown origin: which carry a trigger, what decides? Needs --data.")] = "",
    classes: Annotated[str, typer.Option(help="Names of the model's classes in their order, with commas between.")] = "",
    shape: Annotated[str, typer.Option(help="Height x width of the pictures it reads, such as 32x32.")] = "",
    pixels: Annotated[str, typer.Option(help="How pictures are scaled: -1..1, 0..1 or imagenet; inferred where it is said.")] = "",
    modality: columns.Modality = "", label: columns.Label = "", text: columns.Text = "", id_column: columns.Id = "",
    encoder: Annotated[bool, typer.Option("--encoder", help="MODEL is to be tuned further: look at its features, not its head.")] = False,
    base: Annotated[str, typer.Option(help="What MODEL was tuned on: report.json of its audit, a trigger.json, or the encoder.")] = "",
    references: Annotated[Path | None, typer.Option(help="Folder of clean encoders, or adapters, of the same shape.")] = None,
    effort: Annotated[str, typer.Option(help="quick trains no clean reference models, standard 8, deep 16.")] = "standard",
    device: Device = "auto",
    auditor: Annotated[list[str] | None, typer.Option(help="Run only these (repeatable); see `bezoar list`.")] = None,
    without: Annotated[list[str] | None, typer.Option(help="Leave these out (repeatable).")] = None,
    alpha: Annotated[float, typer.Option(help="Chance that a clean model is called suspicious.")] = 0.05,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random choice.")] = 0,
    baseline: Annotated[Path | None, typer.Option(help="File of accepted findings.")] = None,
    fail_on: Annotated[str, typer.Option(help="Exit 1 from this verdict on: suspicious, poisoned or never.")] = "suspicious",
    strict: Annotated[bool, typer.Option("--strict", help="Exit 3 when a check was skipped.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Machine output on stdout, and nothing else.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> int:
    """May I use this model? Looks for a backdoor: which class it serves, and by what trigger.

    Nobody is asked for the attack or the target. The file is never unpickled. Without --data only what the weights show is seen.
    With --encoder: is there a patch that sends all pictures to one place of feature space? With --base: did MODEL inherit what was found
    in its base? A file of low-rank matrices (LoRA) is held against clean ones by its spectra.
    """
    from bezoar import api, auditing, inheritance, pretrained
    from bezoar.core.errors import UsageError
    from bezoar.core.events import Note

    api.check_gate(fail_on)
    how = columns.reading(modality, label, text, id_column, "", "", "")
    names = [c.strip() for c in classes.split(",")] if classes else ()
    if (encoder or base) and not data:
        raise UsageError(f"{'--encoder' if encoder else '--base'} needs clean pictures", advice="give 20 or more with --data")
    if inputs and (encoder or base):
        raise UsageError("--inputs asks about a whole model", advice="leave out --encoder and --base")
    with Progress(quiet or as_json) as progress:
        if base:
            report = inheritance.audit_inheritance(
                model, base, data, factory=factory, reading=how, classes=names, shape=auditing.shape_of(shape), pixels=pixels,
                references=references, effort=effort, alpha=alpha, seed=seed, baseline=baseline, device=device, out=out, listener=progress)
        elif encoder:
            progress(pretrained.cost(effort))
            report = pretrained.audit_encoder(
                model, data, factory=factory, reading=how, shape=auditing.shape_of(shape), pixels=pixels, references=references,
                effort=effort, alpha=alpha, seed=seed, baseline=baseline, device=device, out=out, listener=progress)
        elif pretrained.is_adapter(model):
            report = pretrained.audit_adapter(model, references=references, alpha=alpha, seed=seed, baseline=baseline, out=out)
        else:
            progress(Note(auditing.cost(effort, bool(data))))
            report = auditing.audit(
                model, factory=factory, data=data or None, inputs=inputs or None, reading=how, classes=names,
                shape=auditing.shape_of(shape), pixels=pixels, effort=effort, alpha=alpha, seed=seed, auditors=auditor or None,
                without=without or [], baseline=baseline, device=device, out=out, listener=progress)
    if as_json:
        sys.stdout.write(api.render(report, "json").decode() + "\n")
    else:
        sys.stdout.write(api.terminal_text(report, sys.stdout.isatty(), str(out), get_terminal_size((100, 24)).columns))
        print(f"\nWritten: {out / 'report.html'}, report.json, report.sarif")  # noqa: T201
    return int(api.exit_code(report, fail_on, strict))


def register(app: typer.Typer) -> None:
    """Put the command on the app."""
    app.command(epilog=EPILOG + TUNING)(audit)
