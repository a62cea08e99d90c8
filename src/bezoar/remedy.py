"""`bezoar repair` as a function: reads the model and what is known of its backdoor, mends it, writes the report and what was accepted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bezoar import api, mending, mending_page, store
from bezoar.core.ability import Reading
from bezoar.core.errors import ExitCode, UnreadableInput, UsageError
from bezoar.core.escape import line
from bezoar.core.events import Listener, Note, deaf
from bezoar.core.finding import Finding
from bezoar.core.model_repair import RepairCase, Samples, Writer
from bezoar.core.report import Report
from bezoar.core.suspect import Suspect
from bezoar.core.trigger import Trigger, trigger_from_dict
from bezoar.material import placed, samples, writer
from bezoar.mending import Allowed, Mended
from bezoar.networks import device as hardware

SCHEMA = "bezoar.repair/1"
WEIGHTS, RECORD, JSON, PAGE, SIGNATURE = "repaired.safetensors", "change.json", "repair.json", "repair.html", "repair.sig"
EXITS = {"accepted": ExitCode.NOTHING, "rejected": ExitCode.FINDINGS, "unmeasured": ExitCode.INCOMPLETE, "impossible": ExitCode.INCOMPLETE}


@dataclass(frozen=True, eq=False)
class Remedy:
    """What `repair` leaves: the suspect as it was, what was tried, and the repaired one (None where nothing was accepted)."""

    suspect: Suspect
    mended: Mended
    repaired: Suspect | None
    record: dict[str, Any]
    out: Path | None = None

    @property
    def exit_code(self) -> ExitCode:
        """0 accepted, 1 rejected, 3 nothing could be measured or run."""
        return EXITS[self.mended.verdict]


@hardware.switched
def repair(model: Any, clean: object, y: object = None, *, test: object = None,
           report: str | Path | Report | Sequence[str | Path | Report] = (), trigger: str | Path | Trigger | None = None,
           target: str = "", training: object = None, repairs: Sequence[str] | None = None, allowed: Allowed | None = None,
           every: bool = False, minutes: float = 0.0, seed: int = 0, reading: Reading | None = None, device: str = "auto",
           factory: str = "", classes: Sequence[str] = (), shape: Sequence[int] = (), pixels: str = "", key: str | Path | None = None,
           passphrase: str | None = None, out: str | Path | None = None, listener: Listener = deaf) -> Remedy:
    """Make a backdoored model safe, or say that it could not be done. The model that is given is never changed.

    model     a weights file (see `open_suspect`), a `Suspect`, or a torch module with `classes` and `shape`
    clean     trusted samples with labels, as `data` of `scan`; half of them measure, unless `test` gives others
    report    of an audit (its recovered trigger and target), and of a scan of `training` (which rows are flagged); paths or Reports
    trigger   one that you know yourself, as JSON (`trigger.json`); `target` the class it leads to (inferred where left out)
    training  the data that it was trained on, as `data`
    repairs   names to try, in that order; default: all that fit, best first, until one keeps to the limits
    pixels    how pictures are scaled, where the file does not say: "-1..1", "0..1", "imagenet"
    allowed   the limits; `every` goes on after the first accepted one; `minutes` after which no further one starts
    device    where networks are trained and asked: 'auto' (a graphics card where torch has one) | 'cpu' | 'cuda'
    key       private.pem: signs the folder `out` as repair.sig
    out       a new folder for repair.json, repair.html and, where a repair was accepted, repaired.safetensors and change.json

    Raises UsageError and UnreadableInput with what to do; then nothing is written. Fails to help where the recovered trigger is not the
    planted one and no other is known: what it reports is the success of the triggers it was given.
    """
    place = _new_folder(out)
    reading = reading or Reading()
    suspect = opened(model, factory=factory, classes=classes, shape=shape, pixels=pixels)
    module, tensor = placed(suspect, hardware.current())
    reports = _read(report)
    rng = np.random.default_rng([seed, 1])
    given = api.load(clean, y, reading)
    trusted, notes = samples(suspect, given)
    write = writer(suspect, given.inputs)
    if test is None:
        tunes, check = mending.split(trusted, len(suspect.classes), rng)
    else:
        tunes, (check, more) = trusted, samples(suspect, api.load(test, None, reading))
        notes = (*notes, *more)
    found = _recovered(reports, suspect)
    told = None if trigger is None else _known(trigger, target, suspect, check, write, rng)
    trained_on, flagged = _training(training, reports, suspect, reading)
    put, to = told or found or (None, None)
    case = RepairCase(module, tensor, len(suspect.classes), suspect.modality, tunes, trained_on, flagged, put, to, written=write)
    for note in (*suspect.notes, *notes):
        listener(Note(note))
    triggers = {name: pair for name, pair in (("recovered", found), ("known", told)) if pair is not None}
    mended = mending.mend(case, check, allowed=allowed, repairs=mending.candidates(case, repairs), seed=seed, triggers=triggers,
                          every=every, minutes=minutes, listener=listener)
    mended = replace(mended, notes=(*notes, *mended.notes))
    done = Remedy(suspect, mended, _repaired(suspect, mended), _record(suspect, model, mended, case, triggers, seed), place)
    if place is not None:
        _write(done, place, model, key, passphrase)
    return done


def opened(model: Any, *, factory: str = "", classes: Sequence[str] = (), shape: Sequence[int] = (), pixels: str = "") -> Suspect:
    """The suspect of a file, a torch module or itself."""
    from bezoar.sources.suspects import open_suspect, suspect_from

    if isinstance(model, Suspect):
        return model
    if isinstance(model, (str, Path)):
        return open_suspect(model, factory=factory, classes=classes, shape=tuple(shape) or None, pixels=pixels)
    if hasattr(model, "state_dict"):
        return suspect_from(model, classes, shape, pixels=pixels)
    raise UsageError(f"{type(model).__name__} is no model", advice="give a weights file, a torch module or a Suspect")


Reports = str | Path | Report | Sequence[str | Path | Report]


def _read(report: Reports) -> list[Report]:
    given = [report] if isinstance(report, (str, Path, Report)) else report
    return [r if isinstance(r, Report) else api.read_report(r) for r in given]


def trigger_of(report: Reports, trigger: str | Path | Trigger | None, suspect: Suspect) -> Trigger | None:
    """The user's own trigger, else the recovered one of the reports, else None."""
    if trigger is not None:
        return trigger if isinstance(trigger, Trigger) else _trigger(trigger)
    found = _recovered(_read(report), suspect)
    return None if found is None else found[0]


