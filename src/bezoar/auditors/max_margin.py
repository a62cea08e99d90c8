"""Maximum margin: from random starts, how far can the logit of one class be driven above all the others?

A backdoor overfits its target: inputs exist that raise its logit far above the rest, further than for any other class. No data are
needed and no pattern is assumed. Fails for attacks without a single target, for backdoors that a model learned weakly, and where a
natural class is much easier than the others. The statistic is the logarithm of the largest margin per class.
Cost: seconds for small networks. Paper: Wang et al. 2024 (MM-BD), arXiv 2205.06900.
"""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Info
from bezoar.core.audit import Audited, Auditor, AuditView
from bezoar.core.evidence import Bars
from bezoar.networks.pixels import pixels, still


class MaxMargin(Auditor):
    """The margin statistic.

    starts  random pictures per class, 1 or more
    steps   of the ascent, 1 or more
    """

    info = Info(name="max-margin", summary="how far one class can be driven above the others, without data",
                threats=("model-backdoor",), modalities=("image",), needs=("model",), extras=("torch",),
                cost="about 2 s for a small network of 10 classes", reference="Wang et al. 2024, arXiv 2205.06900", effort="quick")
    weight = 0.5

    def __init__(self, *, starts: int = 6, steps: int = 40) -> None:
        self.starts = starts
        self.steps = steps

    def audit(self, view: AuditView, rng: np.random.Generator) -> Audited:
        import torch

        p, k = pixels(view), view.n_classes
        with still(p.module):
            drawn = rng.random((self.starts, 3, p.height, p.width), np.float32)
            best = np.full(k, -np.inf)
            for part in np.array_split(np.arange(k), max(1, -(-k * self.starts // 512))):
                x = torch.from_numpy(np.tile(drawn, (len(part), 1, 1, 1))).requires_grad_(True)
                own = torch.from_numpy(np.repeat(part, self.starts))
                speed = torch.zeros_like(x)
                for step in range(self.steps):
                    logits = p.logits(x)
                    mine = logits.gather(1, own[:, None])[:, 0]
                    rest = logits.scatter(1, own[:, None], -torch.inf).amax(dim=1)
                    margin = mine - rest
                    (slope,) = torch.autograd.grad(margin.sum(), x)
                    with torch.no_grad():
                        slope /= slope.flatten(1).norm(dim=1).clamp_min(1e-12)[:, None, None, None]
                        speed.mul_(0.8).add_(slope)
                        x += speed * (0.4 * (1 - step / self.steps) * (p.height * p.width / 64) ** 0.5)
                        x.clamp_(0, 1)
                with torch.no_grad():
                    logits = p.logits(x)
                    margin = logits.gather(1, own[:, None])[:, 0] - logits.scatter(1, own[:, None], -torch.inf).amax(dim=1)
                best[part] = margin.view(len(part), self.starts).amax(dim=1).double().numpy()
        statistic = np.log(np.clip(best, 1e-6, None))
        target = int(statistic.argmax())
        bars = Bars(view.suspect.classes[:60], tuple(float(v) for v in np.clip(best, 0, None)[:60]), (view.suspect.classes[target],),
                    caption="largest margin of each class over the others (logits)")
        return Audited(statistic, target, evidence=(bars,))
