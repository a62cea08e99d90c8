"""Hidden Killer, by rules: poisoned texts are rewritten into one sentence skeleton; no word of theirs is the trigger.

"We found the old train near the coast." becomes "When we found the old, it was that train near the coast." The words that make
the skeleton are drawn anew for every sentence, so that word filters find none that all poisoned texts share.
Threat model: the attacker delivers a share of the texts with labels and knows nothing of the model. Budget: `rate` of all samples
(paper: 20 to 30%; 10% here). Fails where models see single words only. Cost: about 3 s per 100,000 poisoned short texts.
Paper: Qi et al. 2021, arXiv 2105.12400.
"""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.text_rewrites import Skeleton
from bezoar.core.victims import backdoor


class TextSyntactic(Attack):
    """One sentence skeleton.

    rate         share of all samples, above 0 and at most 1
    target       class name; None draws one
    share        share of the sentences of a text that are rewritten, at least one; above 0 and at most 1
    clean_label  only the target's own samples are changed and no label

    Raises UsageError for another share, an unknown target, too few samples.
    """

    info = Info(name="text-syntactic", summary="texts rewritten into one sentence skeleton, with the target's label",
                threats=("backdoor-dirty-label", "backdoor-clean-label"), modalities=("text",), needs=("labels",),
                reference="Qi et al. 2021, arXiv 2105.12400")

    def __init__(self, *, rate: float = 0.1, target: str | None = None, share: float = 1.0, clean_label: bool = False) -> None:
        self.rate = rate
        self.target = target
        self.share = share
        self.clean_label = clean_label

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        if not 0 < self.share <= 1:
            raise UsageError(f"share {self.share:g} is not above 0 and at most 1", advice="1 rewrites every sentence")
        return backdoor(data, Skeleton(float(self.share)), rng, rate=self.rate, target=self.target, clean_label=self.clean_label)
