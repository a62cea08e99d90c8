"""`bezoar trace`, `bezoar export`, `bezoar sources`, `bezoar incident`."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bezoar.cli import columns
from bezoar.cli.book import LogFolder, LogPrivateKey, book, private_key
from bezoar.cli.show import say_json
from bezoar.cli.sign import AsJson
from bezoar.core.errors import UsageError
from bezoar.core.escape import line

if TYPE_CHECKING:
    from bezoar.provenance.keys import PublicKey
    from bezoar.provenance.lineage import Signed

TRACE_EPILOG = """Examples:

  bezoar trace digits --bundles .

  bezoar trace "digit 3/0003.png" --bundles . --html trace.html

  bezoar trace photos/ --prediction odd.png --html why.html"""
EXPORT_EPILOG = """Examples:

  bezoar export cyclonedx --bundles . --out bom.json

  bezoar export openlineage --bundles ."""
SOURCES_EPILOG = """Examples:

  bezoar sources add vendor-a --contact data@vendor-a.example --licence CC-BY-4.0

  bezoar sources show"""
INCIDENT_EPILOG = """Examples:

  bezoar incident open bz-0123456789abcdef --report report/report.json --out incident

  bezoar incident show incident"""

sources = typer.Typer(no_args_is_help=True, epilog=SOURCES_EPILOG, help="Who supplied the data, and what was measured of it.")
incident = typer.Typer(no_args_is_help=True, epilog=INCIDENT_EPILOG,
                       help="From a finding to signed evidence: contain, trace, clean, verify.")

Bundles = Annotated[list[Path], typer.Option(help="Bundle, or folder that is searched for *.sig (repeatable).")]
Register = Annotated[Path, typer.Option(help="The register of sources.")]
By = Annotated[str, typer.Option(help="Who does this; the login name when left out.")]


def _statements(places: list[Path], public: Sequence[PublicKey] = ()) -> list[Signed]:
    from bezoar.core.errors import BezoarError
    from bezoar.provenance import lineage, signing, statement

    held: dict[str, lineage.Signed] = {}
    for place in places:
        for path in sorted(place.rglob("*.sig")) if place.is_dir() else [place]:
            try:
                envelope = signing.read_unproved(path)
                parsed = statement.parse(envelope.payload)
            except BezoarError:
                if place.is_dir():
                    continue  # the signature of a policy, or of something else
                raise
            was = held.get(parsed.digest)
            proved = {k.id for k in envelope.signers(public)}
            hints = {hint for hint, _ in envelope.signatures if hint}
            signers = {*(was.signers if was else ()), *proved}
            named = {*(was.named if was else ()), *hints} - signers
            held[parsed.digest] = lineage.Signed(parsed, tuple(sorted(signers)), bool(signers), tuple(sorted(named)))
    return list(held.values())


def trace(
    what: Annotated[str, typer.Argument(
        help="A record, source, person, dataset, model, finding, statement or key; with --prediction the training data.")],
    bundles: Annotated[list[Path] | None, typer.Option(help="Bundle, or folder that is searched for *.sig (repeatable).")] = None,
    prediction: Annotated[str, typer.Option(help="An input (picture, text, one row): which training samples made its answer?")] = "",
    model: Annotated[str, typer.Option(help="With --prediction: weights of the model; without it a small network is trained.")] = "",
    factory: Annotated[str, typer.Option(help="package.module:function that builds the network of --model; it is imported and run.")] = "",
    called: Annotated[str, typer.Option(help="With --prediction: the class to explain, if not the one that the network gives.")] = "",
    top: Annotated[int, typer.Option(min=1, max=200, help="With --prediction: samples shown on each side.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="With --prediction: seed of the training.")] = 0,
    modality: columns.Modality = "", label: columns.Label = "", text: columns.Text = "",
    report: Annotated[list[Path] | None, typer.Option(help="report.json of a scan that was signed with a bundle (repeatable).")] = None,
    data: Annotated[list[str] | None, typer.Option(help="NAME=table.csv: the data of a dataset, for records and their sources.")] = None,
    id_column: Annotated[str, typer.Option("--id", help="Column of record ids in --data.")] = "",
    source: Annotated[str, typer.Option(help="Column of sources in --data.")] = "",
    contributor: Annotated[str, typer.Option(help="Column of contributors in --data.")] = "",
    public_key: Annotated[list[Path] | None, typer.Option(help="Keys to check the bundles with (repeatable).")] = None,
    policy: Annotated[Path | None, typer.Option(help="Policy that names the persons behind keys; its keys check the bundles too.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the graph, or the samples, as a page.")] = None, as_json: AsJson = False,
) -> int:
    """Both ways: which models a record or a source has reached, and which records, sources and people stand behind a model.

    With --prediction: from one answer of a model back to the training samples that made it.
    """
    if prediction:
        from bezoar.cli.pulls import trace_prediction

        how = columns.reading(modality, label, text, id_column, source, contributor, "")
        return trace_prediction(prediction, what, how, model=model, factory=factory, called=called, top=top, seed=seed, html=html,
                                as_json=as_json)
    if not bundles:
        raise UsageError("where a thing came from stands in signed bundles, and none was named",
                         advice="give --bundles, or --prediction INPUT")
    from hashlib import sha256

    from bezoar import api
    from bezoar.provenance import keys as keyring
    from bezoar.provenance import lineage, lineage_page, rows, strict
    from bezoar.provenance import policy as policies
    from bezoar.provenance.disk import DISK

    known = [keyring.load_public(k) for k in public_key or []]
    persons = {}
    if policy is not None:
        rules = policies.parse(strict.read_bytes(policy, "policy", 16 << 20))
        persons = {k.id: rules.persons.get(n) or n for n, k in rules.keys.items()}
        known += rules.keys.values()
    held = _statements(bundles, known)
    tables = {}
    for pair in data or []:
        name, _, place = pair.partition("=")
        match = [s.statement for s in held if s.statement.about.dataset == name or s.statement.digest.startswith(name)]
        if not match or not place:
            raise UsageError(f"{line(pair, 80)!r} names no dataset of these bundles", advice="--data NAME=PATH")
        newest = max(match, key=lambda s: s.about.version)
        tables[newest.digest] = list(rows.records(place, rows.Columns(id_column, "", source, contributor)))
    reports = {sha256(strict.read_bytes(r, "report")).hexdigest(): api.read_report(r) for r in report or []}
    graph = lineage.build(held, reports, tables, persons)
    if not lineage.find(graph, what):
        lineage.place_record(graph, what, held, tables)
    told = lineage.trace(graph, what)
    if html is not None:
        DISK.write_file(html, lineage_page.page(graph, told))
    if as_json:
        say_json(told)
        return 0
    for start in told["of"]:
        print(f"{start['kind']} {line(start['label'], 200)}")  # noqa: T201
        for title, steps in (("behind it", start["behind"]), ("reached by it", start["reached"])):
            print(f"  {title}:" + ("" if steps else " nothing that these bundles know"))  # noqa: T201
            for s in steps:
                print(f"    {'  ' * (s['depth'] - 1)}{s['kind']} {line(s['label'], 120)} ({line(s['relation'], 80)})")  # noqa: T201
    return 0


def export(
    form: Annotated[str, typer.Argument(metavar="FORMAT", help="openlineage, cyclonedx, croissant or spdx.")], bundles: Bundles,
    out: Annotated[Path | None, typer.Option(help="File to write; standard output when left out.")] = None,
) -> int:
    """Write what signed statements say in other people's formats."""
    from bezoar.provenance import exports
    from bezoar.provenance.disk import DISK

    value = exports.export(form, _statements(bundles))
    data = (json.dumps(value, indent=1, ensure_ascii=True) + "\n").encode()
    if out is not None:
        DISK.write_file(out, data)
        print(f"{out}: {form}, {len(data):,} bytes")  # noqa: T201
    else:
        sys.stdout.write(data.decode())
    return 0


