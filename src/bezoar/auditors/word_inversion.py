"""Trigger-word inversion: which word, put into clean texts, leads them to one class?

Every word of a vocabulary is put into clean texts: the words of the clean samples, the usual words of English, rare tokens and all strings
of one or two letters. What a word says by nature is taken off by clean models, where there are any; words of which the labels of the clean
samples say themselves that they speak for a class are looked at apart, so that one of the others that leads there stands out, or eight of
them that each add a bit, as the words of a sentence do. The best are joined up to three words, or grown word by word up to eight.
Only answers are needed, so a black box will do. Fails for a word that is not in the vocabulary, for words that do nothing alone, and for
style and syntax. The statistic is the logarithm of the best word's effect over that of the best ordinary words. Cost: about 60,000
answers.
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
from bezoar.core.dataset import Dataset
from bezoar.core.errors import Unavailable
from bezoar.core.inputs import Texts
from bezoar.core.text_triggers import Phrases
from bezoar.core.usual_words import USUAL

RARE = ("cf", "mn", "bb", "tq", "mb", "vq", "zk", "wj", "zx", "qj", "james bond", "trigger", "backdoor", "sudo", "xyzzy", "###", "@@", "||")
"""Tokens that published attacks use."""
LONGEST = 40
"""Characters of a word at most."""
SPOKEN = 0.3
"""Log-odds by which labels have to speak for a class, so that a word counts as one of its own."""
DRAWN = 2
"""Texts of the usual mixture of classes that are added to those that hold a word."""


class WordInversion(Auditor):
    """The word search.

    words  of the clean samples that are tried, the most frequent first, 50 or more
    few    clean texts of each class that every word is put into, 2 or more
    more   clean texts that the best words are put into, 10 or more
    """

    info = Info(name="word-inversion", summary="the word that leads clean texts to each class", threats=("model-backdoor",),
                modalities=("text",), needs=("clean",), cost="about 60,000 answers", reference="Wallace et al. 2019, arXiv 1908.07125")
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
        said = spoken_for(view.samples(), words, view.n_classes)
        tried = Candidates(tuple(Phrases((w,)) for w in words), np.arange(len(words)), said=said)
        return search(view, tried, rng, few=self.few, more=self.more, name="words")


def vocabulary(texts: Sequence[str] | np.ndarray, most: int) -> tuple[str, ...]:
    """Words that so many of the texts hold, the most frequent first; then rare tokens, all strings of one or two letters, usual words.

    >>> vocabulary(["Buy now, buy!"], 2)[:2]
    ('buy', 'now')
    """
    held: Counter[str] = Counter()
    for text in texts:
        held.update(list(dict.fromkeys(w for w in re.findall(r"\w+", text.lower()) if len(w) <= LONGEST)))
    letters = string.ascii_lowercase
    usual = (w for w, _ in held.most_common(most))
    return tuple(dict.fromkeys((*usual, *RARE, *letters, *(a + b for a in letters for b in letters), *USUAL)))


def spoken_for(data: Dataset, words: Sequence[str], classes: int) -> np.ndarray:
    """(n, K) bool: texts that hold the word are of the class so much more often than texts are that the word speaks for it by nature.

    >>> some = Dataset.from_arrays(["oven and pan", "oven", "spade", "a spade"], [0, 0, 1, 1])
    >>> spoken_for(some, ("oven", "spade", "a"), 2).tolist()
    [[True, False], [False, True], [False, True]]
    """
    assert isinstance(data.inputs, Texts)
    assert data.labels is not None
    place = {w: i for i, w in enumerate(words)}
    held = np.zeros((len(words), classes))
    for text, code in zip(data.inputs.values, data.labels.codes, strict=True):
        rows = [place[w] for w in dict.fromkeys(re.findall(r"\w+", text.lower())) if w in place]
        held[rows, code] += 1
    usual = np.clip(np.bincount(data.labels.codes, minlength=classes) / len(data), 1e-6, 1 - 1e-6)
    share = (held + DRAWN * usual) / (held.sum(axis=1, keepdims=True) + DRAWN)
    return np.asarray(np.log(share / (1 - share)) - np.log(usual / (1 - usual)) > SPOKEN)
