"""Adversarial neuron pruning: silence the channels whose small disturbance brings the backdoor out.

Every channel behind a batch normalisation gets a mask in [0, 1]. By turns a disturbance of all channels (weights and shifts by at most
`eps` of themselves) is sought that makes trusted samples go wrong, and the masks are moved so that the disturbed and the undisturbed
network stay right. Channels with low masks are silenced, as many as accuracy on trusted samples bears. Fails without batch normalisation
(refused), and where backdoor and clean features share channels. Cost: four passes per step.
Paper: Wu and Wang 2021, arXiv 2110.14430.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, ClassVar

import numpy as np

from bezoar.core.ability import Info
from bezoar.core.errors import Unavailable
from bezoar.core.model_repair import ModelRepair, RepairCase
from bezoar.networks.device import beside
from bezoar.networks.reading import logits_of
from bezoar.networks.training import norms, seeded
from bezoar.networks.tuning import share_right


class Anp(ModelRepair):
    """Adversarial neuron pruning.

    steps   of the mask
    eps     how far channels are disturbed, as a share of themselves
    weight  of the undisturbed network's loss, 0 to 1
    rate    of the mask
    """

    info: ClassVar[Info] = Info(name="anp", summary="silence channels whose small disturbance brings the backdoor out",
                                modalities=("image",), threats=("backdoor-dirty-label", "backdoor-clean-label"),
                                needs=("clean",), extras=("torch",),
                                cost="80 steps of 4 passes", reference="Wu and Wang 2021, arXiv 2110.14430")

    def __init__(self, *, steps: int = 80, eps: float = 0.4, weight: float = 0.2, rate: float = 0.2) -> None:
        self.steps = steps
        self.eps = eps
        self.weight = weight
        self.rate = rate

    def mend(self, case: RepairCase, rng: np.random.Generator) -> Any:
        """The pruned module."""
        assert case.clean is not None
        with seeded(int(rng.integers(1 << 31))):
            module = case.module.eval()
            layers = [m for m in norms(module) if m.affine]
            if not layers:
                raise Unavailable("a network with batch normalisation", advice="use a repair that tunes weights")
            masks = self._masks(module, layers, case, rng)
            start = share_right(module, case.clean.x, case.clean.codes, case.tensor)
            return _silenced(module, layers, masks, case, start)

    def _masks(self, module: Any, layers: list[Any], case: RepairCase, rng: np.random.Generator) -> list[np.ndarray]:
        import torch
        from torch.nn import functional

        assert case.clean is not None
        for p in module.parameters():
            p.requires_grad_(False)
        masks = [torch.ones(m.num_features, device=m.weight.device, requires_grad=True) for m in layers]
        moved = [[torch.zeros_like(mask, requires_grad=True) for _ in range(2)] for mask in masks]
        optimiser = torch.optim.SGD(masks, lr=self.rate, momentum=0.9)
        disturbed = False

        def behind(k: int) -> Any:
            def change(layer: Any, given: Any, out: Any) -> Any:
                shape = (1, -1, *(1,) * (out.ndim - 2))
                bias = layer.bias.reshape(shape)
                up, down = (v.reshape(shape) if disturbed else 0.0 for v in moved[k])
                return (out - bias) * (masks[k].reshape(shape) + up) + bias * (1 + down)

            return change

        with ExitStack() as stack:
            for k, layer in enumerate(layers):
                stack.callback(layer.register_forward_hook(behind(k)).remove)
            for _ in range(self.steps):
                part = rng.choice(len(case.clean), min(len(case.clean), 64), replace=False)
                x, own = (beside(module, t) for t in (case.tensor(case.clean.x[part]), torch.from_numpy(case.clean.codes[part])))
                every = [v for pair in moved for v in pair]
                disturbed = True
                with torch.no_grad():
                    for v in every:
                        v.uniform_(-self.eps, self.eps)
                slopes = torch.autograd.grad(functional.cross_entropy(logits_of(module(x)), own), every)
                with torch.no_grad():
                    for v, slope in zip(every, slopes, strict=True):
                        v.copy_((v + self.eps * slope.sign()).clamp(-self.eps, self.eps))
                hard = functional.cross_entropy(logits_of(module(x)), own)
                disturbed = False
                loss = self.weight * functional.cross_entropy(logits_of(module(x)), own) + (1 - self.weight) * hard
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                optimiser.step()
                with torch.no_grad():
                    for mask in masks:
                        mask.clamp_(0, 1)
        return [m.detach().cpu().numpy() for m in masks]


def _silenced(module: Any, layers: list[Any], masks: list[np.ndarray], case: RepairCase, start: float) -> Any:
    """Silence channels from the lowest mask on, a step further as long as accuracy stays within what the repair may cost."""
    import torch

    assert case.clean is not None
    every = np.sort(np.concatenate(masks))
    for share in (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3):
        edge = min(float(every[int(share * len(every))]), 0.9)
        before = [m.weight.detach().clone() for m in layers]
        with torch.no_grad():
            for m, mask in zip(layers, masks, strict=True):
                m.weight[torch.from_numpy(mask <= edge)] = 0
        if share_right(module, case.clean.x, case.clean.codes, case.tensor) < start - case.drop:
            with torch.no_grad():
                for m, weight in zip(layers, before, strict=True):
                    m.weight.copy_(weight)
            break
    return module