def _recovered(reports: Sequence[Report], suspect: Suspect) -> tuple[Trigger, int | None] | None:
    """The trigger of the surest finding that has one: of an audit first, else of a scan."""
    def order(f: Finding) -> tuple[bool, bool, float, str]:
        return f.kind != "model", f.confirmed is not True, f.p_value, f.id

    found = [f for r in reports for f in r.counted if f.trigger is not None and f.trigger.modality == suspect.modality]
    if not found:
        return None
    best = min(found, key=order)
    assert best.trigger is not None
    return best.trigger, suspect.classes.index(best.target) if best.target in suspect.classes else None


def _trigger(path: str | Path) -> Trigger:
    try:
        return trigger_from_dict(store.read_json(Path(path), "trigger"))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UnreadableInput(f"{path} is not a trigger: {line(str(error), 200)}",
                              advice="give the trigger.json of `bezoar attack`") from None


def _known(given: str | Path | Trigger, target: str, suspect: Suspect, check: Samples, write: Writer | None,
           rng: np.random.Generator) -> tuple[Trigger, int | None]:
    """The user's own trigger; without a named target, the class that most triggered samples go to."""
    trigger = given if isinstance(given, Trigger) else _trigger(given)
    if target:
        if target not in suspect.classes:
            raise UsageError(f"the model has no class {line(target, 60)!r}", advice="it has: " + ", ".join(suspect.classes[:20]))
        return trigger, suspect.classes.index(target)
    case = RepairCase(*placed(suspect, hardware.current()), len(suspect.classes), suspect.modality, written=write)
    went = np.bincount(mending.ask(case.module, case.stamped(check.x, rng, trigger), case), minlength=len(suspect.classes))
    return trigger, int(went.argmax()) if went.max() > len(check) / 2 else None


def _training(training: object, reports: Sequence[Report], suspect: Suspect,
              reading: Reading) -> tuple[Samples | None, np.ndarray | None]:
    """Training rows as the model reads them, and which of them the report of their scan holds for poison."""
    if training is None:
        return None, None
    data = api.load(training, None, reading)
    given, _ = samples(suspect, data)
    listed = {i for r in reports if r.subject.get("kind", "dataset") == "dataset" for f in r.counted for i in f.quarantined}
    scanned = [r for r in reports if r.subject.get("kind", "dataset") == "dataset"]
    if scanned and all(r.subject.get("fingerprint") != data.fingerprint for r in scanned):
        raise UsageError("the report is about other data than --training", advice="scan the training data as they are now")
    flagged = np.fromiter((str(i) in listed for i in data.ids), bool, len(data))
    return given, flagged if scanned else None


def _repaired(suspect: Suspect, mended: Mended) -> Suspect | None:
    from bezoar.sources.suspects import with_module

    return None if mended.module is None else with_module(suspect, mended.module, name=f"{suspect.name} (repaired)")


