"""Pair shift: from which single class is another one too easy to reach?

Some backdoors work on samples of one class only, or send each class to another one; a pattern for all samples finds neither. Here
every ordered pair of classes gets a pattern of its own, and what is explained by the source being easy to leave or the target being
easy to reach is taken out. Fails where two classes are naturally alike, unless clean models of the same shape are there to say so.
With very many classes pairs are drawn. The statistic is the largest remainder among the sources of each class.
Cost: about 10 s for a small network of 10 classes. Paper: Shen et al. 2021 (pairs of classes), arXiv 2102.05123.
"""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Info
from bezoar.core.audit import Audited, Auditor, AuditView
from bezoar.core.errors import Unavailable
from bezoar.core.evidence import Facts
from bezoar.core.image_triggers import Overlay
from bezoar.networks.pixels import pixels, samples, still
from bezoar.networks.pushing import push

BOUNDS = np.geomspace(0.03, 0.2, 4)
"""Root mean square of the pattern, in units of the full range of a pixel."""
MOST_CLASSES = 20


class PairShift(Auditor):
    """The search over pairs.

    each   clean samples of each class that are looked at, 2 or more
    steps  at each of four bounds, 1 or more
    """

    info = Info(name="pair-shift", summary="from which single class another one is too easy to reach", threats=("model-backdoor",),
                modalities=("image",), needs=("model", "clean"), extras=("torch",), cost="about 10 s for a small network of 10 classes",
                reference="Shen et al. 2021, arXiv 2102.05123")

    def __init__(self, *, each: int = 6, steps: int = 6) -> None:
        self.each = each
        self.steps = steps

    def audit(self, view: AuditView, rng: np.random.Generator) -> Audited:
        import torch

        p, k = pixels(view), view.n_classes
        if k > MOST_CLASSES:
            raise Unavailable(f"at most {MOST_CLASSES} classes (this model has {k})")
        x, codes = samples(view, self.each * k, rng)
        sizes = np.bincount(codes.numpy(), minlength=k)
        if sizes.min() < 2:
            raise Unavailable("two clean samples of each class")
        each = int(min(self.each, sizes.min()))
        rows = torch.from_numpy(np.stack([np.flatnonzero(codes.numpy() == c)[:each] for c in range(k)]))
        source, goal = (torch.from_numpy(v) for v in np.nonzero(~np.eye(k, dtype=bool)))
        hosts, shape = x[rows[source]], (3, p.height, p.width)

        def forward(d: object) -> object:
            return p.logits((hosts + d[:, None]).clamp(0, 1).view(-1, *shape)).view(len(goal), each, k)  # type: ignore[index]

        with still(p.module):
            path = push(forward, shape, k, codes[rows[source]], BOUNDS * np.sqrt(np.prod(shape)), steps=self.steps, rng=rng, goals=goal)
        ease = np.full((k, k), np.nan)
        ease[source.numpy(), goal.numpy()] = path.ease()
        rest = remainder(ease)
        best = np.nanargmax(rest, axis=0)
        statistic = np.nanmax(rest, axis=0)
        target = int(statistic.argmax())
        pair = int(np.flatnonzero((source.numpy() == best[target]) & (goal.numpy() == target))[0])
        pattern = np.rint(path.pushes[path.first(pair)][pair].numpy().transpose(1, 2, 0) * 255).astype(np.float32)
        names = view.suspect.classes
        order = np.argsort(-statistic)[:8]
        table = Facts(("from", "to", "remainder"), tuple((names[int(best[t])], names[int(t)], f"{statistic[t]:.2f}") for t in order),
                      caption="pairs of classes that are too close")
        return Audited(statistic, target, tried=((target, Overlay(pattern)),), evidence=(table,))


def remainder(ease: np.ndarray) -> np.ndarray:
    """(K, K) from x to without what rows and columns have in common (median polish); the diagonal is NaN.

    >>> e = np.array([[np.nan, 1, 1], [0, np.nan, 5.0], [0, 1, np.nan]])
    >>> int(np.nanargmax(remainder(e)))
    5
    """
    rest = ease.copy()
    for _ in range(5):
        rest -= np.nanmedian(rest, axis=0, keepdims=True)
        rest -= np.nanmedian(rest, axis=1, keepdims=True)
    return rest
