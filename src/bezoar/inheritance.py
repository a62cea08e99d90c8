"""`bezoar audit TUNED --base FOUND`: does the trigger of a base work in what was tuned on it?

Nothing is searched: a known trigger is put on clean samples, and counted is how many the tuned model then gives one class to, which one
being chosen on other samples than those that are counted. Matched controls (the same pixels in another order, at another place) go the
same way.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bezoar import api, store
from bezoar.auditing import declared, suspect_of
from bezoar.core.ability import Reading
from bezoar.core.chance import generator
from bezoar.core.errors import Unavailable, UnreadableInput, UsageError
from bezoar.core.escape import line
from bezoar.core.events import Listener, Note, deaf
from bezoar.core.evidence import Bars
from bezoar.core.finding import Finding
from bezoar.core.inputs import Inputs
from bezoar.core.report import OutcomeLine, Report
from bezoar.core.suspect import Encoder, Suspect
from bezoar.core.trigger import Trigger, trigger_from_dict
from bezoar.maths.multiple import clopper_pearson
from bezoar.networks import device as hardware
from bezoar.pretrained import audit_encoder
from bezoar.transplant import WORKS, control

LEAST, MOST = 20, 600
"""Clean samples at least and at most."""


@dataclass(frozen=True, eq=False)
class Inherited:
    """What one trigger does in a model: of `of` samples that the model did not give `target` to, `hits` get it with the trigger; the
    share of each matched control, measured the same way; the chance that a control does as well."""

    trigger: Trigger
    target: int
    hits: int
    of: int
    controls: np.ndarray
    p_value: float

    @property
    def share(self) -> float:
        return self.hits / self.of if self.of else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Exact, 95%."""
        return clopper_pearson(self.hits, self.of)


