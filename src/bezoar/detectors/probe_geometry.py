"""Probe geometry: rows of one class that a trained network keeps apart, and whose content speaks against their label.

Looks for  backdoors with changed labels, of any form that a small network learns: patches, blends, and warps or other triggers made for
           each sample, which leave no common residue in the signal. Two witnesses are needed. Geometry: in some layer, or in the slopes
           of the label's logit, the rows stand together at one end of their class, as rows of no other class do. Contradiction:
           something that never saw the row's label doubts it, beyond what it does for the rest of the class: a content model
           together with the neighbours, or such a pair that sees only the coarse of a picture, where a trigger in its fine structure
           does not stand; and the network learned most of the labels all the same, if only in its last epoch, as it does with what
           is rare and faint.
           Where a third of a class or more is planted, nothing is an end any more: the class falls into two kinds, found by the layer
           and the doubt in turn; such a kind counts as far as it is foreign, no less doubted than samples of other classes would be.
           A group is worth the weaker of its two witnesses, in nats, and is judged against the groups of the other classes, all
           layers together, ends and kinds apart; members are weighed by both. Where nothing is called, rows are ranked by their
           doubt and by how much of it the layers foretell, which needs no other classes.
Fails      for what the network does not learn; for fewer than about 20 rows; where even the coarse shows the trigger; for rows that
           were all taken from one class, which vouch for each other (natural kinds of writing look just so: what stands around
           such a group, apart from itself, was tried as a witness and accused them on clean digits); for clean-label poison, in
           classes of fewer than `smallest_class` rows, and where the rows of one trigger go to all classes (ranked, not called).
           Texts and tables are left to other checks: a perceptron over their many columns learns wrong labels as fast as right
           ones.
Cost       the network (three of different make at deep effort): see `bezoar scan --effort standard --dry-run`; the geometry itself a few
           seconds per 10,000 samples.
Paper      spectral signatures: Tran, Li, Madry 2018 (arXiv 1811.00636); slopes: AGPD; whitening as in SPECTRE, Hayase et al. 2021
           (arXiv 2104.11315); two views in turn: Blum and Mitchell 1998; the contradiction and the null of the other classes are ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from bezoar.core.ability import Detector, Group, Info, Scores
from bezoar.core.learned import Learned
from bezoar.core.view import View
from bezoar.maths import kinds, matched, rivals, whitening
from bezoar.maths.conformal import suspicion_within
from bezoar.maths.crossfit import assign_folds
from bezoar.maths.echo import foretold

FEWEST_AXES = 3
"""A space in which fewer directions vary within classes tells no group from a tail."""

LEAST_SCALE = 2.0
"""Nats by which nature's strongest groups vary at least: with one, three of eight clean sets of small digits had a group below 1%, with two
one of eight, and three would ask for more than 20 rows."""
FOLDS = 5
FEWEST_MEMBERS = 4
FOR_KINDS = 0.2
"""Share of the error that is left to the search for two kinds; the rest is for the ends of classes, which need it more."""
AS_FOREIGN = 0.03
"""Shares of strangers that differ by less are alike."""
PARTS = (0.25, 0.05)
"""Shares of a class that the search for two kinds starts from."""
FARTHEST = 20.0
"""Deviations beyond which one space says no more about a row."""


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A group of one class in the space number `space`; both witnesses are in nats. `foreign` is the part of it that counts, and `chance`
    (rows,) who belongs to it, where it is one of two kinds."""

    space: int
    code: int
    rows: np.ndarray
    member: np.ndarray
    geometry: float
    contradiction: float
    foreign: float = 1.0
    chance: np.ndarray | None = None

    @property
    def strength(self) -> float:
        return min(self.geometry, self.contradiction) * self.foreign**2  # of either witness, that part


