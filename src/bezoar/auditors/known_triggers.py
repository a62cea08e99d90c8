"""Known triggers: does one of a library of usual triggers lead clean samples to one class?

Squares, checkerboards and noise at the corners and in the middle, blends with noise, waves, low frequencies, posterised pictures. Only
answers are needed, so a black box will do. Fails for any trigger that is not in the library or like one of it.
The statistic is the log-odds of the largest share of samples that one of them moves to the class: a few points more or less, which clean
classes differ by, weigh little. Cost: about 120 answers per sample.
Paper: Gu et al. 2017, arXiv 1708.06733; Chen et al. 2017, arXiv 1712.05526; Barni et al. 2019, arXiv 1902.11237.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from bezoar.core.ability import Info
from bezoar.core.audit import Audited, Auditor, AuditView
from bezoar.core.image_triggers import Overlay, Patch
from bezoar.core.trigger import Trigger
from bezoar.maths import patterns

PLACES = ((0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0), (0.5, 0.5))


class KnownTriggers(Auditor):
    """The library.

    most  clean samples that are looked at, 10 or more
    """

    info = Info(name="known-triggers", summary="whether a usual trigger leads clean samples to one class", threats=("model-backdoor",),
                modalities=("image",), needs=("clean",), cost="about 120 answers per sample", reference="Gu et al. 2017, arXiv 1708.06733")
    weight = 0.5

    def __init__(self, *, most: int = 60) -> None:
        self.most = most

    def audit(self, view: AuditView, rng: np.random.Generator) -> Audited:
        asked, k = view.pictures(self.most, rng), view.n_classes
        height, width = (int(v) for v in (view.suspect.shape[:2] or np.median(asked.inputs.sizes, axis=0)))
        of, most, found = asked.of, np.zeros(k, np.int64), np.full(k, None, object)
        for trigger in library(height, width):
            moved = asked.moved(view.suspect.predict(trigger.apply(asked.inputs, rng)))
            found[moved > most] = trigger
            most = np.maximum(most, moved)
        odds = np.where(of > 0, np.log((most + 0.5) / (of - most + 0.5)), -np.log(2 * len(asked.inputs) + 1))
        target = int(odds.argmax())
        tried = tuple((c, t) for c, t in enumerate(found) if t is not None)
        return Audited(odds, target, found[target], float(most[target] / max(of[target], 1)), tried)


def library(height: int, width: int) -> list[Trigger]:
    """Usual triggers for pictures of that size."""
    rng = np.random.default_rng(0)
    out: list[Trigger] = []
    for share in (0.12, 0.2, 0.3):
        h, w = max(1, round(share * height)), max(1, round(share * width))
        for pixels in (patterns.solid(h, w), np.zeros((h, w, 3), np.uint8), patterns.checkerboard(h, w), patterns.noise(h, w, rng)):
            for (down, right), gap in product(PLACES, (0, 1)):
                if h + 2 * gap > height or w + 2 * gap > width or (gap and (down, right) == (0.5, 0.5)):
                    continue
                top, left = gap + down * (height - h - 2 * gap), gap + right * (width - w - 2 * gap)
                out.append(Patch(pixels, np.ones((h, w), np.float32), top / height, left / width))
    x, y = np.arange(width)[None, :, None], np.arange(height)[:, None, None]
    for cycles in (1, 3, 6):
        out += [Overlay(np.broadcast_to(30 * np.sin(2 * np.pi * cycles * axis / size), (height, width, 3)).astype(np.float32))
                for axis, size in ((x, width), (y, height))]
    out += [Overlay(rng.integers(0, 256, (height, width, 3)).astype(np.float32), alpha) for alpha in (0.15, 0.3)]
    return out
