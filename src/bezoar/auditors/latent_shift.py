"""Latent shift: how small a step in the space of the last features sends all clean samples to one class?

What a trigger adds is, deep in the network, one direction that overrules everything else; for the target of a backdoor a step of
small length is enough. Only the last layer is asked, so it takes no time. Fails for backdoors that are spread over all directions.
The statistic is the log-odds of the mean share that arrives over growing steps, in units of the distance between the classes' means.
Cost: under a second. Paper: Zhang et al. 2024 (trigger-activated change as a convex problem).
"""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Info
from bezoar.core.audit import Audited, Auditor, AuditView
from bezoar.networks.pixels import features, head, pixels, samples, still
from bezoar.networks.pushing import push

BOUNDS = np.geomspace(0.2, 3.0, 8)
"""Length of the step, in units of the mean distance of a class's mean from the mean of all."""


class LatentShift(Auditor):
    """The step search.

    most   clean samples that are looked at, 10 or more
    steps  at each of eight bounds, 1 or more
    """

    info = Info(name="latent-shift", summary="how small a step of the last features leads all samples to one class",
                threats=("model-backdoor",), modalities=("image",), needs=("model",), extras=("torch",), cost="under a second",
                reference="Zhang et al. 2024")
    weight = 0.7

    def __init__(self, *, most: int = 100, steps: int = 15) -> None:
        self.most = most
        self.steps = steps

    def audit(self, view: AuditView, rng: np.random.Generator) -> Audited:
        import torch

        p, k = pixels(view), view.n_classes
        x, codes = samples(view, self.most, rng)
        last = head(p.module)
        with still(p.module):
            with torch.no_grad():
                told, _ = features(p.module, lambda: p.logits(x))
            present = [int(c) for c in torch.unique(codes)]
            means = torch.stack([told[codes == c].mean(dim=0) for c in present])
            unit = float((means - means.mean(dim=0)).norm(dim=1).mean().clamp_min(1e-9))
            rows, bias = last.weight.detach().cpu(), 0.0 if last.bias is None else last.bias.detach().cpu()
            path = push(lambda d: (told[None] + d[:, None]) @ rows.T + bias, (told.shape[1],), k, codes, BOUNDS * unit,
                        steps=self.steps, rng=rng)
        statistic = path.statistic()
        return Audited(statistic, int(statistic.argmax()))
