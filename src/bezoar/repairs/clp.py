"""Pruning of channels that magnify too much: needs no data at all.

The Lipschitz constant of a channel (largest singular value of its filter, times the gain of the batch normalisation behind it) bounds
how much it can magnify a small change of its input; channels that a backdoor uses stand out in their layer. Those more than `strength`
robust deviations above the median of their layer are silenced. With trusted samples at hand the strength is lowered in steps, as long
as accuracy on them stays within what the repair may cost; without, it stays.
Fails for networks without convolutions (refused), for whole-picture and sample-specific triggers, which use ordinary channels, and
for narrow layers.
Cost: seconds. Paper: Zheng et al. 2022 (CLP), arXiv 2208.03111.
"""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import numpy as np

from bezoar.core.ability import Info
from bezoar.core.model_repair import ModelRepair, RepairCase
from bezoar.networks.training import seeded
from bezoar.networks.tuning import convolutions, share_right, silence

LADDER = (1.0, 0.8, 0.6, 0.5, 0.4, 0.3)
"""Shares of the strength that are tried where accuracy can be watched."""


class Clp(ModelRepair):
    """Channel-Lipschitz pruning.

    strength  robust deviations above the layer's median from which a channel is silenced
    """

    info: ClassVar[Info] = Info(name="clp", summary="silence channels that magnify far more than their layer", modalities=("image",),
                                threats=("backdoor-dirty-label",), extras=("torch",), cost="seconds",
                                reference="Zheng et al. 2022, arXiv 2208.03111")

    def __init__(self, *, strength: float = 5.0) -> None:
        self.strength = strength

    def mend(self, case: RepairCase, rng: np.random.Generator) -> Any:
        """The pruned module."""
        with seeded(0):
            gains = [_gains(pair) for pair in convolutions(case.module)]
            if case.clean is None:
                return _pruned(case.module, gains, self.strength)
            best, start = case.module, share_right(case.module.eval(), case.clean.x, case.clean.codes, case.tensor)
            for share in LADDER:
                tried = _pruned(copy.deepcopy(case.module), gains, self.strength * share)
                if share_right(tried, case.clean.x, case.clean.codes, case.tensor) < start - case.drop:
                    break
                best = tried
            return best


def _gains(pair: tuple[Any, Any]) -> np.ndarray:
    """(c,) Lipschitz constants of the output channels of a convolution and its normalisation."""
    import torch

    conv, norm = pair
    with torch.no_grad():
        filters = conv.weight.float().reshape(conv.weight.shape[0], conv.weight.shape[1], -1)
        gain = torch.linalg.matrix_norm(filters, ord=2)
        if norm is not None and norm.running_var is not None:
            scale = torch.ones_like(gain) if norm.weight is None else norm.weight.float().abs()
            gain = gain * scale / torch.sqrt(norm.running_var.float() + norm.eps)
    return gain.cpu().numpy()


def _pruned(module: Any, gains: list[np.ndarray], strength: float) -> Any:
    import torch

    for pair, gain in zip(convolutions(module), gains, strict=True):
        middle = float(np.median(gain))
        spread = 1.4826 * float(np.median(np.abs(gain - middle)))
        high = np.flatnonzero(gain > middle + strength * max(spread, 1e-6 + 0.02 * middle))
        if len(high) and len(high) < len(gain):
            silence(pair, torch.from_numpy(high))
    return module.eval()
