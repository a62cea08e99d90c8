"""Bad source: one vendor of several delivers poisoned rows among good ones.

Only a share of that vendor's rows is changed, by label flips or by a trigger that is given. Seen over all data the
rate is tiny; seen per vendor it is not. Fails (for the attacker) where vendors are compared. Cost: milliseconds.
Paper: partition views of poisoning, Levine and Feizi 2021, arXiv 2006.14768; source-wise damage, Konstantinov and
Lampert 2019, arXiv 1901.10310.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.inputs import frozen
from bezoar.core.trigger import Trigger
from bezoar.core.victims import backdoor_among, budget, relabelled


class BadSource(Attack):
    """One bad vendor.

    rate     share of the rows of that vendor, above 0 and at most 1
    sources  how many vendors ('vendor-01', ...) the rows are dealt to where the data has no origin column `source`, 2 or more
    vendor   the bad one; None draws one that has rows enough (the most frequent half of those that exist)
    target   class that its rows get; None: flips go to any other class, a trigger's target is drawn
    trigger  a Trigger to plant with the target's label; None flips labels only

    Raises UsageError for fewer than 2 sources, an unknown vendor or target, too few samples.
    """

    info = Info(name="bad-source", summary="one vendor of several delivers flipped or triggered rows",
                threats=("source", "label-flip"), modalities=("image", "text", "tabular"), needs=("labels",),
                reference="Konstantinov and Lampert 2019, arXiv 1901.10310")

    def __init__(self, *, rate: float = 0.1, sources: int = 10, vendor: str | None = None, target: str | None = None,
                 trigger: Trigger | None = None) -> None:
        self.rate = rate
        self.sources = sources
        self.vendor = vendor
        self.target = target
        self.trigger = trigger

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        if "source" not in data.origin:
            if self.sources < 2:
                raise UsageError("there must be two sources at least", advice="ten are usual")
            names = np.array([f"vendor-{i + 1:0{len(str(self.sources))}d}" for i in range(self.sources)], object)
            dealt = frozen(names[rng.permutation(np.arange(len(data)) % self.sources)])
            data = replace(data, origin={**data.origin, "source": dealt})
        column = data.origin["source"]
        found, counts = np.unique(column.astype(str), return_counts=True)
        vendor = self.vendor
        if vendor is None:
            able = found[np.argsort(-counts, kind="stable")][:max(1, len(found) // 2)] if len(set(counts)) > 2 else found
            vendor = str(rng.choice(able))
        if vendor not in found:
            raise UsageError(f"there is no source {vendor!r}", advice=f"the sources are: {', '.join(found[:12])}")
        own = np.flatnonzero(column == vendor)
        if self.trigger is not None:
            return backdoor_among(data, own, self.trigger, rng, rate=self.rate, target=self.target)
        return relabelled(data, own, budget(len(own), self.rate, f"samples of {vendor}"), rng, target=self.target)
