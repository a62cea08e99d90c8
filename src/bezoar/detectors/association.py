"""Shortcut association miner: small parts that an input has or has not (words, patches, values) against labels.

Looks for  parts whose holders stand in one class although their content says otherwise (dirty-label triggers), parts
           that stand where chance does not put them, whatever the labels (clean-label, all-to-all).
Fails      for triggers that are no part the modality names (warps, style without a marker), for parts as common in
           nature as in the poison, and for fewer holders than `least`.
Cost       sparse products over the atoms, seconds; the content model is the larger part.
Paper      z-statistic per feature: He et al. 2023, arXiv 2305.11596; conditioning it on the content is our own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bezoar.core.ability import Detector, Group, Info, Scores
from bezoar.core.chances import LEAN, Chance, Holders, SeeingChance
from bezoar.core.errors import Unavailable
from bezoar.core.view import View
from bezoar.maths import association as ma
from bezoar.maths.conformal import suspicion_within

TESTS, TESTS_SEEING = 2, 3
"""How many families of tests share the level: label-free and conditional; words, pairs and unions where the content sees the atoms."""
TOGETHER_SHARE = 1.33
"""Of what nature is granted elsewhere, so much is granted where the content model has not learned from the holders."""
FAINT_SCORE = 0.05
"""Share of the strongest candidate's score under which a candidate marks nobody."""
AUDITS = 200
"""Leading candidates of a test that are looked at row by row."""
FEW_PEERS = 20
"""From so many leading candidates on their own tail is a null, where the content cannot see the atoms."""
BANDS = (0.5, 0.7, 0.85, 0.95)
"""Upper ends of the bands of chances in which rows are judged together."""
SURE = 0.9
"""From so much certainty on a row is a member where natural holders and planted ones are mixed."""
OWN_WORDS = 4
"""Words that are typical of the members, beside what all of them share, from which on they have a style."""
FORMS = ("skeleton",)
"""Families of atoms that are ways of writing."""


@dataclass(frozen=True, eq=False)
class _Candidates:
    """Parallel arrays, one entry per (atom, class) or per atom (class -1)."""

    atom: np.ndarray
    target: np.ndarray
    score: np.ndarray
    found: np.ndarray
    expected: np.ndarray
    why: str


