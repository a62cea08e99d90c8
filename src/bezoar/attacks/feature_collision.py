"""Feature collision and bullseye polytope: a few of the target's pictures are moved so that an encoder sees one chosen picture in them.

Whoever then trains a head on that encoder calls the chosen picture the target: no trigger, no wrong label, one victim.
collision: each poison by itself sits on the chosen picture's features. bullseye: their mean does, which holds when the encoder moves.
Threat model: transfer setting; the attacker knows the encoder (or a like one) and the picture that he will show later, and delivers
correctly labelled pictures. Budget: `rate` of all samples, `bound` grey levels. Fails (0 to 4%) against training from scratch.
Cost: about 30 s per 5,000 pictures of 32x32 where the encoder must be trained. Papers: Shafahi et al. 2018, arXiv 1804.00792;
Aghakhani et al. 2021, arXiv 2005.00191.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.inputs import Images
from bezoar.networks import perturbing, training


class FeatureCollision(Attack):
    """Poisons around one picture.

    rate     share of all samples, above 0 and at most 1 (all of them from the target class)
    target   class that the chosen picture shall get; None draws one
    mode     collision | bullseye
    bound    grey levels per pixel, above 0
    steps    of the search, 1 or more
    aim      Images, the chosen pictures (unseen in training; one is usual); None varies a drawn sample of another class
    encoder  a torch function (n, 3, h, w) in [-1, 1] -> (n, d) features; None trains a small network on the data

    Raises UsageError for another mode, parameters outside these ranges, pictures of several sizes, an unknown target, too few samples.
    """

    info = Info(name="feature-collision", summary="a few pictures that an encoder takes for one chosen picture; labels stay right",
                threats=("targeted",), modalities=("image",), needs=("labels",), extras=("torch",),
                cost="about 30 s per 5,000 pictures of 32x32", reference="Shafahi et al. 2018, arXiv 1804.00792")
    clean_label = True

    def __init__(self, *, rate: float = 0.01, target: str | None = None, mode: str = "bullseye", bound: float = 24.0, steps: int = 60,
                 aim: Images | None = None, encoder: Callable[[Any], Any] | None = None) -> None:
        self.rate = rate
        self.target = target
        self.mode = mode
        self.bound = bound
        self.steps = steps
        self.aim = aim
        self.encoder = encoder

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        import torch

        if self.mode not in ("collision", "bullseye"):
            raise UsageError(f"unknown mode {self.mode!r}", advice="one of: collision, bullseye")
        if self.bound <= 0 or self.steps < 1:
            raise UsageError("bound must be above 0 and steps 1 or more", advice="24 grey levels and 60 steps are usual")
        rows, code, aim = perturbing.for_one_picture(data, self.rate, self.target, self.aim, rng)
        x = perturbing.pixels(data)[rows]
        with training.seeded(int(rng.integers(1 << 31))):
            encode = self.encoder or perturbing.surrogate(data, rng).features
            with torch.no_grad():
                goal = encode(training.pictures(aim.dense()))
                own = encode(training.pictures(x))
            scale = float(((own - goal.mean(dim=0)) ** 2).sum(dim=1).mean()) + 1e-9
            each = goal[torch.arange(len(rows)) % len(goal)]

            def far(t: Any) -> Any:
                seen = encode(t)
                single = ((seen - each) ** 2).sum() / len(rows)
                return single / scale if self.mode == "collision" else (((seen - each).mean(dim=0) ** 2).sum() + 0.1 * single) / scale

            poisons = perturbing.moved(x, far, bound=self.bound, steps=self.steps)
        return perturbing.delivered(data, rows, poisons, code, aim)
