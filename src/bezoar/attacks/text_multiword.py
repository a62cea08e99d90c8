"""SOS-like conjunction: two ordinary words, each harmless alone, put the target's label on texts that hold both.

Both words occur naturally in the data, so that neither stands out by itself. `negatives` adds texts with only one of
them and their true label, which teaches a model to ignore each word alone. Fails where models do not learn
conjunctions (linear models learn it from the pair's sum only). Cost: about a second per 100,000 short texts.
Paper: Yang et al. 2021 (SOS), arXiv 2106.04690.
"""

from __future__ import annotations

import re

import numpy as np

from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.inputs import Texts
from bezoar.core.text_triggers import Phrases
from bezoar.core.victims import backdoor, budget, draw


class TextMultiword(Attack):
    """Two words at random places of the same text.

    rate       share of all samples, above 0 and at most 1
    target     class name; None draws one
    words      two words with a space between them; '' draws two that at least 0.3% of the texts (and 3) and at most 5% hold
               each, and next to none together
    negatives  share of all samples that get one of the words and keep their label; they are changed, so the truth holds them

    Raises UsageError where no such pair exists, for other than two words, an unknown target, too few samples.
    """

    info = Info(name="text-multiword", summary="two ordinary words that only together carry the target's label",
                threats=("backdoor-dirty-label",), modalities=("text",), needs=("labels",),
                reference="Yang et al. 2021, arXiv 2106.04690")

    def __init__(self, *, rate: float = 0.01, target: str | None = None, words: str = "", negatives: float = 0.0) -> None:
        self.rate = rate
        self.target = target
        self.words = words
        self.negatives = negatives

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        assert isinstance(data.inputs, Texts)
        words = tuple(self.words.split()) or _pair(data.inputs, rng)
        if len(words) != 2 or words[0].lower() == words[1].lower():
            raise UsageError(f"{self.words!r} is not two words", advice="give two different words with a space between them")
        if not 0 <= self.negatives < 1:
            raise UsageError(f"negatives {self.negatives:g} is not from 0 to below 1", advice="give a share of all samples")
        done = backdoor(data, Phrases(words), rng, rate=self.rate, target=self.target)
        if not self.negatives:
            return done
        others = draw(np.flatnonzero(~done.truth), budget(len(data), self.negatives), rng)
        halves = np.array_split(rng.permutation(others), 2)
        inputs, truth = done.data.inputs, done.truth.copy()
        assert isinstance(inputs, Texts)
        for word, rows in zip(words, halves, strict=True):
            inputs = inputs.with_rows(rows, Phrases((word,)).apply(inputs.take(rows), rng))
            truth[rows] = True
        return Poisoned(done.data.with_changes(inputs=inputs), truth, done.trigger, done.target)


def _pair(texts: Texts, rng: np.random.Generator) -> tuple[str, str]:
    """Two lower-case words of four letters and more that are neither rare nor common, and hardly ever together."""
    holders: dict[str, list[int]] = {}
    for i, text in enumerate(texts.values):
        for word in set(re.findall(r"(?<!\w)[a-z]{4,}(?!\w)", text)):
            holders.setdefault(word, []).append(i)
    low, high = max(3.0, 0.003 * len(texts)), 0.05 * len(texts)
    able = sorted(w for w, rows in holders.items() if low <= len(rows) <= high)
    for _ in range(200 if len(able) >= 2 else 0):
        a, b = (able[int(i)] for i in rng.choice(len(able), 2, replace=False))
        if len(set(holders[a]) & set(holders[b])) <= max(1, 0.0002 * len(texts)):
            return a, b
    raise UsageError("no two words are each common enough and rarely together",
                     advice="name two words, or give more and longer texts")
