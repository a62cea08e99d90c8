"""Neural attention distillation: a tuned copy teaches the suspect where to look.

A copy is tuned on trusted samples (the teacher); then the suspect is tuned so that its maps of attention (squared activations summed over
channels) at its last convolutions are the teacher's. Fails where plain tuning fails, and for networks without convolutions (refused).
Cost: the tuning, and three passes per step. Paper: Li et al. 2021 (NAD), arXiv 2101.05930.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np

from bezoar.core.ability import Info
from bezoar.core.model_repair import ModelRepair, RepairCase
from bezoar.networks.reading import logits_of
from bezoar.networks.training import seeded
from bezoar.networks.tuning import anchored, convolutions, tune


class Nad(ModelRepair):
    """Attention distillation.

    steps   of each of the two tunings
    rate    largest learning rate
    beta    weight of the maps' distance
    places  last convolutions whose maps are compared
    shift   pictures are moved by up to so many pixels
    """

    info: ClassVar[Info] = Info(name="nad", summary="distil attention maps from a tuned copy", modalities=("image",),
                                threats=("backdoor-dirty-label",), needs=("clean",), extras=("torch",), cost="160 steps of 3 passes",
                                reference="Li et al. 2021, arXiv 2101.05930")

    def __init__(self, *, steps: int = 80, rate: float = 0.01, beta: float = 500.0, places: int = 3, shift: int = 1) -> None:
        self.steps = steps
        self.rate = rate
        self.beta = beta
        self.places = places
        self.shift = shift

    def mend(self, case: RepairCase, rng: np.random.Generator) -> Any:
        """The taught module. Raises Unavailable for a network without convolutions."""
        import torch
        from torch.nn import functional

        assert case.clean is not None
        x, codes = case.clean.x, case.clean.codes
        with seeded(int(rng.integers(1 << 31))):
            original = copy.deepcopy(case.module).eval()
            where = [-1 - k for k in range(min(self.places, len(convolutions(original))))]
            teacher = tune(copy.deepcopy(case.module), x, codes, rng, tensor=case.tensor, loss=anchored(original, 1.0, 0.0),
                           steps=self.steps, rate=self.rate, shift=self.shift)

            def loss(module: Any, inputs: Any, own: Any, part: np.ndarray) -> Any:
                with torch.no_grad(), _maps(teacher, where) as wanted:
                    teacher(inputs)
                with _maps(module, where) as shown:
                    out = logits_of(module(inputs))
                apart = [functional.mse_loss(a, b) for a, b in zip(shown, wanted, strict=True)]
                return functional.cross_entropy(out, own) + self.beta * torch.stack(apart).sum()

            return tune(case.module, x, codes, rng, tensor=case.tensor, loss=loss, steps=self.steps, rate=self.rate, shift=self.shift)


@contextmanager
def _maps(module: Any, where: list[int]) -> Iterator[list[Any]]:
    """(n, places) attention of unit length at these convolutions, filled by the pass inside, in the order of the pass."""
    from torch.nn import functional

    seen: list[Any] = []
    pairs = convolutions(module)

    def keep(_: Any, given: Any, out: Any) -> None:
        seen.append(functional.normalize(out.pow(2).mean(dim=1).flatten(1), dim=1))

    hooks = [pairs[k][0].register_forward_hook(keep) for k in where]
    try:
        yield seen
    finally:
        for h in hooks:
            h.remove()
