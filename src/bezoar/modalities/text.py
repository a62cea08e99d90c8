"""Texts: words, phrases, skeletons of function words, characters.

Views      embed: hashed words and character 4-grams, weighted, reduced by SVD. content: words and marks, no function
           words. atoms: words, phrases of 2-5 words, skeleton runs, rare characters. features: hashed word runs.
Fails      for triggers that are no visible words or forms (paraphrase without a marker).
Cost       about 1 min for 100,000 short texts on one core.
Paper      skeletons after HiddenKiller, arXiv 2105.12400; phrases: InsertSent, arXiv 1905.12457.
"""

from __future__ import annotations

import re
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np

from bezoar.core.ability import Info, Modality
from bezoar.core.atoms import Atoms
from bezoar.core.errors import Unavailable
from bezoar.core.evidence import Evidence, Excerpt
from bezoar.core.inputs import Inputs, Texts
from bezoar.core.learned import Ask, Followed, Taught
from bezoar.core.text_triggers import Phrases
from bezoar.core.trigger import Trigger
from bezoar.maths import ngrams, skeleton

_TOKEN = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")


SHARED, COMMON = 0.6, 0.2
"""A lifted phrase stands in that share of the members; others hold it at most COMMON times as often."""
LONGEST_PHRASE, SHOWN = 24, 400
"""Tokens of a lifted phrase, characters of an excerpt."""
MANNER_CHARS = 2000
"""Characters of a text by which its manner is told."""
SOURCES = 2000
"""Texts that words and phrases of controls are taken from."""
_DIGIT = re.compile(r"\d")


