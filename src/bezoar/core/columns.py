"""Plain columns: what every table source hands on, and how they become a `Dataset`. NumPy only, no loop over rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bezoar.core.dataset import Dataset, Labels
from bezoar.core.errors import LimitExceeded, UnreadableInput, UsageError
from bezoar.core.inputs import Column, Inputs, Table, Texts, frozen
from bezoar.core.limits import Limits


@dataclass(frozen=True, eq=False)
class Plain:
    """One column as read, before anybody knows what it is for.

    kind    "number": `values` (n,) of any integer, boolean or float dtype, NaN for missing
            "time":   `values` (n,) float64 seconds since 1970, NaN for missing
            "text":   `values` (n,) int32 codes into `levels`, -1 for missing
    levels  (k,) object array of distinct strings, in order of first appearance
    remark  what a reader should know about this column, a sentence, or ''
    written the column as text, where reading it as numbers or times altered how it looks ("007", "2024-01-01")
    """

    name: str
    kind: str
    values: np.ndarray
    levels: np.ndarray | None = None
    remark: str = ""
    written: Plain | None = None

    def __len__(self) -> int:
        return len(self.values)

    @property
    def texts(self) -> np.ndarray:
        """The distinct strings of a text column; empty for others."""
        return np.empty(0, object) if self.levels is None else self.levels

    def distinct(self, enough: int = 1 << 62) -> int:
        """Number of distinct values, missing not counted; any number above `enough` means "more"."""
        if self.kind == "text":
            return len(self.texts)
        head = self.values[:20_000]
        few = len(np.unique(head[~_missing(head)]))
        if few > enough:
            return few
        return len(np.unique(self.values[~_missing(self.values)]))

    @property
    def integral(self) -> bool:
        """Whether all numbers are whole."""
        if self.kind != "number":
            return False
        if self.values.dtype.kind in "iub":
            return True
        known = self.values[~np.isnan(self.values)]
        return bool(len(known)) and bool(np.isfinite(known).all() and (known == np.rint(known)).all())


def plain_text(name: str, values: np.ndarray, remark: str = "") -> Plain:
    """A text column from (n,) strings; None and '' are missing.

    >>> plain_text("a", np.array(["x", "", "x"], object)).values.tolist()
    [0, -1, 0]
    """
    place: dict[str, int] = {"": -1}
    codes = np.fromiter((place.setdefault("" if v is None else v, len(place) - 1) for v in values), np.int32, len(values))
    del place[""]
    levels = np.empty(len(place), object)
    levels[:] = list(place)
    return Plain(name, "text", codes, levels, remark)


def _missing(values: np.ndarray) -> np.ndarray:
    return np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)


def number_strings(values: np.ndarray) -> np.ndarray:
    """(n,) object array of strings; whole numbers without a point, NaN as ''."""
    if values.dtype.kind == "b":
        values = values.astype(np.int8)
    uniques, codes = np.unique(values, return_inverse=True)
    if uniques.dtype.kind in "iu":
        texts = [str(v) for v in uniques.tolist()]
    else:
        texts = ["" if v != v else (str(int(v)) if abs(v) < 1e15 and v == int(v) else repr(v)) for v in uniques.tolist()]
    out = np.empty(len(texts), object)
    out[:] = texts
    return out[codes.ravel()]


def strings(column: Plain) -> np.ndarray:
    """(n,) object array of what people read, as it is written where that is known; missing is ''. Other times in ISO 8601."""
    column = column.written or column
    if column.kind == "text":
        return np.append(column.texts, "")[column.values]
    if column.kind == "number":
        return number_strings(column.values)
    known = np.isfinite(column.values) & (np.abs(column.values) < 2e11)
    seconds = np.where(known, column.values, 0.0)
    whole = bool((seconds == np.rint(seconds)).all())
    stamps = (seconds * (1 if whole else 1_000_000)).astype(np.int64).astype("M8[s]" if whole else "M8[us]")
    out = np.datetime_as_string(stamps).astype(object)
    out[~known] = ""
    return np.asarray(out)


def feature(column: Plain) -> Column:
    """The column of a `Table`: numbers and times as float64, texts as categories with sorted levels."""
    if column.kind != "text":
        return Column(column.kind, column.values.astype(np.float64))
    texts = column.texts
    order = np.argsort(texts, kind="stable") if len(texts) else np.empty(0, np.int64)
    place = np.empty(len(texts) + 1, np.int32)
    place[order] = np.arange(len(texts), dtype=np.int32)
    place[-1] = -1
    return Column("category", place[column.values], tuple(texts[order].tolist()))


def labels_of(column: Plain, limits: Limits) -> tuple[Labels, str]:
    """Labels and, where there is something to say, a sentence. Missing cells get code -1.

    Raises LimitExceeded above `limits.max_classes` distinct values, UsageError for numbers with fractions
    in great variety (they are measurements, not classes).
    """
    said = ""
    if column.kind == "number" and not column.integral and column.distinct(1000) > 1000:
        raise UsageError(f"label column {column.name!r} holds measurements, not classes",
                         advice="bezoar looks at classes; name another column with --label, or --label - for no labels")
    column = column.written or column
    if column.kind == "text":
        order = np.argsort(column.texts, kind="stable") if len(column.texts) else np.empty(0, np.int64)
        place = np.empty(len(order) + 1, np.int64)
        place[order] = np.arange(len(order))
        place[-1] = -1
        codes, classes = place[column.values], tuple(column.texts[order].tolist())
    else:
        gone = _missing(column.values)
        uniques, dense = np.unique(column.values[~gone], return_inverse=True)
        codes = np.full(len(column), -1, np.int64)
        codes[~gone] = dense.ravel()
        named = Plain(column.name, column.kind, uniques)
        classes = tuple(strings(named).tolist())
    if len(classes) > limits.max_classes:
        raise LimitExceeded(f"label column {column.name!r} has {len(classes):,} distinct values, the limit is {limits.max_classes:,}",
                            advice="if it is an id or a free text, name the right column with --label")
    if (codes < 0).any():
        said = f"{int((codes < 0).sum()):,} samples have no label"
    return Labels(frozen(codes), classes), said


def unique_ids(ids: np.ndarray) -> tuple[np.ndarray, int]:
    """Ids with a '#2', '#3'... after the second, third... occurrence, and how many were changed. Empty ids become 'row-N'.

    >>> unique_ids(np.array(["a", "b", "a"], object))[0].tolist()
    ['a', 'b', 'a#2']
    """
    ids = ids.copy()
    empty = np.flatnonzero(ids == "")
    ids[empty] = [f"row-{i}" for i in empty]
    if len(set(ids.tolist())) == len(ids):
        return ids, len(empty)
    seen: dict[str, int] = {}
    taken = set(ids.tolist())
    changed = len(empty)
    for i, name in enumerate(ids.tolist()):
        count = seen.get(name, 0) + 1
        seen[name] = count
        if count > 1:
            while f"{name}#{count}" in taken:
                count += 1
            ids[i] = f"{name}#{count}"
            taken.add(ids[i])
            seen[name] = count
            changed += 1
    return ids, changed


@dataclass(frozen=True)
class Roles:
    """Which column is for what; '' and () mean none. `notes` say how that was decided."""

    modality: str
    label: str = ""
    text: tuple[str, ...] = ()
    id: str = ""
    origin: Mapping[str, str] | None = None
    """Name in `Dataset.origin` -> column."""
    features: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def joined_text(columns: Mapping[str, Plain], names: tuple[str, ...]) -> np.ndarray:
    """(n,) object array: the named text columns, joined by a space where there are several."""
    parts = [strings(columns[name]) for name in names]
    if len(parts) == 1:
        return parts[0]
    out = np.empty(len(parts[0]), object)
    out[:] = [" ".join(filter(None, row)) for row in zip(*parts, strict=True)]
    return out


def assemble(columns: Mapping[str, Plain], roles: Roles, *, name: str, limits: Limits, inputs: Inputs | None = None,
             notes: tuple[str, ...] = (), unreadable: tuple[tuple[str, str], ...] = (),
             declared: tuple[str, ...] = ()) -> Dataset:
    """The dataset that `roles` make of `columns`; `inputs` replaces text and features where a source has them already.

    Raises UnreadableInput where there is no row, and what `labels_of` raises.
    """
    n = len(inputs) if inputs is not None else len(next(iter(columns.values()))) if columns else 0
    if n == 0:
        raise UnreadableInput(f"{name} has no rows", advice="check that the file is complete and that it has more than a header")
    said = [*notes, *roles.notes]
    if inputs is None:
        if roles.modality == "text":
            inputs = Texts(joined_text(columns, roles.text))
            empty = int((inputs.values == "").sum())
            if empty:
                said.append(f"{empty:,} texts are empty")
        else:
            if not roles.features:
                raise UnreadableInput(f"{name} has no column left to look at after label, id and origin",
                                      advice="name the text column with --text, or give a file with feature columns")
            inputs = Table({k: feature(columns[k]) for k in roles.features})
    labels = None
    if roles.label:
        labels, remark = labels_of(columns[roles.label], limits)
        said += [remark] if remark else []
    if roles.id:
        ids, changed = unique_ids(strings(columns[roles.id]))
        if changed:
            said.append(f"{changed:,} ids of column {roles.id!r} are missing or repeat an earlier one; they carry 'row-N' or '#2', '#3'...")
    else:
        ids = number_strings(np.arange(n))
    origin = {key: frozen(strings(columns[column])) for key, column in (roles.origin or {}).items()}
    said += [c.remark for c in columns.values() if c.remark]
    return Dataset(inputs, roles.modality, frozen(ids), labels, name, origin, unreadable, tuple(said), declared)
