"""One function per verb: what the library offers, what the CLI calls."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from bezoar import engine, registry, store
from bezoar.core.ability import Ability, Detector, Reading, Renderer, Source
from bezoar.core.dataset import Dataset
from bezoar.core.errors import ExitCode, UnreadableInput, UsageError
from bezoar.core.events import Listener, Note, deaf
from bezoar.core.learned import held_epochs_for, learned_passes
from bezoar.core.report import OutcomeLine, Report
from bezoar.core.view import View
from bezoar.core.wording import applies
from bezoar.networks import device as hardware
from bezoar.own_model import own_model, reader, told

EFFORTS = {"quick": 99, "standard": 199, "deep": 999}
"""Effort to the number of control triggers per confirmation."""
PROBES = {"quick": 1, "standard": 1, "deep": 3}
"""Effort to the number of networks that are trained on the data for checks that read several."""
NOT_ASKED = "not asked for"
FILES = ("json", "html", "sarif", "scores")
"""Renderers whose files a scan writes."""
GATES = {"suspicious": ("suspicious", "poisoned"), "poisoned": ("poisoned",), "never": ()}


def source_of(path: str | Path) -> Source:
    """The source that knows how to read `path`; raises UnreadableInput or Refused with cause and fix."""
    path = Path(path)
    if not path.exists():
        raise UnreadableInput(f"nothing at {path}", advice="check the path")
    for cls in registry.shelf("sources").values():
        source = cls()
        assert isinstance(source, Source)
        if source.claims(path):
            return source
    raise UnreadableInput(f"{path} is of no kind that bezoar reads",
                          advice="a folder of images by class, CSV, TSV, Parquet, JSONL, NPZ, or a saved Hugging Face dataset")


def load(data: object, y: object = None, reading: Reading | None = None, **origin: Sequence[object]) -> Dataset:
    """A Dataset from a path or from what Python holds (arrays, lists, data frames, a torch dataset).

    Raises UnreadableInput, Refused or UsageError with cause and fix.
    """
    reading = reading or Reading()
    if isinstance(data, Dataset):
        return data
    if isinstance(data, (str, Path)):
        dataset = source_of(data).open(Path(data), reading)
    else:
        from bezoar.sources.memory import from_python

        dataset = from_python(data, y, reading=reading, **origin)  # type: ignore[arg-type]
    return dataset


def modality_of(dataset: Dataset) -> Any:
    """The modality ability of a dataset."""
    return registry.make("modalities", dataset.modality)


def scan(data: object, y: object = None, *, reading: Reading | None = None, effort: str = "quick", alpha: float = 0.01,
         fdr: float = 0.05, seed: int = 0, detectors: Sequence[str] | None = None, without: Sequence[str] = (),
         group: Sequence[str] = (), reference: object = None, encoder: str | Path | None = None, model: object = None,
         factory: str = "", baseline: str | Path | None = None, path: str | Path = "",
         out: str | Path | None = None, workers: int = 2, sensitivity: bool = False, device: str = "auto",
         listener: Listener = deaf, **origin: Sequence[object]) -> Report:
    """Is this dataset poisoned? Nobody is asked for the poison rate, the attack or the target.

    data       a path (folder of images, CSV, TSV, Parquet, JSONL, NPZ, saved Hugging Face dataset), a Dataset, an
               (n, h, w[, c]) uint8 array, an (n, d) float array, a list of strings, a data frame, a torch dataset
    y          labels, for data given from Python; None runs the label-free channels only
    effort     'quick' | 'standard' | 'deep': number of control triggers per confirmation; from 'standard' on a network is trained on
               the data too, where torch is there, and three of different make at 'deep'
    alpha      family-wise error of the findings; `fdr` false discovery rate of the quarantine list
    detectors  names to run (default: all that fit); `without` names to leave out
    group      origin columns whose outcomes are compared
    reference  a trusted clean set, as `data`
    encoder    a local model folder or ONNX file whose embedding replaces the default one
    model      a weights file, a torch module whose call gives (n, K) logits, or a `Suspect`: read, at any effort, in the place of a
               network trained on the data; `factory` "package.module:function" builds the network of a file, where it is not known
    baseline   a file of accepted finding ids
    sensitivity  plant canaries in a copy of the data and say the smallest poison of each family that is found (costs many scans)
    device     where networks are trained and asked: 'auto' (a graphics card where torch has one) | 'cpu' | 'cuda'
    path       what to call the data in the report, when `data` is not a path itself
    out        a folder for report.json, report.html, report.sarif, scores.parquet; an interrupted run resumes from it

    Fails to see what leaves no trace in the data: sample-specific triggers that no network learns, optimised clean labels without colour.

    >>> from sklearn.datasets import load_digits
    >>> digits = load_digits()
    >>> scan((digits.images * 15).astype("uint8"), digits.target).verdict
    'no evidence'
    """
    check_effort(effort)
    check_rates(alpha, fdr)
    place = place_of(device, effort != "quick" or model is not None)
    reading = reading or Reading()
    reading = with_groups(reading, group)
    path = path or (data if isinstance(data, (str, Path)) else "")
    dataset = load(data, y, reading, **origin)
    for column in group:
        if column not in dataset.origin:
            raise UsageError(f"no column {column!r} to group by", advice="columns are: " + (", ".join(sorted(dataset.origin)) or "none"))
    if len(dataset) == 0:
        raise UnreadableInput(f"{dataset.name} holds no readable sample", advice="check the path and the format")
    modality = modality_of(dataset)
    encode = _encoder(encoder, dataset.modality)
    with hardware.using(place):
        own = None if model is None else own_model(model, dataset, factory, reading.limits)
    trusted = None
    if reference is not None:
        clean = load(reference, None, replace(reading, keep_columns=()))
        if clean.modality != dataset.modality:
            raise UsageError(f"the reference is {clean.modality}, the data {dataset.modality}", advice="give a reference of the same kind")
        trusted = View(clean.coded_as(dataset), modality, seed=seed, encoder=encode)
    accepted: frozenset[str] = frozenset()
    expired: tuple[str, ...] = ()
    if baseline is not None:
        accepted, expired = store.read_baseline(Path(baseline))
    chosen, left_out = _detectors(detectors, without, effort, own is not None)
    for sentence in (*dataset.notes, *(own.notes if own else ())):
        listener(Note(sentence))
    networks, probes = effort != "quick", PROBES[effort]
    view = View(dataset, modality, seed=seed, reference=trusted, groups=tuple(group), encoder=encode, network=reader(own),
                networks=networks, probes=probes)
    resume = store.Resume(None if out is None else Path(out) / ".resume", dataset.fingerprint, chosen, seed,
                          repr((group, encoder, None if trusted is None else trusted.dataset.fingerprint, own and own.fingerprint,
                                networks, probes, place)))
    options = engine.Options(alpha=alpha, fdr=fdr, seed=seed, workers=workers, controls=EFFORTS[effort], accepted=accepted,
                             network=_learns(chosen, dataset), retrain=list(EFFORTS).index(effort) if _learns(chosen, dataset) else 0,
                             recall=resume.recall, keep=resume.keep)
    with hardware.using(place, deep=effort == "deep"):
        report = engine.scan(view, chosen, options, listener, left_out)
    ran = environment(chosen, networks) | ({} if place == "cpu" else {"device": place})
    report = replace(report, environment=ran, notes=(*report.notes, *expired),
                     subject={**report.subject, "path": str(path)} if path else report.subject,
                     plan={**report.plan, "effort": effort, "device": place, "encoder": str(encoder or ""), "model": told(own),
                           "group": list(group),
                           "reading": {f.name: v for f in fields(Reading) if f.name != "limits" and (v := getattr(reading, f.name))},
                           "reference": None if trusted is None else trusted.dataset.fingerprint})
    if sensitivity:
        report = replace(report, sensitivity=(*_canaries(view, chosen, options, listener), *report.sensitivity))
    if out is not None:
        write_report(report, out)
        if not any(o.reason.startswith("stopped") for o in report.outcomes):
            resume.forget()
    return report


CANARIES: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {
            "image": {"patch": ("badnets", {}), "blend": ("blend", {}), "sinusoid": ("sinusoid", {}),
                      "low frequency": ("low-frequency", {})},
            "text": {"word": ("text-word", {}), "phrase": ("text-phrase", {}), "two words": ("text-multiword", {})},
            "tabular": {"out-of-bounds value": ("table-out-of-bounds", {}), "in-bounds tuple": ("table-in-bounds", {}),
                        "rare category": ("table-rare-category", {})}}
"""Families of canaries by kind of data: attack and parameters."""


def _canaries(view: View, chosen: list[Detector], options: engine.Options, listener: Listener) -> Any:
    from bezoar import sensitivity

    data = view.dataset
    if data.labels is None:
        return ()
    families = {family: registry.make("attacks", name, given) for family, (name, given) in CANARIES[data.modality].items()}
    quiet = replace(options, most_confirmed=0, recall=lambda name: None, keep=lambda name, scores: None)
    fitting = [d for d in chosen if d.supports(data.modality) and d.info.fuses and d.info.effort == "quick"]  # no network per canary

    def flags(copy: Dataset) -> np.ndarray:
        scores = engine.scan(View(copy, view.modality, seed=options.seed), fitting, quiet).scores
        assert scores is not None
        return scores.flagged

    listener(Note(f"sensitivity: up to {sensitivity.RUNS} more scans, with canaries of {', '.join(families)}"))
    told = sensitivity.trials(data, families, flags, np.random.default_rng([options.seed, 77]), listener=listener)
    return sensitivity.sensitivities(told, list(families), len(data))


def with_groups(reading: Reading, group: Sequence[str]) -> Reading:
    """The reading that also carries the columns to group by."""
    return replace(reading, keep_columns=tuple(dict.fromkeys([*reading.keep_columns, *group]))) if group else reading


def plan(dataset: Dataset, detectors: Sequence[str] | None = None, without: Sequence[str] = (), effort: str = "quick",
         model: bool = False) -> dict[str, Any]:
    """What a scan would run on `dataset` (with a `model` of the user's own or without) and about its cost on 2 cores; nothing is run."""
    check_effort(effort)
    chosen, _ = _detectors(detectors, without, effort, model)
    modality = modality_of(dataset)
    thousands = len(dataset) / 1000
    (s0, s1), (m0, m1) = modality.cost_seconds, modality.cost_megabytes
    passes = 0.0
    if _learns(chosen, dataset):
        own = sum(d.passes(len(dataset)) for d in chosen if d.supports(dataset.modality))
        passes += 1 if model else PROBES[effort] * learned_passes(len(dataset)) + own
    if effort != "quick" and dataset.labels is not None and "labels" in [d.info.name for d in chosen]:
        passes += modality.held_networks * held_epochs_for(len(dataset))
    s1 += passes * modality.pass_seconds(dataset.inputs) if passes else 0.0
    return {"name": dataset.name, "modality": dataset.modality, "samples": len(dataset),
            "classes": 0 if dataset.labels is None else len(dataset.labels.classes), "notes": list(dataset.notes),
            "detectors": [d.info.name for d in chosen if d.supports(dataset.modality)],
            "seconds": round(s0 + s1 * thousands, 1), "megabytes": round(m0 + m1 * thousands)}


def plan_text(plan: dict[str, Any]) -> str:
    """The plan in words."""
    from bezoar.core.escape import line

    notes = "".join(f"\n  {line(n)}" for n in plan["notes"])
    return (f"{line(plan['name'])}: {plan['samples']:,} {plan['modality']} samples in {plan['classes']:,} classes{notes}\n"
            f"would run: {', '.join(plan['detectors'])}\nabout {plan['seconds']:.0f} s and {plan['megabytes']:,} MB on 2 cores")


def _learns(chosen: Sequence[Detector], dataset: Dataset) -> bool:
    """Whether a check among the chosen reads a network."""
    return dataset.labels is not None and any("learned" in d.info.needs and d.supports(dataset.modality) for d in chosen)


def place_of(device: str, networks: bool) -> str:
    """'cpu' or 'cuda'; torch is not asked where no network will run. Raises UsageError for a device that is not there."""
    return hardware.resolved(device) if networks or device not in ("auto", "cpu") else "cpu"


def _encoder(path: str | Path | None, modality: str) -> Any:
    if path is None:
        return None
    from bezoar.sources.encoders import load_encoder

    return load_encoder(Path(path), modality)


def _detectors(names: Sequence[str] | None, without: Sequence[str], effort: str,
               model: bool = False) -> tuple[list[Detector], list[OutcomeLine]]:
    """Those named, or all of this effort or less, with a `model` also those that read one; a line for each that was left out by name."""
    every, asked = registry.shelf("detectors"), list(EFFORTS).index(effort)
    for name in (*(names or ()), *without):
        registry.get("detectors", name)
    there = {n: d for n, d in every.items() if n in (names or ()) or list(EFFORTS).index(d.info.effort) <= asked
             or (model and "learned" in d.info.needs)}
    chosen = [n for n in there if (names is None or n in names) and n not in without]
    if not chosen:
        raise UsageError("no detector is left to run", advice="detectors are: " + ", ".join(every))
    left = [OutcomeLine(n, "skipped", NOT_ASKED) for n in there if n not in chosen]
    return [registry.make("detectors", n) for n in chosen], left


def environment(chosen: Sequence[Detector] = (), networks: bool = False) -> dict[str, str]:
    """Versions that the numbers of the `chosen` detectors can depend on; with `networks` any of them may have trained some."""
    able = {e for d in chosen if "learned" in d.info.needs for e in d.info.extras} | ({"torch"} if networks else set())
    extras = sorted(e for e in able if e in sys.modules)
    return {"bezoar": version("bezoar"), "python": platform.python_version(),
            **{p: version(p) for p in ("numpy", "scipy", "scikit-learn", *extras)}}


def write_report(report: Report, out: str | Path, formats: Sequence[str] = FILES) -> dict[str, Path]:
    """Write the report's files to `out`; returns name to path."""
    written = {}
    folder = "" if Path(out).is_absolute() else str(out)  # a page that is passed on tells nothing of the disk it was made on
    for name in formats:
        renderer = registry.make("reports", name, {"folder": folder} if name == "html" else {})
        assert isinstance(renderer, Renderer)
        path = Path(out) / renderer.filename
        store.write_file(path, renderer.render(report))
        written[name] = path
    return written


def render(report: Report, name: str, **parameters: Any) -> bytes:
    """The report in one format ('json', 'html', 'sarif', 'scores', 'terminal', ...)."""
    renderer = registry.make("reports", name, parameters)
    assert isinstance(renderer, Renderer)
    return renderer.render(report)


def read_report(path: str | Path) -> Report:
    """A report.json of at most 1 GiB, without its score table. Raises UnreadableInput."""
    from bezoar.intake.door import read_regular
    from bezoar.reports.json_report import load as parse

    try:
        return parse(read_regular(Path(path).resolve(), 1 << 30)[0])
    except OSError as error:
        raise UnreadableInput(f"no report at {path}: {error.strerror}", advice="give the report.json of a scan") from None


def exit_code(report: Report, fail_on: str = "suspicious", strict: bool = False) -> ExitCode:
    """Findings win over gaps; gaps win over zero. `strict` counts skipped checks and unreadable samples as gaps."""
    check_gate(fail_on)
    if report.verdict in GATES[fail_on]:
        return ExitCode.FINDINGS
    if report.verdict == "inconclusive" or report.gaps:
        return ExitCode.INCOMPLETE
    if strict and (report.unreadable or any(o.status == "skipped" and applies(o) and o.reason != NOT_ASKED
                                        for o in report.outcomes)):
        return ExitCode.INCOMPLETE
    return ExitCode.NOTHING


def check_effort(effort: str) -> None:
    """Raises UsageError for an effort that does not exist."""
    if effort not in EFFORTS:
        raise UsageError(f"no effort {effort!r}", advice="efforts are: " + ", ".join(EFFORTS))


def check_rates(alpha: float, fdr: float) -> None:
    """Raises UsageError where an error rate is none that can be held."""
    if not 0 < alpha < 0.5 or not 0 < fdr < 1:
        raise UsageError(f"alpha {alpha} and fdr {fdr} are error rates", advice="alpha in (0, 0.5), fdr in (0, 1)")


def check_gate(fail_on: str) -> None:
    """Raises UsageError for a gate that does not exist."""
    if fail_on not in GATES:
        raise UsageError(f"no gate {fail_on!r}", advice="gates are: " + ", ".join(GATES))


def clean(data: str | Path, report: str | Path, out: str | Path, *, allow_more: bool = False, include_advisory: bool = False,
          reading: Reading | None = None) -> Any:
    """Quarantine what a report says, never delete: OUT/clean, OUT/quarantine, OUT/changes.json; `restore` undoes it.

    Columns that `reading` does not name are read as the scan read them.
    """
    from bezoar.sources.quarantine_store import quarantine

    findings = read_report(report)
    path, reading = Path(data), (reading or Reading()).filled(findings.plan.get("reading"))
    source = source_of(path)
    dataset = source.open(path, reading)
    repair = registry.make("repairs", "quarantine", {"allow_more": allow_more, "include_advisory": include_advisory})
    kept = repair.repair(dataset, findings.counted if not include_advisory else findings.findings)
    return quarantine(path, source, dataset, reading, kept, findings, Path(out))


def restore(folder: str | Path, out: str | Path) -> Any:
    """Put a cleaned dataset back as it was, byte for byte. Raises UnreadableInput when a part is missing or changed."""
    from bezoar.sources.quarantine_store import restore as undo

    return undo(Path(folder), Path(out))


def accept(report: str | Path, ids: Sequence[str], baseline: str | Path, because: str, by: str = "", expires: str | None = None) -> int:
    """Add findings of a report to a baseline file; returns how many it holds. Raises UsageError for unknown ids."""
    known = {f.id for f in read_report(report).findings}
    wanted = list(ids) or sorted(known)
    for i in wanted:
        if i not in known:
            raise UsageError(f"the report has no finding {i!r}", advice="it has: " + (", ".join(sorted(known)) or "none"))
    return store.add_to_baseline(Path(baseline), wanted, because, by, expires)


def catalogue(shelf: str = "") -> list[dict[str, Any]]:
    """Every ability as a plain record: name, shelf, modalities, needs, extras, summary, parameters."""
    return [describe(cls) for cls in registry.abilities() if not shelf or cls.shelf == shelf]


def describe(cls: type[Ability]) -> dict[str, Any]:
    """The card of one ability."""
    i = cls.info
    return {"name": i.name, "shelf": cls.shelf, "summary": i.summary, "channel": i.channel, "modalities": list(i.modalities),
            "needs": list(i.needs), "extras": list(i.extras), "threats": list(i.threats), "cost": i.cost, "reference": i.reference,
            "effort": i.effort, "parameters": {k: None if p.default is p.empty else p.default for k, p in cls.signature().items()}}


def explain(name: str) -> list[dict[str, Any]]:
    """The cards and the whole story of the abilities called `name`. Raises UsageError that lists near names."""
    import inspect

    found = registry.find(name)
    if not found:
        import difflib

        near = difflib.get_close_matches(name, [c.info.name for c in registry.abilities()], 3, 0.4)
        raise UsageError(f"no ability called {name!r}", advice="did you mean: " + ", ".join(near) if near else "see `bezoar list`")
    return [{**describe(c), "story": inspect.getdoc(sys.modules[c.__module__]) or ""} for c in found]


def terminal_text(report: Report, color: bool = False, folder: str = "", width: int = 88) -> str:
    """The summary for people at a terminal; `folder` is where the report's files stand."""
    return render(report, "terminal", colour=color, width=width, **({"folder": folder} if folder else {})).decode()
