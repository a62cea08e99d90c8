"""Minimax unlearning: whatever one small disturbance, the same for all samples, could do to the model, it unlearns.

By turns a disturbance of bounded length that makes trusted samples go wrong is sought, and the weights are moved against it; the slope of
the weights counts how the disturbance answers to them (implicit hypergradient, fixed-point iteration). Needs no trigger. Fails for triggers
that differ from sample to sample or need a large change, and for inputs that cannot be disturbed (tokens, refused).
Cost: about 12 passes per round and batch. Paper: Zeng et al. 2022 (I-BAU), arXiv 2110.03735.
"""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import numpy as np

from bezoar.core.ability import Info
from bezoar.core.errors import Unavailable
from bezoar.core.model_repair import ModelRepair, RepairCase
from bezoar.networks.device import beside
from bezoar.networks.reading import logits_of
from bezoar.networks.training import seeded
from bezoar.networks.tuning import apart, mixed


class IBau(ModelRepair):
    """Minimax unlearning.

    rounds  of disturbance and unlearning
    inner   steps that seek the disturbance, and terms of the fixed point
    rate    of the weights (Adam)
    length  longest disturbance, as a share of the inputs' own mean length
    anchor  weight of staying near the original's answers to clean inputs
    """

    info: ClassVar[Info] = Info(name="i-bau", summary="unlearn the worst disturbance that is the same for all samples",
                                modalities=("image",), threats=("backdoor-dirty-label", "backdoor-clean-label"),
                                needs=("clean",), extras=("torch",),
                                cost="20 rounds of about 20 passes", reference="Zeng et al. 2022, arXiv 2110.03735")

    def __init__(self, *, rounds: int = 20, inner: int = 5, rate: float = 1e-3, length: float = 0.3, anchor: float = 10.0) -> None:
        self.rounds = rounds
        self.inner = inner
        self.rate = rate
        self.length = length
        self.anchor = anchor

    def mend(self, case: RepairCase, rng: np.random.Generator) -> Any:
        """The module that has unlearned. Raises Unavailable where inputs are not numbers with a fraction."""
        import torch
        from torch.nn import functional

        assert case.clean is not None
        with seeded(int(rng.integers(1 << 31))):
            original, module = copy.deepcopy(case.module).eval(), case.module.eval()
            weights = list(module.parameters())
            optimiser = torch.optim.Adam(weights, lr=self.rate)
            most = None
            for _ in range(self.rounds):
                part = rng.choice(len(case.clean), min(len(case.clean), 100), replace=False)
                x, own = (beside(module, t) for t in (case.tensor(case.clean.x[part]), torch.from_numpy(case.clean.codes[part])))
                if not x.is_floating_point():
                    raise Unavailable("inputs that can be disturbed a little", advice="use another repair for tokens")
                most = most or self.length * float(x.flatten(1).norm(dim=1).mean())

                def harm(delta: Any, x: Any = x, own: Any = own) -> Any:
                    return functional.cross_entropy(logits_of(module(x + delta)), own) - 1e-3 * delta.pow(2).sum()

                delta = self._sought(harm, x, most)
                blend, other = mixed(x)
                outer = functional.cross_entropy(logits_of(module(x + delta)), own) + functional.cross_entropy(logits_of(module(x)), own)
                outer = outer + self.anchor * apart(original, blend, logits_of(module(blend)), own, own[other])
                optimiser.zero_grad(set_to_none=True)
                for p, slope in zip(weights, self._hyper(outer, harm, delta, weights), strict=True):
                    p.grad = slope
                torch.nn.utils.clip_grad_norm_(weights, 10.0)
                optimiser.step()
            return module

    def _sought(self, harm: Any, x: Any, most: float) -> Any:
        """(1, ...) the disturbance, at most `most` long."""
        import torch

        delta = torch.randn_like(x[:1]) * (0.01 * most / x[0].numel() ** 0.5)
        for _ in range(self.inner):
            delta.requires_grad_(True)
            (slope,) = torch.autograd.grad(harm(delta), delta)
            delta = delta.detach() + slope * (most / self.inner / slope.norm().clamp(min=1e-12))
            delta = delta * min(1.0, most / max(float(delta.norm()), 1e-12))
        return delta.requires_grad_(True)

    def _hyper(self, outer: Any, harm: Any, delta: Any, weights: list[Any]) -> list[Any]:
        """Slope of `outer` by the weights, through the disturbance too: v <- v dF/d(delta) + d(outer)/d(delta), F one step of ascent."""
        import torch

        direct = torch.autograd.grad(outer, [delta, *weights], allow_unused=True)
        step = delta + 0.1 * torch.autograd.grad(harm(delta), delta, create_graph=True)[0]
        v = direct[0].clone()
        for _ in range(self.inner):
            v = torch.autograd.grad(step, delta, grad_outputs=v, retain_graph=True)[0] * 0.9 + direct[0]
            v = v * min(1.0, 10 * float(direct[0].norm()) / max(float(v.norm()), 1e-12))
        through = torch.autograd.grad(step, weights, grad_outputs=v, allow_unused=True)
        return [(0 if d is None else d) + (0 if t is None else t) if d is not None or t is not None else torch.zeros_like(p)
                for p, d, t in zip(weights, direct[1:], through, strict=True)]