def _record(suspect: Suspect, model: Any, mended: Mended, case: RepairCase, triggers: mending.Triggers, seed: int) -> dict[str, Any]:
    """Everything that was done, as JSON."""
    given = _file_digest(model) if isinstance(model, (str, Path)) else ""
    subject = {"kind": "model", "name": suspect.name, "modality": suspect.modality, "classes": list(suspect.classes),
               "fingerprint": suspect.fingerprint, "sha256": given}
    return {"schema": SCHEMA, "subject": subject,
            "given": sorted(case.has), "tuned_on": 0 if case.clean is None else len(case.clean),
            "triggers": {k: {"title": t.title(), "target": None if c is None else suspect.classes[c], "trigger": t.to_dict()}
                         for k, (t, c) in triggers.items()},
            "seed": seed, "device": hardware.of(case.module), **mended.to_dict(), "environment": {**api.environment(), "torch": _torch()}}


def _torch() -> str:
    from importlib.metadata import version

    return version("torch")


def _file_digest(path: str | Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _new_folder(out: str | Path | None) -> Path | None:
    if out is None:
        return None
    place = Path(out)
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise UsageError(f"{place} is not empty", advice="give a new folder")
    return place


def _write(done: Remedy, place: Path, model: Any, key: str | Path | None, passphrase: str | None) -> None:
    """The report always; weights, record and signature where a repair was accepted. The key is opened before anything is written."""
    from bezoar.sources.suspects import save_safetensors

    if key is not None:
        from bezoar.provenance import keys

        keys.load_private(key, passphrase)
    store.write_file(place / JSON, _bytes(done.record))
    store.write_file(place / PAGE, mending_page.to_html(done.record))
    if done.repaired is None:
        return
    save_safetensors(done.repaired, place / WEIGHTS)
    chosen = done.mended.chosen
    assert chosen is not None
    assert chosen.after is not None
    files = {WEIGHTS: _file_digest(place / WEIGHTS), JSON: _file_digest(place / JSON), PAGE: _file_digest(place / PAGE)}
    change = {"schema": "bezoar.change/1", "from": done.record["subject"],
              "to": {"file": WEIGHTS, "fingerprint": done.repaired.fingerprint},
              "repair": chosen.name, "parameters": chosen.parameters, "seed": done.record["seed"], "triggers": done.record["triggers"],
              "before": done.record["before"], "after": chosen.after.to_dict(), "limits": done.record["limits"], "sha256": files,
              "environment": done.record["environment"]}
    store.write_file(place / RECORD, _bytes(change))
    if isinstance(model, (str, Path)) and _file_digest(model) != done.record["subject"]["sha256"]:
        raise UnreadableInput(f"{model} changed while it was being repaired", advice="repair it again")
    if key is not None:
        from bezoar.provenance.verbs import sign

        sign(place, key, place / SIGNATURE, passphrase=passphrase, kind="model", dataset=done.suspect.name, seal_records=False,
             how=f"bezoar repair: {chosen.name}; from weights {done.suspect.fingerprint}")


def _bytes(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=True, allow_nan=False) + "\n").encode()


def shape_of(text: str) -> tuple[int, ...]:
    """'32x48' as (32, 48, 3); nothing for nothing. Raises UsageError.

    >>> shape_of("32x48")
    (32, 48, 3)
    """
    parts = text.lower().split("x") if text else []
    if text and (len(parts) != 2 or not all(p.isascii() and p.isdigit() and 0 < int(p) <= 4096 for p in parts)):
        raise UsageError(f"{line(text, 40)!r} is no height x width", advice="such as 32x32")
    return (int(parts[0]), int(parts[1]), 3) if text else ()


def written(done: Remedy) -> list[str]:
    """Names of the files that `repair` wrote."""
    names = (JSON, PAGE, WEIGHTS, RECORD, SIGNATURE)
    return [n for n in names if done.out is not None and (done.out / n).exists()]


def sentences(done: Remedy) -> list[str]:
    """What came of it, for people at a terminal."""
    record = done.record
    heads = {"accepted": f"repaired by {record['chosen']}", "rejected": "not repaired: nothing kept to the limits",
             "impossible": "nothing could run",
             "unmeasured": "not accepted: without a trigger nobody can say whether the backdoor is gone (--unmeasured accepts anyway)"}
    out = [f"{done.suspect.name}: {heads[record['verdict']]}"]
    spared = [a["repair"] for a in record["attempts"] if a["reasons"] == [mending.NOT_NEEDED]]
    for a in (a for a in record["attempts"] if a["repair"] not in spared):
        seen = "; ".join(mending_page.figures(record["before"], a["after"])) if a["status"] == "accepted" else "; ".join(a["reasons"])
        out.append(f"  {a['repair']}: {a['status']}" + (f": {seen}" if seen else ""))
    if spared:
        out.append(f"  not needed: {', '.join(spared)}")
    return [*out, *(f"  note: {n}" for n in record["notes"])]
