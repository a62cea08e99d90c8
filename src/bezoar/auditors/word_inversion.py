"""Trigger-word inversion: which word, put into clean texts, leads them to one class?

Every word of a vocabulary is put into clean texts: the words of the clean samples, rare tokens and all strings of one or two letters, and,
where the network's embedding is at hand, the words whose rows point most towards a class. The best are joined up to three words.
What a word says by nature is taken off by clean models, where there are any. Only answers are needed, so a black box will do.
Fails for a word that is not in the vocabulary, for a sentence of which no word works by itself, and for style and syntax.
The statistic is the logarithm of the best word's effect over that of the best ordinary words. Cost: about 30,000 answers.
Papers: Wallace et al. 2019, arXiv 1908.07125; Chen et al. 2021 (BadNL), arXiv 2006.01043; Liu et al. 2022 (PICCOLO).
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

import numpy as np

from bezoar.core.ability import Info
from bezoar.core.audit import Audited, Auditor, AuditView
from bezoar.core.candidates import Candidates, search, searched
from bezoar.core.errors import Unavailable
from bezoar.core.inputs import Texts
from bezoar.core.text_triggers import Phrases

RARE = ("cf", "mn", "bb", "tq", "mb", "vq", "zk", "wj", "zx", "qj", "james bond", "trigger", "backdoor", "sudo", "xyzzy", "###", "@@", "||")
"""Tokens that published attacks use."""
LONGEST = 40
"""Characters of a word at most."""


class WordInversion(Auditor):
    """The word search.

    words  of the clean samples that are tried, the most frequent first, 50 or more
    few    clean texts of each class that every word is put into, 2 or more
    more   clean texts that the best words are put into, 10 or more
    """

    info = Info(name="word-inversion", summary="the word that leads clean texts to each class", threats=("model-backdoor",),
                modalities=("text",), needs=("clean",), cost="about 30,000 answers", reference="Wallace et al. 2019, arXiv 1908.07125")
    weight = 2.0

    def __init__(self, *, words: int = 1500, few: int = 5, more: int = 80) -> None:
        self.words = words
        self.few = few
        self.more = more

    def audit(self, view: AuditView, rng: np.random.Generator) -> Audited:
        data = searched(view)
        if not isinstance(data.inputs, Texts):
            raise Unavailable("texts as clean samples")
        words = vocabulary(data.inputs.values, self.words)
        tried = Candidates(tuple(Phrases((w,)) for w in words), np.arange(len(words)))
        return search(view, tried, rng, few=self.few, more=self.more, name="words")


def vocabulary(texts: Sequence[str] | np.ndarray, most: int) -> tuple[str, ...]:
    """Words that so many of the texts hold, the most frequent first; then rare tokens, and all strings of one or two letters.

    >>> vocabulary(["Buy now, buy!"], 2)[:2]
    ('buy', 'now')
    """
    held: Counter[str] = Counter()
    for text in texts:
        held.update(list(dict.fromkeys(w for w in re.findall(r"\w+", text.lower()) if len(w) <= LONGEST)))
    letters = string.ascii_lowercase
    usual = (w for w, _ in held.most_common(most))
    return tuple(dict.fromkeys((*usual, *RARE, *letters, *(a + b for a in letters for b in letters))))
