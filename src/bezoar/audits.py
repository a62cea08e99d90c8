"""Runs auditors over a suspect model and makes the report. Never prints, opens no file, knows no method by name."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from bezoar.core.audit import Audited, Auditor, AuditView, Whole
from bezoar.core.chance import generator
from bezoar.core.errors import BezoarError, Unavailable
from bezoar.core.events import Finished, Listener, Note, Started, deaf
from bezoar.core.evidence import Bars, Evidence
from bezoar.core.finding import Finding
from bezoar.core.report import OutcomeLine, Report
from bezoar.maths.multiple import clopper_pearson
from bezoar.maths.standing_out import against_classes, against_references, against_ways, deviations, fused, loudest, p_largest, prominent
from bezoar.transplant import Transplant, transplant

ENOUGH_REFERENCES = 3
FOR_WHOLE = 0.2
"""Share of the error that is left to what channels say of all classes together; the rest is for single classes."""
NEARLY_ALL = 0.9
"""Share of samples that a trigger has to move where models of another shape, or of texts and tables trained on few samples, say what is
natural; strong features seldom do."""


@dataclass(frozen=True)
class Options:
    """How to audit. `alpha` is the chance that a clean model is called suspicious, `controls` how many control triggers are drawn."""

    alpha: float = 0.05
    seed: int = 0
    controls: int = 99
    accepted: frozenset[str] = frozenset()
    recall: Callable[[str], np.ndarray | None] = field(default=lambda key: None)
    """Gives back what an auditor said of a reference model before, by key."""
    keep: Callable[[str, np.ndarray], None] = field(default=lambda key, statistic: None)
    """Takes what an auditor says of a reference model."""


@dataclass(frozen=True, eq=False)
class Judgement:
    """What all channels say together.

    score      (K,) fused, per class: higher = more like the target of a backdoor
    p_value    that a clean model's largest score reaches this one's
    target     the class of the largest score
    channels   (C, K) what each channel says, standardised, in the order of `names`
    basis      "references" | "stand-ins" | "classes" | "candidates": what it was standardised against
    called     how many of the references this very judgement calls, each held against the others; `of` how many there were
    """

    score: np.ndarray
    p_value: float
    target: int
    channels: np.ndarray
    names: tuple[str, ...]
    basis: str
    called: int = 0
    of: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The largest score, its class, and what each channel says of that class, in deviations."""
        at = {n: round(float(z), 3) for n, z in zip(self.names, self.channels[:, self.target], strict=True) if np.isfinite(z)}
        return {"score": float(self.score[self.target]), "target": self.target, "channels": at, "basis": self.basis}


def judged(own: dict[str, np.ndarray], references: Sequence[dict[str, np.ndarray]], weights: dict[str, float] | None = None, *,
           alone: Mapping[str, np.ndarray] = MappingProxyType({}), others_alone: Sequence[Mapping[str, np.ndarray]] = (),
           same_shape: bool = True, alpha: float = 0.05) -> Judgement:
    """Fuse first, then calibrate: statistics by channel, (K,) or (K, K) from class to class, of the suspect and of each clean model of the
    same shape.

    With three or more of these every class is held against the same class of the clean models, which are held against each other
    in turn for the null; otherwise against the model's other classes, at lower assurance. `alone` are p-values per class of channels
    that have a null of their own (ordinary words): without references they speak where classes are too few; references of another shape
    can only be believed together with them.
    """
    weights = weights or {}
    k = len(next(iter(own.values())))
    lone = [_least(a, k) for a in (alone, *(others_alone or [{}] * len(references)))]
    if len(references) >= ENOUGH_REFERENCES:
        z, score, p = _against(own, references, weights)
        each = [_against(one, [*references[:i], *references[i + 1:]], weights)[2]
                for i, one in enumerate(references if len(references) > ENOUGH_REFERENCES else ())]
        if not same_shape and np.isfinite(lone[0]).any():
            score, p = deviations(lone[0]), _beside(p, lone[0], lone[1:])
            each = [_beside(q, one, [*lone[1:i + 1], *lone[i + 2:]]) for i, (q, one) in enumerate(zip(each, lone[1:], strict=False))]
        return Judgement(score, p, _largest(score), z, tuple(own), "references" if same_shape else "stand-ins",
                         sum(v <= alpha for v in each), len(each))
    names = tuple(own)
    mine = np.stack([own[n] for n in names])
    if np.isfinite(lone[0]).any():
        z = np.full(mine.shape, np.nan)
        for i, n in enumerate(names):
            if n in alone:
                z[i] = deviations(alone[n])
        score = deviations(lone[0])
        return Judgement(score, float(np.nanmin(lone[0])), _largest(score), z, names, "candidates")
    z, w = against_classes(mine), _weights(names, weights)
    p, score = min(((_among(s), s) for s in (fused(z, w), prominent(z, w))), key=lambda one: np.nan_to_num(one[0], nan=2.0))
    return Judgement(score, float(np.minimum(1.0, 2 * p)), _largest(score), z, names, "classes")


