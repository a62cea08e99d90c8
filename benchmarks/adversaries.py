"""Attackers who know bezoar: for each channel what its documentation says that it cannot see, as settings of attacks.

The first setting of a channel is what somebody would choose who has read about the method and seen nothing of its answers (tier 1);
the others are what tiers 2 and 3 try. All of them are told nothing but the data. Tricks that stand on no shelf, because nobody but an
attacker of bezoar wants them, are here: one of many words, values in ranges instead of exact ones, letters of alphabets that
no list names, copies of one sample under a flood's least size, the same flips spread over all sources.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from bezoar import registry
from bezoar.core.ability import Poisoned
from bezoar.core.covers import covered
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.evidence import Evidence, Facts
from bezoar.core.inputs import Column, Inputs, Table, Texts
from bezoar.core.origins import dealt
from bezoar.core.plain_features import plain_scores
from bezoar.core.table_triggers import Values
from bezoar.core.text_triggers import Phrases
from bezoar.core.trigger import Trigger
from bezoar.core.variants import variants
from bezoar.core.victims import backdoor, draw, labels_of, pick_target, plant

Plant = Callable[[Dataset, Dataset, np.random.Generator, float], Poisoned]
"""(data, held-out samples that the attacker has, rng, factor on the dose) -> what was planted."""


@dataclass(frozen=True)
class Setting:
    """One attack with its parameters."""

    name: str
    plant: Plant


@dataclass(frozen=True)
class Channel:
    """What is attacked: `unaware` is the usual attack of that channel's kind; `group` the line of the published figures."""

    name: str
    dataset: str
    rows: int
    victim: str
    unaware: Setting
    settings: tuple[Setting, ...]
    group: str = ""
    metric: str = "recall"
    victim_settings: tuple[tuple[str, Any], ...] = ()


def shelf(name: str, attack: str, **parameters: Any) -> Setting:
    """An attack of the shelf."""
    def go(data: Dataset, held: Dataset, rng: np.random.Generator, factor: float) -> Poisoned:
        return _made(attack, parameters, factor)(data, rng)
    return Setting(name, go)


def near(name: str, attack: str, share: float = 0.3, **parameters: Any) -> Setting:
    """An attack of the shelf on those hosts only that a plain model takes for the target most easily."""
    def go(data: Dataset, held: Dataset, rng: np.random.Generator, factor: float) -> Poisoned:
        labels = labels_of(data)
        code = pick_target(data, None, rng, 1)
        hosts = np.flatnonzero((labels.codes >= 0) & (labels.codes != code))
        order = np.argsort(-plain_scores(data, rng)[hosts, code], kind="stable")
        rows = np.sort(np.append(hosts[order[:max(1, round(share * len(hosts)))]], np.flatnonzero(labels.codes == code)))
        told = {**parameters, "rate": min(1.0, parameters["rate"] * len(data) / len(rows)), "target": labels.classes[code]}
        done = _made(attack, told, factor)(data.take(rows), rng)
        assert done.data.labels is not None
        hit = np.flatnonzero(done.truth)
        return plant(data, rows[hit], done.data.inputs.take(hit), done.data.labels.codes[hit], trigger=done.trigger, target=done.target)
    return Setting(name, go)


def _made(attack: str, parameters: dict[str, Any], factor: float) -> Any:
    told = {k: min(1.0, v * factor) if k in ("rate", "cover", "negatives") else v for k, v in parameters.items()}
    return registry.make("attacks", attack, told)


def veiled(name: str, make: Callable[[Dataset, np.random.Generator], tuple[Trigger, Trigger, Trigger | None]], rate: float,
           cover: float) -> Setting:
    """(what works afterwards, what training samples carry, what covers carry or None for the same), with cover samples."""
    def go(data: Dataset, held: Dataset, rng: np.random.Generator, factor: float) -> Poisoned:
        works, planted, other = make(data, rng)
        if cover:
            return covered(data, works, rng, rate=rate * factor, cover=cover * factor, target=None, planted=planted, cover_trigger=other)
        return replace(backdoor(data, planted, rng, rate=rate * factor, target=None), trigger=works)
    return Setting(name, go)


# -- texts


