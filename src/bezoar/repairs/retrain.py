"""Training anew without the flagged samples: better than every patch, where the training data are at hand.

The same architecture with fresh weights is trained on the training rows that nobody flagged, and on the trusted ones. If it
learns clearly less than the original did, it is trained once more at a tenth of the rate. Fails where flagging missed so much that
the backdoor implants again, and for layers that cannot be initialised anew (refused). Cost: a training run.
Anchor: AGPD and other filters with retraining leave attack success under about 2%.
"""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import numpy as np

from bezoar.core.ability import Info
from bezoar.core.errors import Unavailable
from bezoar.core.model_repair import ModelRepair, RepairCase
from bezoar.networks.training import fit, seeded
from bezoar.networks.tuning import kept, share_right

LEAST_STEPS = 300


class Retrain(ModelRepair):
    """Training anew.

    epochs  passes over the data; more where there are few samples
    rate    largest learning rate
    shift   pictures are moved by up to so many pixels
    """

    info: ClassVar[Info] = Info(name="retrain", summary="train anew without the flagged samples", modalities=("image", "text", "tabular"),
                                threats=("backdoor-dirty-label", "backdoor-clean-label"), needs=("training", "flagged"), extras=("torch",),
                                cost="a training run", reference="filter and retrain: AGPD and others, see METHODS")

    def __init__(self, *, epochs: int = 8, rate: float = 0.01, shift: int = 1) -> None:
        self.epochs = epochs
        self.rate = rate
        self.shift = shift

    def mend(self, case: RepairCase, rng: np.random.Generator) -> Any:
        """A newly trained module. Raises Unavailable where layers have no way to start anew."""
        samples = kept(case)
        epochs = max(self.epochs, min(40, -(-LEAST_STEPS * 64 // len(samples))))
        shift = self.shift if samples.x.ndim == 4 and min(samples.x.shape[1:3]) >= 16 else 0
        with seeded(int(rng.integers(1 << 31))):
            goal = share_right(case.module.eval(), samples.x, samples.codes, case.tensor)
            best, found = None, -1.0
            for rate in (self.rate, self.rate / 10):
                made = fit(_fresh(copy.deepcopy(case.module)), samples.x, samples.codes, rng, tensor=case.tensor, epochs=epochs, rate=rate,
                           batch=64, shift=shift)
                right = share_right(made, samples.x, samples.codes, case.tensor)
                if right > found:
                    best, found = made, right
                if found >= goal - 0.01:
                    break
            return best


def _fresh(module: Any) -> Any:
    """All weights drawn anew, as the layers do it themselves."""
    for part in module.modules():
        own = dict(part.named_parameters(recurse=False))
        if hasattr(part, "reset_parameters"):
            part.reset_parameters()
        elif own:
            raise Unavailable("layers that can be initialised anew", advice=f"{type(part).__name__} has no reset_parameters")
    return module
