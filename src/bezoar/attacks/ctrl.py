"""CTRL: a fixed wave in the colour difference of the target's own pictures; labels stay.

People see brightness far better than colour difference, so the wave may be strong in numbers and hardly visible.
Made for self-supervised training, it implants in supervised models too, where it needs a good share of the target class.
Threat model: the attacker delivers pictures of one class, correctly labelled, and knows nothing of the model.
Budget: `rate` of all samples, at most the target class. Fails where pictures are turned to grey or chroma is subsampled (JPEG).
Cost: milliseconds. Paper: Li et al. 2023, arXiv 2210.07346.
"""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.covers import median_size
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.image_triggers import Overlay
from bezoar.core.victims import backdoor

TO_RGB = np.array([[0.0, 1.402], [-0.344, -0.714], [1.772, 0.0]], np.float32)
"""What a unit of (Cb, Cr) adds to (R, G, B)."""


class Ctrl(Attack):
    """Two cosines in the colour difference.

    rate       share of all samples, above 0 and at most 1 (all of them from the target class)
    target     class name; None draws one
    magnitude  how strong each cosine is, in units of an orthonormal cosine transform of 32x32 pixels, above 0 (paper: 50 to 200)

    Raises UsageError for a magnitude of 0 or less, an unknown target, too few samples.
    """

    info = Info(name="ctrl", summary="a fixed wave in the colour difference of the target's own pictures",
                threats=("backdoor-clean-label",), modalities=("image",), needs=("labels",),
                reference="Li et al. 2023, arXiv 2210.07346")
    clean_label = True

    def __init__(self, *, rate: float = 0.02, target: str | None = None, magnitude: float = 100.0) -> None:
        self.rate = rate
        self.target = target
        self.magnitude = magnitude

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        if self.magnitude <= 0:
            raise UsageError(f"magnitude {self.magnitude:g} is not above 0", advice="100 is usual")
        height, width = median_size(data)
        wave = np.zeros((height, width), np.float32)
        for share in (0.5, 1.0):
            i, j = max(1, round(share * height) - 1), max(1, round(share * width) - 1)
            wave += np.outer(np.cos(np.pi * (np.arange(height) + 0.5) * i / height),
                             np.cos(np.pi * (np.arange(width) + 0.5) * j / width)).astype(np.float32)
        chroma = np.stack([wave, wave], axis=-1) * np.float32(self.magnitude * 2 / 32)
        return backdoor(data, Overlay(chroma @ TO_RGB.T), rng, rate=self.rate, target=self.target, clean_label=True)