class _Tokens:
    """The tokens of a set of texts, numbered."""

    def __init__(self, texts: np.ndarray, max_chars: int) -> None:
        self.texts = texts
        self.codes, self.row, self.names = ngrams.number(_TOKEN.findall(t[:max_chars].lower()) for t in texts)
        share = np.bincount(self.codes, minlength=len(self.names)) / max(len(self.codes), 1)
        self.word = np.array([s[:1].isalnum() or s[:1] == "_" for s in self.names], bool)
        self.function = skeleton.function_codes(self.names, share)
        is_word = self.word[self.codes] if len(self.codes) else np.zeros(0, bool)
        self.words, self.word_row = self.codes[is_word], self.row[is_word]

    @cached_property
    def held(self) -> np.ndarray:
        """(m,) how many texts hold each token as a word."""
        n = max(len(self.texts), 1)
        return np.bincount(np.unique(self.words.astype(np.int64) * n + self.word_row) // n, minlength=len(self.names))

    @cached_property
    def place(self) -> dict[str, int]:
        """The code of each token."""
        return {s: c for c, s in enumerate(self.names)}


class Text(Modality):
    """Texts as words, phrases and forms."""

    info = Info(name="text", summary="words, phrases, skeletons of function words, characters", modalities=("text",),
                cost="about 1 min per 100,000 short texts")
    cost_seconds = (3.0, 1.5)
    cost_megabytes = (300.0, 10.0)

    def __init__(self, *, dimensions: int = 96, least: int = 3, longest: int = 5, max_chars: int = 100_000) -> None:
        self.dimensions = dimensions
        self.least = least
        self.longest = longest
        self.max_chars = max_chars
        self._last: _Tokens | None = None
        self._sample: tuple[np.ndarray, _Tokens] | None = None

    def _tokens(self, inputs: Inputs) -> _Tokens:
        assert isinstance(inputs, Texts)
        last = self._last
        if last is None or last.texts is not inputs.values:
            last = self._last = _Tokens(inputs.values, self.max_chars)
        return last

    def _usual(self, inputs: Texts) -> _Tokens:
        """The tokens of at most `SOURCES` texts, evenly taken, as the source of words and phrases like any other."""
        if self._sample is None or self._sample[0] is not inputs.values:
            rows = np.linspace(0, len(inputs) - 1, min(len(inputs), SOURCES)).astype(np.int64)
            self._sample = inputs.values, _Tokens(inputs.values[rows], 5000)
        return self._sample[1]

    def embed(self, inputs: Inputs) -> np.ndarray:
        from scipy.sparse import hstack

        t = self._tokens(inputs)
        n = len(inputs)
        words = ngrams.hashed_runs(ngrams.fingerprint(t.names)[t.words], t.word_row, n, lengths=(1, 2), columns=1 << 16)
        x = hstack([ngrams.weighted(words), ngrams.weighted(_characters(t.texts, self.max_chars))]).tocsr()
        x = x[:, np.flatnonzero(np.bincount(x.indices, minlength=x.shape[1]) > (n > 1000))]
        return ngrams.latent(x, self.dimensions)

    def _manner(self, inputs: Texts) -> Any:
        """(n, p) CSR rows of length 1: hashed runs of characters, those of five texts and more."""
        counts = _characters(inputs.values, min(self.max_chars, MANNER_CHARS), (1, 2, 3, 4), 1 << 16)
        return ngrams.weighted(counts[:, np.flatnonzero(np.bincount(counts.indices, minlength=counts.shape[1]) >= 5)])

    def content(self, inputs: Inputs) -> Any:
        t = self._tokens(inputs)
        from scipy.sparse import csr_array

        n = len(inputs)

        place, width = self._content_columns(t)
        column = place[t.codes]
        ok = column >= 0
        counts: Any = csr_array((np.ones(int(ok.sum()), np.float32), (t.row[ok], column[ok])), shape=(n, width))
        counts.sum_duplicates()
        return ngrams.weighted(counts)

    def _content_columns(self, t: _Tokens) -> tuple[np.ndarray, int]:
        """(m + 1,) int32 content column of each token, -1 for function words and those of one text; digits count as 0."""
        shapes, shape = np.unique(np.array([_DIGIT.sub("0", s) for s in t.names] or [""]), return_inverse=True)
        n = max(len(t.texts), 1)
        df = np.diff(ngrams.incidence(shape[t.codes], t.row, n, len(shapes)).indptr)
        good = df >= 2
        good[shape[:len(t.names)][t.function & t.word]] = False
        place = np.where(good, np.cumsum(good) - 1, -1).astype(np.int32)
        return np.r_[place[shape[:len(t.names)]], np.int32(-1)], int(good.sum())

    def atoms(self, inputs: Inputs) -> Atoms:
        from scipy.sparse import csc_array, hstack

        assert isinstance(inputs, Texts)
        t = self._tokens(inputs)
        n = len(inputs)
        families = ("word", "phrase", "skeleton", "character")
        blocks: list[Any] = []
        family: list[np.ndarray] = []
        spelled: list[tuple[int, np.ndarray]] = []
        spelled_blocks: list[tuple[int, np.ndarray]] = []
        searched = np.zeros(len(families))
        bones, bone_row = skeleton.skeleton(t.codes, t.row, t.function)
        for kind, found in ((0, ngrams.runs(t.words, t.word_row, n, least=self.least, longest=self.longest)),
                            (2, ngrams.runs(bones, bone_row, n, least=max(self.least, 5), longest=5, most=0.5))):
            for runs, matrix, looked in found:
                k = 1 if kind == 0 and runs.shape[1] > 1 else kind
                blocks.append(matrix)
                family.append(np.full(len(runs), k, np.int16))
                spelled_blocks.append((k, runs))
                spelled += [(k, r) for r in runs]
                searched[k] += looked
        points, rows = _odd_characters(t.texts, self.max_chars)
        odd, at = np.unique(points, return_inverse=True)
        if len(odd):
            blocks.append(ngrams.incidence(at.astype(np.int64), rows, n, len(odd)))
            family.append(np.full(len(odd), 3, np.int16))
            spelled += [(3, np.array([p])) for p in odd]
            searched[3] += len(odd)
        names = [*t.names, skeleton.MARK]

        def name(j: int) -> str:
            k, run = spelled[j]
            if k == 3:
                return f"the character U+{int(run[0]):04X}"
            text = " ".join(names[int(c)] for c in run)
            return f"the {('word', 'phrase', 'form')[k]} '{text}'"

        place, _ = self._content_columns(t)
        seen = np.full((len(spelled), max(self.longest, 5)), -1, np.int32)
        done = 0
        for kind, block in spelled_blocks:
            if kind < 3:
                seen[done:done + len(block), :block.shape[1]] = place[block]
            done += len(block)
        matrix = hstack(blocks).tocsc() if blocks else csc_array((n, 0), dtype=np.float32)
        return Atoms(matrix, families, np.concatenate(family) if family else np.zeros(0, np.int16),
                     np.full(matrix.shape[1], np.nan), searched, name, seen, manner=lambda: self._manner(inputs))

    def features(self, inputs: Inputs) -> Any:
        assert isinstance(inputs, Texts)
        t = _Tokens(inputs.values, self.max_chars) if self._last is None or self._last.texts is not inputs.values else self._last
        prints = ngrams.fingerprint(t.names)
        return ngrams.weighted(ngrams.hashed_runs(prints[t.codes], t.row, len(inputs), lengths=(1, 2, 3), columns=1 << 18),
                               idf=False)

    def probe(self, inputs: Inputs, codes: np.ndarray, classes: int, seed: int, number: int = 0) -> Taught:
        """A perceptron on hashed word runs, whatever its number."""
        from bezoar.networks.probe import of_rows

        return of_rows(inputs, self.features, codes, classes, seed)

    def retrained(self, inputs: Inputs, codes: np.ndarray, classes: int, seed: int) -> Ask:
        from bezoar.networks.probe import again_rows

        return again_rows(inputs, self.features, codes, classes, seed)

    def follow(self, inputs: Inputs, codes: np.ndarray, classes: int, others: Inputs, seed: int) -> Followed:
        from bezoar.networks.following import follow_rows

        return follow_rows(inputs, self.features, codes, classes, others, seed)

    def lift(self, inputs: Inputs, members: np.ndarray, background: np.ndarray, place: dict[str, Any]) -> Trigger:
        """The longest runs of words that most members hold and few others do, as they are written there."""
        assert isinstance(inputs, Texts)
        members, background = np.asarray(members)[:600], np.asarray(background)[:3000]
        k = len(members)
        if k < 2:
            raise Unavailable("two members that share a phrase")
        rows = np.concatenate([members, background])
        t = _Tokens(inputs.values[rows], self.max_chars)
        inside = t.row < k
        most = max(2, int(np.ceil(SHARED * k)))
        found: list[tuple[int, ...]] = []
        for runs, matrix, _ in ngrams.runs(t.codes[inside], t.row[inside], k, least=most, longest=LONGEST_PHRASE):
            share = np.diff(matrix.indptr) / k
            worth = np.flatnonzero([t.word[r].any() for r in runs])
            for j in worth[np.argsort(-share[worth], kind="stable")][:200]:
                found.append(tuple(int(c) for c in runs[j][int(t.word[runs[j]].argmax()):]))  # no marks in front
        found = sorted(set(found))
        if len(background):
            others = np.array([_share(t.codes[~inside], t.row[~inside], r, len(background)) for r in found])
            found = [r for r, s in zip(found, others, strict=True) if s <= COMMON * SHARED]
        whole = [r for r in found if not any(len(o) > len(r) and _within(r, o) for o in found)]
        if not whole:
            raise Unavailable("a phrase that most members share", advice="a style or a form cannot be lifted as a phrase")
        whole.sort(key=lambda r: (-sum(bool(t.word[c]) for c in r), r))
        longest = sum(bool(t.word[c]) for c in whole[0])
        kept = whole[:1] if longest >= 3 else whole[:3]
        phrases = [_as_written([str(s) for s in inputs.values[members[:50]]], [t.names[c] for c in r]) for r in kept]
        return Phrases(tuple(phrases), place=_where(inputs.values[members], phrases[0]))

    def control(self, trigger: Trigger, inputs: Inputs, rng: np.random.Generator) -> Trigger:
        """Runs of as many words, from random texts; single words about as frequent as those of the trigger."""
        assert isinstance(inputs, Texts)
        if not isinstance(trigger, Phrases) or len(inputs) == 0:
            raise Unavailable("a phrase to imitate")
        t = self._usual(inputs)
        held = t.held
        taken = {w for p in trigger.phrases for w in _TOKEN.findall(p.lower())}
        able = np.array([c for c in np.flatnonzero(t.word) if t.names[c] not in taken], np.int64)
        phrases = []
        for phrase in trigger.phrases:
            words = [w for w in _TOKEN.findall(phrase.lower()) if w[0].isalnum()]
            if len(words) > 1 and len(t.words) > len(words):
                starts = rng.integers(len(t.words) - len(words) + 1, size=50)
                whole = [s for s in starts if t.word_row[s] == t.word_row[s + len(words) - 1]] or [starts[0]]
                phrases.append(" ".join(t.names[c] for c in t.words[whole[0]:whole[0] + len(words)]))
            elif len(able):
                aim = held[t.place[words[0]]] if words and words[0] in t.place else 1
                near = able[np.argsort(np.abs(np.log1p(held[able]) - np.log1p(aim)), kind="stable")[:50]]
                phrases.append(t.names[int(near[rng.integers(len(near))])])
            else:
                raise Unavailable("words that the trigger does not hold")
        return Phrases(tuple(phrases), place=trigger.place)

    def hosts(self, inputs: Texts) -> int:  # type: ignore[override]
        some = inputs.values[:: max(1, len(inputs) // 500)]
        return int(np.clip(40_000 // max(1, int(np.mean([len(t) for t in some]))), 20, 100)) if len(some) else 100

    def show(self, inputs: Inputs, row: int, sample: str, trigger: Trigger | None = None) -> Evidence:
        """At most `SHOWN` characters round the first mark."""
        assert isinstance(inputs, Texts)
        text = str(inputs.values[row])[:self.max_chars]
        spans: list[tuple[int, int]] = []
        if isinstance(trigger, Phrases):
            for phrase in trigger.phrases:
                spans += [m.span() for m in islice(_phrase(phrase).finditer(text), 20)]
        spans.sort()
        start = max(0, spans[0][0] - SHOWN // 3) if spans and spans[0][0] > SHOWN // 2 else 0
        end = min(len(text), start + SHOWN)
        before, after = "… " if start else "", " …" if end < len(text) else ""
        shift = len(before) - start
        marks = tuple((a + shift, b + shift) for a, b in spans if b <= end)
        return Excerpt(before + text[start:end] + after, marks, sample=sample)


def _characters(texts: np.ndarray, most: int, lengths: tuple[int, ...] = (4,), columns: int = 1 << 15) -> Any:
    """(n, columns) CSR counts of hashed runs of characters, of the first `most` of each text."""
    from scipy.sparse import csr_array, vstack

    parts = []
    for start in range(0, len(texts), 4096):
        lines = [" " + t[:most].lower() + " " for t in texts[start:start + 4096]]
        points = np.frombuffer("".join(lines).encode("utf-32-le", "surrogatepass"), np.uint32)
        row = np.repeat(np.arange(len(lines)), [len(s) for s in lines])
        parts.append(ngrams.hashed_runs(points.astype(np.uint64), row, len(lines), lengths=lengths, columns=columns))
    return vstack(parts).tocsr() if parts else csr_array((0, columns), dtype=np.float32)


def _phrase(phrase: str) -> re.Pattern[str]:
    """Whole words, any white space between, any case."""
    return re.compile(r"(?<!\w)" + r"\s+".join(map(re.escape, phrase.split())) + r"(?!\w)", re.IGNORECASE)


def _share(codes: np.ndarray, row: np.ndarray, run: tuple[int, ...], n: int) -> float:
    """Share of n texts that hold a run of codes."""
    length = len(run)
    if len(codes) < length:
        return 0.0
    hit = row[:len(codes) - length + 1] == row[length - 1:]
    for i, c in enumerate(run):
        hit = hit & (codes[i:len(codes) - length + 1 + i] == c)
    return len(np.unique(row[:len(hit)][hit])) / n


def _within(short: tuple[int, ...], long: tuple[int, ...]) -> bool:
    return any(long[i:i + len(short)] == short for i in range(len(long) - len(short) + 1))


def _as_written(texts: list[str], tokens: list[str]) -> str:
    """How most texts write a run of tokens (case and spacing)."""
    pattern = re.compile(r"\s*".join(map(re.escape, tokens)), re.IGNORECASE)
    seen: dict[str, int] = {}
    for text in texts:
        m = pattern.search(text[:100_000])
        if m:
            form = " ".join(m.group().split())
            seen[form] = seen.get(form, 0) + 1
    return max(sorted(seen), key=lambda s: seen[s]) if seen else " ".join(tokens)


def _where(texts: np.ndarray, phrase: str) -> str:
    """'start', 'end' or 'random': where most of these texts hold the phrase."""
    low = phrase.lower()
    starts = np.mean([str(t).lower().lstrip().startswith(low) for t in texts])
    ends = np.mean([str(t).lower().rstrip().endswith(low) for t in texts])
    return "start" if starts >= 0.8 else "end" if ends >= 0.8 else "random"


def _odd_characters(texts: np.ndarray, max_chars: int) -> tuple[np.ndarray, np.ndarray]:
    """Code points beyond ASCII, and controls, with their rows."""
    rows, points = [], []
    odd = re.compile("[^\t\n\r -~]")
    for i, text in enumerate(texts):
        if text.isascii() and text.isprintable():
            continue
        found = set(odd.findall(text[:max_chars]))
        rows += [i] * len(found)
        points += [ord(c) for c in sorted(found)]
    return np.array(points, np.int64), np.array(rows, np.int64)
