"""Inputs that somebody asks about: which of them carry a trigger of this model, and what in them decides?

Each input gets a conformal p-value against trusted samples: from the layers of the network where it is seen (the filter of `guard`), and
from answers alone: how firmly the answer is kept in mixtures (STRIP), how much of it one word or cell takes away. The share of clean
inputs that are flagged is held by construction where these are like the trusted ones. Fails for inputs of another origin, which are
flagged as well, and for triggers that a mixture breaks in a black box.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from bezoar.core.audit import AuditView
from bezoar.core.dataset import Dataset
from bezoar.core.errors import BezoarError, UsageError
from bezoar.core.evidence import Bars, Evidence
from bezoar.core.finding import Finding
from bezoar.core.inputs import Images, Inputs, Texts
from bezoar.core.model_repair import Samples
from bezoar.core.report import OutcomeLine, Report
from bezoar.core.strip import deciding, hangs, stays
from bezoar.material import on_processor, rows
from bezoar.maths.conformal import conformal_p

NAME = "given-inputs"
RATE = 0.01
"""Share of clean inputs that is flagged, where there are trusted samples enough to show so little."""
MIXES = 12
LEAST = 20
"""Trusted samples that are needed."""
SHOWN = 6


@dataclass(frozen=True, eq=False)
class Looked:
    """(n,) p-values and calls of inputs; `rate` of clean ones is flagged; `p_value` that so many of the inputs were by chance."""

    p: np.ndarray
    calls: np.ndarray
    rate: float
    p_value: float

    @property
    def flagged(self) -> np.ndarray:
        return np.flatnonzero(self.p <= self.rate + 1e-12)


def look(view: AuditView, inputs: Dataset, rng: np.random.Generator) -> Looked:
    """Raises UsageError for another kind of data than the model reads, Unavailable without trusted samples."""
    from scipy.stats import betabinom

    suspect, trusted = view.suspect, view.samples()
    if inputs.modality != suspect.modality:
        raise UsageError(f"the inputs are {inputs.modality}, the model reads {suspect.modality}", advice="give inputs of its kind")
    if len(trusted) < LEAST:
        raise UsageError(f"{len(trusted)} trusted samples cannot say which inputs are odd; {LEAST} are needed", advice="give more --data")
    order = rng.permutation(len(trusted))
    bank, rest = trusted.take(order[:len(order) // 2]), trusted.take(order[len(order) // 2:])
    seed = int(rng.integers(1 << 31))

    def asked(x: Inputs) -> np.ndarray:
        """(channels, n) what answers alone say."""
        firm = stays(suspect, x, bank.inputs, MIXES, np.random.default_rng(seed))
        return np.stack([firm] if suspect.modality == "image" else [firm, hangs(suspect, x)])

    calls = suspect.predict(inputs.inputs).argmax(axis=1)
    if suspect.module is None or suspect.modality == "tabular":
        p, size = _least(asked(inputs.inputs), asked(rest.inputs)), len(rest)
    else:
        p, size = _filtered(view, trusted, inputs, lambda x: asked(x)[-1], rng)
    least = max(1, int(RATE * (size + 1)))
    rate, flagged = least / (size + 1), int((p <= least / (size + 1) + 1e-12).sum())
    return Looked(p, calls, rate, float(betabinom.sf(flagged - 1, len(p), least, size + 1 - least)) if flagged else 1.0)


def _least(found: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """(n,) p-values of the least of (channels, n) p-values, each against the same of the trusted samples (channels, m)."""
    m = reference.shape[1]
    each = np.stack([conformal_p(f, r) for f, r in zip(found, reference, strict=True)])
    own = np.stack([(conformal_p(r, r) * (m + 1) - 1) / m for r in reference])
    return conformal_p(-_ordered(each), -_ordered(own))


def _ordered(p: np.ndarray) -> np.ndarray:
    return np.asarray(p.min(axis=0) + 1e-3 * np.exp(np.log(p).mean(axis=0)))


def _filtered(view: AuditView, trusted: Dataset, inputs: Dataset, kept: Callable[[Inputs], np.ndarray],
              rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """p-values of the filter that `guard` uses, with what answers alone say as one more of its channels."""
    from bezoar.networks.filtering import Filter

    suspect = view.suspect
    module, tensor = on_processor(suspect)
    assert trusted.labels is not None
    known = Samples(rows(suspect, trusted), trusted.labels.codes)
    watch = Filter(module, tensor, known, rng,
                   match=lambda x: kept(Images.of(x) if suspect.modality == "image" else Texts(x)))
    return watch.p_values(rows(suspect, inputs))[1], len(known) - len(known) // 2


def told(report: Report, view: AuditView, inputs: Dataset, rng: np.random.Generator, alpha: float) -> Report:
    """The report with what the inputs say: a line, a finding where more of them are odd than chance explains, and what decides them."""
    try:
        seen = look(view, inputs, rng)
    except UsageError:
        raise
    except BezoarError as error:
        return replace(report, outcomes=(*report.outcomes, OutcomeLine(NAME, "skipped", str(error))))
    odd = seen.flagged[np.argsort(seen.p[seen.flagged], kind="stable")]
    facts = {"given": len(inputs), "flagged": len(odd), "rate": seen.rate, "p_value": seen.p_value}
    said = (f"{len(odd):,} of {len(inputs):,} inputs are as odd in the network, or keep to their answer as firmly, as 1 of "
            f"{round(1 / seen.rate)} trusted samples is")
    report = replace(report, subject={**report.subject, "inputs": facts})
    if seen.p_value > alpha:
        return replace(report, outcomes=(*report.outcomes, OutcomeLine(NAME, "nothing", said)))
    finding = _finding(view, inputs, seen, odd, said)
    verdict, reason = report.verdict, report.reason
    if verdict not in ("poisoned", "suspicious"):
        verdict, reason = "suspicious", f"{len(odd):,} of the given inputs look as if they carried a trigger"
    return replace(report, verdict=verdict, reason=reason, findings=(*report.findings, finding),
                   outcomes=(*report.outcomes, OutcomeLine(NAME, "found", said)))


def _finding(view: AuditView, inputs: Dataset, seen: Looked, odd: np.ndarray, said: str) -> Finding:
    suspect = view.suspect
    counts = np.bincount(seen.calls[odd], minlength=len(suspect.classes))
    target = suspect.classes[int(counts.argmax())]
    top = [int(c) for c in np.argsort(-counts, kind="stable")[:12] if counts[c]]
    bars = Bars(tuple(suspect.classes[c] for c in top), tuple(float(counts[c]) for c in top), (target,),
                caption="what the model answers to the inputs that look triggered")
    shown: tuple[Evidence, ...] = tuple(deciding(suspect, inputs.inputs, int(i), str(inputs.ids[i])) for i in odd[:SHOWN])
    return Finding(
        ability=NAME, subject=suspect.fingerprint, kind="model",
        title=f"{len(odd):,} of the given inputs look triggered, most for {target!r}",
        members=tuple(str(inputs.ids[i]) for i in odd), threat="model-backdoor", p_value=seen.p_value,
        suspicion=float(1 - seen.p_value), target=target, at_least=max(0, len(odd) - int(np.ceil(3 * seen.rate * len(inputs)))),
        because=f"{said}; {seen.rate * len(inputs):.1f} were expected by chance.",
        doubt="Inputs of another origin than the trusted samples look alike: compare what decides them.",
        advice="Keep these inputs from the model, look at what decides them, and audit the model with more trusted samples.",
        evidence=(bars, *shown))
