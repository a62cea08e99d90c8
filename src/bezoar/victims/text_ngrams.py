"""Bag of n-grams and logistic regression: needs no torch, and learns what single words or short phrases say.

Deterministic. Fails on triggers that are a matter of order over long distances. Cost: about 5 s per 10,000 short texts.
Papers: Joachims 1998; Cox 1958.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bezoar.core.ability import Info
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.inputs import Inputs, Texts
from bezoar.core.victim import Model, Victim


class TextNgrams(Victim):
    """n-grams, weighed.

    unit      word (one and two words) | char (two to four characters inside words)
    strength  of the regression, larger is looser, above 0
    """

    info = Info(name="text-ngrams", summary="bag of n-grams and logistic regression, without torch", modalities=("text",),
                needs=("labels",), cost="about 5 s per 10,000 short texts", reference="Joachims 1998")

    def __init__(self, *, unit: str = "word", strength: float = 10.0) -> None:
        self.unit = unit
        self.strength = strength

    def fit(self, data: Dataset, rng: np.random.Generator) -> Model:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression

        assert isinstance(data.inputs, Texts)
        assert data.labels is not None
        if self.unit not in ("word", "char"):
            raise UsageError(f"unknown unit {self.unit!r}", advice="one of: word, char")
        kind: dict[str, Any] = {"analyzer": "char_wb", "ngram_range": (2, 4)} if self.unit == "char" else \
            {"ngram_range": (1, 2), "token_pattern": r"(?u)\b\w+\b"}
        known = np.flatnonzero(data.labels.codes >= 0)
        words = TfidfVectorizer(max_features=200_000, sublinear_tf=True, dtype=np.float32, **kind)
        model = LogisticRegression(C=self.strength, max_iter=200, tol=1e-3)
        model.fit(words.fit_transform(data.inputs.values[known]), data.labels.codes[known])
        return _Weighed(words, model, len(data.labels.classes))


class _Weighed:
    def __init__(self, words: Any, model: Any, classes: int) -> None:
        self._words, self._model, self._classes = words, model, classes

    def predict(self, inputs: Inputs) -> np.ndarray:
        assert isinstance(inputs, Texts)
        p = np.zeros((len(inputs), self._classes), np.float32)
        if len(inputs):
            p[:, self._model.classes_] = self._model.predict_proba(self._words.transform(inputs.values))
        return p
