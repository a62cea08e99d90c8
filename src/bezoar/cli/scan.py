"""`bezoar scan`, `bezoar accept`, `bezoar report`."""

from __future__ import annotations

import getpass
import json
import sys
from hashlib import sha256
from pathlib import Path
from shutil import get_terminal_size
from typing import Annotated, Any

import typer

from bezoar.cli import columns
from bezoar.cli.book import LogFolder, LogPrivateKey, book, later
from bezoar.cli.machine import Device
from bezoar.cli.show import Progress, say_json
from bezoar.core.errors import UsageError

SCAN_EPILOG = """Examples:

  bezoar scan photos/ --out report

  bezoar scan mails.csv --label verdict --reference trusted.csv --fail-on poisoned"""
ACCEPT_EPILOG = """Examples:

  bezoar accept report/report.json bz-0123456789abcdef --baseline bezoar.baseline.json --because "our own watermark"

  bezoar accept report/report.json --baseline bezoar.baseline.json --because "reviewed" --expires 2027-06-30"""
SHOW_EPILOG = """Examples:

  bezoar show report/report.json

  bezoar show report/report.json --format sarif > report.sarif"""


def scan(
    data: Annotated[str, columns.data("Folder of images by class, CSV, TSV, Parquet, JSONL, NPZ or saved Hugging Face dataset.")],
    out: Annotated[Path, typer.Option(help="Folder for report.json, report.html, report.sarif, scores.parquet.")] = Path("bezoar-report"),
    modality: columns.Modality = "", label: columns.Label = "", text: columns.Text = "", id_column: columns.Id = "",
    source: columns.SourceColumn = "", contributor: columns.Contributor = "", time: columns.Time = "",
    group: Annotated[list[str] | None, typer.Option(help="Column whose outcomes are compared (repeatable).")] = None,
    reference: Annotated[str, typer.Option(help="A trusted clean set in any format DATA can have.")] = "",
    encoder: Annotated[str, typer.Option(help="Local model folder (safetensors) or ONNX file for the embedding.")] = "",
    model: Annotated[str, typer.Option(help="A weights file (safetensors, state dict, npz): the checks read it, nothing is trained.")] = "",
    factory: Annotated[str, typer.Option(help="package.module:function that builds the network of --model; it is imported and run.")] = "",
    effort: Annotated[str, typer.Option(help="quick, standard (also trains a network, needs torch) or deep (trains three).")] = "quick",
    device: Device = "auto",
    detector: Annotated[list[str] | None, typer.Option(help="Run only these (repeatable); see `bezoar list`.")] = None,
    without: Annotated[list[str] | None, typer.Option(help="Leave these out (repeatable).")] = None,
    alpha: Annotated[float, typer.Option(help="Family-wise error of the findings.")] = 0.01,
    fdr: Annotated[float, typer.Option(help="False discovery rate of the quarantine list.")] = 0.05,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random choice.")] = 0,
    baseline: Annotated[Path | None, typer.Option(help="File of accepted findings.")] = None,
    fail_on: Annotated[str, typer.Option(help="Exit 1 from this verdict on: suspicious, poisoned or never.")] = "suspicious",
    strict: Annotated[bool, typer.Option("--strict", help="Exit 3 when a check was skipped or a sample was unreadable.")] = False,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Checks that run side by side.")] = 2,
    sensitivity: Annotated[bool, typer.Option("--sensitivity", help="Plant canaries in a copy: the smallest poison found.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run and what it would cost, then stop.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Machine output on stdout, and nothing else.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    log: LogFolder = None, log_private_key: LogPrivateKey = None,
) -> int:
    """Is this dataset poisoned? Where, by whom, and how sure is that?

    Nobody is asked for the poison rate, the attack or the target. The verdict is poisoned, suspicious, no evidence or inconclusive.
    """
    from bezoar import api

    how = columns.reading(modality, label, text, id_column, source, contributor, time)
    api.check_gate(fail_on)
    api.check_rates(alpha, fdr)
    write = later(log, log_private_key)
    with Progress(quiet or as_json) as progress:
        dataset = api.load(data, None, api.with_groups(how, group or []))
        plan = api.plan(dataset, detector or None, without or [], effort, bool(model))
        if dry_run:
            progress.__exit__(None, None, None)
            say_json(plan) if as_json else print(api.plan_text(plan))  # noqa: T201
            return 0
        if plan["seconds"] > 20:
            from bezoar.core.events import Note

            progress(Note(f"this will take about {plan['seconds']:.0f} s and {plan['megabytes']:,} MB"))
        report = api.scan(dataset, reading=how, effort=effort, alpha=alpha, fdr=fdr, seed=seed, detectors=detector or None,
                          without=without or [], group=group or [], reference=reference or None, encoder=encoder or None,
                          model=model or None, factory=factory, baseline=baseline, out=out, workers=workers,
                          sensitivity=sensitivity, device=device, listener=progress, path=data)
    write("scan", str(report.subject.get("fingerprint", "")), _entry(report, out))
    if as_json:
        sys.stdout.write(api.render(report, "json").decode() + "\n")
    else:
        sys.stdout.write(api.terminal_text(report, sys.stdout.isatty(), str(out), get_terminal_size((100, 24)).columns))
        print(f"\nWritten: {out / 'report.html'}, report.json, report.sarif, scores.parquet")  # noqa: T201
    return int(api.exit_code(report, fail_on, strict))


def _entry(report: Any, out: Path) -> bytes:
    """What the log keeps of a scan: the verdict, the findings, the digest of the report."""
    return json.dumps({"verdict": report.verdict, "report": sha256((out / "report.json").read_bytes()).hexdigest(),
                       "findings": [f.id for f in report.findings], "poisoned_at_least": report.poisoned_at_least}).encode()


def accept(
    report: Annotated[Path, typer.Argument(help="report.json of a scan.")],
    ids: Annotated[list[str] | None, typer.Argument(help="Ids of findings; all when left out.")] = None,
    baseline: Annotated[Path, typer.Option(help="The baseline file to write to.")] = Path("bezoar.baseline.json"),
    because: Annotated[str, typer.Option(help="Why these findings are fine. Required.")] = "",
    by: Annotated[str, typer.Option(help="Who says so; the login name when left out.")] = "",
    expires: Annotated[str | None, typer.Option(help="Date (YYYY-MM-DD) after which the acceptance no longer holds.")] = None,
    log: LogFolder = None, log_private_key: LogPrivateKey = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine output on stdout.")] = False,
) -> int:
    """Accept findings, so that later scans with --baseline no longer fail on them."""
    from bezoar import api

    who = by or getpass.getuser()
    with book(log, log_private_key) as write:
        held = api.accept(report, ids or [], baseline, because, who, expires)
        said = {"findings": ids or "all", "because": because, "by": who, "expires": expires}
        write("note", "accept " + sha256(report.read_bytes()).hexdigest(), json.dumps(said).encode())
    say_json({"baseline": str(baseline), "accepted": held}) if as_json else print(f"{baseline} accepts {held} findings")  # noqa: T201
    return 0


def show(
    report: Annotated[Path, typer.Argument(help="report.json of a scan.")],
    fmt: Annotated[str, typer.Option("--format", help="terminal, html, sarif, json, csv.")] = "terminal",
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> int:
    """Print a report again, in any format."""
    from bezoar import api, registry

    if not as_json and fmt not in (formats := [f for f in registry.shelf("reports") if f != "scores"]):
        kept = "; the scores stand in scores.parquet beside the report" if fmt == "scores" else ""
        raise UsageError(f"no format {fmt!r} to show", advice="formats are: " + ", ".join(formats) + kept)
    parsed = api.read_report(report)
    if as_json:
        sys.stdout.write(api.render(parsed, "json").decode() + "\n")
    elif fmt == "terminal":
        sys.stdout.write(api.terminal_text(parsed, sys.stdout.isatty(), str(report.parent), get_terminal_size((100, 24)).columns))
    else:
        sys.stdout.buffer.write(api.render(parsed, fmt))
    return 0


def register(app: typer.Typer) -> None:
    """Put the commands on the app."""
    app.command(epilog=SCAN_EPILOG)(scan)
    app.command(epilog=SHOW_EPILOG)(show)
    app.command(epilog=ACCEPT_EPILOG)(accept)