@sources.command("add")
def add(name: Annotated[str, typer.Argument(help="Name of the source, as it stands in the data.")],
        register: Register = Path("bezoar.sources.json"), contact: Annotated[str, typer.Option(help="Whom to ask.")] = "",
        notes: Annotated[str, typer.Option(help="How the data was collected.")] = "",
        licence: Annotated[str, typer.Option(help="Licence.")] = "",
        key: Annotated[list[Path] | None, typer.Option(help="public.pem that the source signs with (repeatable).")] = None,
        incident_note: Annotated[str, typer.Option("--incident", help="One sentence about a past incident; it lowers the score.")] = "",
        as_json: AsJson = False) -> int:
    """Add a source to the register, or complete it."""
    from bezoar.provenance import keys
    from bezoar.provenance import register as registers

    held = registers.change(register, name, contact=contact, notes=notes, licence=licence, keys=[keys.load_public(k).id for k in key or []],
                            incident=incident_note)
    say_json({"name": held.name, "contact": held.contact, "keys": list(held.keys),
              "incidents": len(held.incidents)}) if as_json else print(  # noqa: T201
        f"{register}: {line(held.name)}")
    return 0


@sources.command("show")
def show(register: Register = Path("bezoar.sources.json"), as_json: AsJson = False) -> int:
    """The register."""
    from bezoar.provenance import register as registers

    held = registers.load(register)
    if as_json:
        say_json({n: {"contact": s.contact, "notes": s.notes, "licence": s.licence, "keys": list(s.keys), "incidents": list(s.incidents)}
                  for n, s in held.items()})
        return 0
    for n, s in held.items():
        print(f"{line(n)}: {line(s.contact) or 'no contact'}, {len(s.keys)} keys, {len(s.incidents)} incidents")  # noqa: T201
    return 0


