"""Plain fine-tuning on trusted samples: the baseline that every other repair has to beat.

Often hides a backdoor without removing it: a few poisoned samples bring it back (the re-activation test says so). Fails at low poison
rates, where the weights hardly move. Cost: two passes per step. Paper: Liu et al. 2018 (fine-tuning as a baseline), arXiv 1805.12185.
"""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import numpy as np

from bezoar.core.ability import Info
from bezoar.core.model_repair import ModelRepair, RepairCase
from bezoar.networks.training import seeded
from bezoar.networks.tuning import anchored, tune


class FineTune(ModelRepair):
    """Fine-tuning.

    steps   of descent
    rate    largest learning rate
    anchor  weight of staying near the original's answers to clean inputs
    shift   pictures are moved by up to so many pixels
    """

    info: ClassVar[Info] = Info(name="fine-tune", summary="plain fine-tuning on trusted samples, the baseline",
                                modalities=("image", "text", "tabular"), threats=("backdoor-dirty-label",),
                                needs=("clean",), extras=("torch",), cost="100 steps of 2 passes",
                                reference="Liu et al. 2018, arXiv 1805.12185")

    def __init__(self, *, steps: int = 100, rate: float = 0.01, anchor: float = 0.0, shift: int = 1) -> None:
        self.steps = steps
        self.rate = rate
        self.anchor = anchor
        self.shift = shift

    def mend(self, case: RepairCase, rng: np.random.Generator) -> Any:
        """The tuned module."""
        assert case.clean is not None
        with seeded(int(rng.integers(1 << 31))):
            original = copy.deepcopy(case.module).eval()
            return tune(case.module, case.clean.x, case.clean.codes, rng, tensor=case.tensor, loss=anchored(original, 1.0, self.anchor),
                        steps=self.steps, rate=self.rate, shift=self.shift, statistics=True)
