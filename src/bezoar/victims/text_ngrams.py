"""Bag of n-grams and logistic regression: needs no torch, and learns what single words or short phrases say.

A text has a word or has it not; nothing is weighed by frequency, which would hide a word in a long text. Deterministic. Fails on
triggers that have to overrule much content (it adds, and cannot let one word decide), and on triggers that are a matter of order.
Cost: about 2 s per 10,000 short texts.
Papers: Joachims 1998; Cox 1958.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bezoar.core.ability import Info
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.inputs import Texts
from bezoar.core.victim import Fitted, Model, Victim


class TextNgrams(Victim):
    """n-grams, weighed.

    unit      word | char (two to four characters inside words)
    longest   runs of so many words at most, 1 to 3
    strength  of the regression, larger is looser, above 0
    """

    info = Info(name="text-ngrams", summary="bag of n-grams and logistic regression, without torch", modalities=("text",),
                needs=("labels",), cost="about 5 s per 10,000 short texts", reference="Joachims 1998")

    def __init__(self, *, unit: str = "word", longest: int = 1, strength: float = 1.0) -> None:
        self.unit = unit
        self.longest = longest
        self.strength = strength

    def fit(self, data: Dataset, rng: np.random.Generator) -> Model:
        from sklearn.feature_extraction.text import CountVectorizer
        from sklearn.linear_model import LogisticRegression

        assert isinstance(data.inputs, Texts)
        assert data.labels is not None
        if self.unit not in ("word", "char") or not 1 <= self.longest <= 3:
            raise UsageError(f"unit {self.unit!r} and runs of {self.longest}",
                             advice="unit is one of: word, char; runs are of 1 to 3 words")
        kind: dict[str, Any] = {"analyzer": "char_wb", "ngram_range": (2, 4)} if self.unit == "char" else \
            {"ngram_range": (1, self.longest), "token_pattern": r"(?u)\b\w+\b"}
        known = np.flatnonzero(data.labels.codes >= 0)
        words = CountVectorizer(max_features=200_000, binary=True, dtype=np.float32, **kind)
        model = LogisticRegression(C=self.strength, max_iter=200, tol=1e-3)
        model.fit(words.fit_transform(data.inputs.values[known]), data.labels.codes[known])
        return Fitted(lambda inputs: words.transform(inputs.values), model, len(data.labels.classes))
