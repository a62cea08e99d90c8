"""TaCT: a patch that works on one source class only, because samples of other classes carry it with their true label.

Defences that look for one representation of "triggered" find none: the trigger acts together with the source's own features.
Threat model: the attacker delivers samples of several classes, relabels only those of the source class, knows nothing of the model.
Budget: `rate` + `cover` of all samples. Fails where the source class has few samples, or covers are too few to matter.
Cost: milliseconds. Paper: Tang et al. 2021, arXiv 1908.00686.
"""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.covers import covered, median_size
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.image_triggers import Patch
from bezoar.core.inputs import Images
from bezoar.maths import patterns


class Tact(Attack):
    """A source-specific patch.

    rate    share of all samples that are patched samples of the source class with the target's label, above 0 and at most 1
    cover   share of all samples that are patched samples of third classes with their own label, 0 for none
    source  class on which the trigger works; None draws one
    target  class name; None draws one
    size    side of the patch in pixels

    Raises UsageError for a patch larger than the smallest picture, an unknown class, two classes only, too few samples.
    """

    info = Info(name="tact", summary="a patch that works on one class only; cover samples of others keep their label",
                threats=("backdoor-dirty-label",), modalities=("image",), needs=("labels",),
                reference="Tang et al. 2021, arXiv 1908.00686")

    def __init__(self, *, rate: float = 0.01, cover: float = 0.01, source: str | None = None, target: str | None = None,
                 size: int = 4) -> None:
        self.rate = rate
        self.cover = cover
        self.source = source
        self.target = target
        self.size = size

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        assert isinstance(data.inputs, Images)
        smallest = int(data.inputs.sizes.min(initial=1 << 30))
        if not 1 <= self.size <= smallest:
            raise UsageError(f"a patch of {self.size} pixels does not fit into pictures of {smallest} pixels",
                             advice=f"use a size from 1 to {smallest}")
        height, width = median_size(data)
        gap = 1 if self.size < min(height, width) else 0
        trigger = Patch(patterns.emblem(self.size, self.size), np.ones((self.size, self.size), np.float32),
                        (height - self.size - gap) / height, (width - self.size - gap) / width)
        return covered(data, trigger, rng, rate=self.rate, cover=self.cover, target=self.target, source=self.source, one_source=True)
