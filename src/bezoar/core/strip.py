"""STRIP without the network: how firmly does a model keep to its answer when an input is mixed with trusted ones? And what decides?

A trigger rules whatever it is mixed with, so a triggered input keeps its answer where a clean one loses it. Only answers are needed.
Fails for triggers that the mixing breaks (faint patterns over the whole picture, phrases in their order).
Papers: Gao et al. 2019 (STRIP), arXiv 1902.06531; Gao et al. 2019 (STRIP-ViTA), arXiv 1911.10312; Zeiler and Fergus 2014 (occlusion).
"""

from __future__ import annotations

import numpy as np

from bezoar.core.errors import Unavailable
from bezoar.core.evidence import Evidence, Excerpt, Facts, Picture
from bezoar.core.inputs import Column, Images, Inputs, Table, Texts
from bezoar.core.suspect import Suspect

MIXED = 0.5
"""Share of the words or cells of each input that gives way to the trusted one's."""
SPREAD = 5
"""A covering square is a fifth of the shorter side wide, moved by half of that."""
MOST_WORDS = 200
"""Words of a text that are left out in turn."""


def mixed(inputs: Inputs, others: Inputs, rng: np.random.Generator) -> Inputs:
    """Each input mixed with the other in its row: pictures added up, half of the words or cells replaced.

    >>> mixed(Texts.of(["a b"]), Texts.of(["c d"]), np.random.default_rng(0)).values[0] in {"a c", "a d", "c b", "d b"}
    True
    """
    if isinstance(inputs, Images) and isinstance(others, Images):
        pairs = zip(inputs.read(np.arange(len(inputs))), others.read(np.arange(len(others))), strict=True)
        return Images.of([np.minimum(a.astype(np.uint16) + _as(b, a.shape), 255).astype(np.uint8) for a, b in pairs])
    if isinstance(inputs, Texts) and isinstance(others, Texts):
        return Texts.of([_swapped(a.split(), b.split(), rng) for a, b in zip(inputs.values, others.values, strict=True)])
    assert isinstance(inputs, Table)
    assert isinstance(others, Table)
    columns = {}
    for name, c in inputs.columns.items():
        whole = others.with_rows(np.zeros(0, np.int64), inputs.take(np.zeros(0, np.int64)))[name]
        place = {v: i for i, v in enumerate(whole.levels)}
        own = np.array([*(place[v] for v in c.levels), -1], np.int32)[c.values] if c.kind == "category" else c.values
        columns[name] = Column(c.kind, np.where(rng.random(len(own)) < MIXED, whole.values, own).astype(own.dtype), whole.levels)
    return Table(columns)


def stays(suspect: Suspect, inputs: Inputs, bank: Inputs, mixes: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) mean probability, over mixtures with trusted inputs, of the class that each input has by itself."""
    if not len(inputs):
        return np.zeros(0)
    calls = suspect.predict(inputs).argmax(axis=1)
    total = np.zeros(len(inputs))
    for _ in range(mixes):
        p = suspect.predict(mixed(inputs, bank.take(rng.integers(0, len(bank), len(inputs))), rng))
        total += p[np.arange(len(p)), calls]
    return total / mixes


def hangs(suspect: Suspect, inputs: Inputs) -> np.ndarray:
    """(n,) the largest share of the answer's probability that one word or cell takes away with it when it is left out.

    Raises Unavailable for pictures, which have no such parts.
    """
    if not len(inputs):
        return np.zeros(0)
    before = suspect.predict(inputs)
    calls = before.argmax(axis=1)
    if isinstance(inputs, Texts):
        tokens = [t.split()[:MOST_WORDS] for t in inputs.values]
        owner = np.repeat(np.arange(len(tokens)), [len(t) for t in tokens])
        less = Texts.of([" ".join(t[:i] + t[i + 1:]) for t in tokens for i in range(len(t))])
        p = suspect.predict(less)[np.arange(len(less)), calls[owner]] if len(less) else np.zeros(0)
        left = before[np.arange(len(calls)), calls]
        np.minimum.at(left, owner, p)
        return np.asarray(before[np.arange(len(calls)), calls] - left, np.float64)
    if not isinstance(inputs, Table):
        raise Unavailable("words or cells")
    lost = np.zeros(len(inputs))
    for name, column in inputs.columns.items():
        usual = _usual(column)
        blank = Column(column.kind, np.repeat(usual.values, len(inputs)), column.levels)
        p = suspect.predict(Table({**inputs.columns, name: blank}))
        lost = np.maximum(lost, (before - p)[np.arange(len(calls)), calls])
    return lost


def deciding(suspect: Suspect, inputs: Inputs, row: int, sample: str) -> Evidence:
    """Which region, word or cell the answer to one input hangs on: what is lost of the class's probability when it is covered."""
    one = inputs.take(np.array([row]))
    p = suspect.predict(one)[0]
    call = int(p.argmax())
    said = f"the model says {suspect.classes[call]!r} ({p[call]:.0%})"
    if isinstance(one, Images):
        return _picture(suspect, one.read(np.array([0]))[0], call, float(p[call]), said, sample)
    if isinstance(one, Texts):
        return _text(suspect, str(one.values[0]), call, float(p[call]), said, sample)
    assert isinstance(one, Table)
    assert isinstance(inputs, Table)
    names = one.names
    usual = Table({n: _usual(c) for n, c in inputs.columns.items()})
    covered = [Table({**one.columns, n: usual[n]}) for n in names]
    lost = np.array([float(p[call] - suspect.predict(t)[0, call]) for t in covered])
    rows = tuple((names[i], one[names[i]].as_text(np.array([0]))[0], f"{lost[i]:+.0%}") for i in np.argsort(-lost)[:8])
    return Facts(("column", "value", "lost without it"), rows, caption=f"{said}; what it hangs on", sample=sample)


