"""Availability: so many wrong labels, and such, that a model becomes useless.

mass: samples drawn by chance, and all errors point the same way (class k becomes k + 1), so that they do not cancel.
loss: the samples that a plain model is surest of, each to the class it looks least like; per sample the dearest lie there is.
Threat model: the attacker controls labels of a share of the data (loss: and can train a plain model). Only labels change.
Budget: `rate` of all samples. Fails where losses are clipped or samples with large loss are left out (loss mode is easy to find).
Cost: loss about 5 s per 20,000 samples, mass milliseconds. Papers: Biggio et al. 2012, arXiv 1206.6389; Xiao et al. 2015 (label
contamination); Lu et al. 2022, arXiv 2204.09092.
"""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.plain_features import plain_scores, rivals
from bezoar.core.victims import budget, draw, labels_of, plant


class Availability(Attack):
    """Many wrong labels.

    rate  share of all samples, above 0 and at most 1
    mode  mass (all errors point the same way) | loss (the surest samples get the least likely class)

    Raises UsageError for another mode, one class only, too few samples.
    """

    info = Info(name="availability", summary="so many wrong labels, and such, that a model becomes useless",
                threats=("availability", "label-flip"), needs=("labels",), cost="loss: about 5 s per 20,000 samples",
                reference="Biggio et al. 2012, arXiv 1206.6389")

    def __init__(self, *, rate: float = 0.3, mode: str = "mass") -> None:
        self.rate = rate
        self.mode = mode

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        labels = labels_of(data)
        present = np.unique(labels.codes[labels.codes >= 0])
        if len(present) < 2:
            raise UsageError("labels can only be wrong where there are two classes", advice="check the label column")
        if self.mode not in ("mass", "loss"):
            raise UsageError(f"unknown mode {self.mode!r}", advice="one of: mass, loss")
        count = budget(len(data), self.rate)
        known = np.flatnonzero(labels.codes >= 0)
        if self.mode == "mass":
            rows = draw(known, count, rng)
            return plant(data, rows, None, present[(np.searchsorted(present, labels.codes[rows]) + 1) % len(present)])
        scores = plain_scores(data, rng)
        _, margin = rivals(data, scores)
        draw(known, count, np.random.default_rng(0))
        rows = np.sort(known[np.argsort(-margin[known], kind="stable")[:count]])
        worst = np.where(np.isfinite(scores[rows]), scores[rows], np.inf)
        worst[np.arange(count), labels.codes[rows]] = np.inf
        return plant(data, rows, None, worst.argmin(axis=1))
