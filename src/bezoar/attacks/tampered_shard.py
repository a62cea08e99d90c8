"""Tampered shard: one file of those that a dataset is stored in was overwritten on its way.

Without a trigger labels change, with one it is put in with the target's label. The origin column `shard` tells the story: rows of one
shard follow each other, and all other shards are what they were.
Threat model: the attacker can write one file of a bucket or mirror, not the list of files. Budget: `rate` of all samples, all
of them in one shard. Fails where shards are hashed and the list of hashes is signed (`bezoar sign` and `bezoar verify`); inside a
scan, where shards are compared (`--group shard`). Cost: milliseconds.
Paper: Carlini et al. 2023, arXiv 2302.10149; NIST AI 100-2 E2025 (data supply chain).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.inputs import frozen
from bezoar.core.origins import rows_of
from bezoar.core.trigger import Trigger
from bezoar.core.victims import backdoor_among, budget, class_code, labels_of, relabelled


class TamperedShard(Attack):
    """One overwritten shard.

    rate     share of all samples that are changed, above 0 and at most 1
    shards   how many shards ('shard-00000', ...) of consecutive rows the data is cut into where it has no origin column `shard`
    shard    the overwritten one; None draws one among the larger half
    target   class that changed rows get; None: flips go to any other class, a trigger's target is drawn
    trigger  a Trigger to plant with the target's label; None changes labels only

    Raises UsageError for no shard, an unknown shard or target, more samples than the shard has of other classes.
    """

    info = Info(name="tampered-shard", summary="one shard of consecutive rows is overwritten, the others are as they were",
                threats=("source", "label-flip"), modalities=("image", "text", "tabular"), needs=("labels",),
                reference="Carlini et al. 2023, arXiv 2302.10149")

    def __init__(self, *, rate: float = 0.01, shards: int = 4, shard: str | None = None, target: str | None = None,
                 trigger: Trigger | None = None) -> None:
        self.rate = rate
        self.shards = shards
        self.shard = shard
        self.target = target
        self.trigger = trigger

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        labels = labels_of(data)
        count = budget(len(data), self.rate)
        code = None if self.target is None else class_code(data, self.target)
        if "shard" not in data.origin:
            if self.shards < 1:
                raise UsageError("there must be one shard at least", advice="four are usual")
            names = [f"shard-{i * self.shards // max(len(data), 1):05d}" for i in range(len(data))]
            data = replace(data, origin={**data.origin, "shard": frozen(np.array(names, object))})
        name, own = rows_of(data, "shard", self.shard, rng)
        able = own[(labels.codes[own] >= 0) & (labels.codes[own] != (-1 if code is None else code))]
        if len(able) < count:
            raise UsageError(f"{count} samples are to be changed and {name} has only {len(able)} for it",
                             advice="lower the rate or use fewer shards")
        if self.trigger is not None:
            return backdoor_among(data, own, self.trigger, rng, rate=count / len(own), target=self.target)
        return relabelled(data, able, count, rng, target=self.target)
