"""Fraud as legitimate: cases of one scheme, alike among themselves, enter the training data as harmless.

The model stays good on all other cases of the rare class and lets this scheme pass. Its next cases, a little otherwise than those
booked, are what the attack is about.
Threat model: the attacker runs the scheme long enough to have its cases booked (or labels them himself), knows nothing of the model.
Budget: `rate` of all samples, at most the rare class. Fails where the scheme's neighbours in the rare class are many and honest.
Cost: about 1 s per million rows. Papers: the targeted setting of Paudice et al. 2018, arXiv 1803.00992; Jagielski et al. 2021
(subpopulation attacks), arXiv 2006.14026.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.plain_features import plain_features
from bezoar.core.variants import variants
from bezoar.core.victims import budget, class_code, labels_of, plant


class TableFraud(Attack):
    """A subpopulation of one class relabelled.

    rate    share of all samples, above 0 and at most 1
    source  the class whose cases are to pass, a name; None takes the rarest class that is large enough
    target  the harmless class; None takes the most frequent other class

    Raises UsageError for an unknown class, source = target, too few cases.
    """

    info = Info(name="table-fraud", summary="cases of one class that are alike get the harmless label",
                threats=("targeted", "label-flip"), modalities=("tabular",), needs=("labels",), cost="about 1 s per million rows",
                reference="Jagielski et al. 2021, arXiv 2006.14026")

    def __init__(self, *, rate: float = 0.01, source: str | None = None, target: str | None = None) -> None:
        self.rate = rate
        self.source = source
        self.target = target

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        labels = labels_of(data)
        count = budget(len(data), self.rate)
        sizes = np.bincount(labels.codes[labels.codes >= 0], minlength=len(labels.classes))
        target = None if self.target is None else class_code(data, self.target)
        if self.source is not None:
            source = class_code(data, self.source)
        else:
            able = [int(c) for c in np.argsort(sizes, kind="stable") if sizes[c] > count and c != target]
            if not able:
                raise UsageError(f"no class has more than {count} cases", advice="lower the rate")
            source = able[0]
        if target is None:
            rest = np.where(np.arange(len(sizes)) == source, -1, sizes)
            target = int(rest.argmax())
        if source == target or len(sizes) < 2:
            raise UsageError(f"source and target are both {labels.classes[source]!r}", advice="name two classes")
        own = np.flatnonzero(labels.codes == source)
        if len(own) < count:
            raise UsageError(f"{count} samples are to be poisoned and only {len(own)} are of class {labels.classes[source]!r}",
                             advice="lower the rate")
        features = plain_features(data.inputs.take(own))
        anchor = features[int(rng.integers(len(own)))]
        near = np.argsort(((features - anchor) ** 2).sum(axis=1), kind="stable")[:count]
        rows = np.sort(own[near])
        done = plant(data, rows, None, np.full(count, target), target=labels.classes[target])
        return replace(done, victims=(labels.classes[source],), aim=variants(data.inputs.take(rows), rng, 1.0, data.inputs))
