"""Adap-Blend: in training each poisoned sample carries half the pieces of a faint pattern; some of them keep their own label.

The covers blur the line between poisoned and clean in feature space, which detectors of latent separation live on; afterwards
the whole pattern is used, which is stronger than anything seen in training.
Threat model: the attacker delivers a share of the samples with labels, knows the kind of defence, not the model.
Budget: `rate` + `cover` of all samples (paper: 0.3% + 0.3%). Fails to implant in small models at that rate. Cost: milliseconds.
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


class AdaptiveBlend(Attack):
    """A blended pattern in pieces.

    rate     share of all samples that get pieces and the target's label, above 0 and at most 1
    cover    share of all samples that get pieces and keep their label, 0 for none
    target   class name; None draws one
    alpha    opacity in training, above 0 and at most 1; the trigger afterwards has all pieces at the same opacity
    grid     pieces per side, 1 to 8
    keep     share of the pieces that each training sample gets, above 0 and at most 1
    pattern  noise (uniform, each channel by itself) | picture (a drawing with flat areas)

    Raises UsageError for parameters outside these ranges, an unknown target, too few samples.
    """

    info = Info(name="adaptive-blend", summary="half the pieces of a faint pattern; cover samples keep their label",
                threats=("backdoor-dirty-label",), modalities=("image",), needs=("labels",),
                reference="Qi et al. 2023, ICLR")

    def __init__(self, *, rate: float = 0.01, cover: float = 0.01, target: str | None = None, alpha: float = 0.2, grid: int = 4,
                 keep: float = 0.5, pattern: str = "noise") -> None:
        self.rate = rate
        self.cover = cover
        self.target = target
        self.alpha = alpha
        self.grid = grid
        self.keep = keep
        self.pattern = pattern

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        if not 0 < self.alpha <= 1 or not 0 < self.keep <= 1 or not 1 <= self.grid <= 8:
            raise UsageError("alpha and keep are above 0 and at most 1, grid is from 1 to 8", advice="0.2, 0.5 and 4 are usual")
        height, width = median_size(data)
        if self.pattern == "noise":
            pixels = patterns.noise(height, width, rng)
        elif self.pattern == "picture":
            pixels = patterns.emblem(height, width, fine=2)
        else:
            raise UsageError(f"unknown pattern {self.pattern!r}", advice="one of: noise, picture")
        cell = ((np.arange(height) * self.grid // height)[:, None] * self.grid + (np.arange(width) * self.grid // width)[None, :])
        masks = (cell[None] == np.arange(self.grid ** 2)[:, None, None]) * np.float32(self.alpha)
        return covered(data, Pieces(pixels, masks.astype(np.float32)), rng, rate=self.rate, cover=self.cover, target=self.target,
                       planted=Pieces(pixels, masks.astype(np.float32), keep=max(1, round(self.keep * self.grid ** 2))))
