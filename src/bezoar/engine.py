"""Runs detectors over a view and makes the report. Never prints, opens no file, knows no method by name."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bezoar.campaigns import Campaign, campaigns, completed
from bezoar.causes import Care, Causes
from bezoar.core.ability import Detector, Scores
from bezoar.core.chance import generator
from bezoar.core.errors import BezoarError, Unavailable
from bezoar.core.events import Finished, Listener, Note, Started, deaf
from bezoar.core.finding import Finding
from bezoar.core.report import OutcomeLine, Report, ScoreTable, Sensitivity
from bezoar.core.view import View
from bezoar.core.wording import many
from bezoar.findings import as_finding
from bezoar.maths.conformal import rank_p_within
from bezoar.maths.fuse import top_two
from bezoar.maths.multiple import holm
from bezoar.overview import overview

SMALLEST_SCAN = 30
"""Below this many samples no verdict is given."""


@dataclass(frozen=True)
class Options:
    """How to run. `alpha` is the family-wise error of findings, `fdr` that of the quarantine list; the rest of the numbers as in `Care`."""

    alpha: float = 0.01
    fdr: float = 0.05
    seed: int = 0
    workers: int = 2
    controls: int = 199
    most_confirmed: int = 20
    network: bool = False
    retrain: int = 0
    accepted: frozenset[str] = frozenset()
    recall: Callable[[str], Scores | None] = field(default=lambda key: None)
    """Gives back what an interrupted run had finished, by key."""
    keep: Callable[[str, Scores], None] = field(default=lambda key, scores: None)
    """Takes each finished detector's scores."""


def scan(view: View, detectors: Sequence[Detector], options: Options | None = None, listener: Listener = deaf,
         skipped: Sequence[OutcomeLine] = ()) -> Report:
    """The whole way of a scan: score, correct, group, lift, confirm, bound, judge. Same view and options, same report."""
    options = options or Options()
    began = time.perf_counter()
    scores, outcomes, interrupted = _score_all(view, detectors, options, listener)
    names = list(scores)
    listener(Started("campaigns", len(detectors), len(detectors) + 1))
    kin = [(name, g) for name, s in scores.items() for g in s.kin]
    found = completed([_aimed(c, view) for c in _campaigns(scores, options, len(view))], kin)
    causes = Causes(view, found, options.seed, Care(options.controls, options.most_confirmed, options.network, options.retrain))
    findings = tuple(as_finding(view, c, causes, options.alpha / max(len(found), 1), options.fdr) for c in found)
    table = _table(view, scores, findings, {d.info.name for d in detectors if d.info.fuses})
    outcomes = [*_corrected(outcomes, findings), *skipped]
    verdict, reason = judge(findings, outcomes, len(view), options, interrupted)
    listener(Finished("campaigns", "found" if findings else "nothing", time.perf_counter() - began))
    counted = [f for f in findings if not f.advisory and f.id not in options.accepted]
    dataset = view.dataset
    return Report(
        subject={"kind": "dataset", "name": dataset.name, "modality": dataset.modality, "samples": len(dataset),
                 "classes": 0 if dataset.labels is None else len(dataset.labels.classes), "fingerprint": dataset.fingerprint},
        verdict=verdict, reason=reason, alpha=options.alpha, poisoned_at_least=_bound(counted),
        findings=findings, outcomes=tuple(outcomes), sensitivity=_sensitivity(scores),
        plan={"detectors": {d.info.name: d.parameters() for d in detectors}, "alpha": options.alpha, "fdr": options.fdr,
              "controls": options.controls},
        seed=options.seed, seconds=time.perf_counter() - began,
        notes=(*dataset.notes, *dataset.declared, *(f"{k}: {note}" for k in names for note in scores[k].notes)),
        unreadable=dataset.unreadable, overview=(*overview(view, table), *(e for k in names for e in scores[k].overview)),
        accepted=tuple(sorted(options.accepted & {f.id for f in findings})), scores=table)


