"""From a changed `Dataset` back to the cells of the table it came from."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from bezoar.core.columns import Roles
from bezoar.core.dataset import Dataset
from bezoar.core.inputs import Column, Table, Texts

Edits = dict[str, tuple[np.ndarray, list[Any]]]


def positions_of(before: Dataset, after: Dataset, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row of `before` for each of `rows` of `after`, by id, and which of them are new samples.

    A new sample (an attack may inject some) gets the row of another one as its pattern, one after the other, so that
    columns nobody looks at hold something plausible.
    """
    place = {name: i for i, name in enumerate(before.ids.tolist())}
    at = np.array([place.get(name, -1) for name in after.ids[rows].tolist()], np.int64)
    new = at < 0
    at[new] = np.arange(int(new.sum())) % len(before)
    return at, new


def written_names(after: Dataset, rows: np.ndarray, has_ids: bool) -> np.ndarray:
    """Ids after writing: the same where there is an id column, else row numbers."""
    names = after.ids[rows].copy()
    if not has_ids:
        names[:] = [str(i) for i in range(len(rows))]
    return names


def cell_edits(before: Dataset, after: Dataset, rows: np.ndarray, changed: np.ndarray | None, roles: Roles) -> tuple[np.ndarray, Edits]:
    """Positions in `before` of `rows`, and per column the places within `rows` whose cell differs, with the new cell.

    Only rows in `changed` and new samples are compared; cells that are equal are never touched. A changed text that was
    joined from several columns goes to the first of them and leaves the others empty: joined again, it is the same.
    """
    at, added = positions_of(before, after, rows)
    edits: Edits = {}
    places = np.flatnonzero(added if changed is None else changed[rows] | added)
    if not len(places):
        return at, edits
    new, old, fresh_row = rows[places], at[places], added[places]
    if after.labels is not None and before.labels is not None and roles.label:
        fresh = np.append(np.array(after.labels.classes, object), "")[after.labels.codes[new]]
        stale = np.append(np.array(before.labels.classes, object), "")[before.labels.codes[old]]
        _note(edits, roles.label, places, fresh != stale, _as_cells(fresh))
    if roles.id:
        _note(edits, roles.id, places, fresh_row, list(after.ids[new]))
    for key, column in (roles.origin or {}).items():
        if key in after.origin and column not in (roles.label, roles.id, *roles.text, *roles.features):
            _note(edits, column, places, fresh_row & (after.origin[key][new] != before.origin[key][old]), list(after.origin[key][new]))
    if isinstance(after.inputs, Texts) and isinstance(before.inputs, Texts):
        fresh_text, stale_text = after.inputs.values[new], before.inputs.values[old]
        for column in roles.text:
            _note(edits, column, places, fresh_text != stale_text, list(fresh_text) if column == roles.text[0] else [""] * len(places))
    elif isinstance(after.inputs, Table) and isinstance(before.inputs, Table):
        for name in roles.features:
            cells, differs = _differing(before.inputs[name], old, after.inputs[name], new)
            _note(edits, name, places, differs, cells)
    return at, edits


def added_columns(before: Dataset, after: Dataset, rows: np.ndarray, there: Collection[str]) -> dict[str, list[str]]:
    """Origin columns that `after` has and neither `before` nor the file (`there`): an attack may deal rows to vendors."""
    return {k: [str(v) for v in values[rows]] for k, values in after.origin.items() if k not in before.origin and k not in there}


def _differing(stale: Column, old: np.ndarray, fresh: Column, new: np.ndarray) -> tuple[list[Any], np.ndarray]:
    if fresh.kind == "category":
        a = np.append(np.array(stale.levels, object), "")[stale.values[old]]
        b = np.append(np.array(fresh.levels, object), "")[fresh.values[new]]
        return list(b), a != b
    a, b = stale.values[old], fresh.values[new]
    differs = ~((a == b) | (np.isnan(a) & np.isnan(b)))
    if fresh.kind == "time":
        return [None if t != t else np.datetime64(round(t * 1e6), "us").item() for t in b.tolist()], differs
    return _as_numbers(b), differs


def _as_numbers(values: np.ndarray) -> list[Any]:
    return [None if v != v else (int(v) if abs(v) < 2**53 and v == int(v) else v) for v in values.tolist()]


def _as_cells(classes: np.ndarray) -> list[Any]:
    return [None if c == "" else c for c in classes.tolist()]


def _note(edits: Edits, column: str, places: np.ndarray, differs: np.ndarray, cells: list[Any]) -> None:
    hit = np.flatnonzero(differs)
    if len(hit):
        edits[column] = (places[hit], [cells[i] for i in hit])
