"""Values written into rows: one to four cells whose holders carry one label, although nothing else about them speaks for it.

Looks for  tuples of exact values (in bounds or not, frequent columns or rare categories) whose holders in one class are, in all
           their other columns, a random draw from rows of other classes: what a dirty-label trigger leaves, and nature hardly.
Fails      for clean labels, for values written as ranges, for tuples of more than `widest` columns, and for fewer holders
           than `least` or one in 2,000 rows.
Cost       every pair of columns once: 2 s for 30,000 rows of 40 columns, about a minute for 1,000,000 rows of 20.
Paper      triggers: Tabdoor, arXiv 2311.07550; holders that resemble each other count as fewer (design effect, Kish 1965).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bezoar.core.ability import Detector, Group, Info, Scores
from bezoar.core.errors import Unavailable
from bezoar.core.evidence import Facts
from bezoar.core.inputs import Column, Table
from bezoar.core.view import View
from bezoar.maths.columns import exact_codes, frequent_codes, quantile_codes
from bezoar.maths.conformal import suspicion_within
from bezoar.maths.pairs import labelled_pairs, poisson_strength
from bezoar.maths.stamp import AdditiveModel, exponential_tail_p, signed_deviance

GROW = 4.0
"""Candidates below this many normal units are not worth another column."""
NATURAL = 0.75
"""A value that one other column foretells for this share of the holders explains itself and joins no tuple."""
MARGIN = 1.0
"""Normal units that a score must have beyond what chance alone would need: nature is no coin."""
LEADING = 600
"""So many of the best candidates are told apart into campaigns."""


@dataclass(frozen=True, eq=False)
class _Tuple:
    """Columns and value codes, the class, and what speaks for it."""

    columns: tuple[int, ...]
    values: tuple[int, ...]
    target: int
    own: np.ndarray       # holders in the class
    held: int             # holders in all classes
    mean: float           # holders in the class that their other columns predict
    surprise: float       # signed root deviance of len(own) among held
    evidence: float       # less where the single values explain it and stand together by chance
    alike: float          # design effect of the holders, 1 = a random draw; one standard error is added

    @property
    def score(self) -> float:
        """Normal units; a written label leaves hardly any holder outside the class, a cause of nature leaves some."""
        pure = (len(self.own) / max(self.held, 1) - 0.5) / 0.4
        return self.evidence / max(self.alike, 1.0) * min(max(pure, 0.0), 1.0)


class ValueTuples(Detector):
    """Exact values, alone and together, whose holders carry a label that the rest of the row does not explain."""

    info = Info(name="value-tuples", summary="values written into rows of a table together with a label",
                threats=("backdoor-dirty-label",), modalities=("tabular",), needs=("labels",),
                cost="2 s for 30,000 rows of 40 columns, a minute for 1,000,000 of 20",
                reference="Tabdoor, arXiv 2311.07550", channel="C4", floor=0.9)

    def __init__(self, *, least: int = 5, alpha: float = 0.01, widest: int = 4, bins: int = 10, keep: int = 1500) -> None:
        self.least = least
        self.alpha = alpha
        self.widest = widest
        self.bins = bins
        self.keep = keep

    def score(self, view: View, rng: np.random.Generator) -> Scores:
        table = view.dataset.inputs
        if not isinstance(table, Table):
            raise Unavailable("a table")
        labels, classes = view.labels, view.classes
        n = len(table)
        first, copy = _distinct(table, labels)
        if len(first) < 8 * self.least or len(np.unique(labels[first])) < 2 or len(table.names) < 2:
            return Scores(np.full(n, np.nan), notes=("too few rows, classes or columns to compare",))
        search = _Search(table.take(first), labels[first], len(classes), self)
        found = search.run()
        raw = np.zeros(len(first))
        for t in reversed(found):
            raw[t.own] = np.maximum(raw[t.own], t.score)
        groups = tuple(self._group(t, p, search, copy, table, labels, classes) for t, p in search.called(found))
        return Scores(suspicion_within(raw[copy], labels), groups, smallest={"values in a table": search.smallest(found)})

    def _group(self, t: _Tuple, p: float, search: _Search, copy: np.ndarray, table: Table, labels: np.ndarray,
               classes: tuple[str, ...]) -> Group:
        chosen = np.zeros(len(search.labels), bool)
        chosen[t.own] = True
        members = np.flatnonzero(chosen[copy])
        names = tuple(table.names[j] for j in t.columns)
        cells = tuple(search.text(j, v) for j, v in zip(t.columns, t.values, strict=True))
        natural = search.natural(t)
        words = " and ".join(f"{c} = {v}" for c, v in zip(names, cells, strict=True))
        return Group(
            members=members, p_value=p, threat="backdoor-dirty-label", title=f"{words}, labelled {classes[t.target]}",
            target=t.target, expected=natural * len(members) / max(len(t.own), 1),
            sure=np.full(len(members), 1.0 - min(natural / max(len(t.own), 1), 1.0)),
            because=f"{len(t.own)} of the {t.held} distinct rows with {words} are labelled {classes[t.target]}; going by their other "
                    f"columns about {t.mean:.0f} would be. In those columns they differ no more from rows of other classes than a "
                    f"random draw does (ratio {t.alike:.1f}, 1 = random draw).",
            doubt="A rule of nature that sets the label whatever the other columns say, and is itself unrelated to them, "
                  "would look the same.",
            advice="Ask where these rows come from and whether these cells were measured; quarantine them if nobody can say.",
            evidence=(Facts(("column", "value"), tuple(zip(names, cells, strict=True)), caption="the shared cells"),),
            place={"columns": names, "values": cells})


class _Search:
    """Candidates of one table of distinct rows."""

    def __init__(self, table: Table, labels: np.ndarray, n_classes: int, of: ValueTuples) -> None:
        self.table, self.labels, self.n_classes, self.of = table, labels, n_classes, of
        n = len(labels)
        self.least = max(of.least, n // 2000)
        self.most = max(n // 10, 4 * self.least)
        self.codes, self.values, self.counts = [], [], []
        places, starts = [], [0]
        for column in table.columns.values():
            code, value, count = exact_codes(column.values, self.least)
            self.codes.append(code)
            self.values.append(value)
            self.counts.append(count)
            coarse, k = _coarse(column, of.bins)
            places.append(coarse + 1 + starts[-1])
            starts.append(starts[-1] + k + 1)
        self.model = AdditiveModel(np.stack(places, axis=1).astype(np.int32), np.array(starts), labels, n_classes)
        self.holders = [_rows_by_code(c, len(k)) for c, k in zip(self.codes, self.counts, strict=True)]
        self.searched = 1.0
        self.among: dict[tuple[int, int], np.ndarray] = {}
        self.residuals: dict[tuple[int, int], np.ndarray] = {}
        self.reach: dict[int, float] = {}
        self.seen: set[tuple[Any, ...]] = set()

    def text(self, column: int, code: int) -> str:
        name = self.table.names[column]
        value = float(self.values[column][code])
        c = self.table[name]
        if np.isnan(value):
            return ""
        if c.kind == "category":
            return c.levels[int(value)]
        return repr(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)

    # -- candidates

    def run(self) -> list[_Tuple]:
        """Evaluated and grown candidates, best first."""
        seeds: list[tuple[float, tuple[int, ...], tuple[int, ...], int]] = []
        chance = [self.model.share(None, c).astype(np.float32) if self.n_classes <= 8 else np.zeros(0, np.float32)
                  for c in range(self.n_classes)]
        for j, (counts, rows_of) in enumerate(zip(self.counts, self.holders, strict=True)):
            for v in np.flatnonzero(counts <= self.most):
                found = np.bincount(self.labels[rows_of(int(v))], minlength=self.n_classes)
                seeds.extend((np.inf, (j,), (int(v),), int(c)) for c in np.flatnonzero(found >= self.least))
        sizes = [len(k) for k in self.counts]
        pairs = [(z, (i, j), (a, b), c) for i, j, a, b, c, z in labelled_pairs(
            self.codes, sizes, self.labels, chance, least=self.least, most=self.most)]
        self.searched = float(len(seeds) + sum(min(sizes[i] * sizes[j], len(self.labels) / self.least) * self.n_classes
                                               for i in range(len(sizes)) for j in range(i)))
        pairs.sort(key=lambda s: -s[0])
        tuples = [t for _, columns, values, c in seeds + pairs[:self.of.keep] if (t := self.weigh(columns, values, c)) is not None]
        tuples = [self.grow(t) for t in tuples]
        return sorted(tuples, key=lambda t: (-t.score, t.columns, t.values, t.target))

    def rows(self, columns: tuple[int, ...], values: tuple[int, ...]) -> np.ndarray:
        order = sorted(range(len(columns)), key=lambda k: self.counts[columns[k]][values[k]])
        rows: np.ndarray = self.holders[columns[order[0]]](values[order[0]])
        for k in order[1:]:
            rows = rows[self.codes[columns[k]][rows] == values[k]]
        return rows

    def weigh(self, columns: tuple[int, ...], values: tuple[int, ...], target: int, floor: float = 2.0) -> _Tuple | None:
        rows = self.rows(columns, values)
        own = rows[self.labels[rows] == target]
        if len(own) < self.least:
            return None
        chance = self.model.share(rows, target, columns)
        if len(columns) == 1:
            chance = np.minimum(chance + self.nearby(columns[0], values[0], target), 0.99)
        mean = float(chance.sum())
        surprise = evidence = signed_deviance(len(own), len(rows), mean)
        if surprise < floor:
            return None
        cells = tuple(zip(columns, values, strict=True))
        if len(columns) == 2 and any(self.natural_here(*cells[k], own, (cells[1 - k],)) for k in (0, 1)):
            return None
        if len(columns) > 1:
            added = np.minimum(chance + self.main_effects(columns, values, target, rows), 0.99)
            alone = signed_deviance(len(own), len(rows), float(added.sum()))
            if alone < surprise:
                evidence = min(surprise, max(alone, self.together(columns, values, target, len(own), len(rows))))
        chi, free = self.model.spread(own, target)
        chi[list(columns)] = 0.0
        free[list(columns)] = 0.0
        degrees = max(float(free.sum()), 1.0)
        alike = float(chi.sum()) / degrees + np.sqrt(2.0 / degrees)
        return _Tuple(columns, values, target, own, len(rows), mean, surprise, evidence, alike)

    def grow(self, t: _Tuple) -> _Tuple:
        """Columns in which the holders agree join the tuple while that raises the score."""
        while len(t.columns) < self.of.widest and t.surprise > GROW:
            chi, free = self.model.spread(t.own, t.target)
            chi[list(t.columns)] = 0.0
            better = None
            for j in np.argsort(-chi, kind="stable")[:3]:
                if chi[j] <= 4 * max(free[j], 1.0):
                    break
                code = self.codes[j][t.own]
                code = code[code >= 0]
                if len(code) < 0.7 * len(t.own):
                    continue
                value = int(np.bincount(code).argmax())
                key = (t.target, *sorted(zip((*t.columns, int(j)), (*t.values, value), strict=True)))
                if key in self.seen:
                    continue
                self.seen.add(key)
                agreeing = t.own[self.codes[j][t.own] == value]
                if self.natural_here(int(j), value, agreeing, tuple(zip(t.columns, t.values, strict=True))):
                    continue
                wider = self.weigh((*t.columns, int(j)), (*t.values, value), t.target)
                if wider is not None and wider.score > max(t.score, 0.0 if better is None else better.score):
                    better = wider
            if better is None:
                break
            t = better
        order = np.argsort(t.columns)
        return _Tuple(tuple(t.columns[k] for k in order), tuple(t.values[k] for k in order), t.target, t.own, t.held, t.mean,
                      t.surprise, t.evidence, t.alike)

    def natural_here(self, column: int, value: int, rows: np.ndarray, company: tuple[tuple[int, int], ...]) -> bool:
        """Whether the values in its company (exactly) or some other column (coarsely) foretell that `rows` hold this value."""
        for other, held in company:
            holders = self.holders[other](held)
            outside = len(holders) - len(rows)
            among = int((self.codes[column][holders] == value).sum()) - len(rows)
            share = self.counts[column][value] / len(self.labels)
            if (max(among, 0) + 5.0 * share) / (max(outside, 0) + 5.0) >= NATURAL:
                return True
        if (column, value) not in self.among:
            if len(self.among) >= 4000:
                self.among.clear()
            self.among[column, value] = self.model.among(self.holders[column](value))
        told = self.model.foretold(self.among[column, value], rows, column, tuple(c for c, _ in company))
        return told >= NATURAL

    def together(self, columns: tuple[int, ...], values: tuple[int, ...], target: int, own: int, held: int) -> float:
        """How far the holders in the class are above what company explains, in normal units.

        Company: of the rows of the class that hold all values but one, so many hold that one too as its own frequency says, or as
        rows of the other classes show, whichever is more.
        """
        n = len(self.labels)
        expected = 0.5
        for k, (column, value) in enumerate(zip(columns, values, strict=True)):
            rows = self.rows(columns[:k] + columns[k + 1:], values[:k] + values[k + 1:])
            inside = int((self.labels[rows] == target).sum()) - own
            outside = len(rows) - inside - held
            share = (self.counts[column][value] - held) / max(n - held, 1)
            odds = max(share / max(1.0 - share, 1e-9), (held - own) / (outside + 1.0))
            expected = max(expected, inside * odds)
        return float(poisson_strength(np.array([own]), np.array([expected]))[0])

    def residual(self, column: int, target: int) -> np.ndarray:
        """(n,) float32: in the class or not, less what the other columns foretell."""
        if (column, target) not in self.residuals:
            if len(self.residuals) >= 64:
                self.residuals.clear()
            told = self.model.share(None, target, (column,))
            self.residuals[column, target] = ((self.labels == target) - told).astype(np.float32)
        return self.residuals[column, target]

    def main_effects(self, columns: tuple[int, ...], values: tuple[int, ...], target: int, rows: np.ndarray) -> float:
        """What the single values add to the chance of the class, as their other holders show."""
        total = 0.0
        for column, value in zip(columns, values, strict=True):
            residual = self.residual(column, target)
            holders = self.holders[column](value)
            effect = float(residual[holders].sum(dtype=np.float64) - residual[rows].sum(dtype=np.float64))
            total += max(effect / (len(holders) - len(rows) + 10.0), 0.0)
        return total

    def nearby(self, column: int, value: int, target: int) -> float:
        """What a number next to this one (within a twentieth of the range) adds to the chance of the class."""
        x = self.table[self.table.names[column]]
        at = float(self.values[column][value])
        if x.kind == "category" or not np.isfinite(at):
            return 0.0
        if column not in self.reach:
            low, high = np.quantile(x.values[np.isfinite(x.values)], [0.05, 0.95], method="inverted_cdf")
            self.reach[column] = 0.05 * float(high - low)
        with np.errstate(invalid="ignore"):
            near = np.flatnonzero((np.abs(x.values - at) <= self.reach[column]) & (x.values != at))
        return max(float(self.residual(column, target)[near].sum(dtype=np.float64)) / (len(near) + 10.0), 0.0)

    # -- what is called

    def called(self, found: list[_Tuple]) -> list[tuple[_Tuple, float]]:
        """Leaders with a family-wise p <= alpha, each as its widest equally pure form, best first."""
        leaders, follow = _leaders(found[:LEADING])
        scores = np.array([t.score for t in leaders])
        p = np.maximum(np.minimum(self.searched * _upper(scores - MARGIN), 1.0), exponential_tail_p(scores))
        out: list[tuple[_Tuple, float]] = []
        for k in np.flatnonzero(p <= self.of.alpha):
            best = leaders[k]
            for t in follow[k]:
                natural = self.natural(t)
                alike = t.score >= 0.5 * leaders[k].score and t.surprise >= 0.9 * leaders[k].surprise
                if alike and natural <= 0.05 * len(t.own) and (len(t.own) - natural, t.score) > (
                        len(best.own) - self.natural(best), best.score):
                    best = t
            out.append((best, float(p[k])))
        return out

    def natural(self, t: _Tuple) -> float:
        """Holders in the class that nature put there: as many per holder outside the class as the other columns say."""
        outside = t.held - len(t.own)
        return min(outside * t.mean / max(t.held - t.mean, 1e-9), float(len(t.own)))

    def smallest(self, found: list[_Tuple]) -> int:
        """Holders that a trigger needs to be called here, in the class where it is hardest."""
        leaders, _ = _leaders(found[:LEADING])
        scores = np.array([t.score for t in leaders])
        wanted = 3.0
        while wanted < 60.0:
            tail = exponential_tail_p(np.append(scores, wanted))[-1]
            if max(self.searched * float(_upper(np.array([wanted - MARGIN]))[0]), tail) <= self.of.alpha:
                break
            wanted += 0.5
        needed = []
        for c in np.unique(self.labels):
            chance = float(self.model.share(None, int(c))[self.labels != c].mean())
            needed.append((1.3 * wanted) ** 2 / (2.0 * -np.log(min(chance, 0.99))))
        return max(self.least, int(np.ceil(max(needed))))


def _leaders(found: list[_Tuple]) -> tuple[list[_Tuple], list[list[_Tuple]]]:
    """Tuples in order, each leading or following the first one of its class with which it shares 30% of the smaller set."""
    leaders: list[_Tuple] = []
    follow: list[list[_Tuple]] = []
    marks: dict[int, np.ndarray] = {}
    size = 1 + max((int(t.own.max()) for t in found), default=0)
    for t in found:
        mark = marks.setdefault(t.target, np.full(size, -1, np.int32))
        theirs = mark[t.own]
        shared = np.bincount(theirs[theirs >= 0]) if (theirs >= 0).any() else np.zeros(0, np.int64)
        k = next((int(k) for k in np.argsort(-shared, kind="stable")
                  if shared[k] >= 0.3 * min(len(leaders[k].own), len(t.own))), -1)
        if k >= 0:
            follow[k].append(t)
            continue
        mark[t.own[theirs < 0]] = len(leaders)
        leaders.append(t)
        follow.append([])
    return leaders, follow


def _upper(scores: np.ndarray) -> np.ndarray:
    from scipy.special import ndtr

    return np.asarray(ndtr(-scores))


def _coarse(column: Column, bins: int) -> tuple[np.ndarray, int]:
    if column.kind == "category":
        return frequent_codes(column.values, len(column.levels))
    return quantile_codes(column.values, bins)


def _distinct(table: Table, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(u,) first row of each distinct (row, label), and (n,) the index into it: copies count once."""
    keys = table.row_keys()
    _, code = np.unique(keys, return_inverse=True)
    width = int(labels.max(initial=0)) + 2
    _, first, copy = np.unique(code.ravel().astype(np.int64) * width + labels, return_index=True, return_inverse=True)
    return first, copy.ravel()


def _rows_by_code(codes: np.ndarray, k: int) -> Any:
    """rows_of(code) -> ascending rows, from one sort."""
    order = np.argsort(codes, kind="stable").astype(np.int32)
    starts = np.searchsorted(codes[order], np.arange(k + 1))
    return lambda code: order[starts[code]:starts[code + 1]]