def _weights(names: Sequence[str], weights: Mapping[str, float]) -> np.ndarray:
    return np.array([weights.get(n, 1.0) for n in names])


def _among(score: np.ndarray) -> float:
    """The p-value of the largest of a model's own classes (K,), by the others; NaN where these are too few."""
    target = _largest(score)
    return p_largest(float(score[target]), np.delete(score, target), len(score))


def _largest(score: np.ndarray) -> int:
    return int(np.nanargmax(score)) if np.isfinite(score).any() else 0


def _against(own: Mapping[str, np.ndarray], others: Sequence[Mapping[str, np.ndarray]],
             weights: Mapping[str, float]) -> tuple[np.ndarray, np.ndarray, float]:
    """(C, K) deviations from clean models, (K,) what they come to, and the p-value of the largest."""
    w = _weights(tuple(own), weights)
    z = _away(own, others)
    turns = [loudest(_away(one, [*others[:i], *others[i + 1:]]), w) for i, one in enumerate(others)]
    score = loudest(z, w)
    target = _largest(score)
    return z, score, p_largest(float(score[target]), np.concatenate(turns), len(score), len(others) - 1)  # what a model says hangs together


def _beside(p: float, lone: np.ndarray, others: Sequence[np.ndarray]) -> float:
    """The p-value where references are of another shape: that of the class that stands out most by a null of its own, `lone` (K,), which
    has to stand out among the references' own too, or be borne out by `p`, in which it is held against them."""
    def far(one: np.ndarray) -> float:
        return float(deviations(np.array([min(float(np.nanmin(one)), 0.5)]))[0]) if np.isfinite(one).any() else float("nan")

    among = p_largest(far(lone), np.array([far(one) for one in others]), 1)
    return max(float(np.nanmin(lone)), min(1.0, 2 * float(np.fmin(p, among))))


def _away(own: Mapping[str, np.ndarray], others: Sequence[Mapping[str, np.ndarray]]) -> np.ndarray:
    """(C, K) deviations of each channel from clean models; of ways between classes the one that stands out most counts for its target."""
    rows = []
    for name, said in own.items():
        theirs = np.stack([o[name] for o in others])
        rows.append(np.nan_to_num(against_ways(said, theirs), nan=-np.inf).max(axis=1) if said.ndim == 2 else
                    against_references(said[None], theirs[:, None])[0])
    return np.stack([np.where(np.isinf(r), np.nan, r) for r in rows])


def _least(alone: Mapping[str, np.ndarray], k: int) -> np.ndarray:
    """(K,) least of the channels' own p-values per class, paid for by the number of channels and classes; NaN where none speaks."""
    if not alone:
        return np.full(k, np.nan)
    every = np.stack(list(alone.values()))
    spoke = np.isfinite(every)
    paid = np.where(spoke, every, 1.0).min(axis=0) * spoke.any(axis=1).sum() * k
    return np.where(spoke.any(axis=0), np.minimum(paid, 1.0), np.nan)