def _picture(suspect: Suspect, pixels: np.ndarray, call: int, before: float, said: str, sample: str) -> Picture:
    h, w = pixels.shape[:2]
    side = max(2, min(h, w) // SPREAD)
    step = max(1, side // 2)
    places = [(t, s) for t in range(0, max(h - side, 0) + 1, step) for s in range(0, max(w - side, 0) + 1, step)]
    grey = pixels.reshape(-1, 3).mean(axis=0).astype(np.uint8)
    covered = np.repeat(pixels[None], len(places), axis=0)
    for i, (t, s) in enumerate(places):
        covered[i, t:t + side, s:s + side] = grey
    lost = np.maximum(before - suspect.predict(Images.of(covered))[:, call], 0)
    heat, seen = np.zeros((h, w)), np.zeros((h, w))
    for (t, s), v in zip(places, lost, strict=True):
        heat[t:t + side, s:s + side] += v
        seen[t:t + side, s:s + side] += 1
    heat /= np.maximum(seen, 1)
    heat /= max(float(heat.max()), 1e-9)
    red = np.array([255, 40, 0], np.float64)
    shown = (pixels.mean(axis=2, keepdims=True) * 0.6 * (1 - heat[..., None]) + red * heat[..., None]).round().astype(np.uint8)
    return Picture(np.concatenate([pixels, shown], axis=1), caption=f"{said}; in red: what it hangs on", sample=sample,
                   enlarge=max(1, 160 // max(h, 1)))


def _text(suspect: Suspect, text: str, call: int, before: float, said: str, sample: str) -> Excerpt:
    words, starts, at = text.split(), [], 0
    for word in words:
        at = text.index(word, at)
        starts.append(at)
        at += len(word)
    some = min(len(words), MOST_WORDS)
    without = [text[:starts[i]] + text[starts[i] + len(words[i]):] for i in range(some)]
    lost = before - suspect.predict(Texts.of(without))[:, call] if without else np.zeros(0)
    top = [int(i) for i in np.argsort(-lost)[:3] if lost[i] > max(0.05, 0.5 * float(lost.max()))]
    marks = tuple(sorted((starts[i], starts[i] + len(words[i])) for i in top))
    which = "marked: the words that it hangs on" if marks else "it hangs on no single word"
    return Excerpt(text, marks, caption=f"{said}; {which}", sample=sample)


def _swapped(own: list[str], other: list[str], rng: np.random.Generator) -> str:
    gone = rng.permutation(len(own))[:round(MIXED * len(own))]
    for i in gone if other else ():
        own[int(i)] = other[int(rng.integers(len(other)))]
    return " ".join(own)


def _as(pixels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Rows and columns drawn out or left out to the shape."""
    rows, cols = (np.arange(shape[i]) * pixels.shape[i] // shape[i] for i in (0, 1))
    return pixels[rows][:, cols]


def _usual(column: Column) -> Column:
    if column.kind == "category":
        known = column.values[column.values >= 0]
        return Column(column.kind, np.array([np.bincount(known).argmax() if len(known) else -1], np.int32), column.levels)
    known = column.values[np.isfinite(column.values)]
    return Column(column.kind, np.array([np.median(known) if len(known) else np.nan]), ())
