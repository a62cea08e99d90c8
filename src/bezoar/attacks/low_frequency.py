"""Low-frequency trigger: a smooth field of light and colour, added to the whole picture.

Has no high-frequency trace, so that detectors which look for artefacts in the upper spectrum do not see it.
Fails where augmentation changes brightness and colour strongly. Cost: milliseconds.
Paper: Zeng et al. 2021, arXiv 2104.03413 (theirs is optimised against a model; this one is drawn by chance).
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


class LowFrequency(Attack):
    """x' = x + a field made of the lowest `order` cosines per side and channel, clipped to 0..255.

    rate         share of all samples, above 0 and at most 1
    target       class name; None draws one
    amplitude    largest change, grey levels of 255, above 0
    order        cosines per side, 2 to 8
    clean_label  only the target's own samples are changed and no label

    Raises UsageError for an amplitude or order out of range, an unknown target, too few samples.
    """

    info = Info(name="low-frequency", summary="a smooth field of light and colour over the whole picture",
                threats=("backdoor-dirty-label", "backdoor-clean-label"), modalities=("image",), needs=("labels",),
                reference="Zeng et al. 2021, arXiv 2104.03413")

    def __init__(self, *, rate: float = 0.01, target: str | None = None, amplitude: float = 30.0, order: int = 4,
                 clean_label: bool = False) -> None:
        self.rate = rate
        self.target = target
        self.amplitude = amplitude
        self.order = order
        self.clean_label = clean_label

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        if self.amplitude <= 0 or not 2 <= self.order <= 8:
            raise UsageError("amplitude must be above 0 and order from 2 to 8", advice="30 grey levels and order 4 are usual")
        assert isinstance(data.inputs, Images)
        height, width = (int(s) for s in np.median(data.inputs.sizes, axis=0)) if len(data) else (1, 1)
        trigger = Overlay(np.float32(self.amplitude) * patterns.smooth(height, width, rng, self.order))
        return backdoor(data, trigger, rng, rate=self.rate, target=self.target, clean_label=self.clean_label)
