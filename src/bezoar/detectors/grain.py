"""Grain: pictures of one class whose finest structure has more colour than that of all others.

Looks for  what an optimiser added to pixels: feature collisions, bullseye polytopes, gradient matching, and other perturbations of 16 grey
           levels or so that leave the label right and the picture as it was. Cameras, lenses and codecs blur colour more than light, so
           the finest grain of a photograph is nearly grey; an optimiser moves every channel by itself. The excess of each picture over
           what its light and its slower colour foretell is compared with its class, and the group at the end of a class with the ends
           of all other classes. No model and no training; the encoder that was attacked need not be known.
Fails      for perturbations of light alone, or smoothed in colour; for poison that went through a codec that halves colour (most JPEG)
           or through resizing after it was made; for fewer than about 8 rows, in data of fewer than four classes of `smallest_class` rows,
           and where half of the classes or more hold such pictures (ranked, not called). Pictures of another camera or codec that came
           into one class only look the same.
Cost       about 2 s per 10,000 pictures of 32x32.
Paper      ours; that optimised poison is optimised per channel: Shafahi et al. 2018 (arXiv 1804.00792), Geiping et al. 2021 (arXiv
           2009.02276).
"""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Detector, Group, Info, Scores
from bezoar.core.view import View
from bezoar.maths import matched, rivals
from bezoar.maths.conformal import suspicion_within
from bezoar.maths.grain import excess

GREY = 0.1
"""Grey levels of colour under which a picture has none."""
LEAST_SPREAD = 1.0
"""A class varies by as many deviations of all pictures at least."""
TAIL = 2.5
"""Nats per deviation beyond two: the tails of nature's excess are light, some 2.5 deviations for the strangest of 1,000."""
FAR = 2.5
"""Deviations at which a group begins to count; it counts in full one deviation farther."""
GAP = 1.0
"""Rows half way between bulk and group, in parts of the group: with so many it is a tail, with half of them it counts in full."""
ROUNDS = 3
CLASSES_APART = 2.0
"""A class whose middle is so many deviations of the classes' middles above theirs is mostly poison, and measured from there."""


