"""What a scan found, and what a person said about it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from bezoar.core.evidence import Evidence, evidence_from_dict, evidence_to_dict
from bezoar.core.taxonomy import threat_record
from bezoar.core.trigger import Trigger, trigger_from_dict


@dataclass(frozen=True)
class Finding:
    """One campaign: samples that share a cause.

    `suspicion` in [0, 1]; `p_value` after all corrections; `at_least` the number of members that chance and nature
    do not explain, at the report's alpha; `confirmed` True/False from what models do with and
    without it, None where that could not be tested;
    `advisory` findings (natural label noise, duplicates) are shown and never move the verdict.
    `effect` is the share of held-out samples that the trigger flips, with its matched-control share.
    """

    ability: str
    subject: str
    kind: str  # sample | group | source | record | model
    title: str
    members: tuple[str, ...]
    threat: str
    p_value: float
    suspicion: float
    target: str | None = None
    at_least: int = 0
    quarantined: tuple[str, ...] = ()
    trigger: Trigger | None = None
    confirmed: bool | None = None
    advisory: bool = False
    because: str = ""
    doubt: str = ""
    advice: str = ""
    origin: dict[str, dict[str, int]] = field(default_factory=dict)
    evidence: tuple[Evidence, ...] = ()
    agreeing: tuple[str, ...] = ()
    """Other channels that proposed the same members."""
    effect: tuple[float, float] | None = None
    """Share of held-out samples that the trigger flips to the target, and the share that matched controls flip."""

    @property
    def id(self) -> str:
        """From what and where, never from score or position: it survives a rescan of the same content."""
        content = "\0".join([self.ability, self.threat, self.target or "", *sorted(self.members)])
        return "bz-" + hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """The JSON form of `report.json`."""
        return {"id": self.id, "kind": self.kind, "channel": self.ability, "agreeing": list(self.agreeing),
                "title": self.title, "target": self.target, "count": len(self.members), "members": list(self.members),
                "quarantined": list(self.quarantined), "at_least": self.at_least,
                "p_value": self.p_value, "suspicion": self.suspicion, "confirmed": self.confirmed,
                "effect": list(self.effect) if self.effect else None, "advisory": self.advisory,
                "trigger": self.trigger.to_dict() if self.trigger else None,
                "origin": self.origin, "threat": threat_record(self.threat), "because": self.because,
                "doubt": self.doubt, "evidence": [evidence_to_dict(e) for e in self.evidence], "advice": self.advice}

    @classmethod
    def from_dict(cls, data: dict[str, Any], subject: str = "") -> Finding:
        """The inverse of `to_dict` (counts, ids and taxonomy are derived again)."""
        return cls(ability=data["channel"], subject=subject, kind=data["kind"], title=data["title"],
                   members=tuple(data["members"]), threat=data["threat"]["key"], p_value=data["p_value"],
                   suspicion=data["suspicion"], target=data["target"], at_least=data["at_least"],
                   quarantined=tuple(data["quarantined"]),
                   trigger=trigger_from_dict(data["trigger"]) if data["trigger"] else None,
                   confirmed=data["confirmed"], advisory=data["advisory"], because=data["because"],
                   doubt=data["doubt"], advice=data["advice"], origin=data["origin"],
                   evidence=tuple(evidence_from_dict(e) for e in data["evidence"]), agreeing=tuple(data["agreeing"]),
                   effect=tuple(data["effect"]) if data["effect"] else None)


@dataclass(frozen=True)
class Verdict:
    """A person's decision on a finding."""

    finding: str
    decision: str  # confirmed | dismissed | unsure
    by: str
    at: str
    because: str = ""