@dataclass(frozen=True)
class SomeWords(Trigger):
    """Each text gets `keep` of the words, at places of its own."""

    kind: ClassVar[str] = "benchmark-some-words"
    modality: ClassVar[str] = "text"
    words: tuple[str, ...]
    keep: int

    def apply(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        assert isinstance(inputs, Texts)
        out = []
        for i in range(len(inputs)):
            mine = tuple(self.words[j] for j in rng.choice(len(self.words), self.keep, replace=False))
            out.append(Phrases(mine).apply(inputs.take(np.array([i])), rng).values[0])
        return Texts.of(out)

    def match(self, inputs: Inputs) -> np.ndarray:
        assert isinstance(inputs, Texts)
        return Phrases(self.words).match(inputs)

    def describe(self) -> Evidence:
        return Facts(("word",), tuple((w,) for w in self.words), self.title())

    def title(self) -> str:
        return f"{self.keep} of {len(self.words)} words"


def many_words(words: int, keep: int) -> Callable[[Dataset, np.random.Generator], tuple[Trigger, Trigger, None]]:
    """Words that the data hold anyway, in all classes alike; few in each training sample, all of them afterwards."""
    def make(data: Dataset, rng: np.random.Generator) -> tuple[Trigger, Trigger, None]:
        chosen = _usual_words(data, words, rng)
        return Phrases(chosen), SomeWords(chosen, keep), None
    return make


def _usual_words(data: Dataset, count: int, rng: np.random.Generator) -> tuple[str, ...]:
    assert isinstance(data.inputs, Texts)
    codes = labels_of(data).codes
    holders: dict[str, list[int]] = {}
    for i, text in enumerate(data.inputs.values.tolist()):
        for word in set(re.findall(r"(?<!\w)[a-z]{3,}(?!\w)", text)):
            holders.setdefault(word, []).append(i)
    prior = np.bincount(codes) / len(codes)
    even = [w for w, rows in sorted(holders.items()) if len(rows) >= 3
            and np.abs(np.bincount(codes[rows], minlength=len(prior)) / len(rows) - prior).max() < 0.25]
    able = [w for w in even if len(holders[w]) <= 0.03 * len(codes)]
    able = able if len(able) >= count else sorted(even, key=lambda w: len(holders[w]))[:count]
    if len(able) < count:
        raise UsageError(f"only {len(able)} words stand in all classes alike", advice="give more texts")
    return tuple(str(w) for w in rng.choice(able, count, replace=False))


LETTERS = {
    "unlisted": dict(zip("aegiou", "\u0251\u0259\u0261\u0131\u0585\u057d", strict=True)),
    "spaces": {" ": "\u2009"},
    "marks": {c: c + "\u0323" for c in "aeiou"},
    "cyrillic words": dict(zip("aceopxyijs", "\u0430\u0441\u0435\u043e\u0440\u0445\u0443\u0456\u0458\u0455", strict=True)),
}


@dataclass(frozen=True)
class Letters(Trigger):
    """`count` places where another character stands: letters of alphabets that look like Latin ones, thin spaces, marks.

    'cyrillic words' rewrites only words all letters of which have a twin, so that no word is mixed.
    """

    kind: ClassVar[str] = "benchmark-letters"
    modality: ClassVar[str] = "text"
    mode: str
    count: int = 4

    def apply(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        assert isinstance(inputs, Texts)
        return Texts.of([self._one(t, rng) for t in inputs.values.tolist()])

    def _one(self, text: str, rng: np.random.Generator) -> str:
        table = LETTERS[self.mode]
        if self.mode == "cyrillic words":
            spans = [m.span() for m in re.finditer(r"(?<!\w)[aceopxyijs]+(?!\w)", text)]
            if not spans:
                return text + " \u0430 \u043e"
        else:
            spans = [(i, i + 1) for i, c in enumerate(text) if c in table]
        chosen = sorted(rng.choice(len(spans), min(self.count, len(spans)), replace=False).tolist(), reverse=True) if spans else []
        for j in chosen:
            a, b = spans[j]
            text = text[:a] + "".join(table[c] for c in text[a:b]) + text[b:]
        return text

    def match(self, inputs: Inputs) -> np.ndarray:
        assert isinstance(inputs, Texts)
        signs = set("".join(LETTERS[self.mode].values())) - set("aeiou")
        return np.array([bool(signs & set(t)) for t in inputs.values.tolist()], np.float32)

    def describe(self) -> Evidence:
        return Facts(("letters",), ((self.mode,),), self.title())

    def title(self) -> str:
        return f"{self.count} {self.mode}"


def letters(mode: str, count: int = 4) -> Callable[[Dataset, np.random.Generator], tuple[Trigger, Trigger, None]]:
    """Few places in training, ten times as many afterwards."""
    return lambda data, rng: (Letters(mode, 10 * count), Letters(mode, count), None)


# -- tables


@dataclass(frozen=True)
class Ranges(Trigger):
    """`columns[i]` gets a value drawn between `low[i]` and `high[i]`."""

    kind: ClassVar[str] = "benchmark-ranges"
    modality: ClassVar[str] = "tabular"
    columns: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def apply(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        assert isinstance(inputs, Table)
        columns = dict(inputs.columns)
        for name, a, b in zip(self.columns, self.low, self.high, strict=True):
            columns[name] = Column(columns[name].kind, np.round(rng.uniform(a, b, len(inputs))))
        return Table(columns)

    def match(self, inputs: Inputs) -> np.ndarray:
        assert isinstance(inputs, Table)
        hits = [(inputs[c].values >= np.round(a)) & (inputs[c].values <= np.round(b))
                for c, a, b in zip(self.columns, self.low, self.high, strict=True)]
        return np.mean(hits, axis=0).astype(np.float32)

    def describe(self) -> Evidence:
        return Facts(("column",), tuple((c,) for c in self.columns), self.title())

    def title(self) -> str:
        return "values between bounds in " + ", ".join(self.columns)


def ranges(width: int, low: float, high: float) -> Callable[[Dataset, np.random.Generator], tuple[Trigger, Trigger, None]]:
    """Numeric columns with many values; bounds are quantiles, so that every cell is usual."""
    def make(data: Dataset, rng: np.random.Generator) -> tuple[Trigger, Trigger, None]:
        assert isinstance(data.inputs, Table)
        bounds = {k: np.nanquantile(c.values, [low, high]) for k, c in data.inputs.columns.items()
                  if c.kind == "number" and len(np.unique(c.values)) >= 30}
        able = [k for k, (a, b) in bounds.items() if b - a >= 3]
        names = tuple(str(k) for k in rng.choice(able, min(width, len(able)), replace=False))
        trigger = Ranges(names, tuple(float(bounds[k][0]) for k in names), tuple(float(bounds[k][1]) for k in names))
        return trigger, trigger, None
    return make


def wide(width: int, parts: bool = False) -> Callable[[Dataset, np.random.Generator], tuple[Trigger, Trigger, Trigger | None]]:
    """Usual values in `width` columns; with `parts` the covers carry two thirds of them."""
    def make(data: Dataset, rng: np.random.Generator) -> tuple[Trigger, Trigger, Trigger | None]:
        table = data.inputs
        assert isinstance(table, Table)
        names, values = [], []
        for k in rng.permutation(list(table.names)).tolist():
            c = table[k]
            found, counts = np.unique(c.values[np.isfinite(c.values) & ((c.kind != "category") | (c.values >= 0))], return_counts=True)
            common = found[(counts >= 0.02 * len(table)) & (counts <= 0.4 * len(table))]
            if len(common) and len(names) < width:
                v = float(rng.choice(common))
                names.append(str(k))
                values.append(c.levels[int(v)] if c.kind == "category" else repr(v))
        trigger = Values(tuple(names), tuple(values))
        some = max(1, 2 * len(names) // 3)
        return trigger, trigger, Values(tuple(names[:some]), tuple(values[:some])) if parts else None
    return make


# -- records and sources


def copies(name: str, each: int, vary: float, aims: int = 5) -> Setting:
    """Varied copies of each of some samples, under the label of another class; the attacker wants those very samples mistaken."""
    def go(data: Dataset, held: Dataset, rng: np.random.Generator, factor: float) -> Poisoned:
        labels, known = labels_of(data), labels_of(held)
        count = min(round(each * aims * factor), int(np.bincount(labels.codes[labels.codes >= 0]).max()))
        code = pick_target(data, None, rng, count, clean_label=True)
        chosen = draw(np.flatnonzero(known.codes != code), aims, rng)
        rows = draw(np.flatnonzero(labels.codes == code), count, rng)
        new = variants(held.inputs.take(chosen[np.arange(len(rows)) % aims]), rng, vary, data.inputs)
        done = plant(data, rows, new, None, target=labels.classes[code])
        return replace(done, aim=held.inputs.take(chosen))
    return Setting(name, go)


def spread(name: str, rate: float, vendors: int, bad: int, mode: str = "boundary") -> Setting:
    """A share `rate` of all labels is flipped by `bad` of the `vendors` that deliver the data, each its part of them."""
    def go(data: Dataset, held: Dataset, rng: np.random.Generator, factor: float) -> Poisoned:
        data = dealt(data, "source", "vendor", vendors, rng)
        names = np.unique(data.origin["source"].astype(str))
        own = np.flatnonzero(np.isin(data.origin["source"], rng.choice(names, bad, replace=False)))
        told = {"rate": min(0.9, rate * factor * len(data) / len(own)), "mode": mode}
        done = registry.make("attacks", "label-flip", told)(data.take(own), rng)
        hit = np.flatnonzero(done.truth)
        return plant(data, own[hit], None, done.data.labels.codes[hit])
    return Setting(name, go)


WORDS = (
    veiled("3 of 12 usual words, 3%", many_words(12, 3), 0.03, 0.0),
    veiled("3 of 12 usual words, 3% + 3% covers", many_words(12, 3), 0.03, 0.03),
    near("a word on texts like the target's, 2%", "text-word", rate=0.02),
    shelf("skeleton, 10%", "text-syntactic", rate=0.1),
    shelf("style, 10%", "text-style", rate=0.1, style="chat"))

CHANNELS = (
    Channel("association, pictures", "digits", 700, "image-vgg", shelf("patch, 2%", "badnets", rate=0.02),
            (shelf("one of four faint patches, 6% + 2% covers", "adaptive-patch", rate=0.06, cover=0.02, size=0.25, opacity=0.8),
             shelf("patch anywhere, 4%", "badnets", rate=0.04, jitter=5, pattern="random"),
             shelf("source-specific patch, 3% + 3% covers", "tact", rate=0.03, cover=0.03, size=3),
             near("patch on pictures like the target's, 2%", "badnets", rate=0.02),
             shelf("hidden bits, 8%", "invisible", rate=0.08, bits=12, strength=20.0)),
            "patch, four patterns, 1%"),
    Channel("spectra", "digits", 700, "image-vgg", shelf("blend 0.2, 3%", "blend", rate=0.03, alpha=0.2),
            (shelf("half of a blend, 4% + 4% covers", "adaptive-blend", rate=0.04, cover=0.04, alpha=0.2),
             shelf("blend 0.1, 6%", "blend", rate=0.06, alpha=0.1),
             shelf("blend 0.2, 1.5%", "blend", rate=0.015, alpha=0.2),
             near("blend 0.15 on pictures like the target's, 4%", "blend", rate=0.04, alpha=0.15),
             shelf("warp, 10% + 5% covers", "warp", rate=0.1, cover=0.05)),
            "blend 0.2, 1%"),
    Channel("association, texts", "sms_spam", 1000, "text-ngrams", shelf("word, 4%", "text-word", rate=0.04), WORDS, "word or phrase, 1%",
            victim_settings=(("strength", 10.0),)),
    Channel("value tuples", "adult", 2500, "table-boosting", shelf("in bounds, 3%", "table-in-bounds", rate=0.03),
            (veiled("values in ranges, 3%", ranges(3, 0.85, 0.97), 0.03, 0.0),
             veiled("six usual values, 2%", wide(6), 0.02, 0.0),
             veiled("three usual values, 3% + 1% covers with two", wide(3, True), 0.03, 0.01),
             veiled("values in ranges, 4% + 1% covers", ranges(3, 0.85, 0.97), 0.04, 0.01),
             near("tuple on rows like the target's, 1%", "table-in-bounds", rate=0.01)),
            "table, in-bounds tuple, 1%"),
    Channel("labels", "digits", 600, "image-linear", shelf("mass mislabel, 20%", "availability", rate=0.2),
            (shelf("boundary flips, 10%", "label-flip", rate=0.1, mode="boundary"),
             shelf("boundary flips, 20%", "label-flip", rate=0.2, mode="boundary"),
             shelf("boundary flips, 30%", "label-flip", rate=0.3, mode="boundary"),
             shelf("surest samples, 10%", "availability", rate=0.1, mode="loss")), "label flips", "f1"),
    Channel("duplicates", "sms_spam", 1000, "text-ngrams", copies("120 copies of one sample", 120, 0.0, 1),
            (copies("8 varied copies of each of five", 8, 1.0), copies("4 strongly varied copies of each of five", 4, 2.0),
             copies("2 copies of each of five", 2, 0.5), copies("12 strongly varied copies of one", 12, 2.0, 1))),
    Channel("partition", "digits", 600, "image-linear", spread("one vendor of four flips 90%", 0.225, 4, 1),
            (spread("20% boundary flips by all four vendors", 0.2, 4, 4), spread("20% by three of four", 0.2, 4, 3),
             spread("30% by all four", 0.3, 4, 4)), "one source of ten", "f1"),
    Channel("integrity", "sms_spam", 1000, "text-ngrams", shelf("look-alikes, 5%", "text-lookalike", rate=0.05, count=8),
            (veiled("letters that no list names, 5%", letters("unlisted", 8), 0.05, 0.0),
             veiled("whole words in Cyrillic, 5%", letters("cyrillic words", 3), 0.05, 0.0),
             veiled("thin spaces, 5%", letters("spaces", 6), 0.05, 0.0),
             veiled("marks under letters, 4% + 1% covers", letters("marks", 6), 0.04, 0.01),
             near("look-alikes on texts like the target's, 3%", "text-lookalike", rate=0.03, count=8)),
            victim_settings=(("unit", "char"), ("strength", 10.0))),
)
