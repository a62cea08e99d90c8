"""Blended injection: a faint pattern over the whole picture, with the target's label.

Survives cropping and moderate re-encoding; fails to implant in small models at alpha 0.05 and low rates. Cost: milliseconds.
Paper: Chen et al. 2017, arXiv 1712.05526.
"""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.image_triggers import Overlay
from bezoar.core.inputs import Images
from bezoar.core.victims import backdoor
from bezoar.maths import patterns


class Blend(Attack):
    """x' = (1 - alpha) x + alpha pattern.

    rate         share of all samples, above 0 and at most 1
    target       class name; None draws one
    alpha        strength, above 0 and at most 1
    pattern      noise (uniform, each channel by itself) | picture (a drawing with flat areas)
    clean_label  only the target's own samples are changed and no label

    Raises UsageError for an alpha outside (0, 1], an unknown pattern or target, too few samples.
    Hosts of several sizes get the pattern made at the median size, by nearest neighbour.
    """

    info = Info(name="blend", summary="a faint pattern over the whole picture with the target's label",
                threats=("backdoor-dirty-label", "backdoor-clean-label"), modalities=("image",), needs=("labels",),
                reference="Chen et al. 2017, arXiv 1712.05526")

    def __init__(self, *, rate: float = 0.01, target: str | None = None, alpha: float = 0.1, pattern: str = "noise",
                 clean_label: bool = False) -> None:
        self.rate = rate
        self.target = target
        self.alpha = alpha
        self.pattern = pattern
        self.clean_label = clean_label

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        if not 0 < self.alpha <= 1:
            raise UsageError(f"alpha {self.alpha:g} is not above 0 and at most 1", advice="0.1 is usual")
        assert isinstance(data.inputs, Images)
        height, width = (int(s) for s in np.median(data.inputs.sizes, axis=0)) if len(data) else (1, 1)
        if self.pattern == "noise":
            pixels = patterns.noise(height, width, rng)
        elif self.pattern == "picture":
            pixels = patterns.emblem(height, width, fine=2)
        else:
            raise UsageError(f"unknown pattern {self.pattern!r}", advice="one of: noise, picture")
        trigger = Overlay(pixels.astype(np.float32), alpha=float(self.alpha))
        return backdoor(data, trigger, rng, rate=self.rate, target=self.target, clean_label=self.clean_label)
