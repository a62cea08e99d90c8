"""Who holds which atoms, and with what chance each of them would stand in each class if only its content counted."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from bezoar.core.atoms import Atoms
from bezoar.core.view import View
from bezoar.maths import association as ma
from bezoar.maths.companions import companions
from bezoar.maths.conjunctions import frequent_pairs, holders_of_both, pairs_looked_at
from bezoar.maths.crossfit import softmax
from bezoar.maths.leaveout import LinearFolds, linear_folds

LEAVE_OUT_CLASSES = 100
"""Above this many classes the content model is used as it is."""
HELD_BY_ALL = 0.8
"""Share of the holders from which on a word belongs to what they share."""
COMMON_WORD = 0.2
"""Share of the samples above which a word is not paired."""
STYLE_LEAST = 8
"""Fewest holders of an atom by which a style is told."""
MANNER_WEIGHT = 2.5
"""Length of a row of characters beside one of atoms, which is about 2."""
OWN_WORD = 8.0
"""So many times as often as in any class a word stands in rows that it is typical of."""
CHUNK = 500_000
"""Entries of the atom matrix that are held at once with their probabilities."""
DOUBT = 0.02
"""Share of the samples whose label is thought to be wrong for other reasons than a trigger."""
LEAN = 0.9
"""Logits below the prior from which on the content of the holders counts as leaning to the class."""
PART_SPREAD, PART_FREE = 1.5, 1.2
"""Standard deviation, in logits, of what single words are thought to add before anything is seen; how much of it is not
counted, because most words of long texts add a little."""


class Holders:
    """What all tests share: units of near-duplicates (or rows), their labels, holders, and the two kinds of chances."""

    def __init__(self, view: View, atoms: Atoms, codes: np.ndarray, classes: tuple[str, ...], least: int) -> None:
        self.view, self.atoms, self.labels, self.classes, self.least = view, atoms, codes, classes, least
        self.looked = 0.0
        self.nature: list[float] = []
        self.hints: list[tuple[int, int, np.ndarray, float]] = []
        self.beyond: list[tuple[int, int, np.ndarray, float]] = []
        self.parts: tuple[Holders, np.ndarray] | None = None
        self.rows = atoms.matrix.tocsc()
        self.faint = None if atoms.faint is None else atoms.faint.tocsc()
        groups = np.arange(len(codes)) if atoms.seen is not None else view.clusters()
        self.units, self.unit, self.codes = ma.collapse(atoms.matrix, codes, groups)
        self.held = np.diff(self.units.indptr)
        self.known = len(classes) > 1 and bool((codes >= 0).any())
        self.prior = np.bincount(self.codes[self.codes >= 0], minlength=len(classes)) / max((self.codes >= 0).sum(), 1)

    def holders(self, atom: int) -> np.ndarray:
        """Rows that hold an atom."""
        return np.asarray(self.rows.indices[self.rows.indptr[atom]:self.rows.indptr[atom + 1]])

    def own_words(self, rows: np.ndarray) -> int:
        """How many words some of these rows hold, and far more often than the rest of any class: one planted phrase has none beside it."""
        word = np.flatnonzero(self.atoms.family == 0)
        x = self.rows[:, word].tocsr()
        inside = np.asarray(x[rows].sum(axis=0)).ravel()
        rest = np.setdiff1d(np.arange(len(self.labels)), rows)
        known = rest[self.labels[rest] >= 0]
        size = np.bincount(self.labels[known], minlength=len(self.classes))
        most = ((ma.class_counts(x[known].tocsc(), self.labels[known], len(self.classes)).toarray() + 0.5) / (size + 1)).max(axis=1)
        share = inside / max(len(rows), 1)
        return int(((inside >= STYLE_LEAST) & (share >= 0.1) & (share < 0.6) & (share >= OWN_WORD * most)).sum())

    def unclear(self, atom: int, members: np.ndarray, natural: float, top: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows that hold an atom less clearly, and how likely each goes with its planted holders rather than with nature.

        `members` (m,) hold it clearly, `natural` of them by nature, and carry the label `top` (-1: all labels). Rows that
        lack little are told by their number in the class against that in the others; of those that do not show the atom at all
        against what they stand on, as many were planted as stand elsewhere by nature, and their content tells which.
        """
        if self.faint is None or not self.known:
            return members[:0], np.zeros(0)
        own = slice(self.faint.indptr[atom], self.faint.indptr[atom + 1])
        rows, lacking = self.faint.indices[own], self.faint.data[own]
        apart = ~np.isin(rows, members)
        rows, lacking = rows[apart], lacking[apart]
        inside = (self.labels[rows] == top) | (top < 0)
        close = inside & (lacking <= 1) & (top >= 0)
        chance = np.zeros(len(rows))
        if close.any():
            prior = float(self.prior[top])
            by_nature = ((lacking <= 1) & ~inside).sum() + 0.5
            chance[close] = max(1 - by_nature * prior / max(1 - prior, 1e-9) / close.sum(), 0)
        rest = inside & (lacking > 1)
        if not rest.any():
            return rows, chance
        labels = np.maximum(self.labels[rows], 0)
        share = ((lacking > 1) & (~inside | (top < 0))).sum() / max((self.labels != top).sum(), 1)
        planted = max(len(members) - natural, 0) * share / max(1 - share, 1e-9)
        p = (1 - DOUBT) * self.view.label_probabilities()[rows, labels] + DOUBT * self.prior[labels]
        odds = planted / max(rest.sum() - planted, 1.0) * (1 - p) / p * self.prior[labels] / (1 - self.prior[labels])
        chance[rest] = (odds / (1 + odds))[rest]
        return rows, chance

    def log_searched(self, atom: np.ndarray, by_class: bool) -> np.ndarray:
        """(t,) log of how many tests were made in the family of each atom."""
        family = self.atoms.family[atom]
        if not by_class:
            return np.asarray(np.log(np.maximum(self.atoms.searched, 1.0))[family])
        able = np.bincount(self.atoms.family[self.held >= self.least], minlength=len(self.atoms.families)).astype(np.float64)
        if self.looked:
            able[:] = self.looked
        return np.asarray(np.log(np.maximum(able, 1.0) * len(self.classes))[family])

    def pairs(self, most: int) -> Holders:
        """The same with pairs of single words as atoms: those frequent among rows whose label their content doubts."""
        atoms, content = self.atoms, self.content
        assert isinstance(content, SeeingChance)
        seen = content.seen
        held = self.held
        word = np.flatnonzero((atoms.family == 0) & (held >= self.least) & (held <= COMMON_WORD * len(self.labels)))
        x = self.rows[:, word]
        own = softmax(content.model.logits)[np.arange(len(self.labels)), np.maximum(self.labels, 0)]
        doubt = (self.labels >= 0) & (own < 0.5)
        per_class = [frequent_pairs(x, np.flatnonzero(doubt & (self.labels == k)), least=self.least, most=most)
                     for k in range(len(self.classes))]
        a, b = (np.concatenate([pair[i] for pair in per_class]) for i in (0, 1))
        once = np.unique(a * len(word) + b, return_index=True)[1]
        a, b = a[once], b[once]
        names = [atoms.name(int(j)) for j in word]

        def name(j: int) -> str:
            return f"{names[a[j]]} together with {names[b[j]]}"

        both = Atoms(holders_of_both(x, a, b), ("pair",), np.zeros(len(a), np.int16), np.full(len(a), np.nan),
                     np.array([pairs_looked_at(x, self.least)]), name, np.concatenate([seen[word[a]], seen[word[b]]], axis=1))
        out = Holders(self.view, both, self.labels, self.classes, self.least)
        out.looked, out.nature, out.parts = float(both.searched[0]), self.nature, (self, np.stack([word[a], word[b]], axis=1))
        out.__dict__["content"] = SeeingChance(out, content.model)
        return out

    @cached_property
    def content(self) -> Chance:
        """What the content of each unit says, less the atom's own part where the content can see it."""
        k = len(self.classes)
        x = self.view.content()
        if self.atoms.seen is None or k > LEAVE_OUT_CLASSES or not hasattr(x, "indptr"):
            p = _mean_by(self.view.content_probabilities(), self.unit, len(self.codes))
            return Chance(self, self.tempered(p))
        model = linear_folds(x, self.labels, k, groups=self.view.clusters(), seed=self.view.seed)
        return SeeingChance(self, model)

    def tempered(self, p: np.ndarray) -> np.ndarray:
        """Probabilities pulled a little to the prior: no content model is ever sure."""
        return np.asarray(0.95 * p + 0.05 * self.prior.astype(np.float32))