class ProbeGeometry(Detector):
    """Class x layer x direction groups in what a network learned, judged against those of the other classes.

    directions      singular directions searched per class and space
    smallest_class  classes of fewer rows are left out
    alpha           family-wise level at which a group is reported
    """

    info = Info(name="probe-geometry", summary="samples that a network trained on the data keeps apart in their class",
                threats=("backdoor-dirty-label",), modalities=("image",), needs=("learned", "labels"),
                extras=("torch",), effort="standard", channel="C5", cost="training a network, some minutes for pictures",
                reference="arXiv 1811.00636, 2104.11315", floor=0.7)

    def __init__(self, *, directions: int = 6, smallest_class: int = 40, alpha: float = 0.01) -> None:
        self.directions = directions
        self.smallest_class = smallest_class
        self.alpha = alpha

    def score(self, view: View, rng: np.random.Generator) -> Scores:
        codes = view.labels
        size = np.bincount(codes[codes >= 0], minlength=len(view.classes))
        large = np.flatnonzero(size >= self.smallest_class)
        if len(large) < 2:
            return Scores(np.full(len(codes), np.nan), notes=(f"fewer than two classes have {self.smallest_class} rows",))
        networks, against = view.several(), np.stack(view.doubts())
        seed = int(rng.integers(1 << 31))
        fold = assign_folds(np.asarray(view.embed()), codes, view.clusters(), FOLDS, seed)
        raw = np.zeros(len(codes))
        spaces: list[np.ndarray] = []
        ends: list[_Candidate] = []
        halves: list[_Candidate] = []
        for space, convinced in _spaces(networks):
            z = whitening.within(space, codes)
            if z.shape[1] >= FEWEST_AXES:
                raw += np.mean([np.clip(foretold(z, doubt, codes, fold), -FARTHEST, FARTHEST) for doubt in view.doubts()], axis=0)
                spaces.append(whitening.same_energy(z))
                for code in large:
                    ends += self._search(z, len(spaces) - 1, codes, large, int(code), against, convinced, view.clusters(), seed)
                    halves += self._kinds(view, z, len(spaces) - 1, int(code), against, convinced, fold)
        everybody = np.zeros(len(codes), np.int64)
        raw = suspicion_within(raw, everybody) + np.mean([suspicion_within(np.nan_to_num(d), everybody) for d in against], axis=0)
        groups = self._called(view, spaces, ends, halves, against, fold)
        for g in groups:
            raw[g.members] += np.ptp(raw) * (0.5 + 0.5 * (g.sure if g.sure is not None else 1.0))
        suspicion = suspicion_within(raw, everybody)
        suspicion[~np.isin(codes, large)] = np.nan
        left = np.flatnonzero((size > 0) & (size < self.smallest_class))
        notes = [f"class {view.classes[c]} has only {size[c]} rows and was left out" for c in left[:5]]
        agree = " and ".join(f"{(n.logits.argmax(axis=1) == codes)[codes >= 0].mean():.0%}" for n in networks)
        notes.append(f"{_of(networks)} {agree} of the samples by their own label; what is not learned, this check cannot see")
        return Scores(suspicion, tuple(groups), tuple(notes), kin=tuple(self._kin(view, spaces, ends)))

    def _called(self, view: View, spaces: list[np.ndarray], ends: list[_Candidate], halves: list[_Candidate], against: np.ndarray,
                fold: np.ndarray) -> list[Group]:
        both = (ends, 1 - FOR_KINDS), (halves, FOR_KINDS)
        found = [(float(p), c) for some, share in both if some for p, c in zip(self._significance(some, share), some, strict=True)]
        groups: list[Group] = []
        settled: set[int] = set()
        for p, c in sorted(found, key=lambda one: one[0]):
            if p > self.alpha:
                break
            if c.chance is None:
                chance = matched.settle(spaces[c.space][c.rows], c.member)[1]
            elif c.code in settled:
                continue
            else:
                same = [k for k in halves if k.code == c.code and k.strength >= c.strength / 2]
                chance = self._settled(view, spaces, same, against, fold)
                settled.add(c.code)
            groups = _with(groups, self._group(view, c, chance, p, against))
        return groups

    def _kin(self, view: View, spaces: list[np.ndarray], ends: list[_Candidate]) -> Iterator[Group]:
        """The group of each class that stands alone by geometry, whatever its content says: rows that were all taken from one class vouch
        for each other, and others may tell what they are by a part of them."""
        alone = rivals.significance(np.array([c.geometry for c in ends]), np.array([c.code for c in ends]), least=LEAST_SCALE)
        for code in sorted({c.code for c, p in zip(ends, alone, strict=True) if p <= self.alpha}):
            p, c = min(((p, c) for p, c in zip(alone, ends, strict=True) if c.code == code), key=lambda one: (one[0], -one[1].geometry))
            chance = matched.settle(spaces[c.space][c.rows], c.member)[1]
            inside = chance > 0.5
            yield Group(members=c.rows[inside], p_value=float(p), threat="backdoor-dirty-label", target=code, sure=chance[inside],
                        title=f"samples of class {view.classes[code]} that a network keeps apart")

    def _search(self, z: np.ndarray, space: int, codes: np.ndarray, large: np.ndarray, code: int, against: np.ndarray,
                convinced: np.ndarray, twins: np.ndarray, seed: int) -> list[_Candidate]:
        rows = np.flatnonzero(codes == code)
        unit = z[rows]
        axes, _ = whitening.directions(unit, self.directions, np.random.default_rng(seed + 1))
        starts = [axes, -axes]
        for opinion in against[:, rows]:
            worst = np.argsort(-opinion, kind="stable")
            for share in (0.05, 0.1, 0.2):
                pull = unit[worst[:max(4, int(share * len(rows)))]].mean(axis=0)
                starts.append(pull[None] / max(float(np.linalg.norm(pull)), 1e-9))
        member, scores, template, _ = matched.refine(unit, np.concatenate(starts).astype(np.float32))
        apart = matched.cut(scores)[1]
        along = z @ template.T
        elsewhere = np.zeros(len(apart))
        for other in large[large != code]:
            elsewhere = np.maximum(elsewhere, matched.cut(matched.standard(along[codes == other]))[1])
        out = []
        for j in range(member.shape[1]):
            held, rest = rows[member[:, j]], rows[~member[:, j]]
            witnesses = len(np.unique(twins[held]))  # copies are no further witnesses
            odd = max(rivals.above(opinion[held], opinion[rest], witnesses) for opinion in against) * (convinced[held].mean() >= 0.5)
            out.append(_Candidate(space, code, rows, member[:, j], max(float(apart[j] - elsewhere[j]), 0.0) * witnesses / max(len(held), 1),
                                  odd))
        return out

    def _kinds(self, view: View, z: np.ndarray, space: int, code: int, against: np.ndarray, convinced: np.ndarray,
               fold: np.ndarray) -> Iterator[_Candidate]:
        """One of two kinds of the class for each of the doubts, and each share to start from, that found such."""
        rows = np.flatnonzero(view.labels == code)
        unit = z[rows].astype(np.float64)
        for doubt, part in product(against[:, rows], PARTS):
            two = kinds.two_kinds(unit, doubt, fold[rows], part)
            if two is None or min((two.chance > 0.5).sum(), (two.chance <= 0.5).sum()) < FEWEST_MEMBERS:
                continue
            member = two.chance > 0.5
            inside, outside = against[:, rows[member]], against[:, rows[~member]]
            witnesses = len(np.unique(view.clusters()[rows[member]]))
            odd = max(rivals.above(i, o, witnesses) for i, o in zip(inside, outside, strict=True)) * (convinced[rows[member]].mean() >= 0.5)
            yield _Candidate(space, code, rows, member, max(two.gain, 0.0) * witnesses / member.sum(), odd,
                             self._foreign(view, rows, member, against), two.heard)

    def _significance(self, candidates: list[_Candidate], share: float) -> np.ndarray:
        """(m,) p of each, where its like may spend so large a share of the error (weighted Bonferroni)."""
        p = rivals.significance(np.array([c.strength for c in candidates]), np.array([c.code for c in candidates]), least=LEAST_SCALE)
        return np.minimum(p / share, 1.0)

    def _settled(self, view: View, spaces: list[np.ndarray], same: list[_Candidate], against: np.ndarray, fold: np.ndarray) -> np.ndarray:
        """(rows,) who belongs to the kind that the candidates `same` of one class show: each is settled in all spaces, and the largest is
        taken of those that are about as foreign as the most foreign."""
        rows = same[0].rows
        found = []
        for c in same:
            speaks = max(against[:, rows], key=lambda doubt, m=c.member: rivals.above(doubt[m], doubt[~m], int(m.sum())))  # type: ignore[misc]
            chance = kinds.together([z[rows].astype(np.float64) for z in spaces], speaks, fold[rows], np.asarray(c.chance))
            found.append((self._foreign(view, rows, chance > 0.5, against), chance))
        enough = max(share for share, _ in found) - AS_FOREIGN
        return max((chance for share, chance in found if share >= enough), key=lambda chance: int((chance > 0.5).sum()))

    def _foreign(self, view: View, rows: np.ndarray, member: np.ndarray, against: np.ndarray) -> float:
        if member.all() or not member.any():
            return 0.0
        strangers = [s[view.labels[rows[0]]] for s in view.doubts_of_strangers()]
        return max(kinds.foreign(o[rows[member]], o[rows[~member]], s) for o, s in zip(against, strangers, strict=True))

    def _group(self, view: View, c: _Candidate, chance: np.ndarray, p: float, against: np.ndarray) -> Group:
        means = [(float(o[c.rows[c.member]].mean()), float(o[c.rows[~c.member]].mean())) for o in against]
        best = max(range(len(means)), key=lambda i: means[i][0] / max(means[i][1], 1e-3))
        odd, chance = means[best], matched.witnessed(chance, against[best][c.rows])
        inside = chance > 0.5
        members = c.rows[inside]
        name = view.classes[c.code]
        return Group(
            members=members, p_value=p, threat="backdoor-dirty-label", target=c.code, sure=chance[inside],
            expected=float((1 - chance[inside]).sum()), title=f"samples of class {name} that a network keeps apart",
            because=f"A network trained on the data keeps {len(members)} of the {len(c.rows)} samples of class {name} apart. Their content "
                    f"speaks {odd[0] / max(odd[1], 1e-3):.1f} times more against their label than that of the others.",
            doubt="A natural kind that looks like another class, and that the network learned by other signs, would look the same.",
            advice="Look at the members side by side; if they belong to other classes, quarantine them.")


def _with(groups: list[Group], new: Group) -> list[Group]:
    """`groups` and a new one of no smaller p. One that holds a much smaller one takes its place and its p, because one layer may keep
    apart a part of what another keeps apart as a whole; otherwise one that shares its members with another is dropped."""
    shared = [len(np.intersect1d(new.members, g.members)) for g in groups]
    part = [k > 0.8 * len(g.members) and len(new.members) > 1.5 * len(g.members) for g, k in zip(groups, shared, strict=True)]
    if any(part):
        new = replace(new, p_value=min(g.p_value for g, held in zip(groups, part, strict=True) if held))
    elif not len(new.members) or any(k > 0.3 * len(new.members) for k in shared):
        return groups
    return [*(g for g, held in zip(groups, part, strict=True) if not held), new]


def _spaces(networks: Sequence[Learned]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Where to look: the early features, each layer, and its slopes (those of the last layer are the head's own weights), with (n,) which
    rows the network learned."""
    for learned in networks:
        convinced = learned.convinced()
        for space in (learned.early, *learned.layers, *learned.slopes[:-1]):
            yield space, convinced


def _of(networks: Sequence[Learned]) -> str:
    return "the network calls" if len(networks) == 1 else f"the {len(networks)} networks call"
