"""Whitened signal spectra: rows of one class that share a faint pattern over the whole signal.

Looks for  blended pictures and noise, sinusoids, smooth fields, strong patches: anything static that is added to some rows of a
           class, with changed labels or without. Several directions per class, each refined by adaptive matched filtering;
           once with the leading directions of all data levelled, once with every row less the mean of those that look most
           like it (so that frames of one film hide nothing). A natural kind is told from a planted group by what its rows
           still share beside the pattern, by rows half way in, by its mirror image, and by whether its rows look alike.
Fails      for patterns made for each sample (warps), for patterns weaker than about three deviations of the whitened
           signal after projection, on fewer than 6% of a class whose labels fit the content, in classes of fewer than
           `smallest_class` rows, and where one pattern goes to all classes.
Cost       about 6 s per 10,000 pictures of 32x32 on one core; memory one copy of the signal beside it.
Paper      spectral signatures: Tran, Li, Madry 2018 (arXiv 1811.00636), here in signal space and without training;
           adaptive coherence: Kraut, Scharf, McWhorter 2001; scale mixtures: Wainwright and Simoncelli 2000.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bezoar.core.ability import Detector, Group, Info, Scores
from bezoar.core.errors import BezoarError
from bezoar.core.view import View
from bezoar.maths import matched, rivals, whitening
from bezoar.maths.conformal import suspicion_within
from bezoar.maths.lookalikes import different
from bezoar.maths.neighbours import unit_rows

LEAST_SHARE = 0.06
"""A group whose content fits its label is at least this part of its class: clean-label patterns need such shares to teach a
model anything, and a dozen framed pictures or four of one series are common."""
CONTRADICTION = 2.0
"""Nats by which the content of a group's members has to contradict their label before the label is called changed."""


