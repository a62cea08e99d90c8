"""Weights that stand out: final rows unlike the others, and channels of unusual gain that feed one class.

A backdoor needs few channels of large gain and a final row that listens to them. Per class: how far the largest contributions of
single channels (gain of the channel times the class's weight) stand above the class's own rest, and how large its row and bias are.
No data are needed. Fails for backdoors that are spread over many channels, and for networks without a last linear layer.
Cost: milliseconds. Papers: Zheng et al. 2022 (channel Lipschitz), arXiv 2208.03111; Fields et al. 2021 (final rows).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bezoar.core.ability import Info
from bezoar.core.audit import Audited, Auditor, AuditView
from bezoar.core.evidence import Bars
from bezoar.networks.pixels import head


class Weights(Auditor):
    """Rows and channels that stand out.

    largest  how many contributions of single channels are looked at, 1 or more
    """

    info = Info(name="weights", summary="final rows and channels of unusual weight, without data",
                threats=("model-backdoor",), needs=("model",), extras=("torch",), cost="milliseconds",
                reference="Zheng et al. 2022, arXiv 2208.03111")
    weight = 0.2

    def __init__(self, *, largest: int = 4) -> None:
        self.largest = largest

    def audit(self, view: AuditView, rng: np.random.Generator) -> Audited:
        last = head(view.module())
        rows = last.weight.detach().cpu().double().numpy()
        if rows.shape[0] != view.n_classes:
            rows = np.zeros((view.n_classes, 1))
        centred = rows - rows.mean(axis=0)
        gain = channel_gain(view.module(), rows.shape[1])
        fed = np.clip(centred, 0, None) * gain
        top = -np.sort(-fed, axis=1)[:, :self.largest].mean(axis=1)
        size = np.linalg.norm(centred, axis=1)
        likeness = (rows @ rows.mean(axis=0)) / np.maximum(np.linalg.norm(rows, axis=1) * np.linalg.norm(rows.mean(axis=0)), 1e-12)
        statistic = np.log(np.maximum(top, 1e-9)) + np.log(np.maximum(size, 1e-9)) - 0.0 * likeness
        target = int(statistic.argmax())
        bars = Bars(view.suspect.classes[:60], tuple(float(v) for v in top[:60]), (view.suspect.classes[target],),
                    caption="largest contributions of single channels to each class")
        return Audited(statistic, target, evidence=(bars,))


def channel_gain(module: Any, width: int) -> np.ndarray:
    """(width,) bound of how strongly each feature before the last layer can move; ones where it cannot be told.

    The last layer with `width` outputs, or channels that are spread over `width` places, is taken, with the normalisation after it.
    """
    from torch import nn

    gain, scale = None, None
    layers = [m for m in module.modules() if isinstance(m, (nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.BatchNorm1d))][:-1]
    for layer in layers:
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            w = layer.weight.detach().cpu().double()
            if width % w.shape[0] == 0:
                gain, scale = w.flatten(1).norm(dim=1).numpy(), None
        elif gain is not None and layer.num_features == len(gain) and scale is None and layer.affine and layer.running_var is not None:
            scale = (layer.weight.detach().cpu().double().abs() / (layer.running_var.cpu().double() + layer.eps).sqrt()).numpy()
            gain = gain * scale
    if gain is None:
        return np.ones(width)
    return np.repeat(gain / max(float(np.median(gain)), 1e-12), width // len(gain))
