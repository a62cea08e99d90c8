"""Confusion training: rows that keep their label when a network is made to unlearn what the content of their class says.

Looks for  backdoors that a network learns, of any form. A copy of the network that was trained on the data is taught on some hundred
           rows, the base, that every class is as likely as any other, while all other rows keep their labels. Content stands on both
           sides and is lost, for rows of the base and all others alike; a trigger that the base does not carry keeps its label. Rows
           are judged by the probability that is left to their label, against the rest of their class; the upper ends of the other
           classes, and the lower ends of all, are the null. With `--reference` the base is drawn from there: then clean-label
           patterns and patches on one source class (TaCT) are seen as well, even before they are strong enough to move other samples.
           Without it, from what neither the content model and the neighbours doubt, nor those that see only the coarse of a picture.
Fails      where the base carries the trigger too, so that it is unlearned: without a reference, for clean-label poison and for triggers
           that the content model sees; for what the network does not learn, or learns row by row; where the rows of one trigger go to
           all classes (too few in each); in fewer than five classes (ranked, not called). A reference from elsewhere leaves content in
           place, and kinds that it lacks keep their label. Small sets: of 4,000 digits of 28x28 a trusted 500 showed warps, TaCT, sinusoids
           and label-consistent poison; of 1,400 digits of 8x8 they showed warps in one of three draws. A model of the user's
           own is not trained on, so it is not asked.
Cost       beside the network, 200 steps and three passes forward per round: for 4,000 pictures of 28x28 about 20 s of one core.
Paper      Qi et al. 2023 (arXiv 2205.13616), in one round from a network that is there; the sifted base and the null are ours.
"""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Detector, Group, Info, Scores
from bezoar.core.errors import Unavailable
from bezoar.core.inputs import Inputs
from bezoar.core.view import View
from bezoar.maths import matched, rivals
from bezoar.maths.conformal import suspicion_within
from bezoar.networks import confusing

SIFTED = 0.7
"""The share of each class that is doubted least is good enough for the base."""
BASE = 500
"""Rows of the base, at least `LEAST_PER_CLASS` of each class and at most a quarter of it."""
LEAST_PER_CLASS = 10
"""Of a class with fewer rows in the reference, content is not unlearned; it is not judged."""
FLAT = 0.02
"""Least deviation of a class in nats: smaller differences are none."""


