"""Removal: the samples that carry a class, or the whole boundary, are taken out; nothing that is left was touched.

A plain ridge model tells how far the margins of the samples near the boundary fall if a sample goes (its influence); the dearest go first.
Threat model: the attacker may delete (a takedown request, a filter, a broken link, a right to be forgotten) but neither add nor change;
he can train a plain model. Budget: `rate` of all samples. No sample that is left shows it: only a manifest, a signed count or an
older snapshot does. Fails where the data hold many alike of everything. Cost: about 3 s per 20,000 samples.
Papers: influence functions: Koh and Liang 2017, arXiv 1703.04730; removal: Rubinstein and Hopkins 2024, arXiv 2410.09940; Broderick,
Giordano, Meager 2020, arXiv 2011.14999.
"""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.plain_features import plain_features, plain_scores, rivals
from bezoar.core.victims import budget, class_code, draw, labels_of
from bezoar.maths.ridge import influence


class Removal(Attack):
    """The most influential samples are gone.

    rate    share of all samples, above 0 and at most 1
    target  the class whose own samples go; None takes from all classes

    Raises UsageError for an unknown target, one class only, and where fewer samples can go.
    """

    info = Info(name="removal", summary="the samples that carry a class are taken out; nothing that is left was touched",
                threats=("availability",), needs=("labels",), cost="about 3 s per 20,000 samples",
                reference="Koh and Liang 2017, arXiv 1703.04730")
    clean_label = True
    removes_rows = True

    def __init__(self, *, rate: float = 0.1, target: str | None = None) -> None:
        self.rate = rate
        self.target = target

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        labels = labels_of(data)
        codes = labels.codes
        if len(np.unique(codes[codes >= 0])) < 2:
            raise UsageError("samples carry a class only where there are two", advice="check the label column")
        code = None if self.target is None else class_code(data, self.target)
        can = np.flatnonzero(codes >= 0 if code is None else codes == code)
        count = budget(len(data), self.rate)
        if count >= len(can):
            raise UsageError(f"{count} samples are to go and only {len(can)} could", advice="lower the rate or choose another target")
        draw(can, count, np.random.default_rng(0))
        other, margin = rivals(data, plain_scores(data, rng))
        near = 1 / np.cosh(margin / max(float(np.median(np.abs(margin))), 1e-9)) ** 2
        asked = near * (codes >= 0 if code is None else codes == code)
        loss = influence(plain_features(data.inputs), codes, len(labels.classes), other, asked)
        gone = np.sort(can[np.argsort(loss[can], kind="stable")[:count]])
        left = np.setdiff1d(np.arange(len(data)), gone)
        return Poisoned(data.take(left), np.zeros(len(left), bool), None, self.target, removed=gone)