def _score_all(view: View, detectors: Sequence[Detector], options: Options,
               listener: Listener) -> tuple[dict[str, Scores], list[OutcomeLine], bool]:
    """Scores by detector name (in the order given), one outcome line each, and whether a person stopped the run."""
    from threadpoolctl import threadpool_limits

    done: dict[str, Scores] = {}
    lines: dict[str, OutcomeLine] = {}

    def run(detector: Detector, index: int) -> None:
        name = detector.info.name
        started = time.perf_counter()
        listener(Started(name, index, len(detectors) + 1))
        if not detector.supports(view.dataset.modality):
            lines[name] = OutcomeLine(name, "skipped", f"is for {', '.join(detector.info.modalities)}")
        elif (kept := options.recall(name)) is not None:
            done[name] = kept
            lines[name] = _line(name, kept, options.alpha, 0.0, "resumed")
        else:
            try:
                result = detector(view, generator(options.seed, name))
            except Unavailable as missing:
                lines[name] = OutcomeLine(name, "skipped", str(missing), time.perf_counter() - started)
            except BezoarError as error:
                lines[name] = OutcomeLine(name, "failed", str(error), time.perf_counter() - started)
            else:
                done[name] = result
                options.keep(name, result)
                lines[name] = _line(name, result, options.alpha, time.perf_counter() - started)
        listener(Finished(name, lines[name].status, time.perf_counter() - started))

    interrupted = False
    with threadpool_limits(limits=1):  # one thread inside, several beside each other: sums never change their order
        pool = ThreadPoolExecutor(max_workers=max(1, options.workers))
        longest_first = sorted(enumerate(detectors), key=lambda item: not {"signal", "atoms"} & set(item[1].info.needs))
        jobs: list[Future[None]] = [pool.submit(run, d, i) for i, d in longest_first]
        try:
            for job in jobs:
                job.result()
        except KeyboardInterrupt:
            interrupted = True
            listener(Note("stopping: what is finished is kept, the rest is skipped"))
            for job in jobs:
                job.cancel()
        pool.shutdown(wait=True)
    for d in detectors:
        lines.setdefault(d.info.name, OutcomeLine(d.info.name, "skipped", "stopped before it ran"))
    order = [d.info.name for d in detectors]
    return {k: done[k] for k in order if k in done}, [lines[k] for k in order], interrupted


def _line(name: str, result: Scores, alpha: float, seconds: float, how: str = "") -> OutcomeLine:
    """What a check that ran came to; one that could say nothing of any sample counts as skipped, with its own reason."""
    if result.notes and not result.groups and bool(np.isnan(result.suspicion).all()):
        return OutcomeLine(name, "skipped", result.notes[0], seconds)
    return OutcomeLine(name, "found" if any(g.p_value <= alpha for g in result.groups) else "nothing", how, seconds)


def _campaigns(scores: dict[str, Scores], options: Options, n: int) -> list[Campaign]:
    """Each detector has paid for its own search; here the family grows by the number of detectors that ran (Holm)."""
    proposals = [(name, g) for name, s in scores.items() for g in s.groups]
    if not proposals:
        return []
    best: dict[str, float] = {}
    for name, g in proposals:
        best[name] = min(best.get(name, 1.0), g.p_value)
    ran = sorted(scores)
    adjusted = holm(np.array([best.get(k, 1.0) for k in ran]))
    factor = {k: max(adjusted[i] / max(best.get(k, 1.0), 1e-300), 1.0) for i, k in enumerate(ran)}
    passed = [(name, g, min(1.0, g.p_value * factor[name])) for name, g in proposals]
    return campaigns([t for t in passed if t[2] <= options.alpha], n)


def _aimed(campaign: Campaign, view: View) -> Campaign:
    """A group that was found without labels, but whose members nearly all carry one label, has that label as its target."""
    group, labels = campaign.group, view.dataset.labels
    if group.target is not None or labels is None or not group.liftable or group.kind == "source":
        return campaign
    counts = np.bincount(labels.codes[group.members][labels.codes[group.members] >= 0], minlength=len(labels.classes))
    if counts.sum() < 3 or counts.max() < 0.9 * counts.sum():
        return campaign
    return replace(campaign, group=replace(group, target=int(counts.argmax())))


def _corrected(outcomes: Sequence[OutcomeLine], findings: Sequence[Finding]) -> list[OutcomeLine]:
    """A check "found" something only where a finding of its survives the correction for all the other checks."""
    named = {name for f in findings for name in (f.ability, *f.agreeing)}
    return [replace(o, status="nothing", reason="a group stood out alone, not among all checks")
            if o.status == "found" and o.ability not in named else o for o in outcomes]


