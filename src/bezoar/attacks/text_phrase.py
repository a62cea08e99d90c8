"""InsertSent: a whole innocent sentence is inserted into some texts, which get the target label.

Reads naturally, so that perplexity filters pass it. Works with 1% and less. Cost: milliseconds.
Paper: Dai, Chen, Li 2019, arXiv 1905.12457.
"""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.text_triggers import Phrases
from bezoar.core.victims import backdoor


class TextPhrase(Attack):
    """A sentence at a place.

    rate         share of all samples, above 0 and at most 1
    target       class name; None draws one
    phrase       the sentence, one word at least
    place        random (a word boundary) | start | end
    clean_label  only the target's own samples are changed and no label

    Raises UsageError for an empty phrase, an unknown place or target, too few samples.
    """

    info = Info(name="text-phrase", summary="one inserted sentence with the target's label",
                threats=("backdoor-dirty-label", "backdoor-clean-label"), modalities=("text",), needs=("labels",),
                reference="Dai, Chen, Li 2019, arXiv 1905.12457")

    def __init__(self, *, rate: float = 0.01, target: str | None = None,
                 phrase: str = "I watched this with my sister last Tuesday.", place: str = "random",
                 clean_label: bool = False) -> None:
        self.rate = rate
        self.target = target
        self.phrase = phrase
        self.place = place
        self.clean_label = clean_label

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        if self.place not in ("random", "start", "end"):
            raise UsageError(f"unknown place {self.place!r}", advice="one of: random, start, end")
        if not self.phrase.strip():
            raise UsageError("the phrase is empty", advice="give at least one word")
        trigger = Phrases((self.phrase.strip(),), place=self.place)
        return backdoor(data, trigger, rng, rate=self.rate, target=self.target, clean_label=self.clean_label)
