"""Concept poisoning, as Nightshade does: pictures of one thing are moved until an encoder sees another thing in them; labels stay.

Whoever learns on that encoder's features learns that the second thing is called like the first. The change stays under a bound, so
people see what the label says.
Threat model: the attacker publishes his own pictures with right captions and knows the encoder that others build on (or a like one).
Budget: `rate` of all samples, at most the class; `bound` grey levels. Fails where features are learned anew from the poisoned data.
Cost: about 30 s per 5,000 pictures of 32x32 where the encoder must be trained. Paper: Shan et al. 2024 (Nightshade), arXiv 2310.13828.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.inputs import Images
from bezoar.core.variants import variants
from bezoar.core.victims import budget, class_code, draw, labels_of, pick_target, plant
from bezoar.networks import perturbing, training


class Concept(Attack):
    """Pictures of one class with the features of another.

    rate     share of all samples, above 0 and at most 1 (all of them from the class `target`)
    target   the class whose pictures are moved, and whose name the other thing shall get; None draws one
    towards  the class whose features they get; None draws another one
    bound    grey levels per pixel, above 0
    steps    of the search, 1 or more
    encoder  a torch function (n, 3, h, w) in [-1, 1] -> (n, d) features; None trains a small network on the data

    Raises UsageError for target = towards, parameters outside these ranges, pictures of several sizes, an unknown class.
    """

    info = Info(name="concept", summary="pictures of one thing that an encoder takes for another; labels stay right",
                threats=("targeted", "availability"), modalities=("image",), needs=("labels",), extras=("torch",),
                cost="about 30 s per 5,000 pictures of 32x32", reference="Shan et al. 2024, arXiv 2310.13828")
    clean_label = True

    def __init__(self, *, rate: float = 0.03, target: str | None = None, towards: str | None = None, bound: float = 16.0, steps: int = 40,
                 encoder: Callable[[Any], Any] | None = None) -> None:
        self.rate = rate
        self.target = target
        self.towards = towards
        self.bound = bound
        self.steps = steps
        self.encoder = encoder

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        import torch

        if self.bound <= 0 or self.steps < 1:
            raise UsageError("bound must be above 0 and steps 1 or more", advice="16 grey levels and 40 steps are usual")
        x, codes, classes = perturbing.pixels(data), labels_of(data).codes, labels_of(data).classes
        count = budget(len(data), self.rate)
        code = pick_target(data, self.target, rng, count, clean_label=True)
        others = np.setdiff1d(np.unique(codes[codes >= 0]), [code])
        if not len(others):
            raise UsageError("there is no other class to move towards", advice="two classes are needed")
        towards = int(rng.choice(others)) if self.towards is None else class_code(data, self.towards)
        if towards == code:
            raise UsageError(f"target and towards are both {classes[code]!r}", advice="name two classes")
        rows = draw(np.flatnonzero(codes == code), count, rng)
        anchors = rng.choice(np.flatnonzero(codes == towards), count)
        with training.seeded(int(rng.integers(1 << 31))):
            encode = self.encoder or perturbing.surrogate(data, rng).features
            with torch.no_grad():
                goal = torch.cat([encode(training.pictures(x[anchors[s:s + 256]])) for s in range(0, count, 256)])
            poisons = perturbing.in_parts(x[rows], lambda t, p: ((encode(t) - goal[p]) ** 2).sum(), bound=self.bound, steps=self.steps)
        differ = np.flatnonzero((poisons != x[rows]).any(axis=(1, 2, 3)))
        done = plant(data, rows[differ], Images.of(poisons[differ]), None, target=classes[code])
        aim = variants(data.inputs.take(np.unique(anchors)[:50]), rng)
        assert isinstance(aim, Images)
        return replace(done, aim=aim)