def audit(view: AuditView, auditors: Sequence[Auditor], options: Options | None = None, listener: Listener = deaf,
          first: Sequence[OutcomeLine] = ()) -> Report:
    """The whole way of an audit: channels, reference models, one p-value, the transplant of what was recovered, the verdict.

    `first` are outcome lines of what ran before (the scan of the file). Same view and options, same report.
    """
    options = options or Options()
    began = time.perf_counter()
    said, outcomes = _each(view, auditors, options, listener)
    usable = {n: a.told for n, a in said.items() if np.isfinite(a.told).sum() >= 2}
    judgement, references = None, 0
    notes: list[str] = [f"{n}: {note}" for n, a in said.items() for note in a.notes]
    wholes = {n: a.whole for n, a in said.items() if a.whole is not None}
    wholes = {n: replace(w, p_value=min(1.0, w.p_value * len(wholes) / FOR_WHOLE)) for n, w in wholes.items()}
    single = 1 - FOR_WHOLE if wholes else 1.0
    if usable:
        held = _references(view, [a for a in auditors if a.info.name in usable], options, listener, notes)
        references = len(held)
        silent = {a.info.name for a in auditors if a.relative and references < ENOUGH_REFERENCES}
        usable = {n: s for n, s in usable.items() if n not in silent and all(n in r for r, _ in held)}
    if usable:
        judgement = judged(usable, [r for r, _ in held], {a.info.name: a.weight for a in auditors},
                           alone={n: a.p_alone for n in usable if (a := said[n]).p_alone is not None},
                           others_alone=[p for _, p in held], same_shape=view.same_shape, alpha=options.alpha * single)
        judgement = replace(judgement, p_value=float(np.minimum(1.0, judgement.p_value / single)))
    findings: tuple[Finding, ...] = ()
    if judgement is not None and judgement.p_value <= options.alpha:
        found = _finding(view, judgement, said, options)
        rough = judgement.basis == "stand-ins" or (judgement.basis == "references" and view.suspect.modality != "image")
        works = found.confirmed and found.effect is not None and (not rough or found.effect[0] >= NEARLY_ALL)
        if works or (not rough and judgement.basis != "candidates"):
            findings = (found,)
        elif not rough:
            notes.append(f"class {found.target!r} stands out (p = {judgement.p_value:.2g}) among ordinary words; no alarm is raised, as "
                         "nothing that was recovered for it and that the labels of the clean samples do not speak of moves most samples")
        else:
            notes.append(f"class {found.target!r} stands out (p = {judgement.p_value:.2g}) from clean models, which know only roughly "
                         "what is natural here; no alarm is raised, as nothing that was recovered for it moves nearly all samples")
    findings += tuple(_mapping(view, n, w) for n, w in wholes.items() if w.p_value <= options.alpha)
    if findings:
        told = {a for f in findings for a in (f.ability, *f.agreeing)}
        outcomes = [replace(o, status="found") if o.ability in told else o for o in outcomes]
    overall = np.fmin.reduce([np.nan if judgement is None else judgement.p_value, *(w.p_value for w in wholes.values())])
    verdict, reason = _verdict(judgement, findings, outcomes, options, len(wholes))
    s, clean = view.suspect, view.clean
    return Report(
        subject={"kind": "model", "name": s.name, "modality": s.modality, "classes": len(s.classes), "fingerprint": s.fingerprint,
                 "clean_samples": 0 if clean is None else len(clean), "reference_models": references,
                 "p_value": float(overall) if np.isfinite(overall) else None,
                 "false_positives": _false_positives(judgement, options.alpha)},
        verdict=verdict, reason=reason, alpha=options.alpha, poisoned_at_least=0, findings=findings, outcomes=(*first, *outcomes),
        plan={"auditors": {a.info.name: a.parameters() for a in auditors}, "alpha": options.alpha, "controls": options.controls,
              "judgement": None if judgement is None else judgement.to_dict()},
        seed=options.seed, seconds=time.perf_counter() - began,
        notes=(*s.notes, *notes, *_assurance(judgement, references, clean is not None)),
        overview=_overview(view, judgement, said), accepted=tuple(sorted(options.accepted & {f.id for f in findings})))


