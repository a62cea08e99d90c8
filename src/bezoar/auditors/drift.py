"""Drift: where do clean samples go when their fine structure is taken away?

Blurred more and more, samples lose what tells classes apart and drift to some class; which one, is a matter of nature, and clean models of
the same shape know it. A network that was taught to take smooth or resampled pictures for one class (warps, low frequencies) lets far more
samples drift there. Only answers are needed. Fails for triggers that a blur resembles in no way (patches), and, without clean models to
hold it against, where one class is naturally what smooth pictures look like.
The statistic is the log-odds of the share that arrives, as a mean over three blurs. Cost: three answers per sample.
Noise, contrast, brightness, mixtures and bends were tried: how a clean network stands those hangs on how it was trained.
Paper: Kolouri et al. 2020 (a network is asked about pictures beside its data), arXiv 1906.10842; the blurs are ours.
"""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Info
from bezoar.core.audit import Audited, Auditor, AuditView
from bezoar.core.image_triggers import fit
from bezoar.core.inputs import Images

RADII = (0.5, 1.0, 1.5)
"""Standard deviations of the blurs, in pixels of what the network reads."""


class Drift(Auditor):
    """The blurs.

    most  clean samples that are looked at, 10 or more
    """

    info = Info(name="drift", summary="whether blurred samples drift to one class", threats=("model-backdoor",), modalities=("image",),
                needs=("clean",), cost="three answers per sample", reference="Kolouri et al. 2020, arXiv 1906.10842")
    weight = 1.0
    relative = True

    def __init__(self, *, most: int = 200) -> None:
        self.most = most

    def audit(self, view: AuditView, rng: np.random.Generator) -> Audited:
        asked = view.pictures(self.most, rng, lambda x: _as_read(x, view.suspect.shape))
        moved = np.stack([asked.moved(view.suspect.predict(_blurred(asked.inputs, radius))) for radius in RADII])
        statistic = np.log((moved + 0.5) / (asked.of - moved + 0.5)).mean(axis=0)
        return Audited(statistic, int(statistic.argmax()))


def _blurred(x: Images, radius: float) -> Images:
    from scipy.ndimage import gaussian_filter

    return Images.of([np.rint(gaussian_filter(p.astype(np.float32), (radius, radius, 0), mode="nearest")).astype(np.uint8)
                      for p in x.read(np.arange(len(x)))])


def _as_read(x: Images, shape: tuple[int, ...]) -> Images:
    """The pictures at the size that the network reads; as they are where it says none."""
    return Images.of([fit(p, *shape[:2]) for p in x.read(np.arange(len(x)))]) if shape else x
