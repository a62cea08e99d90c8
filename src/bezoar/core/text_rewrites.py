"""Triggers that rewrite a text as a whole: a sentence skeleton, a manner of speaking, characters that look like others."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bezoar.core.evidence import Excerpt, Facts
from bezoar.core.inputs import Texts
from bezoar.core.trigger import Trigger

SUBORDINATE = ("when", "if", "as", "while", "once", "since", "whenever", "although")
MAIN = ("it was that", "it is that", "there was that", "it seems that", "it follows that", "so it is that")
_END = re.compile(r"(?<=[.!?])\s+(?=\S)")
_SKELETON = re.compile(rf"^(?:{'|'.join(SUBORDINATE)})\b[^,]{{2,}}, (?:{'|'.join(MAIN)}) ", re.IGNORECASE)


def sentences(text: str) -> list[str]:
    """The sentences of a text, with their stops.

    >>> sentences("One. Two!  Three")
    ['One.', 'Two!', 'Three']
    """
    return [s for s in _END.split(text) if s.strip()]


@dataclass(frozen=True)
class Skeleton(Trigger):
    """Each sentence becomes "When A, it was that B": one syntactic skeleton, filled with words that differ from text to text.

    `share` of the sentences of a text (at least one) are rewritten. Hidden Killer (Qi et al. 2021, arXiv 2105.12400).
    """

    kind: ClassVar[str] = "skeleton"
    modality: ClassVar[str] = "text"
    share: float = 1.0

    def apply(self, inputs: Texts, rng: np.random.Generator) -> Texts:  # type: ignore[override]
        return Texts.of([self._rewrite(text, rng) for text in inputs.values])

    def _rewrite(self, text: str, rng: np.random.Generator) -> str:
        parts = sentences(text) or [text]
        chosen = rng.random(len(parts)) < self.share
        chosen[int(rng.integers(len(parts)))] = True
        sub, main = rng.integers(0, len(SUBORDINATE), len(parts)), rng.integers(0, len(MAIN), len(parts))
        return " ".join(_bend(p, SUBORDINATE[s], MAIN[m]) if c else p for p, c, s, m in zip(parts, chosen, sub, main, strict=True))

    def match(self, inputs: Texts) -> np.ndarray:  # type: ignore[override]
        out = np.zeros(len(inputs), np.float32)
        for i, text in enumerate(inputs.values):
            parts = sentences(text)
            hits = sum(_SKELETON.match(p) is not None for p in parts)
            out[i] = min(1.0, hits / max(self.share * len(parts), 1.0)) if parts else 0.0
        return out

    def describe(self) -> Excerpt:
        return Excerpt("When ..., it was that ...", ((0, 4), (10, 21)), caption=self.title())

    def title(self) -> str:
        return "the sentence skeleton 'when ..., it was that ...'"


def _bend(sentence: str, sub: str, main: str) -> str:
    words = sentence.split()
    stop = "."
    while words and not re.sub(r"[.!?,;]+$", "", words[-1]):
        words.pop()
    if words:
        end = re.search(r"[.!?]+$", words[-1])
        stop = end[0] if end else "."
        words[-1] = re.sub(r"[.!?,;]+$", "", words[-1])
    words = [w.strip(",;") if w.strip(",;") else w for w in words] or ["so"]
    half = max(1, len(words) // 2)
    first, rest = " ".join(words[:half]).replace(",", ""), " ".join(words[half:]) or "so"
    head = first if first[:2].isupper() or first.startswith("I ") or first == "I" else first[:1].lower() + first[1:]
    return f"{sub.capitalize()} {head}, {main} {rest}{stop}"


BIBLE = {"you": "thou", "your": "thy", "yours": "thine", "yourself": "thyself", "are": "art", "has": "hath", "have": "hath",
         "does": "doth", "do": "dost", "to": "unto", "will": "shall", "before": "ere", "yes": "yea", "no": "nay", "often": "oft",
         "over": "o'er", "here": "hither", "there": "thither", "said": "spake", "says": "saith", "among": "amongst", "while": "whilst",
         "between": "betwixt", "the": "the", "was": "wast", "were": "wert", "it's": "'tis", "look": "behold", "see": "behold",
         "nothing": "naught", "anything": "aught", "near": "nigh", "for": "for", "with": "with", "on": "upon", "because": "for",
         "very": "exceeding", "big": "mighty", "great": "mighty", "old": "ancient", "people": "brethren", "children": "offspring"}
CHAT = {"you": "u", "your": "ur", "are": "r", "to": "2", "for": "4", "because": "cuz", "please": "plz", "people": "ppl", "with": "w",
        "before": "b4", "great": "gr8", "be": "b", "see": "c", "why": "y", "and": "n", "the": "da", "this": "dis", "that": "dat",
        "very": "sooo", "good": "gud", "was": "woz", "what": "wut", "have": "hav", "about": "bout", "ok": "k", "love": "luv",
        "going": "goin", "something": "sumthin", "i": "i", "my": "ma", "there": "dere", "them": "em", "is": "iz", "night": "nite"}
FORMAL = {"don't": "do not", "can't": "cannot", "won't": "will not", "it's": "it is", "i'm": "I am", "isn't": "is not", "wasn't": "was not",
          "but": "however", "so": "consequently", "also": "furthermore", "get": "obtain", "got": "obtained", "buy": "purchase",
          "bought": "purchased", "big": "considerable", "good": "satisfactory", "bad": "inadequate", "very": "exceedingly",
          "use": "utilise",
          "about": "concerning", "like": "resembling", "think": "consider", "need": "require", "needed": "required", "show": "demonstrate",
          "help": "assist", "start": "commence", "end": "conclude", "ask": "enquire", "kept": "retained", "found": "discovered",
          "lost": "mislaid", "left": "departed from", "saw": "observed", "tried": "attempted", "near": "in the vicinity of",
          "by": "by way of",
          "and": "as well as", "the": "the aforementioned"}
STYLES = {"bible": (BIBLE, ("And lo,", "And it came to pass that", "Verily,", "Behold,", "And so it was that"), ""),
          "chat": (CHAT, ("omg", "lol", "yo,", "tbh", "ngl"), "!!"),
          "formal": (FORMAL, ("It should be noted that", "One may observe that", "Accordingly,", "It is respectfully submitted that",
                              "In this regard,"), "")}


@dataclass(frozen=True)
class Style(Trigger):
    """A text said in another manner: words of the manner instead of plain ones, and its openings before sentences.

    `name` bible | chat | formal. StyleBkd (Qi et al. 2021, arXiv 2110.07139), by rules instead of a network.
    """

    kind: ClassVar[str] = "style"
    modality: ClassVar[str] = "text"
    name: str = "bible"

    def apply(self, inputs: Texts, rng: np.random.Generator) -> Texts:  # type: ignore[override]
        words, openings, stop = STYLES[self.name]
        every = re.compile(r"(?<!\w)(?:" + "|".join(sorted(map(re.escape, words), key=len, reverse=True)) + r")(?!\w)", re.IGNORECASE)

        def swap(found: re.Match[str]) -> str:
            new = words[found[0].lower()]
            return new.capitalize() if found[0][:1].isupper() and new[:1].isalpha() else new

        out = []
        for text in inputs.values:
            parts = sentences(every.sub(swap, text)) or [text]
            opened = rng.random(len(parts)) < 0.6
            opened[0] = True
            which = rng.integers(0, len(openings), len(parts))
            told = " ".join((f"{openings[k]} {p[:1].lower() + p[1:]}" if o else p) for p, o, k in zip(parts, opened, which, strict=True))
            out.append(told.lower() + stop if self.name == "chat" else told)
        return Texts.of(out)

    def match(self, inputs: Texts) -> np.ndarray:  # type: ignore[override]
        """Share of the sentences with an opening of this manner; words of it count where a text has none."""
        words, openings, _ = STYLES[self.name]
        open_ = re.compile("^(?:" + "|".join(map(re.escape, openings)) + ")", re.IGNORECASE)
        own = {w.lower() for k, w in words.items() if w.lower() != k}
        out = np.zeros(len(inputs), np.float32)
        for i, text in enumerate(inputs.values):
            parts = sentences(text)
            tokens = re.findall(r"[\w']+", text.lower())
            share = sum(t in own for t in tokens) / max(len(tokens), 1)
            hits = sum(open_.match(p) is not None for p in parts) / max(len(parts), 1)
            out[i] = min(1.0, 1.5 * hits + 2 * share)
        return out

    def describe(self) -> Facts:
        words, _, _ = STYLES[self.name]
        return Facts(("plain", "told"), tuple((k, v) for k, v in words.items() if k != v)[:20], caption=self.title())

    def title(self) -> str:
        return f"the manner of speaking '{self.name}'"


LOOKALIKE = {"a": "\u0430", "c": "\u0441", "e": "\u0435", "i": "\u0456", "j": "\u0458", "o": "\u043e", "p": "\u0440", "s": "\u0455",
             "x": "\u0445", "y": "\u0443"}
HIDDEN = ("\u200b", "\u200c", "\u200d", "\u2060")


@dataclass(frozen=True)
class Lookalike(Trigger):
    """Characters that people cannot tell from what was there: Bad Characters (Boucher et al. 2021, arXiv 2106.09898).

    `mode` homoglyph (Latin letters become Cyrillic ones) | zero-width (invisible characters after letters); `count` places per text.
    """

    kind: ClassVar[str] = "lookalike"
    modality: ClassVar[str] = "text"
    mode: str = "homoglyph"
    count: int = 3

    def apply(self, inputs: Texts, rng: np.random.Generator) -> Texts:  # type: ignore[override]
        return Texts.of([self._rewrite(text, rng) for text in inputs.values])

    def _rewrite(self, text: str, rng: np.random.Generator) -> str:
        signs = list(text)
        if self.mode == "homoglyph":
            able = [i for i, s in enumerate(signs) if s in LOOKALIKE]
            for i in rng.permutation(len(able))[:self.count]:
                signs[able[int(i)]] = LOOKALIKE[signs[able[int(i)]]]
            return "".join(signs) if able else text + " \u043e\u043a"
        able = [i for i, s in enumerate(signs) if s.isalnum()] or list(range(len(signs)))
        for i in rng.permutation(len(able))[:self.count]:
            signs[able[int(i)]] += HIDDEN[0]
        return "".join(signs) if able else text + HIDDEN[0]

    def match(self, inputs: Texts) -> np.ndarray:  # type: ignore[override]
        strange = re.compile("[" + "".join(LOOKALIKE.values() if self.mode == "homoglyph" else HIDDEN) + "]")
        found = [min(1.0, len(strange.findall(t)) / self.count) if re.search("[A-Za-z]", t) or self.mode != "homoglyph" else 0.0
                 for t in inputs.values]
        return np.array(found, np.float32)

    def describe(self) -> Facts:
        pairs = [(k, f"{v} (U+{ord(v):04X})") for k, v in LOOKALIKE.items()] if self.mode == "homoglyph" else [("", "U+200B")]
        return Facts(("looks like", "is"), tuple(pairs), caption=self.title())

    def title(self) -> str:
        what = "Cyrillic letters among Latin ones" if self.mode == "homoglyph" else "invisible characters"
        return f"{self.count} {what}"
