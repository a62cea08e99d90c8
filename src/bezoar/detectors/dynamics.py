"""Dynamics: samples whose label a network learns at odds with what their neighbours say. A ranking, no findings.

Looks for  changed labels (learned last, never, or forgotten again, and contradicted by the neighbours), backdoors with changed labels
           (contradicted by the neighbours, yet learned early), samples moved next to another class (feature collisions). The neighbours
           are those of the label-free embedding, which poison cannot bend by being trained on.
           A model of the user's own has one state and no dynamics: its samples are ranked by its loss on their label. Where it learned
           from other data, that shows feature collisions (samples of the right label, moved to look like another class to such models)
           better than votes of their neighbours in its features do: there the collisions are each other's neighbours.
Fails      for clean-label poison far from other classes, where classes overlap so much that neighbours say nothing, and where the network
           knows every row by heart after an epoch or two.
Cost       the network that `probe-geometry` uses too; then seconds.
Paper      forgetting: Toneva et al. 2019 (arXiv 1812.05159); early loss: Li et al. 2021 (arXiv 2110.11571); neighbours: Peri et al. 2020
           (arXiv 1909.13374).
"""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Detector, Info, Scores
from bezoar.core.learned import LEARNED
from bezoar.core.view import View
from bezoar.maths.conformal import suspicion_within


class Dynamics(Detector):
    """Rank within the class of the share of neighbours with another label, plus the rank of how late the label was learned (and how
    often it was lost again) or, if that is higher, of how early for so strange a sample; with a model of the user's own, of its loss.

    k  neighbours asked, at most 20
    """

    info = Info(name="dynamics", summary="labels that a network learns at odds with the neighbours (a ranking only)", channel="C7",
                threats=("label-flip", "backdoor-dirty-label", "targeted"), needs=("learned", "labels"), extras=("torch",),
                effort="standard", cost="training a network, some minutes for pictures", fuses=False,
                reference="arXiv 1812.05159, 2110.11571, 1909.13374", floor=0.7)

    def __init__(self, *, k: int = 20) -> None:
        self.k = k

    def score(self, view: View, rng: np.random.Generator) -> Scores:
        codes = view.labels
        known = codes >= 0
        if known.sum() < 3:
            return Scores(np.full(len(codes), np.nan), notes=("too few labelled samples to compare",))
        networks = view.several()
        epochs = networks[0].losses.shape[1]
        near = view.neighbours()[0][:, :self.k]
        strange = (codes[near] != codes[:, None]).mean(axis=1)
        lost, fit = (np.mean(v, axis=0) for v in zip(*((forgotten(n.losses), n.fit()) for n in networks), strict=True))
        fast = strange * fit
        late = 1 - fit + lost / epochs
        rank = {name: suspicion_within(np.where(known, v, np.nan), codes)
                for name, v in (("strange", strange), ("fast", fast), ("late", late))}
        one = epochs == 1
        score = networks[0].losses[:, 0] if one else rank["strange"] + np.maximum(rank["late"], rank["fast"])
        never = int((known & ~np.any([n.convinced() for n in networks], axis=0)).sum())
        told = (f"your model doubts {never} of {int(known.sum())} labels; samples are ranked by its loss" if one else
                f"{never} of {int(known.sum())} labels were never learned, {int((lost > 0).sum())} were forgotten at least once")
        among = np.zeros(len(codes), np.int64) if one else codes  # one class may hold all that such a model doubts
        return Scores(suspicion_within(np.where(known, score, np.nan), among), notes=(
            told,
            "a ranking only: it never raises an alarm by itself"))


def forgotten(losses: np.ndarray) -> np.ndarray:
    """(n,) int64: how often a label that was learned after one epoch was lost after the next; `losses` (n, E).

    >>> forgotten(np.array([[2.0, 0.1, 3.0, 0.1], [2.0, 0.1, 0.1, 0.1]])).tolist()
    [1, 0]
    """
    learned = losses < LEARNED
    return np.asarray((learned[:, :-1] & ~learned[:, 1:]).sum(axis=1))
