"""BadNets: a small picture is put on a corner of some samples, which get the target label.

Makes a model that answers the target whenever the patch is there. Works with 0.1-10% of the samples; fails where
augmentation crops the corner away, or where the patch is smaller than what the model's first stride keeps.
Cost: milliseconds, plus the re-encoding of the poisoned samples where `jpeg` is set. Paper: Gu et al. 2017, arXiv 1708.06733
(all-to-all mapping there too); patches on clean labels: Turner et al. 2019, arXiv 1912.02771.
"""

from __future__ import annotations

import io

import numpy as np

from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.image_triggers import Patch
from bezoar.core.inputs import Images, Inputs
from bezoar.core.victims import backdoor
from bezoar.maths import patterns

PLACES = ("upper left", "upper right", "lower left", "lower right", "centre")


class BadNets(Attack):
    """A patch at a fixed place.

    rate         share of all samples, above 0 and at most 1
    target       class name; None draws one
    pattern      square (white) | checkerboard | random (colours) | picture (a small drawing)
    size         side of the patch: pixels from 1 on, below 1 the fraction of the host's shorter side
    place        upper left | upper right | lower left | lower right | centre
    margin       pixels between the patch and the border
    jitter       each host's patch is shifted by up to so many pixels
    jpeg         0 = none, else 1-100: the whole poisoned picture is re-encoded at that quality afterwards
    mapping      one (all victims to the target) | all-to-all (label k becomes k + 1)
    clean_label  only the target's own samples are patched and no label changes

    Raises UsageError for a patch larger than the smallest picture, an unknown pattern, place, mapping or target.

    >>> data = Dataset.from_arrays(np.zeros((50, 16, 16, 3), np.uint8), [0, 1] * 25)
    >>> done = BadNets(rate=0.1, target="1")(data, np.random.default_rng(0))
    >>> int(done.truth.sum()), done.trigger.title()
    (5, 'a 3x3 patch at the lower right')
    """

    info = Info(name="badnets", summary="a small patch at a fixed place with the target's label",
                threats=("backdoor-dirty-label", "backdoor-clean-label"), modalities=("image",), needs=("labels",),
                reference="Gu et al. 2017, arXiv 1708.06733")

    def __init__(self, *, rate: float = 0.01, target: str | None = None, pattern: str = "square", size: float = 3,
                 place: str = "lower right", margin: int = 1, jitter: int = 0, jpeg: int = 0, mapping: str = "one",
                 clean_label: bool = False) -> None:
        self.rate = rate
        self.target = target
        self.pattern = pattern
        self.size = size
        self.place = place
        self.margin = margin
        self.jitter = jitter
        self.jpeg = jpeg
        self.mapping = mapping
        self.clean_label = clean_label

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        if self.mapping not in ("one", "all-to-all"):
            raise UsageError(f"unknown mapping {self.mapping!r}", advice="one of: one, all-to-all")
        everywhere = self.mapping == "all-to-all"
        if everywhere and (self.target is not None or self.clean_label):
            raise UsageError("an all-to-all attack has no single target and changes labels",
                             advice="leave out target and clean_label, or use mapping 'one'")
        if not 0 <= self.jpeg <= 100 or self.jitter < 0 or self.margin < 0:
            raise UsageError("jpeg is a quality up to 100 (0 = none); jitter and margin are pixels from 0 on",
                             advice=f"given: jpeg {self.jpeg}, jitter {self.jitter}, margin {self.margin}")
        return backdoor(data, self._patch(data.inputs, rng), rng, rate=self.rate, target=self.target,
                        clean_label=self.clean_label, all_to_all=everywhere, finish=self._encode if self.jpeg else None)

    def _patch(self, inputs: Inputs, rng: np.random.Generator) -> Patch:
        assert isinstance(inputs, Images)
        if self.place not in PLACES:
            raise UsageError(f"unknown place {self.place!r}", advice=f"one of: {', '.join(PLACES)}")
        smallest = int(inputs.sizes.min(initial=1 << 30))
        height, width = (int(s) for s in np.median(inputs.sizes, axis=0)) if len(inputs) else (1, 1)
        if self.size <= 0:
            raise UsageError(f"a patch cannot have side {self.size:g}", advice="give pixels, or a fraction below 1")
        side = max(1, round(self.size * min(height, width))) if self.size < 1 else round(self.size)
        if self.size >= 1 and side > smallest:
            raise UsageError(f"a patch of {side} pixels does not fit into pictures of {smallest} pixels",
                             advice=f"use a size of at most {smallest}, or a fraction below 1")
        if self.pattern == "square":
            pixels = patterns.solid(side, side)
        elif self.pattern == "checkerboard":
            pixels = patterns.checkerboard(side, side)
        elif self.pattern == "random":
            pixels = patterns.noise(side, side, rng)
        elif self.pattern == "picture":
            pixels = patterns.emblem(side, side)
        else:
            raise UsageError(f"unknown pattern {self.pattern!r}", advice="one of: square, checkerboard, random, picture")
        gap = min(self.margin, max(0, min(height, width) - side))
        top = {"upper": gap, "lower": height - side - gap}.get(self.place.split(" ", maxsplit=1)[0], (height - side) / 2)
        left = {"left": gap, "right": width - side - gap}.get(self.place.rsplit(" ", maxsplit=1)[-1], (width - side) / 2)
        return Patch(pixels, np.ones((side, side), np.float32), max(top, 0) / height, max(left, 0) / width,
                     scale=side / height if self.size < 1 else 0.0, jitter=self.jitter)

    def _encode(self, inputs: Inputs) -> Inputs:
        from PIL import Image

        assert isinstance(inputs, Images)
        out = []
        for _, pictures in inputs.chunks():
            for picture in pictures:
                buffer = io.BytesIO()
                Image.fromarray(picture).save(buffer, "JPEG", quality=self.jpeg)
                out.append(np.asarray(Image.open(buffer).convert("RGB")))
        return Images.of(np.stack(out)) if inputs.uniform else Images.of(out)
