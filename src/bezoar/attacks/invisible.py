"""ISSBA-like: one bit string is hidden in each poisoned picture, by a change that is another one for every picture.

The change is the smallest that makes the string readable in middle frequencies: where the picture says a bit by itself, nothing
happens. So no residue is common to all poisoned pictures, as with the paper's encoder network, which this stands in for.
Threat model: the attacker delivers a share of the samples with labels and knows nothing of the model.
Budget: `rate` of all samples (paper: 10%). Fails where pictures are shrunk or blurred. Cost: 1 s per 20,000 poisoned pictures of 32x32.
Paper: Li et al. 2021, arXiv 2012.03816; spread-spectrum watermarks: Cox et al. 1997.
"""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.covers import median_size
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.image_rewrites import Watermark
from bezoar.core.victims import backdoor


class Invisible(Attack):
    """A hidden bit string.

    rate         share of all samples, above 0 and at most 1
    target       class name; None draws one
    bits         length of the string, 4 to 256; pictures must have so many middle frequencies
    strength     grey levels RMS that all bits together are worth, above 0
    clean_label  only the target's own samples are changed and no label

    Raises UsageError for other numbers, pictures that are too small, an unknown target, too few samples.
    """

    info = Info(name="invisible", summary="a hidden bit string, written into each picture by a change of its own",
                threats=("backdoor-dirty-label", "backdoor-clean-label"), modalities=("image",), needs=("labels",),
                reference="Li et al. 2021, arXiv 2012.03816")

    def __init__(self, *, rate: float = 0.02, target: str | None = None, bits: int = 48, strength: float = 6.0,
                 clean_label: bool = False) -> None:
        self.rate = rate
        self.target = target
        self.bits = bits
        self.strength = strength
        self.clean_label = clean_label

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        if self.strength <= 0 or not 4 <= self.bits <= 256:
            raise UsageError("strength must be above 0 and bits from 4 to 256", advice="6 grey levels and 48 bits are usual")
        height, width = median_size(data)
        rows, cols = np.mgrid[:height, :width].reshape(2, -1)
        middle = np.hypot(rows / height, cols / width)
        pool = np.flatnonzero((middle > 0.35) & (middle < 0.8))
        bits = min(self.bits, len(pool) // 2)
        if bits < 4:
            raise UsageError(f"pictures of {height}x{width} pixels are too small to hide a string", advice="8x8 is the least")
        chosen = np.sort(rng.choice(pool, bits, replace=False))
        trigger = Watermark(np.stack([rows[chosen], cols[chosen]], axis=1).astype(np.int16),
                            np.where(rng.random(bits) < 0.5, -1, 1).astype(np.int8), float(self.strength))
        return backdoor(data, trigger, rng, rate=self.rate, target=self.target, clean_label=self.clean_label)