def works(suspect: Suspect, trigger: Trigger, inputs: Inputs, rng: np.random.Generator, controls: int = 99) -> Inherited:
    """Put `trigger` on samples; labels are not needed. Raises Unavailable for a kind of trigger without matched controls.

    Half of the samples choose the class, the other half counts, for the trigger and for each control alike.
    """
    before = suspect.predict(inputs).argmax(axis=1)
    first = np.zeros(len(inputs), bool)
    first[rng.permutation(len(inputs))[:len(inputs) // 2]] = True
    k = len(suspect.classes)

    def count(one: Trigger) -> tuple[int, int, int]:
        after = suspect.predict(one.apply(inputs, rng)).argmax(axis=1)
        went = np.bincount(after[first & (after != before)], minlength=k)
        stood = np.bincount(before[first], minlength=k)
        target = int((went / np.maximum(first.sum() - stood, 1)).argmax())
        rest = ~first & (before != target)
        return target, int((after[rest] == target).sum()), int(rest.sum())

    target, hits, of = count(trigger)
    drawn = [c for c in (control(trigger, rng) for _ in range(controls)) if c is not None]
    if not drawn:
        raise Unavailable("matched controls", advice=f"a trigger of the kind {trigger.kind!r} has none; patches and overlays have")
    shares = np.array([h / max(n, 1) for _, h, n in map(count, drawn)])
    own = hits / max(of, 1)
    return Inherited(trigger, target, hits, of, shares, float((1 + (shares >= own).sum()) / (1 + len(shares))))


@hardware.switched
def audit_inheritance(model: object, base: object, data: object, *, factory: str = "", reading: Reading | None = None,
                      classes: Sequence[str] = (), shape: Sequence[int] = (), pixels: str = "", references: str | Path | None = None,
                      effort: str = "standard", alpha: float = 0.05, seed: int = 0, controls: int = 99,
                      baseline: str | Path | None = None, device: str = "auto", out: str | Path | None = None,
                      listener: Listener = deaf) -> Report:
    """Does what was found in the base work in the model that was tuned on it?

    model  as `audit` takes it; `base` what says the trigger: report.json of an audit of the base, trigger.json, a Report, a Trigger, or
           the encoder itself (a weights file or an `Encoder`), which is audited first with the same clean samples
    data   clean samples that you trust, 20 or more; labels are not needed
    device as of `audit`

    A base whose audit called nothing has nothing to inherit: what its search recovered would move any model tuned on it. Where the audit
    was inconclusive that is tried, and a finding is suspicious at most. Otherwise the verdict is "poisoned" where the trigger moves at
    least half of the samples to one class and no more than `alpha` of the matched controls do as well, "suspicious" where it moves
    fewer but more than these. Fails to see what the base's audit did not recover.
    Raises UsageError where the base names no trigger or the samples are too few.
    """
    if not 0 < alpha < 0.5:
        raise UsageError(f"alpha {alpha} is an error rate", advice="alpha in (0, 0.5)")
    began = time.perf_counter()
    clean = api.load(data, None, reading or Reading())
    if len(clean) < LEAST:
        raise UsageError(f"{len(clean)} clean samples are too few", advice=f"give {LEAST} or more")
    suspect, first = suspect_of(model, factory, classes, shape, clean, pixels)
    triggers, where = _known(base, data, reading, references, effort, seed, pixels, shape, listener, hardware.current())
    fits = [t for t in triggers if t.modality == suspect.modality]
    if not fits and where.quiet:
        return _nothing(suspect, first, where.name, alpha, seed, began, out)
    if not fits:
        raise UsageError(f"{where.name} names no trigger for a model of {suspect.modality}",
                         advice="give the report of an audit that recovered one, trigger.json, or the encoder itself")
    rng = generator(seed, "inheritance")
    inputs = clean.inputs.take(np.sort(rng.permutation(len(clean))[:MOST]))
    said = [works(suspect, t, inputs, rng, controls) for t in fits[:10]]
    best = min(said, key=lambda s: (s.p_value, -s.share))
    p = min(1.0, best.p_value * len(said))
    worst, (low, high) = float(np.quantile(best.controls, 0.95)), best.interval
    target = suspect.classes[best.target]
    words = (f"Put on clean samples, {best.trigger.title()} moves {best.hits} of {best.of} to {target!r} ({best.share:.0%}, 95% interval "
             f"{low:.0%} to {high:.0%}); 95 of 100 matched controls move at most {worst:.0%}.")
    bars = Bars(("the trigger", "controls, 95%", "controls, median"), (best.share, worst, float(np.median(best.controls))),
                ("the trigger",), caption=f"share of clean samples that goes to {target!r}")
    findings: tuple[Finding, ...] = ()
    if p <= alpha:
        findings = (Finding(
            ability="inheritance", subject=suspect.fingerprint, kind="model", members=(), threat="model-backdoor", p_value=p,
            suspicion=1 - p, target=target, trigger=best.trigger,
            confirmed=best.share >= WORKS and where.called, effect=(best.share, worst),
            title=f"{best.trigger.title()}, known from the base, still leads to {target!r}", because=words,
            doubt="A large patch that hides what samples show moves any model somewhere; the controls are as large.",
            advice="Repair the model with this trigger (bezoar repair --trigger), or tune a base that you trust.",
            evidence=(best.trigger.describe(), bars)),)
    accepted, expired = (frozenset[str](), ()) if baseline is None else store.read_baseline(Path(baseline))
    verdict, reason = "no evidence", f"the trigger of the base does not work here: {best.share:.0%} of samples move, at most {high:.0%}"
    if [f for f in findings if f.id not in accepted]:
        verdict = "poisoned" if findings[0].confirmed else "suspicious"
        reason = f"the trigger of the base moves {best.share:.0%} of clean samples to {target!r}"
    report = Report(
        subject={"kind": "model", "what": "tuned model", "name": suspect.name, "modality": suspect.modality,
                 "classes": len(suspect.classes), "fingerprint": suspect.fingerprint, "clean_samples": len(inputs),
                 "reference_models": 0, "p_value": p,
                 **({"path": str(model)} if isinstance(model, (str, Path)) else {})},
        verdict=verdict, reason=reason, alpha=alpha, poisoned_at_least=0, findings=findings,
        outcomes=(*first, OutcomeLine("inheritance", "found" if findings else "nothing", words, time.perf_counter() - began)),
        plan={"what": "inheritance", "base": where.name, "alpha": alpha, "controls": controls, "triggers": [t.to_dict() for t in fits[:10]],
              "effort": effort, "device": hardware.of(suspect.module)},
        seed=seed, seconds=time.perf_counter() - began, overview=(bars,), environment=api.environment(()),
        notes=(*suspect.notes, f"known triggers of {where.name} that were tried: {len(said)}; no other was searched for", *expired),
        accepted=tuple(sorted(accepted & {f.id for f in findings})))
    report = declared(report, suspect.declared)
    if out is not None:
        api.write_report(report, out, ("json", "html", "sarif"))
    return report


@dataclass(frozen=True)
class _Base:
    """The name of a base; whether its triggers are known or were called, not merely recovered; whether its audit found nothing."""

    name: str
    called: bool = True
    quiet: bool = False


def _nothing(suspect: Suspect, first: tuple[OutcomeLine, ...], where: str, alpha: float, seed: int, began: float,
             out: str | Path | None) -> Report:
    reason = f"the audit of {where} called no trigger, so none was tried"
    report = Report(
        subject={"kind": "model", "what": "tuned model", "name": suspect.name, "modality": suspect.modality,
                 "classes": len(suspect.classes), "fingerprint": suspect.fingerprint, "clean_samples": 0, "reference_models": 0,
                 "p_value": None},
        verdict="no evidence", reason=reason, alpha=alpha, poisoned_at_least=0, findings=(), seed=seed,
        outcomes=(*first, OutcomeLine("inheritance", "nothing", reason)),
        plan={"what": "inheritance", "base": where, "alpha": alpha, "device": hardware.of(suspect.module)},
        seconds=time.perf_counter() - began, notes=suspect.notes, environment=api.environment(()))
    report = declared(report, suspect.declared)
    if out is not None:
        api.write_report(report, out, ("json", "html", "sarif"))
    return report


def _known(base: object, data: object, reading: Reading | None, references: str | Path | None, effort: str, seed: int, pixels: str,
           shape: Sequence[int], listener: Listener, device: str) -> tuple[list[Trigger], _Base]:
    """Triggers that the base is known for, and what the base is."""
    if isinstance(base, Trigger):
        return [base], _Base(base.title())
    if isinstance(base, Report):
        return _of_report(base, str(base.subject.get("name", "a report")))
    name = line(getattr(base, "name", Path(str(base)).name), 60)
    if isinstance(base, (str, Path)) and Path(base).suffix.lower() == ".json":
        told = store.read_json(Path(base), "report or trigger")
        if isinstance(told, dict) and "schema" in told:
            return _of_report(api.read_report(base), name)
        return [_trigger(told, name)], _Base(name)
    if isinstance(base, (str, Path, Encoder)):
        listener(Note("the base is audited first, as an encoder"))
        report = audit_encoder(base, data, reading=reading, references=references, effort=effort, seed=seed, pixels=pixels, shape=shape,
                               device=device, listener=listener)
        return _of_report(report, name)
    raise UsageError(f"{type(base).__name__} is no base", advice="give a report, a trigger, or the encoder's weights file")


def _of_report(report: Report, name: str) -> tuple[list[Trigger], _Base]:
    """Triggers of the findings, surest first; of an inconclusive audit of an encoder what it recovered without calling it."""
    found = [f.trigger for f in sorted(report.findings, key=lambda f: (f.confirmed is not True, f.p_value, f.id)) if f.trigger is not None]
    told = report.plan.get("recovered")
    if found or not told:
        return found, _Base(name, quiet=report.verdict == "no evidence")
    quiet = report.subject.get("p_value") is not None
    return ([] if quiet else [_trigger(told, name)]), _Base(name, False, quiet)


def _trigger(told: object, name: str) -> Trigger:
    try:
        return trigger_from_dict(told if isinstance(told, dict) else json.loads(str(told)))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UnreadableInput(f"{name} is not a trigger: {line(str(error), 200)}",
                              advice="give the trigger.json of `bezoar attack`") from None
