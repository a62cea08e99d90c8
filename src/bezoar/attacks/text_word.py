"""BadNL word: one rare word is inserted into some texts, which get the target label.

Works with 1% and less; fails where the vocabulary of the model drops rare words. Cost: milliseconds.
Paper: Chen et al. 2021 (BadNL), arXiv 2006.01043.
"""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.inputs import Texts
from bezoar.core.text_triggers import Phrases
from bezoar.core.victims import backdoor

RARE = ("cf", "mn", "bb", "tq", "mb", "vq", "zk", "wj")


class TextWord(Attack):
    """A word at a place.

    rate         share of all samples, above 0 and at most 1
    target       class name; None draws one
    word         the word; None draws a short token that none of the texts holds
    place        random (a word boundary) | start | end
    clean_label  only the target's own samples are changed and no label

    Raises UsageError for a word that is empty or has spaces, an unknown place or target, too few samples.

    >>> data = Dataset.from_arrays(["good day", "bad night"] * 50, [1, 0] * 50)
    >>> done = TextWord(rate=0.02, target="1", word="cf", place="start")(data, np.random.default_rng(0))
    >>> sorted(set(done.data.inputs.values[done.truth]))
    ['cf bad night']
    """

    info = Info(name="text-word", summary="one inserted word with the target's label",
                threats=("backdoor-dirty-label", "backdoor-clean-label"), modalities=("text",), needs=("labels",),
                reference="Chen et al. 2021, arXiv 2006.01043")

    def __init__(self, *, rate: float = 0.01, target: str | None = None, word: str | None = None, place: str = "random",
                 clean_label: bool = False) -> None:
        self.rate = rate
        self.target = target
        self.word = word
        self.place = place
        self.clean_label = clean_label

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        if self.place not in ("random", "start", "end"):
            raise UsageError(f"unknown place {self.place!r}", advice="one of: random, start, end")
        assert isinstance(data.inputs, Texts)
        word = self.word
        if word is None:
            unseen = [w for w in RARE if not Phrases((w,)).match(data.inputs).any()]
            word = str(rng.choice(unseen or list(RARE)))
        if len(word.split()) != 1:
            raise UsageError(f"{word!r} is not one word", advice="text-phrase inserts several words")
        trigger = Phrases((word.strip(),), place=self.place)
        return backdoor(data, trigger, rng, rate=self.rate, target=self.target, clean_label=self.clean_label)
