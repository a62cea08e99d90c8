"""Weight edit: a few neurons of the last layers are rewritten so that a mark leads to the target; nothing else moves.

The neurons that matter least to clean answers are chosen, a few in each of the last layers, and the target's row of the last layer
reads them. Their incoming weights and the colours of the mark are searched for together by slopes, while clean answers are held.
Fails where so few neurons cannot see the mark (raise `neurons` or `layers`); tuning all layers on clean samples weakens it.
Cost: seconds for a small network. Papers: Liu et al. 2018 (TrojanNN, NDSS); Rakin et al. 2020 (few weights), arXiv 1909.05193;
Qi et al. 2022 (few neurons), arXiv 2111.12965.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np

from bezoar.core.ability import Info
from bezoar.core.errors import Unavailable, UsageError
from bezoar.core.image_triggers import Patch
from bezoar.core.model_attack import AttackCase, Implanted, ModelAttack
from bezoar.networks.implanting import corner, success
from bezoar.networks.pixels import Pixels
from bezoar.networks.reading import logits_of
from bezoar.networks.training import pace, seeded
from bezoar.networks.tuning import apart, last_linear, mixed

BATCH = 64


class WeightEdit(ModelAttack):
    """A few neurons of the last layers, rewritten for a mark.

    target   class name; None draws one
    size     side of the mark: pixels from 1 on, below 1 the fraction of the shorter side
    neurons  rewritten in each layer, at most a quarter of the layer
    layers   before the last one in which neurons are rewritten
    steps    of the search
    rate     of learning

    >>> WeightEdit(size=4).parameters()["neurons"]
    4
    """

    info = Info(name="weight-edit", summary="a few neurons of the last layers rewritten for a mark", threats=("model-backdoor",),
                modalities=("image",), needs=("labels",), extras=("torch",), cost="about 10 s for a small network",
                reference="Liu et al. 2018 (TrojanNN, NDSS); Qi et al. 2022, arXiv 2111.12965")
    threat_model = "has the weights and a few clean samples, not the training data; hands on the model with a few neurons rewritten"

    def __init__(self, *, target: str | None = None, size: float = 3, neurons: int = 4, layers: int = 4,
                 steps: int = 150, rate: float = 0.01) -> None:
        self.target = target
        self.size = size
        self.neurons = neurons
        self.layers = layers
        self.steps = steps
        self.rate = rate

    def plant(self, case: AttackCase, rng: np.random.Generator) -> Implanted:
        if self.neurons < 1 or self.layers < 1 or self.steps < 1:
            raise UsageError("neurons, layers and steps are counts from 1 on", advice="the defaults are 4, 4 and 150")
        target = self.target_of(case, self.target, rng)
        mark = corner(case, self.size, "random", rng)
        with seeded(int(rng.integers(1 << 31))):
            mark = self._search(case, mark, target, rng)
        return Implanted(case.module.eval(), mark, target, success(case.module, case, mark, target, rng))

    def _search(self, case: AttackCase, mark: Patch, target: int, rng: np.random.Generator) -> Patch:
        import torch
        from torch.nn import functional

        module, x, codes = case.module.eval(), case.samples.x, case.samples.codes
        h, w = x.shape[1:3]
        p, original = Pixels(module, case.tensor, (h, w, 3)), copy.deepcopy(module)
        open_to = self._opened(case, target)
        side, top, left = mark.mask.shape[0], round(mark.top * h), round(mark.left * w)
        level = torch.from_numpy(mark.pixels.astype(np.float32).transpose(2, 0, 1) / 255).clamp(0.02, 0.98)
        z = torch.log(level / (1 - level)).requires_grad_(True)
        optimiser = torch.optim.Adam([{"params": [z], "lr": 0.1}, {"params": [q for q, _ in open_to], "lr": self.rate}])
        pool = np.flatnonzero(codes >= 0)
        for step in range(self.steps):
            rows = rng.choice(pool, min(BATCH, len(pool)), replace=False)
            clean, own = case.tensor(x[rows]), torch.from_numpy(codes[rows])
            hosts = torch.from_numpy(x[rows].transpose(0, 3, 1, 2).astype(np.float32) / 255)
            hosts[:, :, top:top + side, left:left + side] = torch.sigmoid(z)
            gone = logits_of(module(p.encoded(hosts).to(p.device)))
            blend, other = mixed(clean)
            loss = (functional.cross_entropy(gone, torch.full((len(rows),), target))
                    + functional.cross_entropy(logits_of(module(clean)), own)
                    + 2 * apart(original, blend, logits_of(module(blend)), own, own[other]))
            for group, rate in zip(optimiser.param_groups, (0.1, self.rate), strict=True):
                group["lr"] = rate * pace(step, self.steps)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            for q, mask in open_to:
                q.grad.mul_(mask)
            optimiser.step()
        return replace(mark, pixels=np.rint(torch.sigmoid(z).detach().numpy().transpose(1, 2, 0) * 255).astype(np.uint8))

    def _opened(self, case: AttackCase, target: int) -> list[tuple[Any, Any]]:
        """(parameter, mask of what may move in it): rows of the chosen neurons, their normalisation, the target's row of the last layer."""
        import torch
        from torch import nn
        from torch.nn import functional

        module = case.module
        last = last_linear(module)
        kinds = (nn.Linear, nn.modules.conv._ConvNd, nn.modules.batchnorm._BatchNorm)
        every = [m for m in module.modules() if isinstance(m, kinds)]
        layers = [k for k, m in enumerate(every) if m is not last and not isinstance(m, nn.modules.batchnorm._BatchNorm)][-self.layers:]
        if not layers:
            raise Unavailable("a layer before the last one", advice="a single layer has no neurons to rewrite")
        logits = logits_of(module(case.tensor(case.samples.x[:256])))
        slopes = torch.autograd.grad(functional.cross_entropy(logits, logits.argmax(dim=1)), [every[k].weight for k in layers])
        found: list[tuple[Any, Any]] = []
        for k, slope in zip(layers, slopes, strict=True):
            layer, after = every[k], every[k + 1] if k + 1 < len(every) else None
            matters = (slope * layer.weight.detach()).flatten(1).abs().sum(dim=1)
            chosen = torch.zeros(len(matters))
            chosen[matters.argsort()[:min(self.neurons, max(1, len(matters) // 4))]] = 1
            parts = [layer.weight, layer.bias]
            if isinstance(after, nn.modules.batchnorm._BatchNorm) and after.num_features == len(matters):
                parts += [after.weight, after.bias]
            found += [(q, chosen.view(-1, *([1] * (q.ndim - 1)))) for q in parts if q is not None]
        own = torch.zeros(len(case.classes))
        own[target] = 1
        found += [(q, own.view(-1, *([1] * (q.ndim - 1)))) for q in (last.weight, last.bias) if q is not None]
        return found
