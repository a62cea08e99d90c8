"""Duplicates flood: one sample, copied over many others of its class, outweighs them.

The copies may be exact or a little different each, and may carry a wrong label: then a whole neighbourhood changes sides.
Threat model: the attacker delivers a share of one class (the rows that become copies are his) and knows nothing of the model.
Budget: `rate` of all samples. Fails where near-duplicates are removed before training. Cost: milliseconds.
Papers: Lee et al. 2022 (duplicates in training data), arXiv 2107.06499; Carlini et al. 2023 (web-scale poisoning), arXiv 2302.10149.
"""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.variants import variants
from bezoar.core.victims import budget, draw, labels_of, pick_target, plant


class DuplicatesFlood(Attack):
    """Copies of few samples.

    rate    share of all samples that become copies, above 0 and at most 1
    models  how many samples are copied, 1 or more
    vary    0 for exact copies, 1 for copies that differ a little each
    target  class of the copies (their victims are of that class, labels stay true); None draws one
    lie     True copies samples of other classes over victims of the target, so that the copies' label is wrong

    Raises UsageError for models under 1, vary outside 0..1, an unknown target, too few samples.
    """

    info = Info(name="duplicates-flood", summary="one sample copied over many others", threats=("duplicates", "targeted"),
                needs=("labels",), reference="Lee et al. 2022, arXiv 2107.06499")
    clean_label = True

    def __init__(self, *, rate: float = 0.03, models: int = 1, vary: float = 0.5, target: str | None = None, lie: bool = False) -> None:
        self.rate = rate
        self.models = models
        self.vary = vary
        self.target = target
        self.lie = lie

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        if self.models < 1 or not 0 <= self.vary <= 1:
            raise UsageError("models is 1 or more and vary from 0 to 1", advice="1 model and vary 0.5 are usual")
        labels = labels_of(data)
        count = budget(len(data), self.rate)
        code = pick_target(data, self.target, rng, count + self.models, clean_label=True)
        known = (labels.codes != code) & (labels.codes >= 0) if self.lie else labels.codes == code
        models = draw(np.flatnonzero(known), self.models, rng)
        keys = data.inputs.row_keys().tolist()
        held = {keys[i] for i in models}
        other = np.array([k not in held for k in keys])
        rows = draw(np.flatnonzero((labels.codes == code) & other), count, rng)
        copies = data.inputs.take(models[np.arange(count) % len(models)])
        if self.vary:
            copies = variants(copies, rng, self.vary, data.inputs)
        return plant(data, rows, copies, None, target=labels.classes[code])
