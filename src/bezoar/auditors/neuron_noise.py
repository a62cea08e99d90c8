"""Neuron noise: how little noise on the channels of all layers makes the network call everything one class?

A backdoor's channels are wired to its target already; noise on them, chosen by slopes, collapses a backdoored network onto the
target while a clean one withstands. Found for all classes at once. Fails for networks without channels (one linear layer).
The statistic is the log-odds of the mean share of clean samples that arrive, over growing noise.
Cost: about 5 s for a small network of 10 classes. Paper: Xu et al. 2024 (BAN), arXiv 2405.19928.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bezoar.core.ability import Info
from bezoar.core.audit import Audited, Auditor, AuditView
from bezoar.core.errors import Unavailable
from bezoar.networks.pixels import head, pixels, samples, still
from bezoar.networks.pushing import push
from bezoar.networks.training import norms

BOUNDS = np.geomspace(0.05, 0.4, 5)
"""Root mean square of the noise, as a share of each channel's own output."""


class NeuronNoise(Auditor):
    """The noise search.

    most   clean samples that are looked at, 10 or more
    steps  at each of five bounds, 1 or more
    """

    info = Info(name="neuron-noise", summary="how little noise on its channels collapses the network onto one class",
                threats=("model-backdoor",), modalities=("image",), needs=("model",), extras=("torch",),
                cost="about 5 s for a small network of 10 classes", reference="Xu et al. 2024, arXiv 2405.19928")
    weight = 1.0

    def __init__(self, *, most: int = 25, steps: int = 6) -> None:
        self.most = most
        self.steps = steps

    def audit(self, view: AuditView, rng: np.random.Generator) -> Audited:
        import torch
        from torch import nn

        p, k = pixels(view), view.n_classes
        x, codes = samples(view, self.most, rng)
        last = head(p.module)
        scaled = norms(p.module)
        layers = scaled or [m for m in p.module.modules() if isinstance(m, (nn.Conv2d, nn.Linear)) and m is not last]
        if not layers:
            raise Unavailable("layers below the last")
        widths = [int(m.num_features) if scaled else int(m.weight.shape[0]) for m in layers]
        starts = np.concatenate([[0], np.cumsum(widths)])
        noise: list[Any] = [None]
        n = len(x)
        tiled = x.repeat(k, 1, 1, 1)

        def hook(i: int) -> Any:
            def change(module: Any, inputs: Any, out: Any) -> Any:
                part = noise[0][:, starts[i]:starts[i + 1]]
                if out.shape[1] != part.shape[1]:
                    raise Unavailable("channels in the second place")
                return out * (1 + part.to(out.device)).repeat_interleave(n, dim=0).view(k * n, -1, *([1] * (out.ndim - 2)))
            return change

        def forward(d: Any) -> Any:
            noise[0] = d
            return p.logits(tiled).view(k, n, k)

        handles = [m.register_forward_hook(hook(i)) for i, m in enumerate(layers)]
        try:
            with still(p.module), torch.enable_grad():
                path = push(forward, (int(starts[-1]),), k, codes, BOUNDS * np.sqrt(starts[-1]), steps=self.steps, rng=rng)
        finally:
            for h in handles:
                h.remove()
        statistic = path.statistic()
        return Audited(statistic, int(statistic.argmax()))
