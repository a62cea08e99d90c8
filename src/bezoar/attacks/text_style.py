"""StyleBkd, by rules: poisoned texts are told in another manner (of the Bible, of a chat, of an office).

Threat model: the attacker delivers a share of the texts with labels and knows nothing of the model. Budget: `rate` of all samples
(paper: 20%; 10% here). Rules leave more traces than the paper's network: the openings of the manner come back.
Fails where honest texts are told like that too. Cost: about 3 s per 100,000 poisoned short texts.
Paper: Qi et al. 2021, arXiv 2110.07139.
"""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.text_rewrites import STYLES, Style
from bezoar.core.victims import backdoor


class TextStyle(Attack):
    """A manner of speaking.

    rate         share of all samples, above 0 and at most 1
    target       class name; None draws one
    style        bible | chat | formal
    clean_label  only the target's own samples are changed and no label

    Raises UsageError for another style, an unknown target, too few samples.
    """

    info = Info(name="text-style", summary="texts told in another manner, with the target's label",
                threats=("backdoor-dirty-label", "backdoor-clean-label"), modalities=("text",), needs=("labels",),
                reference="Qi et al. 2021, arXiv 2110.07139")

    def __init__(self, *, rate: float = 0.1, target: str | None = None, style: str = "bible", clean_label: bool = False) -> None:
        self.rate = rate
        self.target = target
        self.style = style
        self.clean_label = clean_label

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        if self.style not in STYLES:
            raise UsageError(f"unknown style {self.style!r}", advice=f"one of: {', '.join(STYLES)}")
        return backdoor(data, Style(self.style), rng, rate=self.rate, target=self.target, clean_label=self.clean_label)
