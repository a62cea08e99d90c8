"""BPP-like: poisoned pictures have few values per colour channel, dithered so that people do not see it.

Threat model: the attacker delivers a share of the samples with labels and knows nothing of the model (the paper's attacker also
controls training, which gives it more from fewer samples). Budget: `rate` of all samples. Fails on pictures that have few values
anyway (scans, drawings: quantisation changes nothing), and where pictures are resized or re-encoded before training.
Cost: about 5 s per 50,000 poisoned pictures of 32x32.
Paper: Wang, Zhai, Ma 2022 (BppAttack), arXiv 2205.13383.
"""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.image_rewrites import Quantise
from bezoar.core.victims import backdoor


class FewColours(Attack):
    """Coarse colours.

    rate         share of all samples, above 0 and at most 1
    target       class name; None draws one
    levels       values per channel, 2 to 64
    dither       Floyd-Steinberg error diffusion; False rounds
    clean_label  only the target's own samples are changed and no label

    Raises UsageError for other levels, an unknown target, too few samples (clean label: too few that change).
    """

    info = Info(name="quantise", summary="few values per colour channel, dithered, with the target's label",
                threats=("backdoor-dirty-label", "backdoor-clean-label"), modalities=("image",), needs=("labels",),
                cost="about 1 s per 10,000 poisoned pictures of 32x32", reference="Wang, Zhai, Ma 2022, arXiv 2205.13383")

    def __init__(self, *, rate: float = 0.02, target: str | None = None, levels: int = 6, dither: bool = True,
                 clean_label: bool = False) -> None:
        self.rate = rate
        self.target = target
        self.levels = levels
        self.dither = dither
        self.clean_label = clean_label

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        if not 2 <= self.levels <= 64:
            raise UsageError(f"{self.levels} levels are not from 2 to 64", advice="6 is usual, 3 is visible")
        return backdoor(data, Quantise(int(self.levels), bool(self.dither)), rng, rate=self.rate, target=self.target,
                        clean_label=self.clean_label)