HALF, TORN = 0.2, 8.0
"""A class is torn in two where each part has so much of it, and their middles are so many deviations apart."""
TEARS = 2
"""Leading directions of a class along which it is looked at for that."""
EMPTY = 0.05
"""A gap that holds so few rows, in parts of the group, is empty."""


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A group that a direction of one class led to."""

    code: int
    rows: np.ndarray
    member: np.ndarray
    scores: np.ndarray
    strength: float
    half: bool = False
    """Whether the class has no bulk: the scores are from the middle of the other half."""


class Spectra(Detector):
    """Class x direction x sign groups in the whitened signal, judged against each other.

    directions      singular directions searched per class
    rank            leading directions of all data that are levelled in the first pass
    smallest_class  classes of fewer rows are left out
    kinds           in classes of fewer rows a group counts only where its content contradicts the label (else it may be a kind)
    alpha           family-wise level at which a group is reported
    """

    info = Info(name="spectra", summary="a faint pattern that some samples of a class share",
                threats=("backdoor-dirty-label", "backdoor-clean-label"), modalities=("image",), needs=("signal", "labels"),
                cost="about 6 s per 10,000 small pictures", reference="arXiv 1811.00636", channel="C4", floor=0.8)

    def __init__(self, *, directions: int = 10, rank: int = 128, smallest_class: int = 40, kinds: int = 250,
                 alpha: float = 0.01) -> None:
        self.directions = directions
        self.rank = rank
        self.smallest_class = smallest_class
        self.kinds = kinds
        self.alpha = alpha

    def score(self, view: View, rng: np.random.Generator) -> Scores:
        codes = view.labels
        n = len(codes)
        size = np.bincount(codes[codes >= 0], minlength=len(view.classes))
        large = np.flatnonzero(size >= self.smallest_class)
        if len(large) == 0:
            return Scores(np.full(n, np.nan), notes=(f"no class has {self.smallest_class} rows: no pattern can be told from chance",))
        signal = view.signal()
        doubt = _doubt(view, codes)
        looks, level = _looks(signal)
        near = whitening.alike(looks)
        seed = int(rng.integers(1 << 31))
        every: list[_Candidate] = []
        likely: list[tuple[int, Group]] = []
        raw = np.zeros(n)
        for local in (False, True):
            z = whitening.without_alike(signal, near) if local else np.array(signal, np.float32)
            whitening.flatten(z, codes, copy=False)
            if not local:
                whitening.sphere(z, self.rank, np.random.default_rng(seed))
            whitening.same_energy(z)
            found, torn = [], []
            for code in large:
                rows = np.flatnonzero(codes == code)
                unit = z[rows]
                axes, _ = whitening.directions(unit, self.directions, np.random.default_rng(seed + 1))
                found += self._search(z, codes, large, int(code), rows, unit, axes, doubt, level, near, seed)
                torn += self._torn(unit, rows, int(code), axes[:TEARS], near)
            found += torn
            for c, value in zip(found, _p_values(found), strict=True):
                if value <= self.alpha:
                    group = self._group(view, z, c, float(value), doubt)
                    enough = len(c.rows) >= self.kinds and len(group.members) >= LEAST_SHARE * len(c.rows)
                    if enough or group.threat == "backdoor-dirty-label":
                        likely.append((len(every), group))
                raw[c.rows] = np.maximum(raw[c.rows], np.sqrt(max(c.strength, 0.0)) * np.maximum(c.scores, 0))
                every.append(c)
        p = _p_values(every)  # each pass also shows how strong nature's patterns are
        groups = _without_repeats([replace(g, p_value=float(p[i])) for i, g in likely], self.alpha)
        for g in groups:
            raw[g.members] += raw.max() * (0.5 + 0.5 * (g.sure if g.sure is not None else 1.0))
        small = np.flatnonzero(size < self.smallest_class)
        notes = tuple(f"class {view.classes[c]} has only {size[c]} rows and was left out" for c in small[:5])
        suspicion = suspicion_within(raw, codes)
        suspicion[~np.isin(codes, large)] = np.nan
        return Scores(suspicion, tuple(groups), notes)

    def _search(self, z: np.ndarray, codes: np.ndarray, large: np.ndarray, code: int, rows: np.ndarray, unit: np.ndarray,
                axes: np.ndarray, doubt: np.ndarray, looks: np.ndarray, near: np.ndarray, seed: int) -> list[_Candidate]:
        starts = [axes, -axes]
        worst = np.argsort(-doubt[rows], kind="stable")
        if doubt[rows].max() > 0:
            centre = unit.mean(axis=0)
            for share in (0.05, 0.1, 0.2):
                pull = unit[worst[:max(4, int(share * len(rows)))]].mean(axis=0) - centre
                starts.append(pull[None] / max(float(np.linalg.norm(pull)), 1e-9))
            few, _ = whitening.directions(unit[worst[:max(20, len(rows) // 4)]], self.directions // 2, np.random.default_rng(seed + 2))
            starts += [few, -few]
        member, scores, template, strength = matched.refine(unit, np.concatenate(starts).astype(np.float32))
        along = z @ template.T
        elsewhere = np.zeros(len(strength))
        for other in large[large != code]:
            elsewhere = np.maximum(elsewhere, matched.mirrored(matched.standard(along[codes == other])))
        strength = strength - elsewhere
        out = []
        for j in range(member.shape[1]):
            held = rows[member[:, j]]
            unlike = min(1.0, different(looks, held, by_chance=False, alike=0.9) / max(len(held), 1))
            # a planted group is a draw from its class or from others: one that fits the class better than most is a natural kind
            usual = float(doubt[rows].mean())
            fit = float(np.clip(doubt[held].mean() / usual, 0.3, 1.0)) if usual > 0 else 1.0
            worth = float(strength[j]) * unlike * fit
            if worth > 5:
                worth *= _planted(unit, member[:, j], scores[:, j], matched.kinship(near, held, len(rows)))
            out.append(_Candidate(code, rows, member[:, j], scores[:, j], worth))
        return out

    def _torn(self, unit: np.ndarray, rows: np.ndarray, code: int, axes: np.ndarray, near: np.ndarray) -> list[_Candidate]:
        """Where a class falls in two along one of `axes`: the part whose rows are no kin, being drawn from anywhere."""
        beyond, s, apart = matched.halves(unit, axes, HALF)
        out = []
        for j in np.flatnonzero(apart > TORN):
            sides = ((beyond[:, j], s[:, j]), (~beyond[:, j], apart[j] - s[:, j]))
            kin, (member, own) = min(((matched.kinship(near, rows[m], len(rows)), (m, v)) for m, v in sides), key=lambda pair: pair[0])
            if kin < 1 and matched.between(member, own) < EMPTY:
                worth = member.sum() * (np.log(member.mean()) + 3.78 + 1.3 * (apart[j] - 2)) * (1 - kin)
                out.append(_Candidate(code, rows, member, own, float(worth), half=True))
        return out

    def _group(self, view: View, z: np.ndarray, c: _Candidate, p: float, doubt: np.ndarray) -> Group:
        scores, chance = (c.scores, matched.belonging(c.scores, c.member.astype(float))) if c.half else matched.settle(z[c.rows], c.member)
        inside = chance > 0.5
        members = c.rows[inside]
        order = np.argsort(-chance[inside], kind="stable")
        sure = np.empty(len(members))
        sure[order] = np.cumsum(chance[inside][order]) / np.arange(1, len(members) + 1)
        odd = float(doubt[members].mean()), float(doubt[c.rows].mean())
        dirty = odd[0] > 1.2 * odd[1] > 0 and odd[0] > 0.2 and len(members) * rivals.divergence(*odd) >= CONTRADICTION
        name = view.classes[c.code]
        return Group(
            members=members, p_value=p, threat="backdoor-dirty-label" if dirty else "backdoor-clean-label",
            title=f"a faint common pattern in class {name}", target=c.code, sure=sure,
            expected=float((1 - chance[inside]).sum()),
            because=f"Some of the {len(c.rows)} samples of class {name} carry the same pattern, on average "
                    f"{float(np.mean(scores[inside])):.1f} deviations from the rest"
                    + (f"; their content fits the class {odd[0] / odd[1]:.1f} times worse than usual." if dirty else "."),
            doubt="One camera, one studio backdrop or a watermark shared by these samples would look the same.",
            advice="Look at the lifted pattern; if it is no part of what the class shows, quarantine the members.")


def _doubt(view: View, codes: np.ndarray) -> np.ndarray:
    """(n,) 1 - probability of the own label by content; zeros where there is no content model."""
    try:
        return 1 - view.content_probabilities()[np.arange(len(codes)), codes]
    except BezoarError:
        return np.zeros(len(codes))


def _planted(unit: np.ndarray, member: np.ndarray, s: np.ndarray, kinship: float) -> float:
    """0 (a natural kind) to 1: planted rows stand apart, on one side only, are a chance draw plus one fixed pattern, and
    are no kin."""
    middle = float(np.median(s[member]))
    between = matched.between(member, s)
    apart = (middle - 4.0) / 2.0 + (0.5 - between) / 0.5  # a near group has to stand behind an empty gap
    sided = (0.9 + float(s.min()) / max(middle, 1e-6)) / 0.2
    gap = (1.35 - between) / 0.5
    stranger = (3.1 - kinship) / 0.8
    if min(apart, sided, gap, stranger) <= 0:
        return 0.0
    fixed = (1.4 - matched.beside(unit, member, s)) / 0.2
    if between < EMPTY and kinship < 1:  # far behind an empty gap and no kin: rows of several classes vary more than those of one
        fixed = max(fixed, min((middle - 12.0) / 8.0, (1 - kinship) / 0.5))
    return float(np.prod(np.clip([apart, sided, gap, stranger, fixed], 0, 1)))


def _looks(signal: np.ndarray, columns: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """(n, d) unit rows of the loudest columns: what a row shows as a whole; and the same with every column levelled."""
    spread = signal.var(axis=0)
    loud = np.sort(np.argsort(-spread, kind="stable")[:columns])
    part = signal[:, loud]
    part -= part.mean(axis=0)
    return unit_rows(part), unit_rows(part / np.maximum(np.sqrt(spread[loud]), 1e-6))


def _p_values(found: list[_Candidate]) -> np.ndarray:
    return rivals.significance(np.array([c.strength for c in found]), np.array([c.code for c in found]))


def _without_repeats(groups: list[Group], alpha: float) -> list[Group]:
    """Those with a p of at most `alpha`. Of groups that share many members the one with the least p stays; one that shares most
    of them gives it its other members too, whatever its own p."""
    kept: list[Group] = []
    for g in sorted(groups, key=lambda g: (g.p_value, -len(g.members))):
        shared = [len(np.intersect1d(g.members, k.members)) / max(min(len(g.members), len(k.members)), 1) for k in kept]
        most = int(np.argmax(shared)) if shared else -1
        if len(g.members) and max(shared, default=0.0) <= 0.3 and g.p_value <= alpha:
            kept.append(g)
        elif len(g.members) and kept and shared[most] > 0.6:
            kept[most] = _joined(kept[most], g)
    return kept


def _joined(first: Group, second: Group) -> Group:
    members = np.union1d(first.members, second.members)
    sure = np.zeros(len(members))
    for g in (second, first):
        sure[np.searchsorted(members, g.members)] = g.sure
    return replace(first, members=members, sure=sure, expected=max(first.expected, second.expected))
