"""Fragility: samples that a model of your own calls by their label only when their finest structure is softened.

Looks for  pictures moved by an optimiser until an encoder sees something else in them (feature collision, bullseye polytope), in light
           or in colour: what it added is fine and stops working when the picture is blurred by a pixel, while the label was right all
           along. Each sample is worth the log-probability that its own label gains in the eyes of the model; groups at the upper end of
           one class are judged against the ends of all the others. Natural mistakes of a model survive a little blur, or get worse.
Fails      without a model (`--model`), and with one that is no kin of the attacked encoder; where it learned from these very samples,
           or already takes the chosen picture for the target class; for fewer than about 8 rows, in data of fewer than four classes of
           `smallest_class` rows (ranked, not called), for perturbations that survive a blur, and for pictures much larger than what the
           model reads, whose finest structure it never sees.
Cost       two passes forward.
Paper      fragility of optimised perturbations: Xu et al. 2018 (arXiv 1704.01155, feature squeezing); the group and its null are ours.
"""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Detector, Group, Info, Scores
from bezoar.core.errors import Unavailable
from bezoar.core.view import View
from bezoar.maths.conformal import suspicion_within
from bezoar.maths.ends import End, beyond, ends

MOST = 8.0
"""Nats that a label can gain, and deviations that count: what is beyond is as sure."""
LEAST_SPREAD = 0.5
"""Nats by which the gain of clean samples varies at least."""


class Fragility(Detector):
    """The ends of each class in what its label gains by softening.

    smallest_class  classes of fewer rows are left out
    alpha           family-wise level at which a group is reported
    """

    info = Info(name="fragility", summary="samples that your own model calls by their label only when they are softened", channel="C7",
                threats=("targeted",), modalities=("image",), needs=("learned", "labels"), extras=("torch",), effort="standard",
                fuses=False, cost="two passes of your model", reference="arXiv 1704.01155, 1804.00792, 2005.00191")

    def __init__(self, *, smallest_class: int = 20, alpha: float = 0.01) -> None:
        self.smallest_class = smallest_class
        self.alpha = alpha

    def score(self, view: View, rng: np.random.Generator) -> Scores:
        codes = view.labels
        size = np.bincount(codes[codes >= 0], minlength=len(view.classes))
        large = np.flatnonzero(size >= self.smallest_class)
        if len(large) < 2:
            return Scores(np.full(len(codes), np.nan), notes=(f"fewer than two classes have {self.smallest_class} rows",))
        if view.taught().confuse is not None:
            raise Unavailable("a model of your own", advice="give the encoder or model that these samples are for with --model")
        gained = gains(view.learned().logits, view.softened(), codes)
        apart, every = ends(gained, codes, large, view.clusters())
        groups = tuple(self._group(view, apart[:, -1], end) for end in every if end.p <= self.alpha)
        few = ("with fewer than four classes there is nothing to judge a group by: samples are only ranked",) if len(large) < 4 else ()
        return Scores(suspicion_within(apart[:, -1], np.zeros(len(codes), np.int64)), groups, few)

    def _group(self, view: View, apart: np.ndarray, end: End) -> Group:
        members, sure = beyond(apart, view.labels, end)
        name = view.classes[end.code]
        logits = view.learned().logits[members]
        seen = np.bincount(logits.argmax(axis=1), minlength=len(view.classes)) if len(members) else np.zeros(len(view.classes), np.int64)
        return Group(
            members=members, p_value=end.p, threat="targeted", target=end.code, sure=sure, expected=float((1 - sure).sum()),
            liftable=False, title=f"samples of class {name} that imitate another class",
            because=f"Your model sees class {view.classes[int(seen.argmax())]} in {int(seen.max())} of these {len(members)} samples of "
                    f"class {name}; softened by a pixel they look like their own class again. Hard samples do not come back so.",
            doubt="Samples with fine noise of another origin, which your model never met, might come back alike.",
            advice="Ask where these samples come from, and train without them.")


def gains(logits: np.ndarray, softened: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """(n, s + 1) deviations by which the log-probability of the own label rises in each of s softened copies, and in all together.

    logits (n, K), softened (s, n, K), codes (n,), NaN for those below 0.

    >>> logits = np.array([[2.0, 0], [0, 5], [2, 0], [3, 0]])
    >>> gains(logits, np.array([[[2.0, 0], [5, 0], [2, 0], [3, 0]]]), np.zeros(4, np.int64)).round(1).tolist()
    [[0.0, 0.0], [8.0, 8.0], [0.0, 0.0], [0.0, 0.0]]
    """
    from scipy.special import log_softmax

    own = np.maximum(codes, 0)[:, None]
    first = np.take_along_axis(log_softmax(logits.astype(np.float64), axis=1), own, axis=1)
    later = [np.take_along_axis(log_softmax(s.astype(np.float64), axis=1), own, axis=1) for s in softened]
    each = np.clip(np.concatenate(later, axis=1) - first, -MOST, MOST)
    each[codes < 0] = np.nan
    every = np.column_stack([each, each.sum(axis=1)])
    if not (codes >= 0).any():
        return every
    every = every - np.nanmedian(every, axis=0)
    return np.asarray(np.clip(every / np.maximum(1.4826 * np.nanmedian(np.abs(every), axis=0), LEAST_SPREAD), -MOST, MOST))
