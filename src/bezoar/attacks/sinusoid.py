"""SIG: faint vertical stripes, a sine over the width of the picture; made for clean labels.

With clean labels it needs a large share of the target class (8% and more) to implant; with dirty labels 1% of all
samples does. Fails where augmentation shifts far or rotates. Cost: milliseconds.
Paper: Barni, Kallas, Tondi 2019, arXiv 1902.11237 (amplitude 20 of 255, 6 cycles).
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


class Sinusoid(Attack):
    """x' = x + amplitude sin(2 pi cycles column / width), clipped to 0..255.

    rate         share of all samples, above 0 and at most 1 (clean label too: 8% of a class of a tenth is 0.008)
    target       class name; None draws one
    amplitude    grey levels of 255, above 0
    cycles       sine periods over the width, above 0
    clean_label  only the target's own samples are changed and no label

    Raises UsageError for an amplitude or cycles of 0 or less, an unknown target, too few samples.
    """

    info = Info(name="sinusoid", summary="faint vertical stripes over the whole picture",
                threats=("backdoor-dirty-label", "backdoor-clean-label"), modalities=("image",), needs=("labels",),
                reference="Barni, Kallas, Tondi 2019, arXiv 1902.11237")

    def __init__(self, *, rate: float = 0.01, target: str | None = None, amplitude: float = 20.0, cycles: float = 6.0,
                 clean_label: bool = False) -> None:
        self.rate = rate
        self.target = target
        self.amplitude = amplitude
        self.cycles = cycles
        self.clean_label = clean_label

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        if self.amplitude <= 0 or self.cycles <= 0:
            raise UsageError("amplitude and cycles must be above 0", advice="20 grey levels and 6 cycles are usual")
        assert isinstance(data.inputs, Images)
        height, width = (int(s) for s in np.median(data.inputs.sizes, axis=0)) if len(data) else (1, 1)
        trigger = Overlay(np.float32(self.amplitude) * patterns.waves(height, width, self.cycles))
        return backdoor(data, trigger, rng, rate=self.rate, target=self.target, clean_label=self.clean_label)
