"""From a changed `Dataset` back to the cells of the table it came from."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from bezoar.core.columns import Roles
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.inputs import Column, Table, Texts

Edits = dict[str, tuple[np.ndarray, list[Any]]]


def positions_of(before: Dataset, after: Dataset, rows: np.ndarray) -> np.ndarray:
    """Row of `before` for each of `rows` of `after`, by id. Raises UsageError for an id that `before` has not."""
    place = {name: i for i, name in enumerate(before.ids.tolist())}
    try:
        return np.array([place[name] for name in after.ids[rows].tolist()], np.int64)
    except KeyError as error:
        raise UsageError(f"sample {error.args[0]!r} is not in the original data",
                         advice="the data changed, or another file was named") from error


def cell_edits(before: Dataset, after: Dataset, rows: np.ndarray, changed: np.ndarray | None, roles: Roles) -> tuple[np.ndarray, Edits]:
    """Positions in `before` of `rows`, and per column the places within `rows` whose cell differs, with the new cell.

    Only rows in `changed` are compared; cells that are equal are never touched.
    """
    at = positions_of(before, after, rows)
    edits: Edits = {}
    if changed is None or not changed[rows].any():
        return at, edits
    places = np.flatnonzero(changed[rows])
    new, old = rows[places], at[places]
    if after.labels is not None and before.labels is not None and roles.label:
        fresh = np.append(np.array(after.labels.classes, object), "")[after.labels.codes[new]]
        stale = np.append(np.array(before.labels.classes, object), "")[before.labels.codes[old]]
        _note(edits, roles.label, places, fresh != stale, _as_cells(fresh))
    if isinstance(after.inputs, Texts) and isinstance(before.inputs, Texts):
        fresh_text, stale_text = after.inputs.values[new], before.inputs.values[old]
        differs = fresh_text != stale_text
        if differs.any() and len(roles.text) > 1:
            raise UsageError("the text was joined from several columns, so a changed text cannot be put back",
                             advice="name one column with --text")
        _note(edits, roles.text[0], places, differs, list(fresh_text))
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
