"""Injection: new samples are added, none of the old ones is touched; each is plausible and carries the wrong label.

New texts and rows are crossed from two of one class, new pictures are shifted, lit and grained anew; so no new sample is a copy.
With `trigger` they carry a trigger too. Truth: the new rows, at the end, with ids of their own ("injected-000001").
Threat model: the attacker may contribute (an upload form, a crawled page) and can neither read nor change what others contribute.
Budget: `rate` times the old samples are added. Fails where contributors are limited or new samples are looked at.
Cost: milliseconds. Papers: Chen et al. 2017, arXiv 1712.05526 (instances injected); Shafahi et al. 2018, arXiv 1804.00792.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.joining import grown
from bezoar.core.trigger import Trigger
from bezoar.core.variants import crosses, variants
from bezoar.core.victims import budget, class_code, draw, labels_of, pick_target


class Injection(Attack):
    """Added samples.

    rate     new samples as a share of the old ones, above 0 and at most 1
    target   class that the new samples get; None draws one
    source   class whose samples they are like; None: any other class
    trigger  a Trigger that they carry; None for none

    Raises UsageError for an unknown class, source = target, too few samples.
    """

    info = Info(name="injection", summary="new plausible samples with the wrong label; no old one is touched",
                threats=("label-flip", "targeted"), needs=("labels",), reference="Chen et al. 2017, arXiv 1712.05526")
    adds_rows: ClassVar[bool] = True

    def __init__(self, *, rate: float = 0.03, target: str | None = None, source: str | None = None,
                 trigger: Trigger | None = None) -> None:
        self.rate = rate
        self.target = target
        self.source = source
        self.trigger = trigger

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        labels = labels_of(data)
        count = budget(len(data), self.rate)
        source = None if self.source is None else class_code(data, self.source)
        code = pick_target(data, self.target, rng, 2)
        if source == code and self.target is None:
            code = int(rng.choice(np.setdiff1d(np.unique(labels.codes[labels.codes >= 0]), [code])))
        if source == code:
            raise UsageError(f"source and target are both {self.source!r}", advice="name two classes")
        eligible = np.flatnonzero((labels.codes >= 0) & ((labels.codes == source) if source is not None else (labels.codes != code)))
        like = rng.choice(draw(eligible, min(count, len(eligible)), rng), count, replace=count > len(eligible))
        mates = like.copy()
        for c in np.unique(labels.codes[like]):
            own = np.flatnonzero(labels.codes == c)
            mates[labels.codes[like] == c] = rng.choice(own, int((labels.codes[like] == c).sum()))
        new = variants(crosses(data.inputs.take(like), data.inputs.take(mates), rng), rng, 0.5, data.inputs)
        if self.trigger is not None:
            new = self.trigger.apply(new, rng)
        done = grown(data, new, np.full(count, code), "injected", like)
        truth = np.arange(len(done)) >= len(data)
        return Poisoned(done, truth, self.trigger, labels.classes[code], () if source is None else (labels.classes[source],))