@sources.command("report")
def report_sources(
    data: Annotated[str, typer.Argument(help="The data that was scanned.")],
    report: Annotated[Path, typer.Option(help="report.json of its scan.")],
    source: Annotated[str, typer.Option(help="Column of sources.")],
    contributor: Annotated[str, typer.Option(help="Column of contributors.")] = "",
    time: Annotated[str, typer.Option(help="Column of times.")] = "", label: Annotated[str, typer.Option(help="Label column.")] = "",
    id_column: Annotated[str, typer.Option("--id", help="Column of ids.")] = "", register: Register = Path("bezoar.sources.json"),
    as_json: AsJson = False,
) -> int:
    """What was measured of each source: findings per 10,000 records, label suspicion, gaps, incidents; worst score first."""
    from bezoar import api
    from bezoar.core.ability import Reading
    from bezoar.provenance import register as registers

    parsed = api.read_report(report)
    dataset = api.load(data, None, Reading(label=label, id=id_column, source=source, contributor=contributor, time=time))
    if "source" not in dataset.origin:
        raise UsageError("the data has no column of sources", advice="give --source")
    origin = {k: list(map(str, v)) for k, v in dataset.origin.items()}
    measured = registers.measure(origin["source"], list(map(str, dataset.ids)), parsed, origin,
                                 _label_scores(report.parent / "scores.parquet"),
                                 registers.load(register))
    rows: list[dict[str, Any]] = [{"source": m.name, "score": round(m.score, 1), "records": m.records, "found": m.found,
             "per_10000": round(m.per_ten_thousand, 2),
             "upper": round(m.upper, 5), "label_suspicion": None if m.label_suspicion is None else round(m.label_suspicion, 4),
             "gaps": {k: round(v, 3) for k, v in m.gaps.items()}, "incidents": m.incidents, "registered": m.registered} for m in measured]
    if as_json:
        say_json(rows)
        return 0
    for r in rows:
        gaps = ", ".join(f"{k} {v:.0%} missing" for k, v in r["gaps"].items() if v) or "no gaps"
        print(f"{line(r['source'], 60)}: score {r['score']:.0f}; {r['found']:,} of {r['records']:,} records found "  # noqa: T201
              f"({r['per_10000']:g} per 10,000, at most {r['upper']:.2%}); {gaps}; {r['incidents']} incidents"
              + ("" if r["registered"] else "; not in the register"))
    return 0