class Association(Detector):
    """Atoms against labels given the content, and against the modality's own null.

    least   fewest holders of an atom that is looked at
    margin  logits that nature is granted at most: a natural shortcut may raise the odds of its class that much beyond
            what the content says; data without strong shortcuts are granted less
    slack   share of its other holders that may follow it for reasons that the content does not show
    """

    info = Info(
        name="association", summary="words, patches or values that predict a label too well",
        threats=("backdoor-dirty-label", "backdoor-clean-label"), modalities=("image", "text"), needs=("atoms",),
        cost="seconds after the content model", reference="arXiv 2305.11596", channel="C4", floor=0.9)

    def __init__(self, *, least: int = 4, margin: float = 1.5, slack: float = 0.1, alpha: float = 0.01, keep: int = 5000) -> None:
        self.least = least
        self.margin = margin
        self.slack = slack
        self.alpha = alpha
        self.keep = keep

    def score(self, view: View, rng: np.random.Generator) -> Scores:
        n = len(view)
        atoms = view.atoms()
        try:
            codes, classes = view.labels, view.classes
        except Unavailable:
            codes, classes = np.full(n, -1), ()
        if n == 0 or atoms.n_atoms == 0:
            return Scores(np.full(n, np.nan), notes=("the samples share no small part that could be counted",))
        work = Holders(view, atoms, codes, classes, self.least)
        raw = np.zeros(n)
        groups: list[Group] = []
        tests = [self._label_free(work)]
        if work.known:
            tests.append(self._against(work, work.content, "conditional"))
        looks = [(work, found) for found in tests]
        if work.known and isinstance(work.content, SeeingChance):
            pairs = work.pairs(self.keep)
            looks.append((pairs, self._against(pairs, pairs.content, "conditional")))
        for of, found in looks:
            if len(found.atom) == 0:
                continue
            lead = self._lead(found, of)
            p = self._p(found, lead, of)
            self._mark(raw, found, of)
            groups += self._groups(raw, found, p, lead, of)
        if work.known and isinstance(work.content, SeeingChance):
            for target in sorted({t for _, t, _, _ in work.beyond} - {g.target for g in groups}):
                groups += self._together(target, work)
            groups += self._styled(groups, work)
        return Scores(suspicion_within(raw, codes), tuple(_without_repeats(groups)))

    def _label_free(self, work: Holders) -> _Candidates:
        """Holders against the modality's own null."""
        expected, held = work.atoms.expected, work.held
        at = np.flatnonzero(np.isfinite(expected) & (held >= self.least))
        mean = np.maximum(expected[at], 1e-3)
        excess = np.maximum(held[at] - mean, 0)
        score = np.where(excess > 0, np.log(held[at] / mean) * np.sqrt(excess / np.sqrt(mean + 1)), 0)
        top = np.argsort(-score, kind="stable")[:self.keep]
        top = top[score[top] > 0]
        at, mean, score = at[top], mean[top], score[top]
        return _Candidates(at, np.full(len(at), -1), score, held[at].astype(np.float64), mean, "label-free")

    def _against(self, work: Holders, chance: Chance, why: str) -> _Candidates:
        """Holders in a class against the sum of their chances to be there."""
        counts = ma.class_counts(work.units, work.codes, len(work.classes)).tocoo()
        atom, target, found = counts.row.astype(np.int64), counts.col.astype(np.int64), counts.data.astype(np.float64)
        keep = (found >= self.least) & (found > work.held[atom] * work.prior[target])
        order = np.flatnonzero(keep)[np.argsort(atom[keep], kind="stable")]
        atom, target, found = atom[order], target[order], found[order]
        mean, variance = chance.sums(atom, target)
        size = work.held[atom].astype(np.float64)
        score = ma.surprise(found, size, mean, variance)
        top = np.argsort(-score, kind="stable")[:self.keep]
        top = top[score[top] > 0]
        natural = np.minimum((size - found) * mean / np.maximum(size - mean, 1e-9), found)  # who is elsewhere tells how many
        return _Candidates(atom[top], target[top], score[top], found[top], natural[top], why)

    def _lead(self, c: _Candidates, work: Holders) -> np.ndarray:
        """(t,) the candidate that leads each candidate."""
        holders = work.units[:, c.atom].tocsc()
        if c.why != "label-free":
            holders.data = (work.codes[holders.indices] == np.repeat(c.target, np.diff(holders.indptr))).astype(np.float32)
            holders.eliminate_zeros()
        return ma.leaders(holders, np.argsort(-c.score, kind="stable"))

    def _p(self, c: _Candidates, lead: np.ndarray, work: Holders) -> np.ndarray:
        """(t,) family-wise p of each leader, 1 for the others."""
        p = np.ones(len(c.atom))
        first = np.flatnonzero(lead == np.arange(len(lead)))
        first = first[np.argsort(-c.score[first], kind="stable")]
        if c.why == "label-free":
            few = len(first) < FEW_PEERS  # then nature is granted twice what its null says, unless that knows how far it varies
            twice = few and work.atoms.natural is None
            log_p = ma.poisson_log_tail(c.found[first], c.expected[first] * (1 + twice)) + work.log_searched(c.atom[first], False)
            p[first] = np.minimum(TESTS * np.exp(np.minimum(log_p, 0)), 1)
            if not few:
                p[first] = np.maximum(p[first], np.minimum(TESTS * ma.tail_p(c.score[first]), 1))
            return p
        chance = work.content
        first = first[:AUDITS]
        searched = work.log_searched(c.atom[first], True) + np.log(TESTS_SEEING if isinstance(chance, SeeingChance) else TESTS)
        wanted = np.log(self.alpha)
        looks = [chance.audit(int(c.atom[t]), int(c.target[t]), c.atom[self._core(c, lead, int(t))], 0) for t in first]
        work.nature.append(self._natural_share(looks, wanted - searched))
        share = max(work.nature)  # what words show of these data holds for their pairs too
        for i, t in enumerate(first):
            core = c.atom[self._core(c, lead, int(t))]
            if ma.tilted_log_tail(looks[i][1], float(looks[i][0].sum())) + searched[i] <= wanted:
                work.beyond.append((int(c.atom[t]), int(c.target[t]), core, float(searched[i])))
            for care in range(chance.cares):  # each look is dearer and fairer than the one before
                own, q = chance.audit(int(c.atom[t]), int(c.target[t]), core, care) if care else looks[i]
                log_p = ma.tilted_log_tail(self._granted(q, share), float(own.sum())) + searched[i]
                if log_p <= wanted:  # then also what this very atom is granted
                    if care == 0:
                        work.hints.append((int(c.atom[t]), int(c.target[t]), core, float(searched[i])))
                    more = chance.nature_adds(int(c.atom[t]), int(c.target[t]), core, q)
                    log_p = ma.tilted_log_tail(self._granted(q, share, more), float(own.sum())) + searched[i]
                if log_p > wanted:
                    break
            p[t] = np.exp(min(log_p, 0.0))
        if work.atoms.seen is None and len(first) >= FEW_PEERS:
            p[first] = np.maximum(p[first], np.minimum(TESTS * ma.tail_p(c.score[first], power=0.75), 1.0))
        return p

    def _natural_share(self, looks: list[tuple[np.ndarray, np.ndarray]], levels: np.ndarray) -> float:
        """Share in [0.5, 1] of what nature is granted at most: less where hardly any other candidate goes beyond the content.

        A third candidate that surely gains x logits means that x + 1 of them are natural in these data.
        """
        shifts = [ma.least_shift(q, float(own.sum()), float(level)) for (own, q), level in zip(looks, levels, strict=True)
                  if ma.tilted_log_tail(q, float(own.sum())) <= level]
        third = sorted(shifts)[-3] if len(shifts) >= 3 else -1.0
        return float(np.clip((third + 1.0) / max(self.margin, 1e-9), 0.5, 1.0))

    def _together(self, target: int, work: Holders) -> list[Group]:
        """All holders of the atoms that are beyond the content of one class, by a content model that has not learned from their labels.

        A style has many words of its own: a model that learned from its rows takes them for content, whichever of them is hidden. Each
        atom of the union pays for the search that found it, and nature is granted more than elsewhere.
        """
        content, level = work.content, np.log(self.alpha)
        assert isinstance(content, SeeingChance)
        atoms, searched = [], 0.0
        for atom, t, core, cost in work.beyond:
            if t == target and all(ma.tilted_log_tail(q, float(own.sum())) + cost <= level
                                   for own, q in (content.audit(atom, t, core, care) for care in (1, 2))):
                atoms.append(atom)
                searched += cost
        if not atoms:
            return []
        rows = np.unique(np.concatenate([work.holders(a) for a in atoms]))
        rows = rows[work.labels[rows] >= 0]
        if work.own_words(rows[work.labels[rows] == target]) < OWN_WORDS:  # one template, which the tests above judge better
            return []
        left_out = np.zeros(len(work.labels), bool)
        left_out[rows] = True
        chance = content.without_rows(left_out)[:, target].astype(np.float64)
        once = content.told_once(rows, np.array(atoms), target)
        own, q = work.labels[once] == target, chance[once]
        prior = np.clip((work.labels[~left_out] == target).mean(), 1e-3, 1 - 1e-3)
        mean = np.clip(q.mean(), 1e-3, 1 - 1e-3)
        lean = max(0.0, float(np.log(mean / (1 - mean)) - np.log(prior / (1 - prior))) + LEAN)
        log_p = ma.tilted_log_tail(self._granted(q, TOGETHER_SHARE, 2 * lean), float(own.sum())) + searched
        if log_p > level:
            return []
        members, sure = _pushed(rows, chance[rows], work.labels[rows] == target)
        if len(members) < self.least:
            return []
        names, natural = [work.atoms.name(a) for a in atoms], float((1 - sure).sum())
        return [Group(
            members=members, p_value=float(np.exp(min(log_p, 0.0))), target=target, expected=natural, threat="backdoor-dirty-label",
            title=f"{names[0]} and what goes with it in class {work.classes[target]}",
            sure=sure, liftable=False,
            because=f"{len(members)} samples hold {names[0]} or one of {len(atoms) - 1} more such parts; a content model that has not seen "
                    f"their labels puts them elsewhere (about {natural:.1f} expected).",
            doubt="A natural shortcut of this data (a campaign, a watermark) would look the same.",
            advice="Look at the members; if they do not belong together by nature, quarantine them.",
            place={"form": False, "atoms": tuple(names)})]

    def _styled(self, groups: list[Group], work: Holders) -> list[Group]:
        """Further rows of a target that are written like the members, unless one word or phrase is all that these share."""
        content = work.content
        assert isinstance(content, SeeingChance)
        out = []
        for target in sorted({g.target for g in groups if g.target is not None}):
            there = [g for g in groups if g.target == target]
            rows = [g.members for g in there]
            for atom, t, core, searched in work.hints:  # what is beyond the content here, though nature might lean that way
                if t != target:
                    continue
                looks = (content.audit(atom, t, core, care) for care in (1, 2))
                if all(ma.tilted_log_tail(self._granted(q, max(work.nature)), float(own.sum())) + searched <= np.log(self.alpha)
                       for own, q in looks):
                    rows.append(held := work.holders(atom))
                    rows[-1] = held[work.labels[held] == target]
            known, seeds = np.unique(np.concatenate([g.members for g in there])), np.unique(np.concatenate(rows))
            if not any(g.place["form"] for g in there) and work.own_words(seeds) < OWN_WORDS:
                continue
            sure = content.companions(seeds, target)
            sure[known] = 0.0
            members = np.flatnonzero(sure >= 0.5)
            if len(members) < self.least:
                continue
            first = min(there, key=lambda g: g.p_value)
            out.append(Group(
                members=members, p_value=first.p_value, target=target, threat=first.threat, sure=sure[members],
                expected=float((1 - sure[members]).sum()), title=f"the style of {first.title}", liftable=False,
                because=f"{len(members)} more samples are written like those that share {first.title}.", doubt=first.doubt,
                advice=first.advice))
        return out

    def _granted(self, q: np.ndarray, share: float, more: float = 0.0) -> np.ndarray:
        """Chances with what nature is granted beyond the content: `margin` and `more` logits, and a share `slack` of the rest."""
        odds = np.exp(share * self.margin + more) * q / np.maximum(1 - q, 1e-9)
        return np.asarray(1 - (1 - share * self.slack) / (1 + odds))

    @staticmethod
    def _natural(c: _Candidates, t: int, members: np.ndarray, top: int, work: Holders) -> float:
        """How many members nature would give. Where nearly all carry one label, those elsewhere tell; else the null does."""
        expected, natural = float(c.expected[t]), work.atoms.natural
        if c.target[t] >= 0:
            return expected
        if natural is not None:
            expected = min(expected, float(natural[c.atom[t]]))
        if top < 0:
            return expected
        return min(expected, int((work.labels[members] != top).sum()) / max(1 - float(work.prior[top]), 1e-9))

    @staticmethod
    def _by_nature(members: np.ndarray, natural: float, top: int, work: Holders) -> np.ndarray:
        """(m,) chance of each member to be one of the natural ones: by its content, where that cannot see the atom."""
        if top < 0 or isinstance(work.content, SeeingChance):
            return np.full(len(members), min(natural / max(len(members), 1), 1.0))
        return ma.by_nature(work.content.p[work.unit[members], top].astype(np.float64), natural)

    @staticmethod
    def _core(c: _Candidates, lead: np.ndarray, t: int) -> np.ndarray:
        """The followers of leader t, who have nearly its holders, strongest first."""
        core = np.flatnonzero((lead == t) & (c.target == c.target[t]))
        return core[np.argsort(-c.score[core], kind="stable")][:256]

    def _mark(self, raw: np.ndarray, c: _Candidates, work: Holders) -> None:
        """Each row's score is that of its strongest candidate; what is far below the strongest of all is noise."""
        top = np.argsort(c.score, kind="stable")[-500:]
        for t in top[c.score[top] >= FAINT_SCORE * c.score.max(initial=0.0)]:
            held = work.holders(c.atom[t])
            if c.target[t] >= 0:
                held = held[work.labels[held] == c.target[t]]
            raw[held] = np.maximum(raw[held], c.score[t])

    def _groups(self, raw: np.ndarray, c: _Candidates, p: np.ndarray, lead: np.ndarray, work: Holders) -> list[Group]:
        out = []
        for t in np.flatnonzero(p <= self.alpha):
            core = self._core(c, lead, int(t))
            core = core[c.score[core] > 0.5 * c.score[t]]
            share = np.asarray(work.rows[:, c.atom[core]].sum(axis=1)).ravel() / len(core)
            member = share >= 0.6
            member[work.holders(c.atom[t])] = True
            target = int(c.target[t])
            if target >= 0:
                member &= work.labels == target
            members = np.flatnonzero(member)
            name = work.atoms.name(int(c.atom[t]))
            top = target if target >= 0 else _common_label(work.labels[members]) if work.known else -1
            natural = self._natural(c, int(t), members, top, work)
            faint, chance = work.unclear(int(c.atom[t]), members, natural, top)
            raw[faint] = np.maximum(raw[faint], chance * c.score[t])
            faint, chance = faint[chance >= 0.5], chance[chance >= 0.5]
            sure = np.r_[1 - self._by_nature(members, natural, top, work), chance]
            members, natural = np.r_[members, faint], natural + float((1 - chance).sum())
            order = np.argsort(members)
            members, sure = members[order], sure[order]
            where = "" if target < 0 else f" in class {work.classes[target]}"
            what = "stands where chance does not put it" if target < 0 else "explains labels that the content does not"
            out.append(Group(
                members=members, p_value=float(p[t]), target=None if target < 0 else target, expected=natural,
                threat="backdoor-dirty-label" if c.why == "conditional" else "backdoor-clean-label",
                title=name + where, sure=sure,
                because=f"{len(members)} samples share {name}; it {what} (about {natural:.1f} expected).",
                doubt="A natural shortcut of this data (a campaign, a watermark) would look the same.",
                advice="Look at the members; if they do not belong together by nature, quarantine them.",
                place={"form": c.why == "conditional" and work.atoms.families[work.atoms.family[c.atom[t]]] in FORMS,
                       "atoms": tuple(work.atoms.name(int(a)) for a in c.atom[core]),
                       "columns": tuple(int(a) for a in c.atom[core])}))
        return out


