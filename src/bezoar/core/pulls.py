"""From one answer of a model back to the training samples that made it: what a trace of a prediction found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bezoar.core.evidence import Evidence


@dataclass(frozen=True)
class Pull:
    """One training sample. `share` in (0, 1] of all pull in its direction; `origin` its source, contributor and so on."""

    sample: str
    label: str
    share: float
    origin: dict[str, str]
    shown: Evidence

    def to_dict(self) -> dict[str, Any]:
        """JSON form, without the picture."""
        return {"sample": self.sample, "label": self.label, "share": self.share, "origin": self.origin}


@dataclass(frozen=True)
class Traced:
    """`called` with probability `chance`; samples that pulled there (`towards`) and away (`against`), strongest first.

    shares  for each origin column, and for the label, what part of the pull towards the answer came from each value
    model   in words: what was asked
    samples, name, fingerprint  of the data
    """

    called: str
    chance: float
    towards: tuple[Pull, ...]
    against: tuple[Pull, ...]
    shares: dict[str, dict[str, float]]
    model: str
    name: str
    samples: int
    fingerprint: str
    shown: Evidence
    notes: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """JSON form, without the pictures."""
        return {"schema": "bezoar.pulls/1", "called": self.called, "chance": self.chance, "towards": [p.to_dict() for p in self.towards],
                "against": [p.to_dict() for p in self.against], "shares": self.shares, "model": self.model, "name": self.name,
                "samples": self.samples, "fingerprint": self.fingerprint, "notes": list(self.notes)}