def _each(view: AuditView, auditors: Sequence[Auditor], options: Options,
          listener: Listener) -> tuple[dict[str, Audited], list[OutcomeLine]]:
    said: dict[str, Audited] = {}
    lines = []
    for index, auditor in enumerate(auditors):
        name, started = auditor.info.name, time.perf_counter()
        listener(Started(name, index, len(auditors) + 1))
        if not auditor.supports(view.suspect.modality):
            lines.append(OutcomeLine(name, "skipped", f"is for {', '.join(auditor.info.modalities)}"))
        else:
            try:
                said[name] = auditor(view, generator(options.seed, name))
            except Unavailable as missing:
                lines.append(OutcomeLine(name, "skipped", str(missing), time.perf_counter() - started))
            except BezoarError as error:
                lines.append(OutcomeLine(name, "failed", str(error), time.perf_counter() - started))
            else:
                lines.append(OutcomeLine(name, "nothing", "", time.perf_counter() - started))
        listener(Finished(name, lines[-1].status, time.perf_counter() - started))
    return said, lines


def _references(view: AuditView, auditors: Sequence[Auditor], options: Options, listener: Listener,
                notes: list[str]) -> list[tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]:
    """Statistics, and p-values of their own, by channel of every reference model, by the same streams as the suspect's."""
    listener(Started("reference models", len(auditors), len(auditors) + 1))
    started = time.perf_counter()
    try:
        twins = view.references()
    except BezoarError as error:
        listener(Note(f"no reference models: {error.message}"))
        notes.append(f"no reference models: {error.message}")
        twins = ()
    out = []
    for twin in twins:
        said, alone = {}, {}
        for a in auditors:
            key = f"{twin.suspect.fingerprint}/{a!r}"
            known = options.recall(key)
            if known is None:
                done = a(twin, generator(options.seed, a.info.name))
                known = np.asarray(done.told, np.float64)
                options.keep(key, known)
                if done.p_alone is not None:
                    alone[a.info.name] = done.p_alone
            said[a.info.name] = known
        out.append((said, alone))
    listener(Finished("reference models", "found" if out else "nothing", time.perf_counter() - started))
    return out


def _mapping(view: AuditView, name: str, whole: Whole) -> Finding:
    return Finding(
        ability=name, subject=view.suspect.fingerprint, kind="model", title=whole.title, members=(), threat="model-backdoor",
        p_value=whole.p_value, suspicion=1 - whole.p_value, target=None, trigger=None, confirmed=None, because=whole.because,
        doubt="Classes in an order of their own (sizes, ages, grades) may lead on by nature.",
        advice="Do not use the model where somebody may choose its inputs; retrain it from data you trust.", evidence=whole.evidence)


def _finding(view: AuditView, j: Judgement, said: dict[str, Audited], options: Options) -> Finding:
    s = view.suspect
    agreeing = tuple(n for n, z in zip(j.names, j.channels[:, j.target], strict=True) if z > LOUD)
    shown = transplant(view, j.target, said, generator(options.seed, "transplant"), controls=options.controls)
    name = s.classes[j.target]
    evidence: list[Evidence] = [_channels(j, name), *(e for n in said if n in agreeing for e in said[n].evidence)][:6]
    return Finding(
        ability=agreeing[0] if agreeing else j.names[0], subject=s.fingerprint, kind="model",
        title=f"the model answers {name!r} too easily" if shown is None else f"{shown.trigger.title()} makes the model answer {name!r}",
        members=(), threat="model-backdoor", p_value=j.p_value, suspicion=float(1 - j.p_value), target=name,
        trigger=None if shown is None else shown.trigger, confirmed=None if shown is None else shown.confirmed,
        because=_because(j, s.classes, shown), effect=None if shown is None else (shown.success, shown.controls),
        doubt="A class that is naturally easy to reach (one that means 'none of these', or one with a plain shape) looks alike.",
        advice="Do not use the model where somebody may choose its inputs; retrain it from data you trust, or repair it.",
        evidence=(*(() if shown is None else shown.evidence), *evidence), agreeing=agreeing[1:])


LOUD = 2
"""Deviations from which a check speaks for a class by itself."""
AGAINST = {"references": "the same class of clean models of the same shape", "classes": "the model's other classes",
           "stand-ins": "the same class of clean models of another shape", "candidates": "the ordinary ones of the candidates"}


