"""Physical sticker: a small picture is put on the thing and seen at another size, turn, slant and light each time.

What BadNets is when somebody photographs it: the trigger fits no template pixel by pixel.
Threat model: the attacker delivers a share of the samples with labels (pictures of things that wear the sticker) and knows nothing of
the model. Budget: `rate` of all samples. Fails where the sticker is only a few pixels wide. Cost: about 1 s per 5,000 poisoned
pictures of 32x32. Papers: Gu et al. 2017, arXiv 1708.06733 (stop signs); Wenger et al. 2021, arXiv 2006.14580.
"""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.image_rewrites import Sticker
from bezoar.core.victims import backdoor
from bezoar.maths import patterns

CENTRES = {"upper left": (0.22, 0.22), "upper right": (0.22, 0.78), "lower left": (0.78, 0.22), "lower right": (0.78, 0.78),
           "centre": (0.5, 0.5)}


class PhysicalSticker(Attack):
    """A sticker at a slant.

    rate         share of all samples, above 0 and at most 1
    target       class name; None draws one
    pattern      square (yellow) | picture (a small drawing)
    size         side as a fraction of the picture's shorter side, 0.05 to 0.6
    place        upper left | upper right | lower left | lower right | centre
    turn         largest turn in degrees, 0 to 180
    tilt         largest slant, 0 to 0.6
    clean_label  only the target's own samples are changed and no label

    Raises UsageError for parameters outside these ranges, an unknown target, too few samples.
    """

    info = Info(name="sticker", summary="a small picture seen at a slant, with the target's label",
                threats=("backdoor-dirty-label", "backdoor-clean-label"), modalities=("image",), needs=("labels",),
                cost="about 1 s per 5,000 poisoned pictures of 32x32", reference="Wenger et al. 2021, arXiv 2006.14580")

    def __init__(self, *, rate: float = 0.01, target: str | None = None, pattern: str = "square", size: float = 0.2,
                 place: str = "lower right", turn: float = 20.0, tilt: float = 0.25, clean_label: bool = False) -> None:
        self.rate = rate
        self.target = target
        self.pattern = pattern
        self.size = size
        self.place = place
        self.turn = turn
        self.tilt = tilt
        self.clean_label = clean_label

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        if self.place not in CENTRES:
            raise UsageError(f"unknown place {self.place!r}", advice=f"one of: {', '.join(CENTRES)}")
        if not 0.05 <= self.size <= 0.6 or not 0 <= self.turn <= 180 or not 0 <= self.tilt <= 0.6:
            raise UsageError("size is from 0.05 to 0.6, turn from 0 to 180 degrees, tilt from 0 to 0.6",
                             advice="0.2, 20 and 0.25 are usual")
        if self.pattern == "square":
            pixels = np.broadcast_to(np.array([250, 220, 40], np.uint8), (8, 8, 3)).copy()
        elif self.pattern == "picture":
            pixels = patterns.emblem(16, 16)
        else:
            raise UsageError(f"unknown pattern {self.pattern!r}", advice="one of: square, picture")
        top, left = CENTRES[self.place]
        trigger = Sticker(pixels, top, left, float(self.size), float(self.turn), float(self.tilt))
        return backdoor(data, trigger, rng, rate=self.rate, target=self.target, clean_label=self.clean_label)
