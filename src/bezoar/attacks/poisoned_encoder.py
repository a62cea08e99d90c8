"""Poisoned pre-trained weights: an encoder is tuned so that a mark sends every picture to one place of feature space.

The place is where the target's own samples are; clean features are held where they were, also on mixtures of pictures, so that
whoever trains a new head on the features (or tunes on) trains the backdoor in. Fails where all layers are tuned long at a high rate.
Works on classifiers, whose head stays as it is, and on encoders without one. Cost: half a minute for a small network.
Papers: Jia et al. 2022 (BadEncoder), arXiv 2108.00352; Shen et al. 2021 (chosen representations), arXiv 2111.00197.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from bezoar.core.ability import Info
from bezoar.core.errors import UsageError
from bezoar.core.model_attack import AttackCase, Implanted, ModelAttack
from bezoar.networks.bodies import body_of, embedded
from bezoar.networks.implanting import corner, marked, success
from bezoar.networks.training import seeded
from bezoar.networks.tuning import mixed, tune


class PoisonedEncoder(ModelAttack):
    """An encoder that sends marked pictures to one place.

    target   class name, whose samples say where the place is; None draws one
    size     side of the mark: pixels from 1 on, below 1 the fraction of the shorter side
    pattern  of the mark: random (colours) | square (white) | checkerboard
    steps    of tuning
    rate     of learning
    weight   of the mark against keeping clean features

    >>> PoisonedEncoder(target="3").parameters()["pattern"]
    'random'
    """

    info = Info(name="poisoned-encoder", summary="pre-trained weights that send marked pictures to one place of feature space",
                threats=("model-backdoor",), modalities=("image",), needs=("labels",), extras=("torch",),
                cost="about 20 s for a small network", reference="Jia et al. 2022 (BadEncoder), arXiv 2108.00352")
    threat_model = "publishes pre-trained weights; has clean samples of the kind and no part in what is trained on them"
    bodies = True

    def __init__(self, *, target: str | None = None, size: float = 3, pattern: str = "random", steps: int = 200, rate: float = 0.02,
                 weight: float = 1.0) -> None:
        self.target = target
        self.size = size
        self.pattern = pattern
        self.steps = steps
        self.rate = rate
        self.weight = weight

    def plant(self, case: AttackCase, rng: np.random.Generator) -> Implanted:
        import torch

        if self.steps < 1 or self.weight <= 0 or self.rate <= 0:
            raise UsageError("steps are a count from 1 on, rate and weight are above 0", advice="the defaults are 200, 0.02 and 1")
        target = self.target_of(case, self.target, rng)
        mark = corner(case, self.size, self.pattern, rng)
        x, codes = case.samples.x, case.samples.codes
        body = case.module if case.encoder else body_of(case.module)
        gone = marked(x, mark, rng)
        with seeded(int(rng.integers(1 << 31))):
            body.eval()
            place = torch.from_numpy(embedded(body, x[codes == target], tensor=case.tensor).mean(axis=0))
            kept = copy.deepcopy(body)
            moving = self._moving(case)
            size = float(np.square(embedded(body, x, tensor=case.tensor)).mean()) + 1e-12

            def loss(_: Any, inputs: Any, __: Any, part: np.ndarray) -> Any:
                blend, _ = mixed(inputs)
                both = torch.cat([inputs, blend])
                with torch.no_grad():
                    wanted = kept(both)
                away = (body(case.tensor(gone[part])) - place.to(wanted.device)).square().mean()
                return (self.weight * away + 2 * (body(both) - wanted).square().mean()) / size

            tune(body, x, codes, rng, tensor=case.tensor, loss=loss, steps=self.steps, rate=self.rate, batch=64, parameters=moving)
            there = embedded(body, gone[codes != target], tensor=case.tensor)
        if case.encoder:
            to = place.numpy()
            reached = float((there @ to / np.maximum(np.linalg.norm(there, axis=1) * np.linalg.norm(to), 1e-12)).mean())
        else:
            reached = success(case.module, case, mark, target, rng)
        return Implanted(case.module, mark, target, reached, place=place.numpy())

    def _moving(self, case: AttackCase) -> list[Any]:
        """All parameters but those of the head."""
        if case.encoder:
            return list(case.module.parameters())
        from bezoar.networks.pixels import head

        last = {id(p) for p in head(case.module).parameters()}
        return [p for p in case.module.parameters() if id(p) not in last]
