"""What a running engine tells whoever listens: frozen records, no printing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Started:
    """A step began; `steps` is how many there are in all."""

    step: str
    index: int
    steps: int


@dataclass(frozen=True, slots=True)
class Finished:
    """A step ended; `status` is the outcome's status."""

    step: str
    status: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Note:
    """One sentence for people (an inference that was made, a limit that was hit)."""

    text: str


Event = Started | Finished | Note
Listener = Callable[[Event], None]


def deaf(event: Event) -> None:
    """The listener that ignores everything."""
