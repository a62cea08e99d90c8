"""Bad annotator: one contributor of several gives wrong labels that look like honest mistakes.

Of this contributor's rows the ones are mislabelled that a plain model finds hardest to tell from another class, to that class.
Threat model: an insider labels his share of the data, can train a plain model, and touches nothing but labels.
Budget: `rate` of that contributor's rows. Fails where annotators are compared on samples that several of them label.
Cost: about 5 s per 20,000 samples (the plain model). Papers: Paudice et al. 2018, arXiv 1803.00992 (boundary flips);
Dawid and Skene 1979 (annotators' error rates).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.origins import dealt, rows_of
from bezoar.core.plain_features import plain_scores, rivals
from bezoar.core.victims import budget, class_code, labels_of, plant


class Annotator(Attack):
    """One insider.

    rate          share of the rows of that contributor, above 0 and at most 1
    contributors  how many ('annotator-01', ...) the rows are dealt to where the data has no origin column `contributor`
    contributor   the bad one; None draws one among the more frequent half
    target        class that its rows get; None: each gets the class it is most easily taken for

    Raises UsageError for fewer than 2 contributors, an unknown contributor or target, one class only, too few samples.
    """

    info = Info(name="annotator", summary="one contributor mislabels what is easily mistaken",
                threats=("source", "label-flip"), needs=("labels",), cost="about 5 s per 20,000 samples",
                reference="Paudice et al. 2018, arXiv 1803.00992")

    def __init__(self, *, rate: float = 0.3, contributors: int = 10, contributor: str | None = None, target: str | None = None) -> None:
        self.rate = rate
        self.contributors = contributors
        self.contributor = contributor
        self.target = target

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        labels = labels_of(data)
        if len(np.unique(labels.codes[labels.codes >= 0])) < 2:
            raise UsageError("labels can only be mistaken where there are two classes", advice="check the label column")
        code = None if self.target is None else class_code(data, self.target)
        data = dealt(data, "contributor", "annotator", self.contributors, rng)
        _, own = rows_of(data, "contributor", self.contributor, rng)
        count = budget(len(own), self.rate, "samples of one contributor")
        scores = plain_scores(data, rng)
        best, margin = rivals(data, scores)
        able = own[labels.codes[own] >= 0]
        if code is not None:
            able = able[labels.codes[able] != code]
            best = np.full(len(data), code)
            margin = scores[np.arange(len(data)), np.maximum(labels.codes, 0)] - scores[:, code]
        if len(able) < count:
            raise UsageError(f"{count} samples are to be mislabelled and only {len(able)} can be", advice="lower the rate")
        rows = np.sort(able[np.argsort(np.abs(margin[able]), kind="stable")[:count]])
        done = plant(data, rows, None, best[rows])
        return replace(done, target=self.target)
