"""Universal shift: how small a pattern, added to every clean sample, sends them all to one class?

A backdoor is a short cut to its target: a pattern over the whole picture (blends, waves, faint noise) or at one place that works on
any sample, smaller than any that leads to another class. Patterns are followed through growing bounds for all classes at once.
Fails where the trigger moves with the sample (warps), or works on one class only. The statistic is the log-odds of the mean share that
arrives, over the bounds. Cost: about 5 s for a small network of 10 classes on pictures of 32x32.
Papers: Moosavi-Dezfooli et al. 2017, arXiv 1610.08401; Xu et al. 2024 (path of universal perturbations).
"""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Info
from bezoar.core.audit import Audited, Auditor, AuditView
from bezoar.core.evidence import Plot
from bezoar.core.image_triggers import Overlay
from bezoar.networks.pixels import pixels, samples, still
from bezoar.networks.pushing import push

BOUNDS = np.geomspace(0.03, 0.25, 5)
"""Root mean square of the pattern, in units of the full range of a pixel."""


class UniversalShift(Auditor):
    """The pattern search.

    most   clean samples that are looked at, 10 or more
    steps  at each of five bounds, 1 or more
    """

    info = Info(name="universal-shift", summary="how small an added pattern leads all samples to one class",
                threats=("model-backdoor",), modalities=("image",), needs=("model",), extras=("torch",),
                cost="about 5 s for a small network of 10 classes", reference="Moosavi-Dezfooli et al. 2017, arXiv 1610.08401")
    weight = 2.0

    def __init__(self, *, most: int = 30, steps: int = 7) -> None:
        self.most = most
        self.steps = steps

    def audit(self, view: AuditView, rng: np.random.Generator) -> Audited:
        p, k = pixels(view), view.n_classes
        x, codes = samples(view, self.most, rng)
        n, shape = len(x), (3, p.height, p.width)
        with still(p.module):
            path = push(lambda d: p.logits((x[None] + d[:, None]).clamp(0, 1).view(k * n, *shape)).view(k, n, k), shape, k, codes,
                        BOUNDS * np.sqrt(np.prod(shape)), steps=self.steps, rng=rng)
        statistic = path.statistic()
        target = int(statistic.argmax())
        tried = tuple((c, Overlay(np.rint(path.pushes[path.first(c)][c].numpy().transpose(1, 2, 0) * 255).astype(np.float32)))
                      for c in range(k))
        rest = np.delete(path.reached, target, axis=1).max(axis=1) if k > 1 else np.zeros(len(BOUNDS))
        plot = Plot(BOUNDS * 255, {view.suspect.classes[target]: path.reached[:, target], "best of the others": rest},
                    x_label="size of the pattern (grey levels)", y_label="share that arrives", caption="one pattern on all samples")
        return Audited(statistic, target, tried[target][1], float(path.reached[path.first(target), target]), tried, evidence=(plot,))
