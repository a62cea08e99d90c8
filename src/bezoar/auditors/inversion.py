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
from bezoar.networks.gathering import Gathered, searched
from bezoar.networks.pixels import pixels, samples, still


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
            searches = smallest(p, x, codes, k, rng, batch=self.batch, steps=self.steps)
        statistic = -np.log(np.maximum(searches.size, 0.05))
        target = int(statistic.argmax())
        found = [searches.trigger(c) for c in range(k)]
        tried = tuple((c, t) for c, f in enumerate(found) for t in (f, replace(f, mask=(f.mask > 0.2).astype(np.float32))))
        return Audited(statistic, target, found[target], float(searches.share[target]), tried)


def smallest(p: Any, x: Any, codes: Any, k: int, rng: np.random.Generator, *, batch: int, steps: int) -> Gathered:
    """One search per class: how small a patch moves enough of the samples `x` (n, 3, h, w) of other classes, by `codes` (n,), to it."""
    import torch
    from torch.nn import functional

    goal = torch.arange(k)

    def judge(logits: Any, rows: Any) -> tuple[Any, Any]:
        counts = (codes[rows] != goal[:, None]).float()
        each = functional.cross_entropy(logits.reshape(-1, k), goal.repeat_interleave(rows.shape[1]), reduction="none").view(k, -1)
        others = counts.sum(dim=1).clamp_min(1)
        return (each * counts).sum(dim=1) / others, ((logits.argmax(dim=2) == goal[:, None]).float() * counts).sum(dim=1) / others

    return searched(p, x, rng, judge, count=k, steps=steps, batch=batch)
