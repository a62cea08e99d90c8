"""Arrow tables and plain columns, both ways."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from bezoar.core.columns import Plain
from bezoar.core.errors import LimitExceeded, UnreadableInput
from bezoar.core.limits import Limits


def plain_columns(table: Any, limits: Limits, name: str, *, guess_numbers: bool = False) -> dict[str, Plain]:
    """`Plain` columns of a pyarrow Table; structs are flattened ("a.b"), lists become JSON text, bytes are left out.

    `guess_numbers`: text columns in which nearly every distinct value is a number become numbers, and say so.
    """
    import pyarrow as pa

    for _ in range(limits.max_json_depth):
        if not any(pa.types.is_struct(f.type) for f in table.schema):
            break
        table = table.flatten()
    if table.num_columns > limits.max_columns:
        raise LimitExceeded(f"{name} has {table.num_columns:,} columns, the limit is {limits.max_columns:,}",
                            advice="keep the columns you need, or raise Limits.max_columns")
    if table.num_rows > limits.max_rows:
        raise LimitExceeded(f"{name} has {table.num_rows:,} rows, the limit is {limits.max_rows:,}",
                            advice="scan parts of it, or raise Limits.max_rows")
    names = unique_names(table.column_names)
    out: dict[str, Plain] = {}
    for title, column in zip(names, table.columns, strict=True):
        plain = _plain(title, column, limits, name, guess_numbers)
        if plain is not None:
            out[title] = plain
    return out


def unique_names(names: Iterable[str]) -> list[str]:
    """Column names, the second of a name as 'name.2'.

    >>> unique_names(["a", "a", "b"])
    ['a', 'a.2', 'b']
    """
    out: list[str] = []
    for title in names:
        k, fresh = 1, title
        while fresh in out:
            k += 1
            fresh = f"{title}.{k}"
        out.append(fresh)
    return out


def _plain(title: str, column: Any, limits: Limits, name: str, guess: bool) -> Plain | None:
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        if _stringy(kind.value_type):
            return _coded(title, column, limits, name, guess)
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_null(kind):
        return Plain(title, "number", np.full(len(column), np.nan))
    if pa.types.is_boolean(kind):
        column, kind = column.cast(pa.int8()), pa.int8()
    if pa.types.is_decimal(kind) or pa.types.is_float16(kind):
        column, kind = column.cast(pa.float64()), pa.float64()
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _numbers(title, column.to_numpy())
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        zone = getattr(kind, "tz", None)
        stamps = column.cast(pa.timestamp("us", tz=zone)).cast(pa.int64())
        return Plain(title, "time", np.asarray(stamps.cast(pa.float64()).to_numpy(), np.float64) / 1e6)
    if pa.types.is_time(kind) or pa.types.is_duration(kind):
        return _numbers(title, column.cast(pa.int32() if kind.bit_width == 32 else pa.int64()).to_numpy())
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind) or pa.types.is_map(kind):
        cells = [None if v is None else json.dumps(v, ensure_ascii=False, default=str) for v in column.to_pylist()]
        column = pa.chunked_array([pa.array(cells, pa.large_string())])
        kind = column.type
    if _stringy(kind):
        try:
            whole = column.cast(pa.large_string()).combine_chunks()
            column = pa.chunked_array([whole] if isinstance(whole, pa.Array) else whole.chunks, pa.large_string()).dictionary_encode()
        except pa.ArrowInvalid as error:
            raise UnreadableInput(f"{name}: column {title!r} cannot be read: {error}", advice="write it again as UTF-8") from error
        return _coded(title, column, limits, name, guess)
    return None


def _stringy(kind: Any) -> bool:
    return str(kind) in ("string", "large_string", "string_view")


def _numbers(title: str, values: np.ndarray) -> Plain:
    if values.dtype.kind == "f" and np.isinf(values).any():
        count = int(np.isinf(values).sum())
        values = np.where(np.isinf(values), np.nan, values)
        return Plain(title, "number", values, remark=f"column {title!r} holds {count:,} infinite values; they count as missing")
    return Plain(title, "number", values)


def _coded(title: str, column: Any, limits: Limits, name: str, guess: bool) -> Plain:
    """A text column from dictionary-encoded strings; the dictionary is never expanded."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.num_chunks == 0:
        return Plain(title, "text", np.empty(0, np.int32), np.empty(0, object))
    column = column.unify_dictionaries()
    dictionary = column.chunk(0).dictionary
    codes = np.concatenate([c.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32) for c in column.chunks])
    if (pc.max(pc.binary_length(dictionary)).as_py() or 0) > limits.max_field_chars:
        lengths = pc.fill_null(pc.utf8_length(dictionary), 0)
        if (most := pc.max(lengths).as_py()) > limits.max_field_chars:
            row = int(np.flatnonzero(codes == pc.index(lengths, most).as_py()).min(initial=len(codes))) + 1
            raise LimitExceeded(f"{name}: column {title!r}, row {row:,}: a field of {most:,} characters, the limit is "
                                f"{limits.max_field_chars:,}", advice="shorten it, or raise Limits.max_field_chars")
    try:
        levels = dictionary.to_numpy(zero_copy_only=False)
    except (UnicodeDecodeError, pa.ArrowInvalid) as error:
        raise UnreadableInput(f"{name}: column {title!r} holds bytes that are not UTF-8", advice="write it again as UTF-8") from error
    return _typed(title, *_tidy(codes, levels), guess)