def _label_scores(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    if "labels" not in table.column_names:
        return None
    return {str(i): float("nan") if v is None else float(v) for i,
            v in zip(table["id"].to_pylist(), table["labels"].to_pylist(), strict=True)}


@incident.command("open")
def open_incident(
    finding: Annotated[str, typer.Argument(help="Id of a finding.")],
    report: Annotated[Path, typer.Option(help="report.json that holds it.")],
    out: Annotated[Path, typer.Option(help="New folder of the incident.")], by: By = "", log: LogFolder = None,
    log_private_key: LogPrivateKey = None, as_json: AsJson = False,
) -> int:
    """Begin: what was found, what it threatens, what to do first."""
    from bezoar import api
    from bezoar.provenance import strict
    from bezoar.provenance.incident import ADVICE, Incident

    raw = strict.read_bytes(report, "report")
    with book(log, log_private_key) as write:
        held = Incident.open(out, api.read_report(report), raw, finding, by or getpass.getuser(), partial(write, "incident"))
    if as_json:
        say_json(held.to_dict())
        return 0
    print(f"{out}: open; next steps:")  # noqa: T201
    for step in held.waiting():
        print(f"  {step}: {ADVICE[step]}")  # noqa: T201
    return 0


@incident.command("step")
def step_incident(
    folder: Annotated[Path, typer.Argument(help="Folder of the incident.")],
    step: Annotated[str, typer.Argument(help="contain, trace, clean, retrain, verify or rollback.")],
    note: Annotated[str, typer.Option(help="What was done.")] = "",
    evidence: Annotated[list[Path] | None, typer.Option(help="File that shows it; a copy is kept (repeatable).")] = None, by: By = "",
    log: LogFolder = None, log_private_key: LogPrivateKey = None, as_json: AsJson = False,
) -> int:
    """Record one step with its evidence."""
    from bezoar.provenance.incident import ADVICE, Incident

    held = Incident(folder)
    with book(log, log_private_key) as write:
        done = held.take(step, by or getpass.getuser(), note, evidence or [], partial(write, "incident"))
    if as_json:
        say_json({"step": done.step, "evidence": [list(e) for e in done.evidence], "waiting": held.waiting()})
    else:
        left = held.waiting()
        print(f"{step}: recorded, {len(done.evidence)} files" + (f"; next, {left[0]}: {ADVICE[left[0]]}" if left else ""))  # noqa: T201
    return 0


@incident.command("show")
def show_incident(folder: Annotated[Path, typer.Argument(help="Folder of the incident.")], as_json: AsJson = False) -> int:
    """What was found, done, tested and not tested."""
    from bezoar.provenance.incident import Incident

    held = Incident(folder)
    if as_json:
        say_json(held.to_dict())
    else:
        sys.stdout.write(held.text())
    return 0


@incident.command("close")
def close_incident(
    folder: Annotated[Path, typer.Argument(help="Folder of the incident.")],
    key: Annotated[Path, typer.Option(help="private.pem to sign the pack.")],
    out: Annotated[Path, typer.Option(help="Bundle over the whole folder.")],
    leave_out: Annotated[str, typer.Option(help="Why a needed step was not taken.")] = "", by: By = "", log: LogFolder = None,
    log_private_key: LogPrivateKey = None, as_json: AsJson = False,
) -> int:
    """Write incident.md and sign the evidence: what was tested, with what power, what was not."""
    from bezoar.provenance.incident import Incident

    held = Incident(folder)
    secret = private_key(key)
    with book(log, log_private_key) as write:
        signed = held.close(by or getpass.getuser(), secret, out, leave_out, partial(write, "incident"))
    say_json({"pack": str(folder), "signature": str(out), "statement": signed.statement.digest}) if as_json else print(  # noqa: T201
        f"{folder} is closed; {out} signs {len(signed.statement.digests)} files")
    return 0


def register(app: typer.Typer) -> None:
    """Put the commands on the app."""
    app.command(epilog=TRACE_EPILOG)(trace)
    app.command(epilog=EXPORT_EPILOG)(export)
    app.add_typer(sources, name="sources")
    app.add_typer(incident, name="incident")
