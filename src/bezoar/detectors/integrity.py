"""Exact tests of the raw records: what a person, a filter and a model would read differently.

Texts: hidden, bidirectional and control characters, words that mix Latin with look-alike Cyrillic, Greek or full-width letters.
Tables: infinities, numbers among words, fractions in a column of whole numbers, disguised spellings of a level. Pictures: no
content, a size that nobody else has. Everything: equal records with different labels. Such oddities occur by nature; they
count as poison only where at least `least` rows hold a disguise and share one label, source, contributor or period far beyond
chance. Fails on clean-looking records. Cost: about 1 s per 100,000 short texts. Boucher et al., "Bad Characters",
arXiv 2106.09898.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from bezoar.core.ability import Detector, Group, Info, Scores
from bezoar.core.evidence import Bars, Evidence, Facts
from bezoar.core.inputs import Column, Images, Table, Texts
from bezoar.core.view import View

_EMOJI = "\U0001f000-\U0001faff\u2190-\u2bff\ufe0f\u20e3\u2640\u2642"
_INDIC = "\u0600-\u08ff\u0900-\u0dff\u1000-\u109f\u1780-\u17ff"
_LATIN, _LOOKALIKE = "A-Za-z", "\u0370-\u03ff\u0400-\u052f\uff21-\uff3a\uff41-\uff5a\U0001d400-\U0001d7ff"
PATTERNS: dict[str, tuple[str, re.Pattern[str], bool]] = {
    "bidirectional": ("characters that reverse the reading direction", re.compile("[\u202a-\u202e\u2066-\u2069]"), True),
    "hidden": ("invisible characters",
               re.compile(f"[\u200b\u200e\u200f\u2060-\u2064\u180e\U000e0000-\U000e007f\U000e0100-\U000e01ef]|(?<=.)\ufeff|"
                          f"(?<![{_EMOJI}{_INDIC}])[\u200c\u200d]|\u00ad"), True),
    "look-alike": ("words that mix Latin with look-alike letters",
                   re.compile(f"[{_LATIN}][{_LOOKALIKE}]|[{_LOOKALIKE}][{_LATIN}]"), True),
    "control": ("control characters", re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"), False),
}
"""Kind -> what it is called, its pattern, whether it is a disguise."""


@dataclass(frozen=True, eq=False)
class Oddity:
    """(k,) rows that share one kind of oddity; `disguise`: whether nature hardly makes it; `weight` in [0, 1]."""

    kind: str
    title: str
    rows: np.ndarray
    disguise: bool
    weight: float
    column: str = ""
    facts: tuple[tuple[str, str], ...] = ()


class Integrity(Detector):
    """Suspicion is 0 for plain records, up to 1 for disguised ones."""

    info = Info(name="integrity", summary="disguised, damaged and contradictory records", channel="C1", threats=("integrity",),
                cost="about 1 s per 100,000 short texts", reference="Boucher et al., arXiv 2106.09898")

    def __init__(self, *, least: int = 5, alpha: float = 0.01) -> None:
        self.least = least
        self.alpha = alpha

    def score(self, view: View, rng: np.random.Generator) -> Scores:
        inputs = view.dataset.inputs
        found = list(self._conflicts(view))
        if isinstance(inputs, Texts):
            found += text_oddities(inputs.values)
        elif isinstance(inputs, Table):
            for name in inputs.names:
                found += column_oddities(name, inputs[name])
        elif isinstance(inputs, Images):
            found += picture_oddities(inputs)
        found = [o for o in found if len(o.rows)]
        suspicion = np.zeros(len(view))
        tests = max(1, sum(o.disguise for o in found))
        groups = []
        for oddity in found:
            suspicion[oddity.rows] = np.maximum(suspicion[oddity.rows], oddity.weight)
            groups.append(self._group(view, oddity, tests))
        return Scores(suspicion, tuple(groups), ("clean-looking records cannot be told from honest ones here",))

    def _conflicts(self, view: View) -> list[Oddity]:
        """Rows whose equals mostly carry another label."""
        labels = view.dataset.labels
        if labels is None or len(view) < 2:
            return []
        keys = view.dataset.inputs.row_keys()
        if keys.dtype == object:
            place: dict[object, int] = {}
            index = np.fromiter((place.setdefault(k, len(place)) for k in keys), np.int64, len(keys))
        else:
            index = np.unique(keys, return_inverse=True)[1].ravel()
        known = labels.codes >= 0
        cell, inverse, count = np.unique(np.stack([index, labels.codes], axis=1)[known], axis=0, return_inverse=True,
                                         return_counts=True)
        most = np.zeros(index.max() + 1, np.int64)
        np.maximum.at(most, cell[:, 0], count)
        kinds = np.bincount(cell[:, 0], minlength=len(most))
        own = count[inverse.ravel()]
        rows = np.flatnonzero(known)[(kinds[index[known]] > 1) & ((own < most[index[known]]) | (own == 1))]
        total = int(kinds[kinds > 1].sum()) if len(rows) else 0
        return [Oddity("conflict", "equal records with different labels", rows, False, 0.6,
                       facts=(("labels given to records that have more than one", str(total)),))]

    def _group(self, view: View, oddity: Oddity, tests: int) -> Group:
        p, shared = self._concentration(view, oddity.rows)
        p = min(1.0, p * tests)
        alarm = oddity.disguise and len(oddity.rows) >= self.least and p <= self.alpha
        where = f" in column '{oddity.column}'" if oddity.column else ""
        because = f"{len(oddity.rows):,} samples hold {oddity.title}{where}."
        if alarm:
            because += f" Of those, {shared}, far more than chance would put there."
        evidence: list[Evidence] = [Facts(("what", "how"), oddity.facts, oddity.title)] if oddity.facts else []
        target = None
        if view.dataset.labels is not None and len(view.classes) > 1:
            counts = np.bincount(np.maximum(view.labels[oddity.rows], 0), minlength=len(view.classes))
            target = int(counts.argmax()) if alarm and counts.max() >= 0.8 * len(oddity.rows) else None
            top = np.argsort(-counts, kind="stable")[:10]
            evidence.append(Bars(tuple(view.classes[c] for c in top if counts[c]),
                                 tuple(float(counts[c]) for c in top if counts[c]), caption="by label"))
        return Group(np.sort(oddity.rows), p if alarm else 0.0, "integrity", oddity.title + where, target=target, kind="record",
                     liftable=alarm and isinstance(view.dataset.inputs, Texts), advisory=not alarm, because=because,
                     doubt="Copies from web pages and foreign keyboards leave such traces too.", evidence=tuple(evidence),
                     advice="Normalise or set aside these records." if alarm else "Worth a look; honest data hold some.")

    def _concentration(self, view: View, rows: np.ndarray) -> tuple[float, str]:
        """Chance that so many of the rows share one label or one part of an origin column, paid for all that was looked at."""
        from scipy.stats import binom

        columns: list[tuple[str, np.ndarray]] = [(name, values) for name, values in sorted(view.origins.items()) if name != "url"]
        if view.dataset.labels is not None:
            columns.append(("label", view.dataset.labels.codes))
        best, words, looked = 1.0, "", 0
        for name, values in columns:
            parts, codes = np.unique(values.astype(str), return_inverse=True)
            if len(parts) < 2 or len(parts) > 0.5 * len(values):
                continue
            inside = np.bincount(codes[rows], minlength=len(parts))
            share = np.bincount(codes, minlength=len(parts)) / len(codes)
            p = binom.sf(inside - 1, len(rows), share)
            p[inside < 0.8 * len(rows)] = 1.0
            looked += len(parts)
            j = int(p.argmin())
            if p[j] < best:
                shown = view.classes[int(parts[j])] if name == "label" else parts[j]
                best, words = float(p[j]), f"{inside[j]} have {name} '{shown}' ({share[j]:.1%} of all samples)"
        return min(1.0, best * max(looked, 1)), words


def text_oddities(values: np.ndarray, column: str = "") -> list[Oddity]:
    """Oddities of (n,) strings, one for each kind of `PATTERNS` that occurs."""
    odd = np.flatnonzero(np.fromiter((not t.isascii() or not t.isprintable() for t in values), bool, len(values)))
    out = []
    for kind, (title, pattern, disguise) in PATTERNS.items():
        hits = [pattern.search(values[i]) for i in odd]
        rows = odd[np.fromiter((h is not None for h in hits), bool, len(hits))]
        if len(rows):
            points: dict[str, int] = {}
            for h in hits:
                if h is not None:
                    name = " ".join(f"U+{ord(c):04X}" for c in h.group())
                    points[name] = points.get(name, 0) + 1
            facts = tuple((k, f"{v} samples") for k, v in sorted(points.items(), key=lambda t: (-t[1], t[0]))[:8])
            out.append(Oddity(kind, title, rows, disguise, 0.95 if disguise else 0.5, column, facts))
    return out


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def column_oddities(name: str, column: Column, rare: float = 0.002) -> list[Oddity]:
    """Oddities of one column: infinities, one-off types, disguised spellings, odd characters in its levels."""
    if column.kind != "category":
        return _number_oddities(name, column.values, rare)
    codes, n = column.values, len(column.values)
    levels = np.array(column.levels, object)
    if len(levels) == 0 or n == 0:
        return []
    out = []
    size = np.bincount(codes[codes >= 0], minlength=len(levels))
    for found in text_oddities(levels, name):
        rows = np.flatnonzero(np.isin(codes, found.rows))
        out.append(Oddity(found.kind, found.title, rows, found.disguise, found.weight, name, found.facts))
    numeric = np.fromiter((_is_number(v) for v in levels), bool, len(levels))
    few = size[numeric].sum()
    if numeric.any() and not numeric.all() and few <= max(3, rare * n):
        rows = np.flatnonzero(np.isin(codes, np.flatnonzero(numeric)))
        out.append(Oddity("type", "numbers among words", rows, True, 0.8, name))
    folded = np.array([" ".join(v.split()).casefold() for v in levels], object)
    _, inverse = np.unique(folded.astype(str), return_inverse=True)
    biggest = np.zeros(inverse.max() + 1, np.int64)
    np.maximum.at(biggest, inverse, size)
    variant = (size < biggest[inverse]) & (size <= max(3, rare * n)) & (size > 0)
    if variant.any() and len(levels) < 0.2 * n:
        rows = np.flatnonzero(np.isin(codes, np.flatnonzero(variant)))
        out.append(Oddity("spelling", "rare spellings of a frequent value", rows, True, 0.8, name,
                          tuple((repr(str(levels[i])), f"{size[i]} samples") for i in np.flatnonzero(variant)[:8])))
    return out


def _number_oddities(name: str, values: np.ndarray, rare: float) -> list[Oddity]:
    out = []
    endless = np.isinf(values)
    if endless.any():
        out.append(Oddity("infinity", "infinite numbers", np.flatnonzero(endless), True, 0.8, name))
    finite = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        broken = finite & (values != np.rint(values))
    if 0 < broken.sum() <= max(3, rare * finite.sum()) and finite.sum() > 100:
        out.append(Oddity("fraction", "fractions in a column of whole numbers", np.flatnonzero(broken), True, 0.7, name))
    return out


def picture_oddities(inputs: Images) -> list[Oddity]:
    """Pictures without content, and sizes that at most 0.1% have where nearly all have one size."""
    flat = [np.zeros(0, np.int64)]
    for rows, pictures in inputs.chunks():
        if inputs.uniform and len(pictures):
            block = np.stack(pictures).reshape(len(pictures), -1, 3)
            empty = (block.max(axis=1) == block.min(axis=1)).all(axis=1)
        else:
            empty = np.array([bool((p.max(axis=(0, 1)) == p.min(axis=(0, 1))).all()) if p.size else True for p in pictures], bool)
        flat.append(rows[empty])
    out = [Oddity("empty", "pictures of one colour", np.concatenate(flat), False, 0.6)]
    if not inputs.uniform:
        _, inverse, count = np.unique(inputs.sizes, axis=0, return_inverse=True, return_counts=True)
        odd = count[inverse.ravel()] <= max(3, 0.001 * len(inputs))
        if count.max() >= 0.98 * len(inputs):
            out.append(Oddity("size", "a size that hardly any other picture has", np.flatnonzero(odd), True, 0.5))
    return out