def _pushed(rows: np.ndarray, chance: np.ndarray, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the class that nature hardly put there, and how surely: among rows of like chance (h,) those elsewhere tell how many it did.

    Where chance is near 1 nobody would stand elsewhere by nature either, so nobody is told there.

    >>> members, sure = _pushed(np.arange(40), np.repeat([0.2, 0.99], 20), np.ones(40, bool))
    >>> len(members), round(float(sure[0]), 3)
    (20, 0.994)
    """
    band = np.digitize(chance, BANDS)
    sure = np.zeros(len(rows))
    for b in range(len(BANDS)):
        here = (band == b) & own
        if here.any():
            odds = float(chance[here].mean() / max(1 - chance[here].mean(), 1e-9))
            sure[here] = max(1 - (((band == b) & ~own).sum() + 0.5) * odds / here.sum(), 0.0)
    kept = sure >= SURE
    return rows[kept], sure[kept]


def _common_label(labels: np.ndarray) -> int:
    """The label that at least four of five carry, or -1; nobody may be without one."""
    if len(labels) == 0 or (labels < 0).any():
        return -1
    count = np.bincount(labels)
    return int(count.argmax()) if count.max() >= 0.8 * len(labels) else -1


def _without_repeats(groups: list[Group]) -> list[Group]:
    """Of groups that share most members one stays: rather one that knows its target, then the one with the least p."""
    kept: list[Group] = []
    for g in sorted(groups, key=lambda g: (g.target is None, g.p_value, -len(g.members))):
        if not any(len(np.intersect1d(g.members, k.members)) >= 0.5 * min(len(g.members), len(k.members)) for k in kept):
            kept.append(g)
    return kept
