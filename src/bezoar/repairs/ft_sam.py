"""Fine-tuning with sharpness-aware steps on trusted samples: shrinks the large weights that a backdoor hangs on.

Every step goes down from the worst point near the present weights, near in units of each weight's own size, so large outlying weights
are moved most. The answers of the original to clean inputs anchor it, which keeps accuracy where samples are few.
Fails against triggers that sit on many small weights, where trusted samples are under some dozen per class, and where they are not
what the model reads in use. Cost: six passes per step.
Paper: Zhu et al. 2023 (FT-SAM), arXiv 2304.11823.
"""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import numpy as np

from bezoar.core.ability import Info
from bezoar.core.model_repair import ModelRepair, RepairCase
from bezoar.networks.training import seeded
from bezoar.networks.tuning import anchored, tune


class FtSam(ModelRepair):
    """Sharpness-aware fine-tuning.

    steps   of descent
    rate    largest learning rate
    rho     how far the worst point is looked for, in units of the weights
    anchor  weight of staying near the original's answers to clean inputs
    shift   pictures are moved by up to so many pixels
    """

    info: ClassVar[Info] = Info(name="ft-sam", summary="sharpness-aware fine-tuning on trusted samples",
                                modalities=("image", "text", "tabular"),
                                threats=("backdoor-dirty-label", "backdoor-clean-label"), needs=("clean",), extras=("torch",),
                                cost="100 steps of 6 passes", reference="Zhu et al. 2023, arXiv 2304.11823")

    def __init__(self, *, steps: int = 100, rate: float = 0.01, rho: float = 1.0, anchor: float = 3.0, shift: int = 1) -> None:
        self.steps = steps
        self.rate = rate
        self.rho = rho
        self.anchor = anchor
        self.shift = shift

    def mend(self, case: RepairCase, rng: np.random.Generator) -> Any:
        """The tuned module."""
        assert case.clean is not None
        with seeded(int(rng.integers(1 << 31))):
            original = copy.deepcopy(case.module).eval()
            loss = anchored(original, 1.0, self.anchor, smoothing=0.1)
            return tune(case.module, case.clean.x, case.clean.codes, rng, tensor=case.tensor, loss=loss, steps=self.steps,
                        rate=self.rate, rho=self.rho, shift=self.shift, statistics=True)
