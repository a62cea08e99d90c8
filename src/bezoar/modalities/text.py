"""Texts: words, phrases, skeletons of function words, characters.

Views      embed: hashed words and character 4-grams, weighted, reduced by SVD. content: words that are no function
           words. atoms: words, phrases of 2-5 words, skeleton runs, rare characters. features: hashed word runs.
Fails      for triggers that are no visible words or forms (paraphrase without a marker).
Cost       about 1 min for 100,000 short texts on one core.
Paper      skeletons after HiddenKiller, arXiv 2105.12400; phrases: InsertSent, arXiv 1905.12457.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from bezoar.core.ability import Info, Modality
from bezoar.core.atoms import Atoms
from bezoar.core.errors import Unavailable
from bezoar.core.evidence import Evidence, Excerpt
from bezoar.core.inputs import Inputs, Texts
from bezoar.core.text_triggers import Phrases
from bezoar.core.trigger import Trigger
from bezoar.maths import ngrams, skeleton

_TOKEN = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")


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


class Text(Modality):
    """Texts as words, phrases and forms."""

    info = Info(name="text", summary="words, phrases, skeletons of function words, characters", modalities=("text",),
                cost="about 1 min per 100,000 short texts")

    def __init__(self, *, dimensions: int = 96, least: int = 3, longest: int = 5, max_chars: int = 100_000) -> None:
        self.dimensions = dimensions
        self.least = least
        self.longest = longest
        self.max_chars = max_chars
        self._last: _Tokens | None = None

    def _tokens(self, inputs: Inputs) -> _Tokens:
        assert isinstance(inputs, Texts)
        last = self._last
        if last is None or last.texts is not inputs.values:
            last = self._last = _Tokens(inputs.values, self.max_chars)
        return last

    def embed(self, inputs: Inputs) -> np.ndarray:
        from scipy.sparse import hstack

        t = self._tokens(inputs)
        n = len(inputs)
        words = ngrams.hashed_runs(ngrams.fingerprint(t.names)[t.words], t.word_row, n, lengths=(1, 2), columns=1 << 16)
        x = hstack([ngrams.weighted(words), ngrams.weighted(self._characters(t.texts))]).tocsr()
        return ngrams.latent(x, self.dimensions)

    def _characters(self, texts: np.ndarray) -> Any:
        """(n, 2^15) CSR counts of hashed character 4-grams."""
        from scipy.sparse import csr_array, vstack

        parts = []
        for start in range(0, len(texts), 4096):
            lines = [" " + t[:self.max_chars].lower() + " " for t in texts[start:start + 4096]]
            points = np.frombuffer("".join(lines).encode("utf-32-le", "surrogatepass"), np.uint32)
            row = np.repeat(np.arange(len(lines)), [len(s) for s in lines])
            parts.append(ngrams.hashed_runs(points.astype(np.uint64), row, len(lines), lengths=(4,), columns=1 << 15))
        return vstack(parts).tocsr() if parts else csr_array((0, 1 << 15), dtype=np.float32)

    def content(self, inputs: Inputs) -> Any:
        t = self._tokens(inputs)
        n, m = len(inputs), len(t.names)
        from scipy.sparse import csr_array

        counts: Any = csr_array((np.ones(len(t.words), np.float32), (t.word_row, t.words)), shape=(n, m))
        counts.sum_duplicates()
        return ngrams.weighted(counts[:, self._content_words(t)])

    def _content_words(self, t: _Tokens) -> np.ndarray:
        """Codes of the words that `content` counts: no function words, held by two texts at least."""
        pairs = np.unique(t.words.astype(np.int64) * max(len(t.texts), 1) + t.word_row)
        df = np.bincount(pairs // max(len(t.texts), 1), minlength=len(t.names))
        return np.flatnonzero((df >= 2) & ~t.function)

    def atoms(self, inputs: Inputs) -> Atoms:
        from scipy.sparse import csc_array, hstack

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

        place = np.full(len(t.names), -1, np.int32)
        words = self._content_words(t)
        place[words] = np.arange(len(words), dtype=np.int32)
        seen = np.full((len(spelled), self.longest), -1, np.int32)
        at = 0
        for k, run in spelled_blocks:
            if k < 2:
                seen[at:at + len(run), :run.shape[1]] = place[run]
            at += len(run)
        matrix = hstack(blocks).tocsc() if blocks else csc_array((n, 0), dtype=np.float32)
        return Atoms(matrix, families, np.concatenate(family) if family else np.zeros(0, np.int16),
                     np.full(matrix.shape[1], np.nan), searched, name, seen)

    def features(self, inputs: Inputs) -> Any:
        assert isinstance(inputs, Texts)
        t = _Tokens(inputs.values, self.max_chars) if self._last is None or self._last.texts is not inputs.values else self._last
        prints = ngrams.fingerprint(t.names)
        return ngrams.weighted(ngrams.hashed_runs(prints[t.codes], t.row, len(inputs), lengths=(1, 2, 3), columns=1 << 18),
                               idf=False)

    def lift(self, inputs: Inputs, members: np.ndarray, background: np.ndarray, place: dict[str, Any]) -> Trigger:
        raise Unavailable("a phrase that the members share")

    def control(self, trigger: Trigger, inputs: Inputs, rng: np.random.Generator) -> Trigger:
        assert isinstance(trigger, Phrases)
        raise Unavailable("a control phrase")

    def show(self, inputs: Inputs, row: int, sample: str, trigger: Trigger | None = None) -> Evidence:
        assert isinstance(inputs, Texts)
        return Excerpt(str(inputs.values[row])[:400], sample=sample)


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
