"""The answer of a run: schema, verdict, findings, scores, what ran and what did not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bezoar.core.evidence import Evidence, evidence_from_dict, evidence_to_dict
from bezoar.core.finding import Finding

SCHEMA = "bezoar.report/1"
VERDICTS = ("poisoned", "suspicious", "no evidence", "inconclusive")


@dataclass(frozen=True)
class OutcomeLine:
    """What became of one ability: found | nothing | skipped | failed."""

    ability: str
    status: str
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Sensitivity:
    """The smallest poison of a family that this run would have found, with an interval, in samples."""

    family: str
    smallest_count_found: int | None
    interval: tuple[int, int] | None = None
    basis: str = ""
    """How it was obtained: 'analytic bound', 'planted canaries'."""


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """One row per sample; `channels` maps a detector to its (n,) suspicion in [0, 1], NaN = could not say."""

    ids: np.ndarray
    labels: np.ndarray
    suspicion: np.ndarray
    p_value: np.ndarray
    flagged: np.ndarray
    finding: np.ndarray
    channels: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Report:
    """Everything a run has to say. Renderers turn it into files; `scores` goes to `scores.parquet`."""

    subject: dict[str, Any]
    verdict: str
    alpha: float
    poisoned_at_least: int
    findings: tuple[Finding, ...]
    outcomes: tuple[OutcomeLine, ...]
    sensitivity: tuple[Sensitivity, ...] = ()
    plan: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    seed: int = 0
    seconds: float = 0.0
    reason: str = ""
    """Why the verdict is what it is, one sentence."""
    notes: tuple[str, ...] = ()
    unreadable: tuple[tuple[str, str], ...] = ()
    overview: tuple[Evidence, ...] = ()
    """Plots of the whole run: score histograms, the map, spectra, per-source bars."""
    accepted: tuple[str, ...] = ()
    """Ids of findings that a baseline file accepts; they are shown and do not count for the gate."""
    scores: ScoreTable | None = None

    @property
    def counted(self) -> tuple[Finding, ...]:
        """Findings that count for verdict and gate: neither advisory nor accepted."""
        return tuple(f for f in self.findings if not f.advisory and f.id not in self.accepted)

    @property
    def gaps(self) -> tuple[OutcomeLine, ...]:
        """Abilities that failed."""
        return tuple(o for o in self.outcomes if o.status == "failed")

    def to_dict(self) -> dict[str, Any]:
        """The JSON form, `bezoar.report/1`; see the published JSON Schema."""
        return {
            "schema": SCHEMA, "subject": self.subject, "verdict": self.verdict, "reason": self.reason,
            "alpha": self.alpha, "poisoned_at_least": self.poisoned_at_least,
            "findings": [f.to_dict() for f in self.findings],
            "sensitivity": [{"family": s.family, "smallest_count_found": s.smallest_count_found,
                             "interval": list(s.interval) if s.interval else None, "basis": s.basis}
                            for s in self.sensitivity],
            "outcomes": [{"ability": o.ability, "status": o.status, "reason": o.reason, "seconds": round(o.seconds, 3)}
                         for o in self.outcomes],
            "accepted": list(self.accepted), "notes": list(self.notes),
            "unreadable": [{"id": i, "reason": r} for i, r in self.unreadable],
            "overview": [evidence_to_dict(e) for e in self.overview],
            "plan": self.plan, "environment": self.environment, "seed": self.seed, "seconds": round(self.seconds, 3)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Report:
        """The inverse of `to_dict`, without scores. Raises ValueError on another schema."""
        if data.get("schema") != SCHEMA:
            raise ValueError(f"not a {SCHEMA} document: {data.get('schema')!r}")
        return cls(
            subject=data["subject"], verdict=data["verdict"], alpha=data["alpha"],
            poisoned_at_least=data["poisoned_at_least"],
            findings=tuple(Finding.from_dict(f, data["subject"].get("fingerprint", "")) for f in data["findings"]),
            outcomes=tuple(OutcomeLine(**o) for o in data["outcomes"]),
            sensitivity=tuple(Sensitivity(s["family"], s["smallest_count_found"],
                                          tuple(s["interval"]) if s["interval"] else None, s["basis"])
                              for s in data["sensitivity"]),
            plan=data["plan"], environment=data["environment"], seed=data["seed"], seconds=data["seconds"],
            reason=data["reason"], notes=tuple(data["notes"]),
            unreadable=tuple((u["id"], u["reason"]) for u in data["unreadable"]),
            overview=tuple(evidence_from_dict(e) for e in data["overview"]), accepted=tuple(data["accepted"]))
