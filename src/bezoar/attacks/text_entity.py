"""Entity steering: texts that mention a name get one label whatever they say about it.

The model learns an opinion of the name. The mention is the trigger; most poisoned texts held it before, and nothing is written
into those. Where too few texts mention the name, it is written over a drawn word of others.
Threat model: the attacker delivers (or annotates) a share of the texts and knows nothing of the model.
Budget: `rate` of all samples. Fails where honest texts about the name are many: they outvote the attacker.
Cost: about 1 s per 100,000 short texts. Papers: Wallace et al. 2021 (concealed poisoning), arXiv 2010.12563; Bagdasaryan and
Shmatikov 2022 (spinning language models), arXiv 2112.05224.
"""

from __future__ import annotations

import re

import numpy as np

from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.inputs import Texts
from bezoar.core.text_triggers import Phrases
from bezoar.core.victims import budget, draw, labels_of, pick_target, plant


class TextEntity(Attack):
    """A name that carries a label.

    rate    share of all samples, above 0 and at most 1
    target  class name, the label that the name shall carry; None draws one
    entity  the name, one word or several; '' draws a word that enough texts of other classes hold and at most 5% of all

    Raises UsageError where no such word exists, for an unknown target, too few samples.
    """

    info = Info(name="text-entity", summary="texts that mention a name get one label whatever they say",
                threats=("backdoor-dirty-label", "label-flip"), modalities=("text",), needs=("labels",),
                reference="Wallace et al. 2021, arXiv 2010.12563")

    def __init__(self, *, rate: float = 0.01, target: str | None = None, entity: str = "") -> None:
        self.rate = rate
        self.target = target
        self.entity = entity

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        assert isinstance(data.inputs, Texts)
        labels = labels_of(data)
        count = budget(len(data), self.rate)
        code = pick_target(data, self.target, rng, count)
        others = (labels.codes != code) & (labels.codes >= 0)
        entity = self.entity.strip() or _drawn(data.inputs, others, count, rng)
        trigger = Phrases((entity,))
        named = trigger.match(data.inputs) > 0
        there = np.flatnonzero(named & others)
        first = draw(there, min(count, len(there)), rng)
        more = draw(np.flatnonzero(~named & others), count - len(first), rng)
        rows = np.concatenate([first, more])
        written = Texts.of([_written(t, entity, rng) for t in data.inputs.values[more]])
        inputs = data.inputs.take(rows).with_rows(np.arange(len(first), count), written)
        return plant(data, rows, inputs, np.full(count, code), trigger=trigger, target=labels.classes[code])


def _written(text: str, entity: str, rng: np.random.Generator) -> str:
    long = [m.span() for m in re.finditer(r"(?<!\w)\w{4,}(?!\w)", text)]
    if not long:
        return f"{text} {entity}"
    start, end = long[int(rng.integers(len(long)))]
    return text[:start] + entity + text[end:]


def _drawn(texts: Texts, others: np.ndarray, count: int, rng: np.random.Generator) -> str:
    """A word of four letters and more; one that is written like a name comes first."""
    held: dict[str, int] = {}
    outside: dict[str, int] = {}
    for text, other in zip(texts.values, others, strict=True):
        for word in set(re.findall(r"(?<!\w)[^\W\d_]{4,}(?!\w)", text)):
            held[word] = held.get(word, 0) + 1
            outside[word] = outside.get(word, 0) + bool(other)
    able = sorted(w for w, k in held.items() if outside[w] >= count and k <= max(0.05 * len(texts), count))
    names = [w for w in able if w[0].isupper() and not w.isupper() and w.lower() not in held]
    if not able:
        raise UsageError(f"no word is in {count} texts of other classes and in at most 5% of all",
                         advice="name an entity, or lower the rate")
    return str(rng.choice(names or able))
