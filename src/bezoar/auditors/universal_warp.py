"""Universal warp: how small a smooth displacement, the same for all clean samples, sends them all to one class?

A trigger that bends a picture puts nothing on it, so no patch and no added pattern stands for it; but one flow on a coarse grid does, and
for the target of such a backdoor a smaller one is enough than for any other class. Flows are followed through growing bounds for all
classes at once. Fails for displacements finer than the grid, for pictures under 12 pixels a side (nothing is said of them), and where
shapes of one class are reached from all others by a slight bend.
The statistic is the log-odds of the mean share that arrives, over the bounds. Cost: about 5 s for a small network of 10 classes on pictures
of 32x32. Papers: Nguyen and Tran 2021, arXiv 2102.10369 (the attack); the search as in Moosavi-Dezfooli et al. 2017, arXiv 1610.08401.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bezoar.core.ability import Info
from bezoar.core.audit import Audited, Auditor, AuditView
from bezoar.core.image_rewrites import Warp
from bezoar.networks.pixels import pixels, samples, still
from bezoar.networks.pushing import push

BOUNDS = np.geomspace(0.015, 0.12, 5)
"""Root mean square displacement of the grid's points, in parts of the picture's side."""

SMALLEST = 12
"""Pixels a side: in smaller pictures a displacement between two points of the grid is under a pixel."""


class UniversalWarp(Auditor):
    """The flow search.

    most   clean samples that are looked at, 10 or more
    steps  at each of five bounds, 1 or more
    grid   points of the flow per side, 2 or more
    """

    info = Info(name="universal-warp", summary="how small a bend of the picture leads all samples to one class",
                threats=("model-backdoor",), modalities=("image",), needs=("model",), extras=("torch",),
                cost="about 5 s for a small network of 10 classes", reference="Nguyen and Tran 2021, arXiv 2102.10369")
    weight = 1.0

    def __init__(self, *, most: int = 30, steps: int = 7, grid: int = 5) -> None:
        self.most = most
        self.steps = steps
        self.grid = grid

    def audit(self, view: AuditView, rng: np.random.Generator) -> Audited:
        p, k = pixels(view), view.n_classes
        if min(p.height, p.width) < SMALLEST:
            return Audited(np.full(k, np.nan), notes=(f"pictures under {SMALLEST} pixels a side are too small to be bent",))
        x, codes = samples(view, self.most, rng)
        n, shape = len(x), (2, self.grid, self.grid)
        with still(p.module):
            path = push(lambda d: p.logits(_bent(x, d)).view(k, n, k), shape, k, codes, BOUNDS * np.sqrt(np.prod(shape)),
                        steps=self.steps, rng=rng)
        statistic = path.statistic()
        target = int(statistic.argmax())
        flows = [_stretched(path.pushes[path.first(c)][c:c + 1], p.height, p.width)[0].numpy().transpose(1, 2, 0) for c in range(k)]
        tried = tuple((c, Warp(np.ascontiguousarray(f))) for c, f in enumerate(flows))
        return Audited(statistic, target, tried[target][1], float(path.reached[path.first(target), target]), tried)


def _stretched(flow: Any, height: int, width: int) -> Any:
    """(P, 2, g, g) points of flows -> (P, 2, h, w)."""
    from torch.nn import functional

    return functional.interpolate(flow, size=(height, width), mode="bicubic", align_corners=True)


def _bent(x: Any, flow: Any) -> Any:
    """Pictures x (n, 3, h, w) read beside their places by each of the flows (P, 2, g, g), down and right: (P * n, 3, h, w)."""
    import torch
    from torch.nn import functional

    n, _, h, w = x.shape
    full = _stretched(flow, h, w)
    y, c = torch.meshgrid((torch.arange(h) + 0.5) / h, (torch.arange(w) + 0.5) / w, indexing="ij")
    at = torch.stack([c + full[:, 1], y + full[:, 0]], dim=-1) * 2 - 1
    return functional.grid_sample(x.repeat(len(flow), 1, 1, 1), at.repeat_interleave(n, dim=0), padding_mode="border", align_corners=False)
