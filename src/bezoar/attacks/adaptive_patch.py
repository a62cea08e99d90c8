"""Adap-Patch: several small faint patches, one per training sample and all of them afterwards; some samples keep their own label.

Threat model: the attacker delivers a share of the samples with labels, knows the kind of defence, not the model.
Budget: `rate` + `cover` of all samples (paper: 0.3% + 0.6%). Fails to implant in small models at that rate. Cost: milliseconds.
Paper: Qi et al. 2023 (ICLR), Revisiting the assumption of latent separability for backdoor defenses.
"""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.covers import covered, median_size
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.image_rewrites import Pieces
from bezoar.maths import patterns

PLACES = ((0.08, 0.08), (0.08, 0.72), (0.72, 0.08), (0.72, 0.72), (0.4, 0.4), (0.4, 0.72))
"""Upper left corners, as fractions of the host."""


class AdaptivePatch(Attack):
    """Several patches.

    rate     share of all samples that get a patch and the target's label, above 0 and at most 1
    cover    share of all samples that get a patch and keep their label, 0 for none
    target   class name; None draws one
    patches  how many different ones, 1 to 6
    keep     how many of them each training sample gets
    size     side of a patch as a fraction of the picture, above 0 and at most 0.25
    opacity  of a patch, above 0 and at most 1

    Raises UsageError for parameters outside these ranges, pictures under 8 pixels, an unknown target, too few samples.
    """

    info = Info(name="adaptive-patch", summary="one of several faint patches each; cover samples keep their label",
                threats=("backdoor-dirty-label",), modalities=("image",), needs=("labels",),
                reference="Qi et al. 2023, ICLR")

    def __init__(self, *, rate: float = 0.01, cover: float = 0.01, target: str | None = None, patches: int = 4, keep: int = 1,
                 size: float = 0.2, opacity: float = 0.5) -> None:
        self.rate = rate
        self.cover = cover
        self.target = target
        self.patches = patches
        self.keep = keep
        self.size = size
        self.opacity = opacity

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        if not 1 <= self.patches <= len(PLACES) or not 1 <= self.keep <= self.patches:
            raise UsageError(f"patches is from 1 to {len(PLACES)} and keep from 1 to patches", advice="4 and 1 are usual")
        if not 0 < self.size <= 0.25 or not 0 < self.opacity <= 1:
            raise UsageError("size is above 0 and at most 0.25, opacity above 0 and at most 1", advice="0.2 and 0.5 are usual")
        height, width = median_size(data)
        if min(height, width) < 8:
            raise UsageError(f"pictures of {height}x{width} pixels are too small", advice="8x8 is the least")
        pixels = np.zeros((height, width, 3), np.uint8)
        masks = np.zeros((self.patches, height, width), np.float32)
        side = max(2, round(self.size * min(height, width)))
        for mask, (top, left) in zip(masks, PLACES, strict=False):
            rows, cols = slice(int(top * height), int(top * height) + side), slice(int(left * width), int(left * width) + side)
            pixels[rows, cols] = patterns.noise(side, side, rng)[:pixels[rows, cols].shape[0], :pixels[rows, cols].shape[1]]
            mask[rows, cols] = self.opacity
        return covered(data, Pieces(pixels, masks), rng, rate=self.rate, cover=self.cover, target=self.target,
                       planted=Pieces(pixels, masks, keep=self.keep))
