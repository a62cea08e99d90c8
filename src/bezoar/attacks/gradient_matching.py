"""Gradient matching (Witches' Brew): poisons whose gradient is the one that would teach a model the wrong answer for one picture.

Works against training from scratch where features are learned anew, with 1% of the data; no trigger, no wrong label, one victim.
Threat model: the attacker delivers correctly labelled pictures, knows the picture that he will show later and the kind of network.
Budget: `rate` of all samples, `bound` grey levels. Fails more often than not with few restarts and small networks: look at the
measured success. Cost: about 30 s per 5,000 pictures of 32x32 and 1 min per 100 poisons. Paper: Geiping et al. 2021, arXiv 2009.02276.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.inputs import Images
from bezoar.networks import perturbing, training


class GradientMatching(Attack):
    """Poisons for one picture.

    rate    share of all samples, above 0 and at most 1 (all of them from the target class)
    target  class that the chosen picture shall get; None draws one
    bound   grey levels per pixel, above 0
    steps   of the search, 1 or more
    aim     Images, the chosen pictures (unseen in training; one is usual); None varies a drawn sample of another class

    Raises UsageError for parameters outside these ranges, pictures of several sizes, an unknown target, too few samples.
    """

    info = Info(name="gradient-matching", summary="poisons whose gradient teaches the wrong answer for one chosen picture",
                threats=("targeted",), modalities=("image",), needs=("labels",), extras=("torch",),
                cost="about 1 min per 100 poisons of 32x32", reference="Geiping et al. 2021, arXiv 2009.02276")
    clean_label = True

    def __init__(self, *, rate: float = 0.02, target: str | None = None, bound: float = 16.0, steps: int = 40,
                 aim: Images | None = None) -> None:
        self.rate = rate
        self.target = target
        self.bound = bound
        self.steps = steps
        self.aim = aim

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        import torch
        from torch.nn import functional

        if self.bound <= 0 or self.steps < 1:
            raise UsageError("bound must be above 0 and steps 1 or more", advice="16 grey levels and 40 steps are usual")
        rows, code, aim = perturbing.for_one_picture(data, self.rate, self.target, self.aim, rng)
        x = perturbing.pixels(data)[rows]
        with training.seeded(int(rng.integers(1 << 31))):
            module = perturbing.surrogate(data, rng)
            learned = [p.requires_grad_(True) for p in module.parameters()]

            def slope(pictures: Any, wanted: Any, graph: bool) -> Any:
                loss = functional.cross_entropy(module(pictures), wanted)
                return torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, learned, create_graph=graph)])

            goal = slope(training.pictures(aim.dense()), torch.full((len(aim),), code), False).detach()
            own = torch.full((len(rows),), code)
            poisons = perturbing.moved(x, lambda t: -functional.cosine_similarity(slope(t, own, True), goal, dim=0), bound=self.bound,
                                       steps=self.steps)
        return perturbing.delivered(data, rows, poisons, code, aim)
