"""Feature shift tuning: the classifier is drawn anew and kept away from the compromised one while everything is tuned.

Plain tuning hardly moves the features, so the old classifier finds its backdoor features again. Here the last linear layer starts anew
and a penalty on its product with the old one pushes it elsewhere; its size is kept at the old one's. Holds at low poison rates, where
plain tuning fails. Fails for networks that do not end in a linear layer (refused), and costs accuracy where trusted samples are few.
Cost: two passes per step. Paper: Min et al. 2023 (FST), arXiv 2310.01875.
"""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import numpy as np

from bezoar.core.ability import Info
from bezoar.core.model_repair import ModelRepair, RepairCase
from bezoar.networks.training import seeded
from bezoar.networks.tuning import anchored, last_linear, tune


class Fst(ModelRepair):
    """Feature shift tuning.

    steps   of descent
    rate    largest learning rate
    away    weight of the product with the old classifier
    anchor  weight of staying near the original's answers to clean inputs
    shift   pictures are moved by up to so many pixels
    """

    info: ClassVar[Info] = Info(name="fst", summary="tune with a new classifier that is kept away from the old one",
                                modalities=("image", "text", "tabular"), threats=("backdoor-dirty-label", "backdoor-clean-label"),
                                needs=("clean",), extras=("torch",),
                                cost="150 steps of 2 passes", reference="Min et al. 2023, arXiv 2310.01875")

    def __init__(self, *, steps: int = 150, rate: float = 0.01, away: float = 0.2, anchor: float = 1.0, shift: int = 1) -> None:
        self.steps = steps
        self.rate = rate
        self.away = away
        self.anchor = anchor
        self.shift = shift

    def mend(self, case: RepairCase, rng: np.random.Generator) -> Any:
        """The tuned module."""
        import torch

        assert case.clean is not None
        with seeded(int(rng.integers(1 << 31))):
            original, head = copy.deepcopy(case.module).eval(), last_linear(case.module)
            old = head.weight.detach().clone()
            size = torch.linalg.vector_norm(old)
            head.reset_parameters()
            near = anchored(original, 1.0, self.anchor)

            def loss(module: Any, inputs: Any, own: Any, part: np.ndarray) -> Any:
                return near(module, inputs, own, part) + self.away * (head.weight * old).sum()

            def sized() -> None:
                with torch.no_grad():
                    head.weight.mul_(size / torch.linalg.vector_norm(head.weight).clamp(min=1e-9))

            return tune(case.module, case.clean.x, case.clean.codes, rng, tensor=case.tensor, loss=loss, steps=self.steps, rate=self.rate,
                        shift=self.shift, after=sized)
