"""Tables of numbers, categories and times, with missing cells.

Atoms are exact values, rare categories, values beyond a gap, missing cells, unusual digits, and pairs and triples of exact
values that occur together more often than their columns allow. Content is quantile bins and frequent categories: it cannot
tell one exact value from its neighbours. Fails on triggers that are written as ranges instead of exact values, and on values
that occur together by nature as often as the trigger does. Cost: about 1 s per 10,000 rows of 40 columns.
Triggers: Tabdoor, arXiv 2311.07550.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bezoar.core.ability import Info, Modality
from bezoar.core.atoms import Atoms
from bezoar.core.errors import Unavailable
from bezoar.core.evidence import Facts
from bezoar.core.inputs import Column, Table
from bezoar.core.learned import Ask, Followed, Taught
from bezoar.core.table_triggers import Values
from bezoar.core.trigger import Trigger
from bezoar.maths.columns import decimals, exact_codes, neighbour_mean, normal_scores, quantile_codes, robust_scale, tail_gap
from bezoar.maths.pairs import Excess, grow_triples, pair_excess

FAMILIES = ("value", "rare category", "beyond", "missing", "digits", "pair", "triple")
_MIX = np.uint64(0x9E3779B97F4A7C15)


VALUE, COARSE, PAIR = 2.0, 0.5, 2.0
"""Weights of exact values, orders of magnitude and pairs in the probe's features."""


def _hash(*parts: np.ndarray) -> np.ndarray:
    """Stateless 64-bit mixing of equal-length (or scalar) uint64 arrays."""
    h = np.zeros(1, np.uint64)
    with np.errstate(over="ignore"):
        for p in parts:
            h = (h ^ p) * _MIX
            h = h ^ (h >> np.uint64(29))
            h = h * np.uint64(0xBF58476D1CE4E5B9)
            h = h ^ (h >> np.uint64(32))
    return h


def _name_hash(text: str) -> np.uint64:
    import hashlib

    return np.frombuffer(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), np.uint64)[0]


