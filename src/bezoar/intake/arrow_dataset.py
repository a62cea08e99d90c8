"""From one Arrow table to a `Dataset` and back: what Parquet files and saved Arrow datasets share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bezoar.core.ability import Reading
from bezoar.core.columns import Roles, assemble, plain_text
from bezoar.core.dataset import Dataset, Labels
from bezoar.core.edits import Edits, added_columns, cell_edits, positions_of
from bezoar.core.errors import UnreadableInput
from bezoar.core.inputs import Images
from bezoar.core.roles import infer
from bezoar.intake.arrow import edited, plain_columns
from bezoar.intake.arrow_pictures import decoded, picture_column
from bezoar.intake.door import SAYS_ITSELF, declared, says_planted
from bezoar.intake.pictures import MARK, MARKED, png_bytes


@dataclass(frozen=True, eq=False)
class Opened:
    """A dataset, the table it came from (readable rows only), the roles of its columns, the picture column or ''."""

    data: Dataset
    table: Any
    roles: Roles
    picture: str


def opened(table: Any, path: Path, reading: Reading, *, notes: tuple[str, ...] = (),
           class_names: dict[str, list[str]] | None = None) -> Opened:
    """The dataset in a pyarrow Table. `class_names`: column -> names of its whole numbers."""
    if table.num_rows == 0:
        raise UnreadableInput(f"{path.name} has no rows", advice="check that it was written completely")
    picture = "" if reading.modality in ("text", "tabular") else picture_column(table)
    inputs: Images | None = None
    unreadable: tuple[tuple[str, str], ...] = ()
    plain_part = table
    told = (*declared(path), *((SAYS_ITSELF,) if MARK.encode() in (table.schema.metadata or {}) else ()))
    if picture:
        import pyarrow as pa

        inputs, kept, failed, planted = decoded(table.column(picture), reading.limits)
        told += says_planted(planted)
        if not len(kept):
            raise UnreadableInput(f"none of the pictures in column {picture!r} can be read: {failed[0][1]}")
        unreadable = tuple((f"row {row}", why) for row, why in failed)
        table = table.take(pa.array(kept)) if failed else table
        plain_part = table.drop_columns([picture])
        notes = (*notes, f"image column: {picture!r}")
    columns = plain_columns(plain_part, reading.limits, path.name)
    for title, names in (class_names or {}).items():
        column = columns.get(title)
        if column is not None and column.integral:
            codes = np.nan_to_num(column.values.astype(np.float64), nan=-1).astype(np.int64)
            known = np.append(np.array(names, object), "")
            columns[title] = plain_text(title, known[np.where((codes >= 0) & (codes < len(names)), codes, len(names))])
    if picture and not columns:
        columns["row"] = plain_text("row", np.array([str(i) for i in range(table.num_rows)], object))
    roles = infer(columns, reading, modality="image" if picture else "")
    data = assemble(columns, roles, name=path.name, limits=reading.limits, inputs=inputs, notes=notes, unreadable=unreadable,
                    declared=told)
    if class_names and data.labels is not None and roles.label in class_names:
        data = replace(data, labels=_in_order(data.labels, class_names[roles.label]))
    return Opened(data, table, roles, picture)


def _in_order(labels: Labels, names: list[str]) -> Labels:
    """Labels whose classes stand in the order of the feature's names; names without a sample stay out."""
    there = [n for n in names if n in labels.classes]
    place = np.array([there.index(c) for c in labels.classes] + [-1], np.int64)
    return Labels(place[labels.codes], tuple(there))


def subset(old: Opened, data: Dataset, rows: np.ndarray, changed: np.ndarray | None,
           class_names: dict[str, list[str]] | None = None) -> Any:
    """Rows of the table, with the cells that differ in `changed` rows taken from `data`; then the schema says that it is poisoned."""
    at, edits = cell_edits(old.data, data, rows, changed, old.roles)
    table = edited(old.table, at, _coded(edits, class_names))
    for title, cells in added_columns(old.data, data, rows, table.column_names).items():
        table = table.append_column(title, [cells])
    if changed is not None and changed[rows].any():
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), MARK: MARKED})
    _, new = positions_of(old.data, data, rows)
    touched = new if changed is None else changed[rows] | new
    if not old.picture or not touched.any() or not isinstance(data.inputs, Images):
        return table
    import pyarrow as pa

    index = table.column_names.index(old.picture)
    column = table.column(index)
    cells = column.to_pylist()
    assert isinstance(old.data.inputs, Images)
    for place in np.flatnonzero(touched).tolist():
        pixels = data.inputs.read(rows[place:place + 1])[0]
        if not np.array_equal(pixels, old.data.inputs.read(at[place:place + 1])[0]):
            cells[place] = {**cells[place], "bytes": png_bytes(pixels, planted=True)}
    return table.set_column(index, table.schema.field(index), pa.chunked_array([pa.array(cells, column.type)]))


def _coded(edits: Edits, class_names: dict[str, list[str]] | None) -> Edits:
    """Names of classes back to their numbers."""
    out = dict(edits)
    for title, names in (class_names or {}).items():
        if title in out:
            places, cells = out[title]
            out[title] = (places, [None if c is None else names.index(c) for c in cells])
    return out
