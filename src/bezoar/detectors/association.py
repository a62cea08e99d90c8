"""Shortcut association miner: small parts that an input has or has not (words, patches, values) against labels.

Looks for  parts whose holders stand in one class although their content says otherwise (dirty-label triggers), parts
           that follow one class too well (clean-label), parts that stand where chance does not put them (all-to-all).
Fails      for triggers that are no part the modality names (warps, style without a marker), for parts as common in
           nature as in the poison, and for fewer holders than `least`.
Cost       sparse products over the atoms, seconds; the content model is the larger part.
Paper      conditional test: METHODS principle 10; z-statistic per feature: He et al. 2023, arXiv 2305.11596.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bezoar.core.ability import Detector, Group, Info, Scores
from bezoar.core.atoms import Atoms
from bezoar.core.errors import Unavailable
from bezoar.core.view import View
from bezoar.maths import association as ma
from bezoar.maths.conformal import suspicion_within
from bezoar.maths.leaveout import linear_folds

TESTS = 3
LEAVE_OUT_CLASSES = 100
"""Above this many classes the content model is used as it is."""
CHUNK = 500_000
"""Entries of the atom matrix that are held at once with their probabilities."""


@dataclass(frozen=True, eq=False)
class _Candidates:
    """Parallel arrays, one entry per (atom, class) or per atom (class -1)."""

    atom: np.ndarray
    target: np.ndarray
    score: np.ndarray
    log_p: np.ndarray
    found: np.ndarray
    expected: np.ndarray
    why: str


class Association(Detector):
    """Atoms against labels, unconditional and given the content, and against the modality's own null."""

    info = Info(
        name="association", summary="words, patches or values that predict a label too well",
        threats=("backdoor-dirty-label", "backdoor-clean-label"), modalities=("any",), needs=("atoms",), extras=(),
        cost="seconds after the content model", reference="arXiv 2305.11596", channel="C4", floor=0.9)

    def __init__(self, *, least: int = 4, alpha: float = 0.01, keep: int = 3000) -> None:
        self.least = least
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
            return Scores(np.full(n, np.nan), notes=("no atoms to look at",))
        units, unit, unit_codes = ma.collapse(atoms.matrix, codes, view.clusters())
        held = np.asarray(units.sum(axis=0)).ravel()
        rows = atoms.matrix.tocsc()
        tests = [self._label_free(atoms, held)]
        if len(classes) > 1:
            prior = np.bincount(unit_codes[unit_codes >= 0], minlength=len(classes)) / max((unit_codes >= 0).sum(), 1)
            chance = np.broadcast_to(prior.astype(np.float32), (len(unit_codes), len(classes)))
            tests.append(self._against(units, held, unit_codes, chance, "unconditional"))
            tests.append(self._given_content(view, atoms, units, unit, held, unit_codes, prior))
        raw = np.zeros(n)
        groups: list[Group] = []
        for found in tests:
            if len(found.atom) == 0:
                continue
            p, lead = self._significance(found, atoms, units, unit_codes, max(len(classes), 1))
            self._mark(raw, found, rows, codes)
            groups += self._groups(found, p, lead, atoms, rows, codes, classes)
        return Scores(suspicion_within(raw, codes), tuple(_without_repeats(groups)))

    def _label_free(self, atoms: Atoms, held: np.ndarray) -> _Candidates:
        """Holders against the modality's own null."""
        at = np.flatnonzero(np.isfinite(atoms.expected) & (held >= self.least))
        mean = np.maximum(atoms.expected[at], 1e-3)
        score = np.where(held[at] > mean, np.log(held[at] / mean) * np.sqrt(np.maximum(held[at] - mean, 0) / np.sqrt(mean + 1)), 0)
        at, mean, score = at[score > 0], mean[score > 0], score[score > 0]
        top = np.argsort(-score, kind="stable")[:self.keep]
        at, mean, score = at[top], mean[top], score[top]
        return _Candidates(at, np.full(len(at), -1), score, ma.poisson_log_tail(held[at], mean), held[at], mean, "label-free")

    def _against(self, units: Any, held: np.ndarray, codes: np.ndarray, chance: np.ndarray, why: str) -> _Candidates:
        """Holders in a class against the sum of their chances (u, K) to be there."""
        counts = ma.class_counts(units, codes, chance.shape[1]).tocoo()
        atom, target, found = counts.row.astype(np.int64), counts.col.astype(np.int64), counts.data.astype(np.float64)
        prior = chance.mean(axis=0, dtype=np.float64)
        keep = (found >= self.least) & (found > 1.2 * held[atom] * prior[target])
        atom, target, found = atom[keep], target[keep], found[keep]
        size = held[atom].astype(np.float64)
        mean = ma.column_sums(units, atom, target, chance)
        square = ma.column_sums(units, atom, target, chance**2)
        return self._best(atom, target, found, size, mean, mean - square, why)

    def _best(self, atom: np.ndarray, target: np.ndarray, found: np.ndarray, size: np.ndarray, mean: np.ndarray,
              variance: np.ndarray, why: str) -> _Candidates:
        """The `keep` strongest."""
        score = ma.surprise(found, size, mean, variance)
        top = np.argsort(-score, kind="stable")[:self.keep]
        top = top[score[top] > 0]
        atom, target, found, size, mean = atom[top], target[top], found[top], size[top], mean[top]
        log_p = ma.binomial_log_tail(found, size, mean / size)
        # nature's members: those that are not in the class tell how many natural holders there are
        natural = np.minimum((size - found) * mean / np.maximum(size - mean, 1e-9), found)
        return _Candidates(atom, target, score[top], log_p, found, natural, why)

    def _given_content(self, view: View, atoms: Atoms, units: Any, unit: np.ndarray, held: np.ndarray, codes: np.ndarray,
                       prior: np.ndarray) -> _Candidates:
        """Holders in a class against what their content, less the atom itself, says."""
        k = len(prior)
        content = view.content()
        if atoms.seen is None or k > LEAVE_OUT_CLASSES or not hasattr(content, "indptr"):
            chance = _tempered(_mean_by(view.content_probabilities(), unit, len(codes)), prior)
            return self._against(units, held, codes, chance, "conditional")
        model = linear_folds(content, view.labels, k, groups=view.clusters(), seed=view.seed)
        first = np.unique(unit, return_index=True)[1]
        counts = ma.class_counts(units, codes, k).tocoo()
        atom, target, found = counts.row.astype(np.int64), counts.col.astype(np.int64), counts.data.astype(np.float64)
        keep = (found >= self.least) & (found > held[atom] * prior[target])
        atom, target, found = atom[keep], target[keep], found[keep]
        order = np.argsort(atom, kind="stable")
        atom, target, found = atom[order], target[order], found[order]
        mean, variance = np.zeros(len(atom)), np.zeros(len(atom))
        wanted = np.unique(atom)
        size = np.diff(units.indptr)[wanted]
        for part in np.split(wanted, np.searchsorted(np.cumsum(size), np.arange(CHUNK, size.sum(), CHUNK))):
            if len(part) == 0:
                continue
            block = units[:, part]
            column = np.repeat(np.arange(len(part)), np.diff(block.indptr))
            p = _tempered(model.without(first[block.indices], atoms.seen[part][column]), prior)
            at = np.arange(*np.searchsorted(atom, [part[0], part[-1] + 1]))
            local = np.searchsorted(part, atom[at])
            for c in np.unique(target[at]):
                of = at[target[at] == c]
                q = p[:, c].astype(np.float64)
                mean[of] = np.bincount(column, q, len(part))[local[target[at] == c]]
                variance[of] = np.bincount(column, q * (1 - q), len(part))[local[target[at] == c]]
        return self._best(atom, target, found, held[atom].astype(np.float64), mean, variance, "conditional")

    def _significance(self, c: _Candidates, atoms: Atoms, units: Any, codes: np.ndarray,
                      n_classes: int) -> tuple[np.ndarray, np.ndarray]:
        """Family-wise p per candidate, and the candidate that leads each."""
        holders = units[:, c.atom].tocsc()
        if c.why != "label-free":
            own = codes[holders.indices] == np.repeat(c.target, np.diff(holders.indptr))
            holders.data = own.astype(np.float32)
            holders.eliminate_zeros()
        lead = ma.leaders(holders, np.argsort(-c.score, kind="stable"))
        family = atoms.family[c.atom]
        p = np.ones(len(c.atom))
        for f in np.unique(family):
            at = np.flatnonzero(family == f)
            leading = at[lead[at] == at]
            by_tail = np.ones(len(at))
            if len(leading) >= 20:
                peers = np.sort(c.score[leading])
                fitted = ma.tail_p(peers)
                by_tail = fitted[np.clip(np.searchsorted(peers, c.score[at], side="right") - 1, 0, len(peers) - 1)]
            searched = np.log(max(atoms.searched[f], 1.0) * n_classes)
            paid = np.exp(np.minimum(c.log_p[at] + searched, 0.0))
            p[at] = np.minimum(TESTS * np.maximum(paid, by_tail if len(leading) >= 20 else paid), 1.0)
        return p, lead

    def _mark(self, raw: np.ndarray, c: _Candidates, rows: Any, codes: np.ndarray) -> None:
        """Each row's score is that of its strongest candidate."""
        for t in np.argsort(c.score, kind="stable")[-500:]:
            held = rows.indices[rows.indptr[c.atom[t]]:rows.indptr[c.atom[t] + 1]]
            if c.target[t] >= 0:
                held = held[codes[held] == c.target[t]]
            raw[held] = np.maximum(raw[held], c.score[t])

    def _groups(self, c: _Candidates, p: np.ndarray, lead: np.ndarray, atoms: Atoms, rows: Any, codes: np.ndarray,
                classes: tuple[str, ...]) -> list[Group]:
        out = []
        for t in np.flatnonzero((lead == np.arange(len(lead))) & (p <= self.alpha)):
            followers = np.flatnonzero((lead == t) & (c.target == c.target[t]))
            core = followers[(c.score[followers] > 0.5 * c.score[t])]
            core = core[np.argsort(-c.score[core], kind="stable")][:64]
            share = np.asarray(rows[:, c.atom[core]].sum(axis=1)).ravel() / len(core)
            member = share >= 0.6
            member[rows.indices[rows.indptr[c.atom[t]]:rows.indptr[c.atom[t] + 1]]] = True
            target = int(c.target[t])
            if target >= 0:
                member &= codes == target
            members = np.flatnonzero(member)
            names = tuple(atoms.name(int(a)) for a in c.atom[core])
            natural = float(c.expected[t])
            where = "" if target < 0 else f" in class {classes[target]}"
            what = {"label-free": "stands where chance does not put it", "unconditional": "follows one class too well",
                    "conditional": "explains labels that the content does not"}[c.why]
            out.append(Group(
                members=members, p_value=float(p[t]), target=None if target < 0 else target, expected=natural,
                threat="backdoor-dirty-label" if c.why == "conditional" else "backdoor-clean-label",
                title=atoms.name(int(c.atom[t])) + where, sure=np.full(len(members), 1 - min(natural / max(len(members), 1), 1)),
                because=f"{len(members)} samples share {atoms.name(int(c.atom[t]))}; it {what} "
                        f"(about {natural:.1f} expected).",
                doubt="A natural shortcut of this data (a campaign, a watermark) would look the same.",
                advice="Look at the members; if they do not belong together by nature, quarantine them.",
                place={"atoms": names, "columns": tuple(int(a) for a in c.atom[core])}))
        return out


def _tempered(p: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Probabilities pulled a little to the prior: no content model is ever sure."""
    return 0.95 * p + 0.05 * prior.astype(np.float32)


def _mean_by(values: np.ndarray, unit: np.ndarray, n_units: int) -> np.ndarray:
    """(u, K) float32 means of the rows of each unit."""
    size = np.bincount(unit, minlength=n_units).astype(np.float32)
    out = np.zeros((n_units, values.shape[1]), np.float32)
    np.add.at(out, unit, values)
    return out / size[:, None]


def _without_repeats(groups: list[Group]) -> list[Group]:
    """Groups of one target that share most members: the one with the least p stays."""
    kept: list[Group] = []
    for g in sorted(groups, key=lambda g: (g.p_value, -len(g.members))):
        if not any(len(np.intersect1d(g.members, k.members)) >= 0.5 * min(len(g.members), len(k.members)) for k in kept):
            kept.append(g)
    return kept
