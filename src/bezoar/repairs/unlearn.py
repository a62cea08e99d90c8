"""Unlearning of a recovered trigger, or of the flagged training samples.

Trigger known: trusted samples, and mixtures of them, are to be answered with it as the original answers them without it; the trigger
is shown weaker and stronger too, because a recovered trigger is seldom quite the planted one.
Flagged samples known, without a trigger: the label they carry is made unlikely for them, beside the remaining training samples, which
are learned on. Fails where the recovered trigger is another
shortcut than the planted one, and where flagged samples are mostly innocent. Cost: five passes per step.
Papers: Wang et al. 2019 (Neural Cleanse, unlearning), IEEE S&P; Li et al. 2021 (ABL), arXiv 2110.11571.
"""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import numpy as np

from bezoar.core.ability import Info
from bezoar.core.errors import Unavailable
from bezoar.core.model_repair import ModelRepair, RepairCase, Samples
from bezoar.networks.device import beside
from bezoar.networks.reading import logits_of
from bezoar.networks.training import seeded
from bezoar.networks.tuning import Loss, anchored, apart, kept, mixed, tune

VERSIONS = 3
"""Draws of a trigger that is not always the same (stickers, pieces, jitter)."""


class Unlearn(ModelRepair):
    """Unlearning.

    steps   of descent
    rate    largest learning rate
    rho     how far the worst point is looked for, in units of the weights; 0 for plain steps
    anchor  weight of giving the original's answers to clean inputs, to triggered ones too
    shift   pictures are moved by up to so many pixels
    """

    info: ClassVar[Info] = Info(name="unlearn", summary="teach triggered samples their own labels, or make the flagged labels unlikely",
                                modalities=("image", "text", "tabular"), threats=("backdoor-dirty-label", "backdoor-clean-label"),
                                extras=("torch",),
                                cost="150 steps of 5 passes", reference="Wang et al. 2019; Li et al. 2021, arXiv 2110.11571")

    def __init__(self, *, steps: int = 150, rate: float = 0.005, rho: float = 0.0, anchor: float = 10.0, shift: int = 1) -> None:
        self.steps = steps
        self.rate = rate
        self.rho = rho
        self.anchor = anchor
        self.shift = shift

    def mend(self, case: RepairCase, rng: np.random.Generator) -> Any:
        """The module that has forgotten. Raises Unavailable without a trigger and trusted samples, or flagged samples and others."""
        with seeded(int(rng.integers(1 << 31))):
            original = copy.deepcopy(case.module).eval()
            near = anchored(original, weight=self.anchor)
            if case.clean is not None and {"trigger", "clean"} <= case.has:
                samples, loss = case.clean, self._relabelled(case, case.clean, original, near, rng)
            elif "flagged" in case.has:
                samples, loss = kept(case), self._unlikely(case, near, rng)
            else:
                raise Unavailable("a trigger and trusted samples, or flagged training samples",
                                  advice="give the report of an audit or a scan")
            return tune(case.module, samples.x, samples.codes, rng, tensor=case.tensor, loss=loss, steps=self.steps, rate=self.rate,
                        rho=self.rho, shift=self.shift)

    def _relabelled(self, case: RepairCase, clean: Samples, original: Any, near: Loss, rng: np.random.Generator) -> Loss:
        import torch

        versions = [case.stamped(clean.x, rng) for _ in range(VERSIONS)]

        def loss(module: Any, inputs: Any, own: Any, part: np.ndarray) -> Any:
            plain, marked = (beside(module, case.tensor(x[part])) for x in (clean.x, versions[rng.integers(VERSIONS)]))
            other = torch.arange(len(part))
            if marked.is_floating_point() and marked.shape == plain.shape:
                both, other = mixed(torch.cat([plain, marked], dim=1))  # the same mixture without and with the trigger
                plain, marked = both.chunk(2, dim=1)
                marked = plain.lerp(marked, float(rng.uniform(0.5, 1.5)))  # weaker and stronger than recovered
            return near(module, inputs, own, part) + self.anchor * apart(original, plain, logits_of(module(marked)), own, own[other])

        return loss

    def _unlikely(self, case: RepairCase, near: Loss, rng: np.random.Generator) -> Loss:
        import torch

        assert case.training is not None
        assert case.flagged is not None
        bad = case.training.take(np.flatnonzero(case.flagged & (case.training.codes >= 0)))

        def loss(module: Any, inputs: Any, own: Any, part: np.ndarray) -> Any:
            rows = rng.choice(len(bad), min(len(bad), 16), replace=False)
            out = torch.softmax(logits_of(module(beside(module, case.tensor(bad.x[rows])))), dim=1)
            carried = out.gather(1, torch.from_numpy(bad.codes[rows])[:, None].to(out.device))[:, 0]
            return near(module, inputs, own, part) - torch.log1p(-carried.clamp(max=1 - 1e-4)).mean()

        return loss
