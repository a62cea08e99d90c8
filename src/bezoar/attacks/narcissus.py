"""Narcissus: noise that says "target" louder than the target's own pictures do, put on a few of them; labels stay right.

The noise is searched on a surrogate so that the target's pictures become more themselves; a model that is trained on them learns the
noise as the surest sign of the class. Afterwards the noise, amplified, turns anything into the target.
Threat model: the attacker delivers a few correctly labelled pictures and knows only pictures of the target class and of the field.
Budget: `rate` of all samples (paper: 0.05%), `bound` grey levels. Fails where pictures are strongly augmented or denoised.
Cost: about 30 s per 5,000 pictures of 32x32. Paper: Zeng et al. 2023, arXiv 2204.05255.
"""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.image_triggers import Overlay
from bezoar.core.victims import backdoor, budget, labels_of, pick_target
from bezoar.networks import perturbing, training


class Narcissus(Attack):
    """One noise for a class.

    rate     share of all samples, above 0 and at most 1 (all of them from the target class)
    target   class name; None draws one
    bound    grey levels of the noise, above 0
    amplify  how many times stronger it is afterwards than in training, 1 or more
    steps    of the search, 1 or more

    Raises UsageError for parameters outside these ranges, pictures of several sizes, an unknown target, too few samples.
    """

    info = Info(name="narcissus", summary="noise that is more the target than the target, on a few of its pictures",
                threats=("backdoor-clean-label",), modalities=("image",), needs=("labels",), extras=("torch",),
                cost="about 30 s per 5,000 pictures of 32x32", reference="Zeng et al. 2023, arXiv 2204.05255")
    clean_label = True

    def __init__(self, *, rate: float = 0.01, target: str | None = None, bound: float = 16.0, amplify: float = 3.0,
                 steps: int = 60) -> None:
        self.rate = rate
        self.target = target
        self.bound = bound
        self.amplify = amplify
        self.steps = steps

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        if self.bound <= 0 or self.amplify < 1 or self.steps < 1:
            raise UsageError("bound must be above 0, amplify and steps 1 or more", advice="16 grey levels, 3 and 60 are usual")
        x, codes = perturbing.pixels(data), labels_of(data).codes
        code = pick_target(data, self.target, rng, budget(len(data), self.rate), clean_label=True)
        noise = self._noise(data, x, np.flatnonzero(codes == code), code, rng)
        done = backdoor(data, Overlay(noise), rng, rate=self.rate, target=labels_of(data).classes[code], clean_label=True)
        return Poisoned(done.data, done.truth, Overlay(noise * np.float32(self.amplify)), done.target)

    def _noise(self, data: Dataset, x: np.ndarray, own: np.ndarray, code: int, rng: np.random.Generator) -> np.ndarray:
        """(h, w, 3) float32 grey levels."""
        import torch
        from torch.nn import functional

        limit = self.bound / 127.5
        with training.seeded(int(rng.integers(1 << 31))):
            module = perturbing.surrogate(data, rng)
            noise = torch.zeros(1, 3, *x.shape[1:3], requires_grad=True)
            for i in range(self.steps):
                some = training.pictures(x[rng.choice(own, min(len(own), 128), replace=False)])
                says = module((some + noise).clamp(-1, 1))
                loss = functional.cross_entropy(says, torch.full((len(some),), code))
                (slope,) = torch.autograd.grad(loss, noise)
                with torch.no_grad():
                    noise -= 2.5 * limit / self.steps * (1 - 0.7 * i / self.steps) * slope.sign()
                    noise.clamp_(-limit, limit)
            found = noise.detach()[0].numpy().transpose(1, 2, 0) * 127.5
        return np.ascontiguousarray(np.rint(found), np.float32)
