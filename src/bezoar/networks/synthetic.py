"""Pictures that a network itself takes for its classes: what stands in for clean samples where there are none. Torch is imported inside.

Drawn as smooth noise, then moved until the network is sure of the wanted class, its normalisation layers see what they saw in training
and neighbouring pixels agree. They look like nothing, but they lie where the network's classes are. Fails for networks that answer
one class whatever comes. Cost: about 2 s for a small network of 10 classes. Paper: Yin et al. 2020 (DeepInversion), arXiv 1912.08795.
"""

from __future__ import annotations

from typing import Any

import numpy as np

EACH = 8
STEPS = 60


def synthetic(p: Any, classes: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """(n, 3, h, w) float32 in [0, 1] and (n,) int64 codes that the network gives them; `p` is a `Pixels`, inside `still`."""
    import torch
    from torch import nn
    from torch.nn import functional

    n, h, w = classes * EACH, p.height, p.width
    coarse = torch.from_numpy(rng.random((n, 3, max(2, h // 4), max(2, w // 4)), np.float32))
    x = functional.interpolate(coarse, (h, w), mode="bilinear").clamp(0.02, 0.98)
    z = torch.log(x / (1 - x)).requires_grad_(True)
    own = torch.arange(classes).repeat_interleave(EACH)
    norms = [m for m in p.module.modules() if isinstance(m, nn.BatchNorm2d) and m.running_mean is not None]
    gaps: list[Any] = []

    def watch(module: Any, inputs: Any) -> None:
        seen = inputs[0]
        mean, var = seen.mean(dim=(0, 2, 3)), seen.var(dim=(0, 2, 3), unbiased=False)
        scale = module.running_var + module.eps
        gaps.append((((mean - module.running_mean) ** 2) / scale).mean() + ((var / scale).clamp_min(1e-6).log() ** 2).mean())

    handles = [m.register_forward_pre_hook(watch) for m in norms]
    optimiser = torch.optim.Adam([z], lr=0.15)
    try:
        for _ in range(STEPS):
            gaps.clear()
            shown = torch.sigmoid(z)
            logits = p.logits(shown)
            rough = (shown[..., 1:] - shown[..., :-1]).abs().mean() + (shown[..., 1:, :] - shown[..., :-1, :]).abs().mean()
            loss = functional.cross_entropy(logits, own) + 0.3 * rough
            if gaps:
                loss = loss + 0.3 * torch.stack([g.cpu() for g in gaps]).mean()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
        with torch.no_grad():
            shown = torch.sigmoid(z)
            codes = p.logits(shown).argmax(dim=1)
    finally:
        for handle in handles:
            handle.remove()
    return shown.detach(), codes