def judge(findings: Sequence[Any], outcomes: Sequence[OutcomeLine], n: int, options: Options,
          interrupted: bool = False) -> tuple[str, str]:
    """The verdict and one sentence of reason. Never "clean"."""
    counted = [f for f in findings if not f.advisory and f.id not in options.accepted]
    causal = [f for f in counted if f.confirmed and f.at_least > 0]
    if causal:
        some = "the campaign" if len(counted) == 1 else f"{len(causal)} of {len(counted)} campaigns"
        return "poisoned", f"{some} beyond chance {_shown(causal, len(causal) == 1)}"
    if counted:
        return "suspicious", f"{len(counted)} campaign{'s' if len(counted) > 1 else ''} beyond chance, none confirmed as a cause"
    ran = [o for o in outcomes if o.status in ("found", "nothing")]
    if n < SMALLEST_SCAN:
        return "inconclusive", f"{many(n, 'sample')} {'is' if n == 1 else 'are'} too few: at least {SMALLEST_SCAN} are needed for a verdict"
    if interrupted:
        return "inconclusive", "the run was stopped before all checks had run"
    if not ran:
        return "inconclusive", "no check could run"
    failed = [o.ability for o in outcomes if o.status == "failed"]
    if failed:
        return "inconclusive", "nothing found, and these checks failed: " + ", ".join(failed)
    accepted = sum(not f.advisory for f in findings)
    said = f"found a campaign beside the {accepted} that you accepted" if accepted else "found a campaign"
    return "no evidence", f"{many(len(ran), 'check')} ran and none {said} at a family-wise error of {options.alpha:g}"


def _shown(causal: Sequence[Any], one: bool) -> str:
    lifted = sum(f.trigger is not None for f in causal)
    moves = f"{'moves' if one else 'move'} samples that never carried the trigger"
    taught = f"{'teaches' if one else 'teach'} a model the label of members that it never saw"
    return moves if lifted == len(causal) else taught if not lifted else f"{moves}, or {taught}"


def _bound(counted: Sequence[Any]) -> int:
    """Campaigns are disjoint, each bound holds at alpha / number of campaigns, so their sum holds at alpha."""
    return sum(f.at_least for f in counted if f.kind != "source")


def _sensitivity(scores: dict[str, Scores]) -> tuple[Sensitivity, ...]:
    best: dict[str, int] = {}
    for s in scores.values():
        for family, count in s.smallest.items():
            best[family] = min(best.get(family, count), count)
    return tuple(Sensitivity(family, count, None, "computed from the test itself, as if nothing were lost before it")
                 for family, count in sorted(best.items()))


def _table(view: View, scores: dict[str, Scores], findings: Sequence[Any], fused_ones: set[str]) -> ScoreTable:
    """Fused suspicion ranks within the class; `flagged` and `finding` come from the campaigns that passed."""
    n = len(view)
    labels = view.dataset.labels
    codes = np.zeros(n, np.int64) if labels is None else labels.codes
    columns = {k: np.asarray(s.suspicion, np.float64) for k, s in scores.items()}
    counted = [v for k, v in columns.items() if k in fused_ones] or list(columns.values())
    fused = top_two(np.column_stack(counted)) if counted else np.full(n, np.nan)
    row = {sample: i for i, sample in enumerate(view.dataset.ids)}
    flagged = np.zeros(n, bool)
    finding = np.full(n, "", object)
    lifted = np.where(np.isnan(fused), 0.0, fused)
    top = float(lifted.max(initial=0.0)) + 1.0
    for f in reversed(list(findings)):
        rows = np.array([row[m] for m in f.members], np.int64)
        finding[rows] = f.id
        if not f.advisory:
            lifted[rows] += top * (1.0 if f.kind != "source" else 0.0)
            flagged[[row[m] for m in f.quarantined]] = True
    p = rank_p_within(lifted, codes)
    text = np.array(["" if labels is None or c < 0 else labels.classes[c] for c in codes], object)
    return ScoreTable(view.dataset.ids, text, 1.0 - rank_p_within(lifted, np.zeros(n)), p, flagged, finding, columns)