class Grain(Detector):
    """The ends of each class in excess of colour, judged against those of the other classes.

    smallest_class  classes of fewer rows are left out
    alpha           family-wise level at which a group is reported
    """

    info = Info(name="grain", summary="pictures whose finest structure has more colour than a camera leaves", channel="C4",
                threats=("targeted", "backdoor-clean-label"), modalities=("image",), needs=("grain", "labels"), fuses=False,
                cost="about 2 s per 10,000 pictures of 32x32", reference="arXiv 1804.00792, 2009.02276")

    def __init__(self, *, smallest_class: int = 20, alpha: float = 0.01) -> None:
        self.smallest_class = smallest_class
        self.alpha = alpha

    def score(self, view: View, rng: np.random.Generator) -> Scores:
        codes = view.labels
        found = excess(view.grain())
        known = (codes >= 0) & ~np.isnan(found).any(axis=1)
        size = np.bincount(codes[known], minlength=len(view.classes))
        large = np.flatnonzero(size >= self.smallest_class)
        apart = np.full(found.shape, np.nan)
        if len(large) < 2:
            return Scores(apart[:, -1], notes=(f"fewer than two classes have {self.smallest_class} pictures",))
        if (view.grain()[known][:, :, 1:].max(axis=(1, 2)) > GREY).mean() < 0.5:
            return Scores(apart[:, -1], notes=("the pictures are grey: their grain has no colour to compare",))
        highest = _highest(np.stack([np.median(found[known & (codes == c)], axis=0) for c in large]))
        ends: list[np.ndarray] = []
        strength: list[float] = []
        for c in large:
            rows = np.flatnonzero(known & (codes == c))
            for reading in range(found.shape[1]):
                s, end, gain = _end(found[rows, reading], highest[reading])
                apart[rows, reading] = s
                witnesses = len(np.unique(view.clusters()[rows[end]]))  # copies are no further witnesses
                strength.append(gain * witnesses / max(int(end.sum()), 1))
                ends.append(rows[end])
        code = np.repeat(large, found.shape[1])
        p = rivals.significance(np.array(strength), code)
        groups = tuple(self._group(view, apart[:, -1], found[:, -1], int(c), ends[i], float(p[i]))
                       for c in large for i in [_least(p, code == c)] if p[i] <= self.alpha)
        left = [f"class {view.classes[c]} has only {size[c]} pictures and was left out"
                for c in np.flatnonzero((size > 0) & (size < self.smallest_class))[:5]]
        few = ("with fewer than four classes there is nothing to judge a group by: samples are only ranked",) if len(large) < 4 else ()
        return Scores(suspicion_within(apart[:, -1], np.zeros(len(codes), np.int64)), groups, (*few, *left))

    def _group(self, view: View, apart: np.ndarray, found: np.ndarray, code: int, end: np.ndarray, p: float) -> Group:
        rows = np.flatnonzero((view.labels == code) & ~np.isnan(apart))
        chance = matched.belonging(apart[rows], np.isin(rows, end).astype(np.float64))
        inside = chance > 0.5
        members, rest, name = rows[inside], rows[~inside], view.classes[code]
        usual = float(np.median(found[rest])) if len(rest) else 0.0
        return Group(
            members=members, p_value=p, threat="targeted", target=code, sure=chance[inside], expected=float((1 - chance[inside]).sum()),
            liftable=False, title=f"pictures of class {name} with a grain of colour",
            because=f"The finest structure of {len(members)} of the {len(rows)} pictures of class {name} has "
                    f"{float(np.median(found[members])) if len(members) else 0.0:.1f} deviations more colour than their light lets expect "
                    f"(the others {usual:+.1f}). Perturbations made by an optimiser look so, and photographs do not.",
            doubt="Pictures of another camera or codec that came into this class only, or with noise added on purpose, look the same.",
            advice="Ask where these pictures come from; train without them, or with their colour smoothed, and see which answers change.")


def _highest(middles: np.ndarray) -> np.ndarray:
    """(r,) how high the middle of a class may be, by the `middles` (K, r) of all classes."""
    usual = np.median(middles, axis=0)
    return np.asarray(usual + CLASSES_APART * np.maximum(1.4826 * np.median(np.abs(middles - usual), axis=0), LEAST_SPREAD))


def _end(found: np.ndarray, highest: float) -> tuple[np.ndarray, np.ndarray, float]:
    """(n,) how far each is above the bulk of its class, (n,) bool who stands at its upper end, and the evidence in nats."""
    end, gain = np.zeros(len(found), bool), 0.0
    for _ in range(ROUNDS):
        bulk = found[~end]
        middle = min(float(np.median(bulk)), highest)
        below = middle - bulk[bulk < middle]
        s = (found - middle) / max(1.4826 * float(np.median(below)) if len(below) else 0.0, LEAST_SPREAD)
        k, nats = matched.cut(s[:, None], rate=TAIL)
        gain = max(float(nats[0]), 0.0)
        if gain == 0.0:
            return s, np.zeros(len(found), bool), 0.0
        end = np.zeros(len(found), bool)
        end[np.argsort(-s, kind="stable")[:int(k[0])]] = True
    return s, end, gain * _planted(s, end)


def _planted(s: np.ndarray, end: np.ndarray) -> float:
    """0 (the end of a long tail, or a broad half) to 1: planted rows stand far, and behind a gap."""
    far = float(np.median(s[end])) - FAR
    return float(np.prod(np.clip([far, (GAP - matched.between(end, s)) / (GAP / 2)], 0, 1)))


def _least(p: np.ndarray, among: np.ndarray) -> int:
    """The index of the least of `p` (m,) among those marked (m,)."""
    return int(np.flatnonzero(among)[np.argmin(p[among])])
