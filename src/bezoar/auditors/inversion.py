"""Trigger inversion: the smallest patch that sends clean samples to a class, for all classes at once.

Each class gets a mask and a pattern, both through tanh; the mask is made as small as it can be while nine of ten samples still
arrive. The target of a patch backdoor needs a far smaller mask than the other classes, and its mask is where the patch was.
Fails for patterns over the whole picture and for patches on one class only.
The statistic is minus the logarithm of the mask's size. Cost: about 20 s for a small network of 10 classes.
Papers: Wang et al. 2019 (Neural Cleanse); Tao et al. 2022 (pixel pairs).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from bezoar.core.ability import Info
from bezoar.core.audit import Audited, Auditor, AuditView
from bezoar.networks.gathering import patch
from bezoar.networks.pixels import pixels, samples, still

ARRIVES = 0.9
"""Share of samples that a trigger has to move."""


class Inversion(Auditor):
    """The patch search.

    most   clean samples that are looked at, 10 or more
    batch  of them in each step
    steps  of the search, 20 or more
    """

    info = Info(name="inversion", summary="the smallest patch that leads to each class", threats=("model-backdoor",),
                modalities=("image",), needs=("model",), extras=("torch",), cost="about 20 s for a small network of 10 classes",
                reference="Shen et al. 2021, arXiv 2102.05123")
    weight = 2.0

    def __init__(self, *, most: int = 100, batch: int = 12, steps: int = 120) -> None:
        self.most = most
        self.batch = batch
        self.steps = steps

    def audit(self, view: AuditView, rng: np.random.Generator) -> Audited:
        p, k = pixels(view), view.n_classes
        x, codes = samples(view, self.most, rng)
        with still(p.module):
            size, share, masks, patterns = smallest(p, x, codes, k, rng, batch=self.batch, steps=self.steps)
        statistic = -np.log(np.maximum(size, 0.05))
        target = int(statistic.argmax())
        found = [patch(masks[c], patterns[c]) for c in range(k)]
        tried = tuple((c, t) for c, f in enumerate(found) for t in (f, replace(f, mask=(f.mask > 0.2).astype(np.float32))))
        return Audited(statistic, target, found[target], float(share[target]), tried)


def smallest(p: Any, x: Any, codes: Any, k: int, rng: np.random.Generator, *, batch: int,
             steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(K,) size of the smallest mask in pixels that moves enough, (K,) share it moves, (K, h, w) masks, (K, 3, h, w) patterns.

    Where nothing moved enough, the size is that of the best mask, divided by the share it moves.
    """
    import torch
    from torch.nn import functional

    h, w, n = p.height, p.width, len(x)
    mask = torch.from_numpy(rng.normal(-0.3, 0.1, (k, 1, h, w)).astype(np.float32)).requires_grad_(True)
    pattern = torch.from_numpy(rng.normal(0, 0.3, (k, 3, h, w)).astype(np.float32)).requires_grad_(True)
    optimiser = torch.optim.Adam([mask, pattern], lr=0.15, betas=(0.5, 0.9))
    goal = torch.arange(k)
    price = torch.full((k,), 0.02)
    best_size, best_share = np.full(k, np.inf), np.zeros(k)
    best_mask, best_pattern = np.zeros((k, h, w), np.float32), np.zeros((k, 3, h, w), np.float32)
    recent = torch.zeros(k)
    for step in range(steps):
        rows = torch.from_numpy(rng.choice(n, min(batch, n), replace=False))
        hosts, own = x[rows], codes[rows]
        m, c = torch.tanh(mask) / 2 + 0.5, torch.tanh(pattern) / 2 + 0.5
        put = hosts[None] * (1 - m[:, None]) + (m * c)[:, None]
        logits = p.logits(put.reshape(-1, 3, h, w)).view(k, len(rows), k)
        counts = (own[None] != goal[:, None]).float()
        each = functional.cross_entropy(logits.reshape(-1, k), goal.repeat_interleave(len(rows)), reduction="none").view(k, -1)
        loss = (each * counts).sum(dim=1) / counts.sum(dim=1).clamp_min(1)
        area = m.flatten(1).sum(dim=1)
        optimiser.zero_grad(set_to_none=True)
        (loss + price * area).sum().backward()
        optimiser.step()
        with torch.no_grad():
            arrived = ((logits.argmax(dim=2) == goal[:, None]).float() * counts).sum(dim=1) / counts.sum(dim=1).clamp_min(1)
            recent = arrived if step == 0 else 0.8 * recent + 0.2 * arrived
            price = torch.where(recent >= ARRIVES, price * 1.06, price / 1.06).clamp(1e-4, 2.0)
            size = (area / torch.clamp(recent / ARRIVES, 0.02, 1.0) ** 2).double().numpy()
            better = (size < best_size) & (step >= steps // 4)
            if better.any():
                best_size[better], best_share[better] = size[better], recent.double().numpy()[better]
                best_mask[better], best_pattern[better] = m[better, 0].numpy(), c[better].numpy()
    return best_size, best_share, best_mask, best_pattern