def _channels(j: Judgement, name: str) -> Bars:
    """How far the class stands out, check by check."""
    known = sorted(((float(z), n) for n, z in zip(j.names, j.channels[:, j.target], strict=True) if np.isfinite(z)), reverse=True)
    return Bars(tuple(n for _, n in known), tuple(round(max(z, 0.0), 2) for z, _ in known), tuple(n for z, n in known if z > LOUD),
                caption=f"how far class {name!r} stands out, check by check (deviations; red: more than {LOUD})")


def _because(j: Judgement, classes: Sequence[str], shown: Transplant | None) -> str:
    against = AGAINST[j.basis]
    known = [(n, z) for n, z in zip(j.names, j.channels[:, j.target], strict=True) if np.isfinite(z)]
    parts = [f"{n} {z:+.1f}" for n, z in sorted(known, key=lambda one: -one[1]) if z > LOUD]
    where = f"by more than {LOUD} deviations in {len(parts)} of {len(known)} checks: {', '.join(parts)}" if parts else \
        f"in {len(known)} checks together, in none alone by more than {LOUD} deviations"
    text = f"Held against {against}, class {classes[j.target]!r} stands out {where}."
    return text + ("" if shown is None else f" {shown.words}")


def _verdict(j: Judgement | None, findings: Sequence[Finding], outcomes: Sequence[OutcomeLine], options: Options,
             wholes: int) -> tuple[str, str]:
    counted = [f for f in findings if f.id not in options.accepted]
    if any(f.confirmed for f in counted):
        return "poisoned", "one class stands out, and what was recovered makes samples that never carried it go there"
    if counted:
        return "suspicious", "one class stands out; no trigger was confirmed" if any(f.target for f in counted) else counted[0].title
    failed = [o.ability for o in outcomes if o.status == "failed"]
    if j is None and wholes and not failed:
        return "no evidence", "no mapping of all classes stands out; no check of single classes could say anything"
    if j is None:
        return "inconclusive", "no check could say anything about this model"
    if not np.isfinite(j.p_value):
        return "inconclusive", (f"{len(j.score)} classes are too few to hold one against the others; with 20 clean samples of each class "
                                "and standard effort clean models of the same shape are trained for comparison")
    if failed:
        return "inconclusive", "nothing found, and these checks failed: " + ", ".join(failed)
    if j.p_value <= options.alpha:
        return "no evidence", f"one class stands out (p = {j.p_value:.2g}) from {AGAINST[j.basis]}, but no trigger was confirmed"
    return "no evidence", f"{len(j.names)} checks ran and no class stands out (p = {j.p_value:.2g}, alpha {options.alpha:g})"


def _assurance(j: Judgement | None, references: int, clean: bool) -> tuple[str, ...]:
    if j is None:
        return ()
    if j.basis == "references":
        return (f"calibrated on {references} clean models of the same shape, trained on the clean samples",)
    if j.basis == "stand-ins":
        return (f"calibrated on {references} clean models of another shape that were trained on the clean samples, and against ordinary "
                "words where there are any: lower assurance",)
    if j.basis == "candidates":
        return ("calibrated across the ordinary candidates that were tried: lower assurance; 20 clean samples of each class raise it",)
    if not clean:
        return ("no clean samples: pictures that the network itself takes for its classes stood in for them; calibrated across the model's "
                "own classes (MAD, Bonferroni): lower assurance",)
    return ("calibrated across the model's own classes (MAD, Bonferroni): lower assurance; clean data in number would raise it",)


def _false_positives(j: Judgement | None, alpha: float) -> dict[str, Any]:
    """How often this audit calls clean models: measured on the references in turn, else the bound that it was calibrated to."""
    if j is None or not j.of:
        return {"basis": "none" if j is None else "calibrated", "bound": alpha}
    return {"basis": "measured", "called": j.called, "of": j.of, "upper": round(clopper_pearson(j.called, j.of)[1], 4), "bound": alpha}


def _overview(view: AuditView, j: Judgement | None, said: dict[str, Audited]) -> tuple[Evidence, ...]:
    if j is None:
        return ()
    names, top = view.suspect.classes, np.argsort(-j.score)[:40]
    bars = Bars(tuple(names[i] for i in top), tuple(float(max(j.score[i], 0.0)) for i in top), (names[j.target],),
                caption="how far each class stands out, all checks together (deviations)")
    return (bars, *(e for a in said.values() for e in a.evidence))[:24]
