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
from bezoar.maths import matched
from bezoar.maths.conformal import suspicion_within
from bezoar.maths.ends import End, ends
from bezoar.maths.grain import excess

GREY = 0.1
"""Grey levels of colour under which a picture has none."""


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
        nothing = np.full(len(codes), np.nan)
        if len(large) < 2:
            return Scores(nothing, notes=(f"fewer than two classes have {self.smallest_class} pictures",))
        if (view.grain()[known][:, :, 1:].max(axis=(1, 2)) > GREY).mean() < 0.5:
            return Scores(nothing, notes=("the pictures are grey: their grain has no colour to compare",))
        apart, every = ends(found, codes, large, view.clusters())
        groups = tuple(self._group(view, apart[:, -1], found[:, -1], end) for end in every if end.p <= self.alpha)
        left = [f"class {view.classes[c]} has only {size[c]} pictures and was left out"
                for c in np.flatnonzero((size > 0) & (size < self.smallest_class))[:5]]
        few = ("with fewer than four classes there is nothing to judge a group by: samples are only ranked",) if len(large) < 4 else ()
        return Scores(suspicion_within(apart[:, -1], np.zeros(len(codes), np.int64)), groups, (*few, *left))

    def _group(self, view: View, apart: np.ndarray, found: np.ndarray, end: End) -> Group:
        rows = np.flatnonzero((view.labels == end.code) & ~np.isnan(apart))
        chance = matched.belonging(apart[rows], np.isin(rows, end.rows).astype(np.float64))
        inside = chance > 0.5
        members, rest, name = rows[inside], rows[~inside], view.classes[end.code]
        usual = float(np.median(found[rest])) if len(rest) else 0.0
        return Group(
            members=members, p_value=end.p, threat="targeted", target=end.code, sure=chance[inside],
            expected=float((1 - chance[inside]).sum()), liftable=False, title=f"pictures of class {name} with a grain of colour",
            because=f"The finest structure of {len(members)} of the {len(rows)} pictures of class {name} has "
                    f"{float(np.median(found[members])) if len(members) else 0.0:.1f} deviations more colour than their light lets expect "
                    f"(the others {usual:+.1f}). Perturbations made by an optimiser look so, and photographs do not.",
            doubt="Pictures of another camera or codec that came into this class only, or with noise added on purpose, look the same.",
            advice="Ask where these pictures come from; train without them, or with their colour smoothed, and see which answers change.")