def _magnitude(values: np.ndarray) -> np.ndarray:
    """(n,) uint64: numbers rounded to half a natural logarithm, signs kept; missing counts as 0."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray((np.rint(np.arcsinh(np.nan_to_num(values)) * 2.0) + 0.0).view(np.uint64))


def _cell_hash(name: str, column: Column) -> np.ndarray:
    """(n,) uint64 from the column name and the exact cell; equal cells of equal columns hash alike in any table."""
    if column.kind == "category":
        levels = np.array([_name_hash(v) for v in column.levels] + [np.uint64(0)], np.uint64)
        cells = levels[column.values]
    else:
        cells = (column.values + 0.0).astype(np.float64).view(np.uint64)
    return _hash(np.array([_name_hash(name)], np.uint64), cells)


class Tabular(Modality):
    """Rows of named columns: numbers and times as float64 with NaN, categories as codes."""

    info = Info(name="tabular", summary="tables of numbers, categories and times", modalities=("tabular",),
                threats=("backdoor-dirty-label", "backdoor-clean-label", "label-flip", "source"),
                cost="about 1 s per 10,000 rows of 40 columns", reference="Tabdoor, arXiv 2311.07550")

    def __init__(self, *, dimensions: int = 24, bins: int = 10, least: int = 4, probe_bits: int = 16) -> None:
        self.dimensions = dimensions
        self.bins = bins
        self.least = least
        self.probe_bits = probe_bits

    # -- views

    def embed(self, inputs: Table) -> np.ndarray:  # type: ignore[override]
        """(n, d) float32, d <= `dimensions` (16 above 200,000 rows): scaled numbers and hashed categories, projected.

        Numbers count through a robust scale and through their rank; every category level is a fixed random direction;
        category columns that are nearly all distinct (ids) are left out. The projection is fixed: equal rows are equal points.
        """
        n = len(inputs)
        width = self.dimensions if n <= 200_000 else min(self.dimensions, 16)
        rng = np.random.default_rng(20)
        out = np.zeros((n, width), np.float32)
        for name, column in inputs.columns.items():
            if column.kind == "category":
                if len(column.levels) <= max(0.5 * n, 8):
                    bits = _hash(np.array([_name_hash(f"{name}\0{v}") for v in column.levels] + [np.uint64(0)], np.uint64))
                    signs = (bits[:, None] >> np.arange(width, dtype=np.uint64)) & np.uint64(1)
                    out += ((signs.astype(np.float32) * 2 - 1) / np.sqrt(np.float32(width)))[column.values]
                continue
            for part in (robust_scale(column.values), normal_scores(column.values), np.isnan(column.values).astype(np.float32)):
                out += part[:, None] * (rng.standard_normal(width) / np.sqrt(width)).astype(np.float32)
        return out

    def content(self, inputs: Table) -> Any:  # type: ignore[override]
        """(n, p) CSR: one-hot quantile bins of numbers and one-hot frequent levels (at least 1%, at most 30) of categories."""
        from scipy.sparse import csr_array

        n = len(inputs)
        places, width = [], 0
        for column in inputs.columns.values():
            codes, k = self._coarse(column)
            places.append((codes + 1 + width).astype(np.int32))
            width += k + 1
        if not places:
            return csr_array((n, 1), dtype=np.float32)
        indices = np.stack(places, axis=1).ravel()
        indptr = np.arange(n + 1, dtype=np.int64) * len(places)
        return csr_array((np.ones(len(indices), np.float32), indices, indptr), shape=(n, width))

    def _coarse(self, column: Column) -> tuple[np.ndarray, int]:
        if column.kind != "category":
            return quantile_codes(column.values, self.bins)
        sizes = np.bincount(column.values[column.values >= 0], minlength=len(column.levels))
        frequent = np.argsort(-sizes, kind="stable")[:30]
        frequent = frequent[sizes[frequent] >= max(0.01 * len(column.values), 1)]
        new = np.full(len(column.levels) + 1, len(frequent), np.int32)
        new[frequent] = np.arange(len(frequent), dtype=np.int32)
        new[-1] = -1
        return new[column.values], len(frequent) + 1

    def signal(self, inputs: Table) -> np.ndarray:  # type: ignore[override]
        """(n, p) float32: normal scores of numbers, one-hot levels (up to 12 a column) of categories, p <= 256."""
        parts: list[np.ndarray] = []
        for column in inputs.columns.values():
            if column.kind != "category":
                parts.append(normal_scores(column.values))
            elif len(column.levels) <= 12:
                parts.extend((column.values == code).astype(np.float32) for code in range(len(column.levels)))
            if len(parts) > 256:
                break
        if len(parts) < 3:
            raise Unavailable("signal", advice="the table has too few columns for a spectrum")
        return np.stack(parts[:256], axis=1)

    def features(self, inputs: Table) -> Any:  # type: ignore[override]
        """(n, 2**probe_bits) CSR, stateless: hashed exact values, orders of magnitude, and pairs of values.

        With up to 20 columns all pairs; with more only pairs of cells that are neither 0 nor missing.
        """
        from scipy.sparse import csr_array, vstack

        chunk = max(1000, 8_000_000 // max(len(inputs.columns) ** 2, 1))
        blocks = [self._features(inputs.take(np.arange(s, min(s + chunk, len(inputs))))) for s in range(0, len(inputs), chunk)]
        return vstack(blocks, format="csr") if blocks else csr_array((0, 1 << self.probe_bits), dtype=np.float32)

    def _features(self, part: Table) -> Any:
        from scipy.sparse import csr_array

        n, size = len(part), 1 << self.probe_bits
        hashed = [_cell_hash(name, c) for name, c in part.columns.items()]
        plain = [(c.values == 0) | np.isnan(c.values) if c.kind != "category" else c.values < 0 for c in part.columns.values()]
        d = len(hashed)
        if d == 0:
            return csr_array((n, size), dtype=np.float32)
        cells, empty = np.stack(hashed, axis=1), np.stack(plain, axis=1)
        coarse = [_hash(np.array([_name_hash(name + "\0~")], np.uint64), _magnitude(c.values))
                  for name, c in part.columns.items() if c.kind != "category"]
        places, held, weights = [cells], [np.ones((n, d), bool)], [np.full(d, VALUE)]
        if coarse:
            places.append(np.stack(coarse, axis=1))
            held.append(np.ones((n, len(coarse)), bool))
            weights.append(np.full(len(coarse), COARSE))
        for i in range(d - 1):
            places.append(_hash(cells[:, i:i + 1], cells[:, i + 1:]))
            held.append(~empty[:, i:i + 1] & ~empty[:, i + 1:] if d > 20 else np.ones((n, d - 1 - i), bool))
            weights.append(np.full(d - 1 - i, PAIR))
        kept = np.concatenate(held, axis=1)
        place = (np.concatenate(places, axis=1) >> np.uint64(64 - self.probe_bits)).astype(np.int64)
        weight = np.broadcast_to(np.concatenate(weights).astype(np.float32), kept.shape)
        indptr = np.concatenate([[0], np.cumsum(kept.sum(axis=1))])
        out = csr_array((weight[kept], place[kept], indptr), shape=(n, size))
        out.sum_duplicates()
        return out

    def probe(self, inputs: Table, codes: np.ndarray, classes: int, seed: int, number: int = 0) -> Taught:  # type: ignore[override]
        """A perceptron on standardised numbers and one-hot categories, whatever its number."""
        from bezoar.core.table_code import TableCode
        from bezoar.networks.probe import of_rows

        return of_rows(inputs, TableCode.of(inputs).matrix, codes, classes, seed)

    def retrained(self, inputs: Table, codes: np.ndarray, classes: int, seed: int) -> Ask:  # type: ignore[override]
        from bezoar.core.table_code import TableCode
        from bezoar.networks.probe import again_rows

        return again_rows(inputs, TableCode.of(inputs).matrix, codes, classes, seed)

    def follow(self, inputs: Table, codes: np.ndarray, classes: int, others: Table, seed: int) -> Followed:  # type: ignore[override]
        from bezoar.core.table_code import TableCode
        from bezoar.networks.following import follow_rows

        return follow_rows(inputs, TableCode.of(inputs).matrix, codes, classes, others, seed)

    # -- atoms

    def atoms(self, inputs: Table) -> Atoms:  # type: ignore[override]
        """Exact values, categories, gaps, missing cells, digits, pairs and triples; see the module. At most 5% hold an atom."""
        from scipy.sparse import csc_array

        n = len(inputs)
        least, most = max(self.least, n // 2000), max(n // 20, self.least)
        held: list[np.ndarray] = []
        families: list[int] = []
        expected: list[float] = []
        names: list[tuple[tuple[str, str], ...]] = []
        searched = np.zeros(len(FAMILIES))

        def add(family: str, rows: np.ndarray, by_chance: float, *cells: tuple[str, str]) -> None:
            held.append(rows.astype(np.int32))
            families.append(FAMILIES.index(family))
            expected.append(by_chance)
            names.append(cells)

        codes, sizes, texts = [], [], []
        for name, column in inputs.columns.items():
            code, values, counts = exact_codes(column.values, least)
            text = [_cell_text(column, v) for v in values]
            known = ~np.isnan(values)
            by_chance = neighbour_mean(counts) if column.kind != "category" else np.full(len(counts), np.nan)
            rows_of = _members(code, len(counts))
            for v in np.flatnonzero((counts <= most) & known):
                add("rare category" if column.kind == "category" else "value", rows_of(v), float(by_chance[v]), (name, text[v]))
            searched[FAMILIES.index("rare category" if column.kind == "category" else "value")] += len(values)
            missing = np.flatnonzero(column.values < 0 if column.kind == "category" else np.isnan(column.values))
            if least <= len(missing) <= n // 2:
                add("missing", missing, np.nan, (name, "missing"))
            searched[FAMILIES.index("missing")] += 1
            if column.kind == "number":
                self._odd_numbers(name, column, least, most, add)
                searched[[FAMILIES.index("beyond"), FAMILIES.index("digits")]] += 2
            codes.append(code)
            sizes.append(len(counts))
            texts.append(text)
        columns = tuple(inputs.columns)
        per_pair = int(np.clip(20_000 // max(len(codes) * (len(codes) - 1) // 2, 1), 4, 64))
        margins = [np.bincount(c[c >= 0], minlength=k).astype(np.float64) for c, k in zip(codes, sizes, strict=True)]
        best: list[tuple[float, Excess, int]] = []
        for found in pair_excess(codes, sizes, least=least, most=most, per_pair=per_pair):
            searched[FAMILIES.index("pair")] += sizes[found.i] * sizes[found.j]
            best.extend((float(s), found, k) for k, s in enumerate(found.strength) if s > 3.0)
        best.sort(key=lambda item: -item[0])
        for rank, (_, found, k) in enumerate(best):
            i, j, a, b = found.i, found.j, int(found.a[k]), int(found.b[k])
            rows = np.flatnonzero((codes[i] == a) & (codes[j] == b))
            cells = ((columns[i], texts[i][a]), (columns[j], texts[j][b]))
            add("pair", rows, float(found.expected[k]), *cells)
            if rank < 200:
                third = grow_triples(codes, sizes, rows, (i, j), least=least, background=margins)
                searched[FAMILIES.index("triple")] += sum(sizes)
                if third is not None:
                    c, level, chance = third
                    add("triple", rows[codes[c][rows] == level], chance, *cells, (columns[c], texts[c][level]))
        indptr = np.concatenate([[0], np.cumsum([len(h) for h in held])]).astype(np.int64)
        indices = np.concatenate(held) if held else np.zeros(0, np.int32)
        matrix = csc_array((np.ones(len(indices), np.uint8), indices, indptr), shape=(n, len(held)))
        return Atoms(matrix, FAMILIES, np.array(families, np.int16), np.array(expected, np.float64), np.maximum(searched, 1.0),
                     lambda j: " and ".join(f"{c} = {v}" for c, v in names[j]))

    @staticmethod
    def _odd_numbers(name: str, column: Column, least: int, most: int, add: Any) -> None:
        low, high = tail_gap(column.values, least=least)
        for rows, words in ((np.flatnonzero(column.values > high), f"above {high:.6g}"),
                            (np.flatnonzero(column.values < low), f"below {low:.6g}")):
            if least <= len(rows) <= most:
                add("beyond", rows, np.nan, (name, words))
        digits = decimals(column.values)
        counts = np.bincount(digits[digits >= 0], minlength=7)
        usual = int(np.argmax(counts))
        for k in np.flatnonzero((counts >= least) & (counts <= most)):
            if k != usual:
                add("digits", np.flatnonzero(digits == k), np.nan, (name, f"written with {k} decimals"))

    # -- triggers

    def lift(self, inputs: Table, members: np.ndarray, background: np.ndarray, place: dict[str, Any]) -> Trigger:  # type: ignore[override]
        """The values that at least 80% of `members` share and the background does not.

        `place` may name `columns`; else all are searched. Raises Unavailable where no value is shared.
        """
        members, background = np.asarray(members, np.int64), np.asarray(background, np.int64)
        scored: list[tuple[float, str, str]] = []
        for name in place.get("columns", inputs.names):
            if name not in inputs.columns:
                continue
            column = inputs[name]
            code, values, _ = exact_codes(column.values, 1)
            count = np.bincount(code[members], minlength=len(values))
            top = int(np.argmax(count))
            share = count[top] / max(len(members), 1)
            elsewhere = float((code[background] == top).mean()) if len(background) else 0.0
            if share >= 0.8 and not np.isnan(values[top]) and (elsewhere < 0.5 * share or "columns" in place):
                scored.append((share * np.log((share + 0.01) / (elsewhere + 0.001)), name, _cell_text(column, values[top])))
        if not scored:
            raise Unavailable("a value that the members share")
        scored.sort(key=lambda item: -item[0])
        chosen = {name: value for _, name, value in scored[:8]}
        ordered = [c for c in inputs.names if c in chosen]
        return Values(tuple(ordered), tuple(chosen[c] for c in ordered))

    def control(self, trigger: Trigger, inputs: Table, rng: np.random.Generator) -> Trigger:  # type: ignore[override]
        """The same columns with values drawn one by one from what the table holds there, unlike the trigger's own."""
        if not isinstance(trigger, Values):
            raise Unavailable("a control for this trigger")
        values = []
        for name, planted in zip(trigger.columns, trigger.values, strict=True):
            column = inputs[name]
            drawn = planted
            for row in rng.integers(0, max(len(inputs), 1), 32):
                text = _cell_text(column, float(column.values[row]))
                if text and text != planted:
                    drawn = text
                    break
            values.append(drawn)
        return Values(trigger.columns, tuple(values))

    def show(self, inputs: Table, row: int, sample: str, trigger: Trigger | None = None) -> Facts:  # type: ignore[override]
        """The row, cells of the trigger first; at most 40 cells."""
        first = [c for c in trigger.columns if c in inputs.columns] if isinstance(trigger, Values) else []
        names = [*first, *(c for c in inputs.names if c not in first)][:40]
        cells = tuple((c, inputs[c].as_text(np.array([row]))[0]) for c in names)
        caption = f"the trigger is in {', '.join(first)}" if first else ""
        return Facts(("column", "value"), cells, caption=caption, sample=sample)


def _cell_text(column: Column, value: float) -> str:
    """The cell as a trigger stores it: exact for numbers."""
    if np.isnan(value) or (column.kind == "category" and value < 0):
        return ""
    if column.kind == "category":
        return column.levels[int(value)]
    return repr(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))


def _members(codes: np.ndarray, k: int) -> Any:
    """rows_of(code) -> ascending rows, from one sort."""
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(k + 1))
    return lambda code: order[starts[code]:starts[code + 1]]
