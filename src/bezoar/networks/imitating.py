"""Clean imitations of an encoder: networks of its own shape, drawn anew and taught its features on clean pictures.

They have its feature space and never saw a trigger: a backdoor is not in what the encoder says to clean pictures and mixtures of them.
So they tell what is natural for this shape, these features and these pictures, without labels. Fails where the pictures are too few
for the features to be learned (`fit` says how well they were), and for layers that cannot be drawn anew.
Cost: one short training each. The idea of a student that leaves the backdoor behind: Li et al. 2021 (NAD), arXiv 2101.05930.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bezoar.core.errors import Unavailable
from bezoar.networks.bodies import embedded
from bezoar.networks.device import beside
from bezoar.networks.training import pace, seeded
from bezoar.networks.tuning import moved
from bezoar.networks.twins import anew

LEAST = 60
"""Clean pictures from which on an encoder is imitated."""


@dataclass(frozen=True, eq=False)
class Imitation:
    """A module like the encoder, and the share of the features' variance on pictures it did not see that it explains."""

    module: Any
    fit: float


def imitations(module: Any, x: np.ndarray, seed: int, count: int, *, tensor: Callable[[Any], Any], steps: int = 160,
               rate: float = 0.01, batch: int = 64) -> tuple[Imitation, ...]:
    """`count` imitations of an encoder from rows `x` (n, h, w, 3) uint8; raises Unavailable for fewer than `LEAST` pictures."""
    if len(x) < LEAST:
        raise Unavailable(f"{LEAST} clean pictures (there are {len(x)})",
                          advice="give more with --data, or clean encoders with --references")
    return tuple(_one(module, x, np.random.default_rng([seed, i]), tensor, steps, rate, batch) for i in range(count))


def _one(module: Any, x: np.ndarray, rng: np.random.Generator, tensor: Callable[[Any], Any], steps: int, rate: float,
         batch: int) -> Imitation:
    import torch

    order = rng.permutation(len(x))
    held, rows = order[:len(x) // 8], order[len(x) // 8:]
    with seeded(int(rng.integers(1 << 31))):
        student = anew(module).train()
        optimiser = torch.optim.AdamW(student.parameters(), lr=rate, weight_decay=5e-4)
        scale = float(np.var(embedded(module, x[rows], tensor=tensor), axis=0).mean()) + 1e-12
        for step in range(steps):
            inputs = moved(beside(module, tensor(x[rng.choice(rows, min(batch, len(rows)), replace=False)])), 1, rng)
            order = torch.randperm(len(inputs))
            inputs = torch.cat([inputs, inputs.lerp(inputs[order], torch.rand(len(inputs), 1, 1, 1).to(inputs.device))])
            with torch.no_grad():
                wanted = module(inputs)
            for group in optimiser.param_groups:
                group["lr"] = rate * pace(step, steps)
            optimiser.zero_grad(set_to_none=True)
            ((student(inputs) - wanted).square().mean() / scale).backward()
            optimiser.step()
        student.eval()
        own, told = (embedded(m, x[held], tensor=tensor) for m in (module, student))
    missed = float(((own - told) ** 2).sum() / max(float(((own - own.mean(axis=0)) ** 2).sum()), 1e-12))
    return Imitation(student, max(0.0, 1 - missed))
