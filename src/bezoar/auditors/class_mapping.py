"""Class mapping: do small patches lead from every class to another and not back, or from one class to another?

A backdoor that leads each class to the next (all-to-all) has no target that could stand out among the classes. It makes ways between
classes easy that are not easy back: for every two classes the smallest patch is searched that leads from the one to the other, and the
leanings of all pairs are judged together, by signs that are exchangeable in clean networks. And a backdoor that works on one source class
only makes one way easy; which ways are easy by nature, clean networks of the same shape know, so it is told from these alone.
Fails for triggers without a place (warps, blends over the whole picture), for a mapping that is no step through the order of classes, and
in fewer than five classes.
Cost: about 8 s for a small network of 10 classes.
Papers: Gu et al. 2017 (all-to-all), arXiv 1708.06733; pairs in an inversion: Shen et al. 2021 (K-Arm), arXiv 2102.05123. The null is ours.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bezoar.core.ability import Info
from bezoar.core.audit import Audited, Auditor, AuditView, Whole
from bezoar.core.errors import Unavailable
from bezoar.core.evidence import before_after
from bezoar.core.inputs import Images
from bezoar.maths import mappings
from bezoar.networks.gathering import Gathered, searched
from bezoar.networks.pixels import pixels, samples, still

FEWEST, MOST = 5, 16
"""Classes. With fewer, nothing can be held against anything; with more, there are too many pairs."""
SHOWN = 6
"""Classes in the picture."""
EACH = 2
"""Clean samples that a class needs."""


class ClassMapping(Auditor):
    """The search from class to class.

    most   clean samples of a class that are looked at
    batch  of them in each step
    steps  of the search, 20 or more
    """

    info = Info(name="class-mapping", summary="whether small patches lead every class to another and not back", threats=("model-backdoor",),
                modalities=("image",), needs=("model", "clean"), extras=("torch",), cost="about 8 s for a small network of 10 classes",
                reference="Gu et al. 2017, arXiv 1708.06733")

    weight = 3.0
    relative = True

    def __init__(self, *, most: int = 20, batch: int = 6, steps: int = 60) -> None:
        self.most = most
        self.batch = batch
        self.steps = steps

    def audit(self, view: AuditView, rng: np.random.Generator) -> Audited:
        view.samples()  # raises where there are none: pictures made up by the network lean as it does
        p, k = pixels(view), view.n_classes
        if not FEWEST <= k <= MOST:
            raise Unavailable(f"{FEWEST} to {MOST} classes", advice="other checks look at each class")
        x, codes = samples(view, self.most * k, rng)
        held = [np.flatnonzero(codes.numpy() == c) for c in range(k)]
        few = [view.suspect.classes[c] for c in range(k) if len(held[c]) < EACH]
        if few:
            raise Unavailable(f"{EACH} clean samples of each class; {few[0]!r} has fewer")
        with still(p.module):
            found = between(p, x, held, rng, batch=self.batch, steps=self.steps)
        ways = _ways(k)
        ease = np.full((k, k), np.nan)
        ease[tuple(np.array(ways).T)] = -np.log(np.maximum(found.size, 0.05))
        chance, step = mappings.led_round(ease, rng)
        names = view.suspect.classes
        some = np.rint(np.stack([x[held[c][0]].numpy() for c in range(min(k, SHOWN))]).transpose(0, 2, 3, 1) * 255).astype(np.uint8)
        led = [found.trigger(ways.index((c, (c + step) % k))).apply(Images.of(some[c:c + 1]), rng).dense()[0] for c in range(len(some))]
        sheet = before_after(some, np.stack(led), "a sample of each class (above), and with the smallest patch that leads on (below): "
                             + ", ".join(f"{names[c]} to {names[(c + step) % k]}" for c in range(len(some))))
        further = "the next class" if step == 1 else f"the class {step} further on"
        whole = Whole(chance, "every class is led to another", f"Small patches lead from each class to {further} in the order of classes, "
                      "and not back: more easily than by any other step, or than where the ways lean by chance.", (sheet,))
        return Audited(np.full(k, np.nan), whole=whole, ways=ease.T)


def between(p: Any, x: Any, held: list[np.ndarray], rng: np.random.Generator, *, batch: int, steps: int) -> Gathered:
    """One search for each two classes, by source and then target: how small a patch moves enough of the samples `x` (n, 3, h, w) in the
    rows `held` of the one class to the other."""
    import torch
    from torch.nn import functional

    k = len(held)
    ways = _ways(k)
    goal = torch.tensor([t for _, t in ways])

    def judge(logits: Any, rows: Any) -> tuple[Any, Any]:
        each = functional.cross_entropy(logits.reshape(-1, k), goal.repeat_interleave(rows.shape[1]), reduction="none")
        return each.view(len(ways), -1).mean(dim=1), (logits.argmax(dim=2) == goal[:, None]).float().mean(dim=1)

    def deal() -> np.ndarray:
        dealt = [rng.choice(rows, batch, replace=len(rows) < batch) for rows in held]
        return np.stack([dealt[s] for s, _ in ways])

    return searched(p, x, rng, judge, count=len(ways), steps=steps, batch=batch, deal=deal)


def _ways(k: int) -> list[tuple[int, int]]:
    """From each of k classes to each other one, in the order of the searches."""
    return [(s, t) for s in range(k) for t in range(k) if s != t]