class Chance:
    """The chance of each unit to stand in each class, (u, K), whatever atoms it holds."""

    def __init__(self, work: Holders, p: np.ndarray) -> None:
        self.work, self.p = work, p

    def sums(self, atom: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of the number of holders in the class, for each (atom, class)."""
        mean = ma.column_sums(self.work.units, atom, target, self.p)
        return mean, mean - ma.column_sums(self.work.units, atom, target, self.p**2)

    cares = 1

    def audit(self, atom: int, target: int, core: np.ndarray, care: int) -> tuple[np.ndarray, np.ndarray]:
        """(h,) bool in the class and (h,) chance to be there, over the holders of an atom.

        core (c,) are atoms with nearly the same holders.

        care 0: all; 1: those that tell the same story count once; 2: and the model is fitted again without the atom.
        """
        units = self.work.units
        held = units.indices[units.indptr[atom]:units.indptr[atom + 1]]
        return self.work.codes[held] == target, self.p[held, target].astype(np.float64)

    def nature_adds(self, atom: int, target: int, core: np.ndarray, q: np.ndarray) -> float:
        """Logits that nature may add to the chances q (h,) of the holders of this very atom."""
        return 0.0


class SeeingChance(Chance):
    """The content sees the atoms: its model is asked without their columns. Units are rows."""

    def __init__(self, work: Holders, model: LinearFolds) -> None:
        self.work, self.model = work, model
        seen = work.atoms.seen
        assert seen is not None
        self.seen = seen

    def sums(self, atom: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean, variance = np.zeros(len(atom)), np.zeros(len(atom))
        units = self.work.units
        wanted = np.unique(atom)
        total = np.cumsum(self.work.held[wanted])
        for part in np.split(wanted, np.searchsorted(total, np.arange(CHUNK, total[-1] if len(total) else 0, CHUNK))):
            if len(part) == 0:
                continue
            block = units[:, part]
            column = np.repeat(np.arange(len(part)), np.diff(block.indptr))
            p = self.work.tempered(self.model.without(block.indices, self.seen[part][column]))
            at = np.arange(*np.searchsorted(atom, [part[0], part[-1] + 1]))
            local = np.searchsorted(part, atom[at])
            for k in np.unique(target[at]):
                q = p[:, k].astype(np.float64)
                here = target[at] == k
                mean[at[here]] = np.bincount(column, q, len(part))[local[here]]
                variance[at[here]] = np.bincount(column, q * (1 - q), len(part))[local[here]]
        return mean, variance

    cares = 3

    def audit(self, atom: int, target: int, core: np.ndarray, care: int) -> tuple[np.ndarray, np.ndarray]:
        held = self.work.holders(atom)
        hidden = self._hidden(held, atom, core)
        own = self.work.labels[held] == target
        if care:
            group = ma.distinct(self.model.x[held], hidden)
            first = np.unique(group * 2 + own, return_index=True)[1]
            held, own = held[first], own[first]
        if care > 1:
            p = self.model.refitted(held, hidden)
        else:
            p = self.model.without(held, np.tile(hidden, (len(held), 1)))
        return own, self.work.tempered(p)[:, target].astype(np.float64)

    def nature_adds(self, atom: int, target: int, core: np.ndarray, q: np.ndarray) -> float:
        """As many as the rest of what the holders say leans to the class, and what each part of a pair adds on its own.

        Planted atoms stand on the content of other classes; a word of the class stands among others of its kind.
        """
        prior = float(np.clip(self.work.prior[target], 1e-3, 1 - 1e-3))
        mean = float(np.clip(q.mean(), 1e-3, 1 - 1e-3)) if len(q) else prior
        more = max(0.0, float(np.log(mean / (1 - mean)) - np.log(prior / (1 - prior))) + LEAN)
        if self.work.parts is None:
            return more
        words, pairs = self.work.parts
        both = self.work.holders(atom)
        hidden = self._hidden(both, atom, core)
        for word in pairs[atom]:
            alone = np.setdiff1d(words.holders(int(word)), both)
            chance = self.work.tempered(self.model.without(alone, np.tile(hidden, (len(alone), 1))))[:, target]
            own = float((self.work.labels[alone] == target).sum())
            more += max(0.0, ma.likely_shift(chance.astype(np.float64), own, PART_SPREAD) - PART_FREE)
        return more

    def companions(self, seeds: np.ndarray, target: int) -> np.ndarray:
        """(n,) probability that a row of the class goes with the seeds; a content model that has not learned from them doubts labels."""
        from scipy.sparse import hstack

        work = self.work
        held = np.diff(work.rows.indptr)
        kept = np.flatnonzero((held >= STYLE_LEAST) & (held <= COMMON_WORD * len(work.labels)))
        parts = work.rows[:, kept].tocsr().astype(np.float32)
        parts.data[:] = 2 / np.sqrt(max(float(np.median(np.diff(parts.indptr))), 1.0))
        x = parts if work.atoms.manner is None else hstack([work.atoms.manner() * np.float32(MANNER_WEIGHT), parts]).tocsr()

        def doubts(left_out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            told = self.without_rows(left_out)
            p = told[np.arange(len(told)), np.maximum(work.labels, 0)].astype(np.float64)
            return np.log1p(-p) - np.log(p), told.argmax(axis=1)

        return companions(x, seeds, work.labels == target, doubts, self.model.fold)

    def without_rows(self, left_out: np.ndarray) -> np.ndarray:
        """(n, K) float32 chances by models that learned nothing from the labels of the rows `left_out` (n,)."""
        work = self.work
        codes = np.where(left_out, -1, work.labels)
        return work.tempered(softmax(linear_folds(self.model.x, codes, len(work.classes), groups=work.view.clusters(),
                                                  seed=work.view.seed).logits))

    def told_once(self, rows: np.ndarray, atoms: np.ndarray, target: int) -> np.ndarray:
        """Of some rows (h,) those that are left when holders of these atoms (c,) that tell the same story count once in each class."""
        hidden = np.unique(self.seen[atoms])
        group = ma.distinct(self.model.x[rows], hidden[hidden >= 0])
        return np.asarray(rows[np.sort(np.unique(group * 2 + (self.work.labels[rows] == target), return_index=True)[1])])

    def _hidden(self, held: np.ndarray, atom: int, core: np.ndarray) -> np.ndarray:
        """Content columns of the atom, and those of its core that nearly all of its holders hold."""
        share = np.bincount(self.model.x[held].indices, minlength=self.model.x.shape[1]) / max(len(held), 1)
        also = np.unique(self.seen[core])
        also = also[also >= 0]
        hidden = np.union1d(self.seen[atom], also[share[also] >= HELD_BY_ALL])
        return hidden[hidden >= 0]


def _mean_by(values: np.ndarray, unit: np.ndarray, n_units: int) -> np.ndarray:
    """(u, K) float32 means of the rows of each unit."""
    size = np.bincount(unit, minlength=n_units).astype(np.float32)
    out = np.zeros((n_units, values.shape[1]), np.float32)
    np.add.at(out, unit, values)
    return out / size[:, None]