def _tidy(codes: np.ndarray, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct, non-empty levels; codes of what is missing or empty are -1."""
    place: dict[str | None, int] = {None: -1, "": -1}
    where = np.array([place.setdefault(v, len(place) - 2) for v in levels.tolist()] + [-1], np.int32)
    tidy = np.empty(len(place) - 2, object)
    tidy[:] = list(place)[2:]
    return where[codes], tidy


def _typed(title: str, codes: np.ndarray, levels: np.ndarray, guess: bool) -> Plain:
    """Text as what it is: ISO times become times, and, if asked, numbers become numbers."""
    if len(levels) and ISO.match(levels[0]):
        try:
            stamps = np.array([v.strip().replace(" ", "T").removesuffix("Z") for v in levels.tolist()], "M8[us]")
            seconds = np.append(stamps.astype(np.int64) / 1e6, np.nan)[codes]
            return Plain(title, "time", seconds, written=Plain(title, "text", codes, levels))
        except ValueError:
            pass
    number = _as_numbers(title, codes, levels) if guess and len(levels) else None
    return number or Plain(title, "text", codes, levels)


ISO = re.compile(r"\s*\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d{1,6})?)?Z?)?\s*$")
NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?\s*$"
ABSENT = frozenset(("na", "n/a", "nan", "null", "none", "?", "-", "#n/a", "nil", "missing"))


def _as_numbers(title: str, codes: np.ndarray, levels: np.ndarray) -> Plain | None:
    """Numbers where at least 19 of 20 filled cells are numbers; what is not is named and counts as missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    head = pa.array(levels[:50], pa.large_string())
    if len(levels) >= 50 and pc.sum(pc.match_substring_regex(head, NUMBER)).as_py() < 10:
        return None
    texts = pa.array(levels, pa.large_string())
    fits = pc.match_substring_regex(texts, NUMBER).to_numpy(zero_copy_only=False)
    values = np.full(len(levels) + 1, np.nan)
    values[:-1][fits] = pc.cast(pc.utf8_trim_whitespace(texts.filter(pa.array(fits))), pa.float64()).to_numpy(zero_copy_only=False)
    odd = [i for i in np.flatnonzero(~fits).tolist() if levels[i].strip().lower() not in ABSENT]
    counts = np.bincount(codes[codes >= 0], minlength=len(levels))
    strange = int(counts[odd].sum()) if odd else 0
    if not np.isfinite(values).any() or strange > 0.05 * counts.sum():
        return None
    said = ""
    if strange:
        said = (f"column {title!r}: {strange:,} cells are not numbers ({', '.join(repr(levels[i][:40]) for i in odd[:3])}); "
                "they count as missing")
    plain = _numbers(title, values[codes])
    return Plain(title, "number", plain.values, remark=said or plain.remark, written=Plain(title, "text", codes, levels))


def edited(table: Any, positions: np.ndarray, edits: dict[str, tuple[np.ndarray, list[Any]]]) -> Any:
    """Rows `positions` of a pyarrow Table, in that order, with `edits`: column -> (places in the result, new cells)."""
    import pyarrow as pa

    out = table.take(pa.array(positions))
    for title, (places, cells) in edits.items():
        if title not in out.column_names:
            raise UnreadableInput(f"column {title!r} is nested; changed cells cannot be written into it",
                                  advice="flatten the table first")
        index = out.column_names.index(title)
        column = out.column(index)
        kind = column.type
        plain_kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        values = column.cast(plain_kind).combine_chunks()
        values = values if isinstance(values, pa.Array) else pa.concat_arrays(values.chunks)
        try:
            fresh = pa.array(cells).cast(plain_kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            fresh = pa.array(cells)
            values = values.cast(fresh.type)
            plain_kind = kind = fresh.type
        order = np.argsort(places, kind="stable")
        mask = np.zeros(len(out), bool)
        mask[places] = True
        import pyarrow.compute as pc

        column = pc.replace_with_mask(values, pa.array(mask), fresh.take(pa.array(order)))
        if plain_kind != kind:
            column = column.dictionary_encode().cast(kind)
        out = out.set_column(index, pa.field(title, column.type, metadata=table.schema.field(title).metadata), column)
    return out
