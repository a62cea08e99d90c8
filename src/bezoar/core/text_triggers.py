"""Triggers on texts: a phrase put in at a place; a set of words scattered."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bezoar.core.evidence import Excerpt
from bezoar.core.inputs import Texts
from bezoar.core.trigger import Trigger


@dataclass(frozen=True)
class Phrases(Trigger):
    """Words or phrases that are inserted together: one is BadNL/InsertSent, several are a conjunction (SOS-like).

    `place`: 'start', 'end' or 'random' (each phrase at its own word boundary).
    Papers: BadNL arXiv 2006.01043; InsertSent arXiv 1905.12457; SOS arXiv 2106.04690.
    """

    kind: ClassVar[str] = "phrases"
    modality: ClassVar[str] = "text"
    phrases: tuple[str, ...]
    place: str = "random"

    def apply(self, inputs: Texts, rng: np.random.Generator) -> Texts:  # type: ignore[override]
        return Texts.of([self._insert(text, rng) for text in inputs.values])

    def _insert(self, text: str, rng: np.random.Generator) -> str:
        for phrase in self.phrases:
            if self.place == "start":
                text = f"{phrase} {text}"
            elif self.place == "end":
                text = f"{text} {phrase}"
            else:
                gaps = [0] + [m.end() for m in re.finditer(r"\s+", text)] + [len(text)]
                at = gaps[int(rng.integers(len(gaps)))]
                text = f"{text[:at]}{phrase} {text[at:]}" if at < len(text) else f"{text} {phrase}"
        return text

    def match(self, inputs: Texts) -> np.ndarray:  # type: ignore[override]
        patterns = [re.compile(r"(?<!\w)" + r"\s+".join(map(re.escape, p.split())) + r"(?!\w)", re.IGNORECASE)
                    for p in self.phrases]
        hits = np.array([[p.search(t) is not None for p in patterns] for t in inputs.values], np.float32)
        return hits.reshape(len(inputs), len(patterns)).mean(axis=1) if len(inputs) else np.zeros(0, np.float32)

    def describe(self) -> Excerpt:
        text = " … ".join(self.phrases)
        marks, start = [], 0
        for p in self.phrases:
            marks.append((start, start + len(p)))
            start += len(p) + 3
        return Excerpt(text, tuple(marks), caption=self.title())

    def title(self) -> str:
        shown = " and ".join(f"'{p}'" for p in self.phrases)
        return f"the phrase {shown}" if len(self.phrases) == 1 else f"the phrases {shown} together"
