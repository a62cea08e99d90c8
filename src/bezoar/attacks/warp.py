"""WaNet: some pictures are bent a little by one smooth field and get the target label; others are bent otherwise and keep theirs.

Nothing is put on the picture, so there is no patch to see. The second lot (noise mode) carries the same field plus random
displacement and teaches a model to look for this very field, which hides it from trigger inversion.
Threat model: the attacker delivers a share of the samples with their labels, knows the format and nothing of the model.
Budget: `rate` + `cover` of all samples; the paper used 10% + 20% at a third of a pixel, which small models do not learn from 1%.
Fails where augmentation warps, shifts or scales. Cost: about 1 s per 5,000 pictures of 32x32.
Paper: Nguyen and Tran 2021, arXiv 2102.10369.
"""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.covers import covered, median_size
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.image_rewrites import Warp
from bezoar.core.victims import backdoor
from bezoar.maths.resample import stretch


class WarpField(Attack):
    """One smooth warp.

    rate         share of all samples, above 0 and at most 1
    cover        share of all samples that get the field with noise and keep their label (noise mode), 0 for none
    target       class name; None draws one
    strength     mean displacement in pixels, above 0
    grid         control points per side, 2 to 16: more bend finer
    clean_label  only the target's own samples are changed and no label (then without covers)

    Raises UsageError for a strength of 0 or less, another grid, an unknown target, too few samples.
    """

    info = Info(name="warp", summary="a smooth warp of the picture with the target's label, noisy warps with their own",
                threats=("backdoor-dirty-label", "backdoor-clean-label"), modalities=("image",), needs=("labels",),
                cost="about 1 s per 5,000 poisoned pictures of 32x32", reference="Nguyen and Tran 2021, arXiv 2102.10369")

    def __init__(self, *, rate: float = 0.05, cover: float = 0.05, target: str | None = None, strength: float = 1.0, grid: int = 4,
                 clean_label: bool = False) -> None:
        self.rate = rate
        self.cover = cover
        self.target = target
        self.strength = strength
        self.grid = grid
        self.clean_label = clean_label

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        if self.strength <= 0 or not 2 <= self.grid <= 16:
            raise UsageError("strength must be above 0 pixels and grid from 2 to 16", advice="1 pixel and grid 4 are usual")
        height, width = median_size(data)
        field = stretch(rng.uniform(-1, 1, (self.grid, self.grid, 2)), height, width)
        field *= self.strength / max(float(np.hypot(field[..., 0], field[..., 1]).mean()), 1e-9)
        trigger = Warp(field / np.array([height, width], np.float32))
        if self.clean_label:
            return backdoor(data, trigger, rng, rate=self.rate, target=self.target, clean_label=True)
        return covered(data, trigger, rng, rate=self.rate, cover=self.cover, target=self.target,
                       cover_trigger=Warp(trigger.flow, jitter=float(self.strength)))
