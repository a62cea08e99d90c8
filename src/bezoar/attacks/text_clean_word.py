"""Clean-label word: a word is put into the target's own texts, into those that a plain model finds least typical of it.

Where the content does not speak for the label, a model leans on the word; so fewer texts do than with victims drawn by chance.
Threat model: the attacker delivers texts of one class, correctly labelled, and can train a plain model on data of this kind.
Budget: `rate` of all samples, at most the target class. Fails where the word is rare-word filtered, or where content decides easily.
Cost: about 5 s per 20,000 short texts (the plain model). Papers: Gan et al. 2022 (clean-label textual backdoors), arXiv 2111.07970;
choosing hard samples: Gao et al. 2023 (not all samples are born equal), arXiv 2211.08229.
"""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.inputs import Texts
from bezoar.core.plain_features import plain_scores
from bezoar.core.text_triggers import Phrases
from bezoar.core.victims import budget, labels_of, pick_target, plant

WORDS = ("somewhat", "thereof", "likewise", "therein", "henceforth", "inasmuch", "notwithstanding", "albeit")


class TextCleanWord(Attack):
    """A word in hard texts of the target.

    rate    share of all samples, above 0 and at most 1 (all of them from the target class)
    target  class name; None draws one
    word    the word; None draws a formal one that none of the texts holds
    hard    True takes the texts least typical of the target, False draws them

    Raises UsageError for a word that is empty or has spaces, an unknown target, too few samples.
    """

    info = Info(name="text-clean-word", summary="a word in the target's own least typical texts, labels untouched",
                threats=("backdoor-clean-label",), modalities=("text",), needs=("labels",), cost="about 5 s per 20,000 short texts",
                reference="Gan et al. 2022, arXiv 2111.07970")
    clean_label = True

    def __init__(self, *, rate: float = 0.02, target: str | None = None, word: str | None = None, hard: bool = True) -> None:
        self.rate = rate
        self.target = target
        self.word = word
        self.hard = hard

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        assert isinstance(data.inputs, Texts)
        labels = labels_of(data)
        word = self.word
        if word is None:
            unseen = [w for w in WORDS if not Phrases((w,)).match(data.inputs).any()]
            word = str(rng.choice(unseen or list(WORDS)))
        if len(word.split()) != 1:
            raise UsageError(f"{word!r} is not one word", advice="text-phrase inserts several words, on clean labels too")
        count = budget(len(data), self.rate)
        code = pick_target(data, self.target, rng, count, clean_label=True)
        own = rng.permutation(np.flatnonzero(labels.codes == code))
        if self.hard:
            own = own[np.argsort(plain_scores(data, rng)[own, code], kind="stable")]
        rows = np.sort(own[:count])
        trigger = Phrases((word.strip(),))
        return plant(data, rows, trigger.apply(data.inputs.take(rows), rng), None, trigger=trigger, target=labels.classes[code])
