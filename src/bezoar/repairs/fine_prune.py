"""Fine-pruning: channels that trusted samples leave asleep are silenced, then the rest is tuned.

A backdoor often lives in channels that clean inputs hardly use. The last convolution's channels are silenced from the least active on,
as long as accuracy on trusted samples stays within what the repair may cost (at most `share` of them); then plain fine-tuning.
Fails for whole-picture triggers and those that share channels with clean features (WaNet, input-aware). Cost: seconds, and the tuning.
Paper: Liu et al. 2018, arXiv 1805.12185.
"""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import numpy as np

from bezoar.core.ability import Info
from bezoar.core.model_repair import ModelRepair, RepairCase
from bezoar.networks.device import beside
from bezoar.networks.training import seeded
from bezoar.networks.tuning import anchored, convolutions, share_right, silence, tune


class FinePrune(ModelRepair):
    """Pruning, then tuning.

    share   of the last convolution's channels that may be silenced
    steps   of descent afterwards
    rate    largest learning rate
    anchor  weight of staying near the original's answers to clean inputs
    shift   pictures are moved by up to so many pixels
    """

    info: ClassVar[Info] = Info(name="fine-prune", summary="silence channels that clean inputs leave asleep, then tune",
                                modalities=("image",), threats=("backdoor-dirty-label",),
                                needs=("clean",), extras=("torch",), cost="seconds, and 80 steps",
                                reference="Liu et al. 2018, arXiv 1805.12185")

    def __init__(self, *, share: float = 0.8, steps: int = 80, rate: float = 0.01, anchor: float = 3.0, shift: int = 1) -> None:
        self.share = share
        self.steps = steps
        self.rate = rate
        self.anchor = anchor
        self.shift = shift

    def mend(self, case: RepairCase, rng: np.random.Generator) -> Any:
        """The pruned and tuned module. Raises Unavailable for a network without convolutions."""
        assert case.clean is not None
        x, codes = case.clean.x, case.clean.codes
        with seeded(int(rng.integers(1 << 31))):
            original, module = copy.deepcopy(case.module).eval(), case.module.eval()
            pair = convolutions(module)[-1]
            order = np.argsort(_activity(module, pair, x, case), kind="stable")
            least = share_right(module, x, codes, case.tensor) - case.drop
            step = max(1, len(order) // 16)
            for start in range(0, int(len(order) * self.share), step):
                before = copy.deepcopy(module.state_dict())
                silence(pair, order[start:start + step])
                if share_right(module, x, codes, case.tensor) < least:
                    module.load_state_dict(before)
                    break
            asleep = _asleep(pair)
            return tune(module, x, codes, rng, tensor=case.tensor, loss=anchored(original, 1.0, self.anchor), steps=self.steps,
                        rate=self.rate, shift=self.shift, after=lambda: silence(pair, asleep))


def _asleep(pair: tuple[Any, Any]) -> Any:
    return (pair[0].weight.detach().flatten(1).abs().sum(dim=1) == 0).nonzero()[:, 0]


def _activity(module: Any, pair: tuple[Any, Any], x: np.ndarray, case: RepairCase) -> np.ndarray:
    """(c,) mean of what each channel gives above zero, behind its normalisation."""
    import torch

    seen: list[Any] = []
    heard = pair[1] if pair[1] is not None else pair[0]
    hook = heard.register_forward_hook(lambda _, given, out: seen.append(out.clamp(min=0).flatten(2).mean(dim=2).sum(dim=0)))
    try:
        with torch.no_grad():
            for start in range(0, len(x), 256):
                module(beside(module, case.tensor(x[start:start + 256])))
    finally:
        hook.remove()
    return torch.stack(seen).sum(dim=0).cpu().numpy() / len(x)