class Confusion(Detector):
    """How much of its own label a row keeps in a network that unlearned content, within its class.

    rounds          bases drawn, and copies of the network confused; each row is judged by those whose base it was not in
    smallest_class  classes of fewer rows are left out
    alpha           family-wise level at which a group is reported
    """

    info = Info(name="confusion", summary="labels that a network keeps when it is made to unlearn content",
                threats=("backdoor-dirty-label", "backdoor-clean-label"), modalities=("image",), needs=("learned", "labels"),
                extras=("torch",), effort="standard", channel="C6", cost="about 5 s per 1,000 pictures, beside training the network",
                reference="arXiv 2205.13616", floor=0.7)

    def __init__(self, *, rounds: int = 2, smallest_class: int = 40, alpha: float = 0.01) -> None:
        self.rounds = rounds
        self.smallest_class = smallest_class
        self.alpha = alpha

    def passes(self, rows: int) -> float:
        """One copy of the network is confused in each round."""
        return self.rounds * confusing.passes(rows)

    def score(self, view: View, rng: np.random.Generator) -> Scores:
        codes = view.labels
        size = np.bincount(codes[codes >= 0], minlength=len(view.classes))
        trusted = _trusted(view)
        known = size if trusted is None else _known(view, trusted)
        large = np.flatnonzero((size >= self.smallest_class) & (known >= LEAST_PER_CLASS))
        notes = [f"class {view.classes[c]} was left out: it has {size[c]} rows" + ("" if trusted is None else f", the reference {known[c]}")
                 for c in np.setdiff1d(np.flatnonzero(size), large)[:5]]
        if len(large) < 2:
            return Scores(np.full(len(codes), np.nan), notes=(*notes, "fewer than two classes can be judged"))
        confuse = view.taught().confuse
        if confuse is None:
            raise Unavailable("a network trained on the data", advice="scan without a model of your own")
        order = np.argsort(view.dataset.inputs.row_keys(), kind="stable")
        once = order[np.sort(np.unique(view.clusters()[order], return_index=True)[1])]  # copies are no further witnesses
        said = "samples that nothing speaks against" if trusted is None else "the reference"
        bases, others = self._sifted(view, codes, large, once, rng) if trusted is None else self._drawn(trusted, rng)
        judged = np.isin(codes, large)
        own = np.maximum(codes, 0)
        kept = np.full((len(bases), len(codes)), np.nan)
        for r, base in enumerate(bases):
            left = confuse(base, others[r], int(rng.integers(1 << 31)))[np.arange(len(codes)), own]
            kept[r] = np.where(judged, left, np.nan)
            kept[r, base] = np.nan
        z, even = standing(kept, codes, large)
        lone = np.isin(np.arange(len(codes)), once)
        tails = [matched.cut(side * z[lone & (codes == c)][:, None]) for side in (1, -1) for c in large]
        strength = np.array([float(t[1][0]) for t in tails])
        p = rivals.significance(np.maximum(strength, 0.0), np.arange(len(tails)))[:len(large)]
        groups = []
        for i in np.argsort(p, kind="stable"):
            if p[i] > self.alpha:
                break
            group = self._group(view, z, lone, int(large[i]), int(tails[i][0][0]), float(p[i]), said)
            if len(group.members):
                groups.append(group)
        raw = even.copy()
        for g in groups:
            raw[g.members] += np.ptp(raw[judged]) * (0.5 + 0.5 * (g.sure if g.sure is not None else 1.0))
        suspicion = suspicion_within(np.where(judged, raw, np.nan), np.zeros(len(codes), np.int64))
        notes.append(f"the network unlearned {len(bases)} times what {said} shows; each time its own label was left with "
                     f"{np.exp(np.nanmedian(kept)):.2f} of the probability in the median sample")
        return Scores(suspicion, tuple(groups), tuple(notes))

    def _drawn(self, trusted: View, rng: np.random.Generator) -> tuple[list[np.ndarray], list[Inputs | None]]:
        """No row of the data, and some of the trusted set in each round."""
        inputs = trusted.dataset.inputs
        order = np.argsort(inputs.row_keys(), kind="stable")
        found: list[Inputs | None] = [inputs.take(order[np.sort(rng.permutation(len(order))[:BASE])]) for _ in range(self.rounds)]
        return [np.zeros(0, np.int64)] * self.rounds, found

    def _sifted(self, view: View, codes: np.ndarray, large: np.ndarray, once: np.ndarray,
                rng: np.random.Generator) -> tuple[list[np.ndarray], list[Inputs | None]]:
        """Row numbers of each round's base, by class, none twice."""
        pools = []
        for c in large:
            rows = once[codes[once] == c]
            places = np.stack([np.argsort(np.argsort(doubt[rows], kind="stable"), kind="stable") for doubt in view.doubts()])
            sure = rows[np.argsort(places.max(axis=0), kind="stable")[:max(1, int(SIFTED * len(rows)))]]  # no opinion speaks against them
            count = min(max(BASE // len(large), LEAST_PER_CLASS), len(rows) // 4, len(sure) // self.rounds)
            pools.append((rng.permutation(sure), max(1, count)))
        bases = [np.sort(np.concatenate([drawn[r * count:(r + 1) * count] for drawn, count in pools])) for r in range(self.rounds)]
        return bases, [None] * self.rounds

    def _group(self, view: View, z: np.ndarray, lone: np.ndarray, code: int, count: int, p: float, said: str) -> Group:
        rows = np.flatnonzero(view.labels == code)
        member = (z[rows] >= np.sort(z[rows][lone[rows]])[-count]).astype(np.float64)
        chance = matched.belonging(z[rows], member)
        inside = chance > 0.5
        members, name = rows[inside], view.classes[code]
        doubted = len(members) > 0 and any(float(np.median(doubt[members])) > 0.5 for doubt in view.doubts())
        threat = "backdoor-dirty-label" if doubted else "backdoor-clean-label"
        return Group(
            members=members, p_value=p, threat=threat, target=code, sure=chance[inside],
            expected=float((1 - chance[inside]).sum()), title=f"samples of class {name} that keep their label without content",
            because=f"A network trained on the data was made to unlearn what {said} shows. {len(members)} of the {len(rows)} samples of "
                    f"class {name} keep their label, which something other than their content must tell it.",
            doubt="A natural kind that the rest of its class does not look like would also keep its label.",
            advice="Look at the members side by side, for what they share and their class lacks; if there is any, quarantine them.")


def _trusted(view: View) -> View | None:
    try:
        return view.reference
    except Unavailable:
        return None


def _known(view: View, trusted: View) -> np.ndarray:
    """(K,) how many rows of each class of the data the trusted set has."""
    place = {name: i for i, name in enumerate(view.classes)}
    codes = np.array([place.get(name, -1) for name in trusted.classes], np.int64)[trusted.labels[trusted.labels >= 0]]
    return np.bincount(codes[codes >= 0], minlength=len(view.classes))


def standing(kept: np.ndarray, codes: np.ndarray, large: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far each row stands above the median of its class, in the mean of the rounds: (n,) in deviations of the class, and (n,) in those
    of the median class where that is the smaller; 0 for rows that no round judged. Deviations are those of the lower half: what keeps
    its label widens only the upper.

    kept (r, n) logarithms of the probability left to the own label, NaN where a round does not judge the row; large the classes meant

    >>> kept, codes = np.tile([[-2.0, -1.9, -1.8, -1.7, 0.0]], (1, 2)), np.repeat([0, 1], 5)
    >>> standing(kept, codes, np.array([0, 1]))[0].round(1).tolist()[:5]
    [-0.9, -0.4, 0.0, 0.4, 8.1]
    """
    z, even = np.full(kept.shape, np.nan), np.full(kept.shape, np.nan)
    for r, one in enumerate(kept):
        above, spread = np.full(len(one), np.nan), np.full(len(large), FLAT)
        for i, c in enumerate(large):
            rows = np.flatnonzero((codes == c) & ~np.isnan(one))
            if len(rows):
                above[rows] = one[rows] - np.median(one[rows])
                below = above[rows][above[rows] < 0]
                spread[i] = max(-1.4826 * float(np.median(below)), FLAT) if len(below) else FLAT
        usual = float(np.median(spread))
        for c, width in zip(large, spread, strict=True):
            rows = codes == c
            z[r, rows], even[r, rows] = above[rows] / width, above[rows] / min(width, usual)
    seen = (~np.isnan(z)).sum(axis=0)
    return np.nansum(z, axis=0) / np.maximum(seen, 1), np.nansum(even, axis=0) / np.maximum(seen, 1)
