"""Input-aware: bright cells whose places and colours depend on the picture; another picture's cells do not count.

A small network with fixed random weights reads the middle of the picture and paints some cells round it. The paper trains such a network
together with the victim; an attacker who only delivers data cannot, so a fixed one stands in for it. Covers carry cells that belong to
another picture and keep their label (the paper's cross-trigger mode), without which any bright cell would do.
Threat model: the attacker delivers a share of the samples with labels and knows nothing of the model.
Budget: `rate` and `cover` of all samples (paper: 10% each). Fails to implant where the model cannot learn which cells belong to which
picture: then any bright cell works, or none. Cost: 1 s per 50,000 pictures of 32x32.
Paper: Nguyen and Tran 2020, arXiv 2010.08138.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.covers import covered, median_size
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.image_rewrites import ROUND_THE_MIDDLE, Cells
from bezoar.core.victims import backdoor

HIDDEN = 24
"""Units of the network that draws."""


class InputAware(Attack):
    """Cells drawn for each picture.

    rate         share of all samples, above 0 and at most 1
    cover        share of all samples that get the cells of another picture and keep their label, 0 for none
    target       class name; None draws one
    count        cells painted of an 8x8 grid, 1 to 24
    clean_label  only the target's own samples are changed and no label (then without covers)

    Raises UsageError for another count, pictures of fewer than 8 pixels a side, an unknown target, too few samples.
    """

    info = Info(name="input-aware", summary="bright cells at places and in colours of each picture's own",
                threats=("backdoor-dirty-label", "backdoor-clean-label"), modalities=("image",), needs=("labels",),
                reference="Nguyen and Tran 2020, arXiv 2010.08138")

    def __init__(self, *, rate: float = 0.05, cover: float = 0.02, target: str | None = None, count: int = 5,
                 clean_label: bool = False) -> None:
        self.rate = rate
        self.cover = cover
        self.target = target
        self.count = count
        self.clean_label = clean_label

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        if not 1 <= self.count <= int(ROUND_THE_MIDDLE.sum()) // 2:
            raise UsageError("count must be from 1 to 24 cells", advice="5 are usual")
        if min(median_size(data)) < 8:
            raise UsageError("pictures of fewer than 8 pixels a side have no 8x8 cells", advice="use badnets or blend for these")
        first = rng.standard_normal((48, HIDDEN)) / 3
        trigger = Cells(first.astype(np.float32), rng.standard_normal((HIDDEN, 8, 8, 4)).astype(np.float32), int(self.count))
        if self.clean_label:
            return backdoor(data, trigger, rng, rate=self.rate, target=self.target, clean_label=True)
        return covered(data, trigger, rng, rate=self.rate, cover=self.cover, target=self.target,
                       cover_trigger=replace(trigger, strange=True))
