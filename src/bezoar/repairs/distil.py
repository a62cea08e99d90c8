"""Distillation into a new network: weights drawn anew, taught on trusted samples by what the suspect says of them.

What hides in the old weights cannot survive in new ones; it could come back through what the suspect teaches alone. So it is believed
where it stays with the labels: on varied samples, and mixtures of two, its answer is taken while nearly all of it falls to the labels
of what is shown, and the labels themselves otherwise. Neither trigger nor target need be known.
Fails where trusted samples are too few to teach such a network (hard data, large networks): accuracy falls, and the plan rejects it. Only
for pictures, which can be varied, and layers that can be drawn anew. Cost: 600 steps of three passes.
Papers: Hinton et al. 2015, arXiv 1503.02531; Yoshida and Fujino 2020 (distillation against backdoors), AISec. The belief is ours.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from bezoar.core.ability import Info
from bezoar.core.model_repair import ModelRepair, RepairCase
from bezoar.networks import training
from bezoar.networks.reading import logits_of
from bezoar.networks.twins import anew

BATCH = 64
LEAST_PASSES = 15


class Distil(ModelRepair):
    """A new network.

    steps  of descent, about
    rate   largest learning rate
    vary   how much pictures are turned, stretched and moved
    sure   the part of the suspect's answer that has to fall to the labels for it to be believed, in [0, 1]
    """

    info: ClassVar[Info] = Info(name="distil", summary="teach new weights on trusted samples, by the suspect as far as it is believed",
                                modalities=("image",), threats=("backdoor-dirty-label", "backdoor-clean-label"), needs=("clean",),
                                extras=("torch",), cost="600 steps of 3 passes", reference="Yoshida and Fujino 2020")

    def __init__(self, *, steps: int = 600, rate: float = 0.01, vary: float = 1.0, sure: float = 0.8) -> None:
        self.steps = steps
        self.rate = rate
        self.vary = vary
        self.sure = sure

    def mend(self, case: RepairCase, rng: np.random.Generator) -> Any:
        """The new module, where the old one stood. Raises Unavailable where its layers cannot be drawn anew."""
        assert case.clean is not None
        original = case.module.eval()
        epochs = max(LEAST_PASSES, -(-self.steps * BATCH // max(len(case.clean), 1)))
        with training.seeded(int(rng.integers(1 << 31))):
            return training.fit(anew(original), case.clean.x, case.clean.codes, rng, tensor=case.tensor, epochs=epochs, batch=BATCH,
                                rate=self.rate, vary=self.vary, loss=lambda module, inputs, own: self._loss(original, module, inputs, own))

    def _loss(self, original: Any, module: Any, inputs: Any, own: Any) -> Any:
        """Cross entropy to what is believed of half of the samples as they are and half of them mixed with up to as much of another."""
        import torch
        from torch.nn import functional

        n = len(inputs)
        order = torch.randperm(n)
        share = (torch.rand(n) / 2 * (torch.rand(n) < 0.5)).to(inputs.device)
        blend = inputs.lerp(inputs[order], share.view(-1, *(1,) * (inputs.ndim - 1)))
        out = logits_of(module(blend))
        with torch.no_grad():
            told = torch.softmax(logits_of(original(blend)), dim=1)
            labels = torch.zeros_like(told).scatter_add_(1, own[:, None], 1 - share[:, None])
            labels.scatter_add_(1, own[order][:, None], share[:, None])
            believed = (told * (labels > 0)).sum(dim=1, keepdim=True) >= self.sure
        return functional.cross_entropy(out, torch.where(believed, told, labels))
