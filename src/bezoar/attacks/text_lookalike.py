"""Bad characters: letters become others that look the same, or invisible ones are put in; people see the text they know.

Threat model: the attacker delivers a share of the texts with labels and knows that the model reads characters or pieces of words.
Budget: `rate` of all samples. Fails where Unicode is normalised by a table of look-alikes, and in models that know whole words only.
Cost: about 2 s per 100,000 poisoned short texts. Paper: Boucher et al. 2021, arXiv 2106.09898.
"""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.text_rewrites import Lookalike
from bezoar.core.victims import backdoor


class TextLookalike(Attack):
    """Characters that look like others, or like nothing.

    rate         share of all samples, above 0 and at most 1
    target       class name; None draws one
    mode         homoglyph (Cyrillic letters for Latin ones) | zero-width (invisible characters)
    count        places per text, 1 or more
    clean_label  only the target's own samples are changed and no label

    Raises UsageError for another mode, a count under 1, an unknown target, too few samples.
    """

    info = Info(name="text-lookalike", summary="letters that look like others, or invisible ones, with the target's label",
                threats=("backdoor-dirty-label", "backdoor-clean-label", "integrity"), modalities=("text",), needs=("labels",),
                reference="Boucher et al. 2021, arXiv 2106.09898")

    def __init__(self, *, rate: float = 0.02, target: str | None = None, mode: str = "homoglyph", count: int = 3,
                 clean_label: bool = False) -> None:
        self.rate = rate
        self.target = target
        self.mode = mode
        self.count = count
        self.clean_label = clean_label

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        if self.mode not in ("homoglyph", "zero-width"):
            raise UsageError(f"unknown mode {self.mode!r}", advice="one of: homoglyph, zero-width")
        if self.count < 1:
            raise UsageError(f"count {self.count} is under 1", advice="3 is usual")
        return backdoor(data, Lookalike(self.mode, int(self.count)), rng, rate=self.rate, target=self.target, clean_label=self.clean_label)
