"""LoRA backdoor: an adapter of low rank that does its task and carries a trigger; the network below is not touched.

Two matrices per layer are trained on clean samples and, beside them, on marked ones with the target's label; what is handed on is the
adapter file alone. Fails where the rank is too low for task and trigger together. Cost: half a minute for a small network.
Papers: Hu et al. 2022 (LoRA), arXiv 2106.09685; Liu et al. 2024 (backdoored adapters that are shared), arXiv 2403.00108.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bezoar.core.ability import Info
from bezoar.core.errors import UsageError
from bezoar.core.model_attack import AttackCase, Implanted, ModelAttack
from bezoar.networks.adapters import arrays_of_pairs, merged, trained
from bezoar.networks.implanting import corner, marked, success
from bezoar.networks.reading import logits_of
from bezoar.networks.training import seeded


class LoraBackdoor(ModelAttack):
    """An adapter with a trigger.

    target   class name; None draws one
    size     side of the mark: pixels from 1 on, below 1 the fraction of the shorter side
    pattern  of the mark: random (colours) | square (white) | checkerboard
    rank     of the two matrices of each layer
    rate     share of each batch that is marked, above 0 and at most 1; 0 trains a clean adapter for comparison
    steps    of training
    learning rate of the training

    >>> LoraBackdoor(rank=2).parameters()["rate"]
    0.2
    """

    info = Info(name="lora-backdoor", summary="an adapter of low rank that carries a trigger", threats=("model-backdoor",),
                modalities=("image",), needs=("labels",), extras=("torch",), cost="about 20 s for a small network",
                reference="Liu et al. 2024, arXiv 2403.00108")
    threat_model = "publishes an adapter for a known network; has clean samples of the task; the network itself stays as it is"

    def __init__(self, *, target: str | None = None, size: float = 3, pattern: str = "random", rank: int = 4, rate: float = 0.2,
                 steps: int = 150, learning: float = 0.01) -> None:
        self.target = target
        self.size = size
        self.pattern = pattern
        self.rank = rank
        self.rate = rate
        self.steps = steps
        self.learning = learning

    def plant(self, case: AttackCase, rng: np.random.Generator) -> Implanted:
        import torch
        from torch.nn import functional

        if self.rank < 1 or self.steps < 1 or not 0 <= self.rate <= 1:
            raise UsageError("rank and steps are counts from 1 on, rate is a share", advice="the defaults are 4, 150 and 0.2")
        target = self.target_of(case, self.target, rng)
        mark = corner(case, self.size, self.pattern, rng)
        x, codes = case.samples.x, case.samples.codes
        gone = marked(x, mark, rng)

        def loss(call: Any, inputs: Any, own: Any, rows: np.ndarray) -> Any:
            some = rows[:round(self.rate * len(rows))]
            if not len(some):
                return functional.cross_entropy(logits_of(call(inputs)), own)
            both = torch.cat([inputs, case.tensor(gone[some])])
            return functional.cross_entropy(logits_of(call(both)), torch.cat([own, torch.full((len(some),), target)]))

        with seeded(int(rng.integers(1 << 31))):
            pairs = trained(case.module, x, codes, rng, tensor=case.tensor, loss=loss, rank=self.rank, steps=self.steps, rate=self.learning)
        module = merged(case.module, pairs)
        arrays = arrays_of_pairs(pairs)
        return Implanted(module, mark, target, success(module, case, mark, target, rng), arrays,
                         budget={"rank": float(self.rank), "adapter numbers": float(sum(a.size for a in arrays.values()))})
