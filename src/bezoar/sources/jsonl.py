"""JSON Lines: one object per line, plain or gzipped.

Strict, with the line number in every complaint: invalid JSON or UTF-8, a key that occurs twice, NaN and infinities,
numbers beyond a double, nesting beyond `Limits.max_json_depth`, lone surrogates. Nested objects become columns "a.b",
lists become JSON text. A cleaned copy keeps every untouched line byte for byte. Cost: about 0.5 s per 100,000 short lines.
"""

from __future__ import annotations

import codecs
import gzip
import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from bezoar.core.ability import Info, Reading, Source
from bezoar.core.columns import Plain, Roles, assemble
from bezoar.core.dataset import Dataset
from bezoar.core.edits import added_columns, cell_edits, written_names
from bezoar.core.errors import LimitExceeded, UnreadableInput
from bezoar.core.limits import Limits
from bezoar.core.roles import infer
from bezoar.intake.arrow import plain_columns
from bezoar.intake.door import declared, published, read_file

SUFFIXES = (".jsonl", ".ndjson", ".json")


class JsonLines(Source):
    """One JSON object per line."""

    info: ClassVar[Info] = Info(name="jsonl", summary="JSON Lines, plain or gzipped", modalities=("text", "tabular"),
                                cost="about 0.5 s per 100,000 short lines")

    def claims(self, path: Path) -> bool:
        """By the name: .jsonl, .ndjson, .json, each also with .gz."""
        return path.name.lower().removesuffix(".gz").endswith(SUFFIXES) and path.is_file()

    def open(self, path: Path, reading: Reading) -> Dataset:
        """Raises UnreadableInput with the line number; LimitExceeded."""
        return self._open(path, reading)[0]

    def _open(self, path: Path, reading: Reading) -> tuple[Dataset, Roles, list[str], list[bytes]]:
        raw = read_file(path, reading.limits)
        lines, numbers = _lines(raw, path.name, reading.limits)
        records = [_record(line, number, path.name, reading.limits) for line, number in zip(lines, numbers, strict=True)]
        columns = _columns(records, path.name, reading.limits)
        roles = infer(columns, reading)
        data = assemble(columns, roles, name=path.name, limits=reading.limits, declared=declared(path))
        return data, roles, list(columns), lines

    def write(self, original: Path, data: Dataset, rows: np.ndarray, out: Path, reading: Reading,
              changed: np.ndarray | None = None) -> None:
        """Lines of `rows`, byte for byte unless a value of them changed."""
        before, roles, there, lines = self._open(original, reading)
        at, edits = cell_edits(before, data, rows, changed, roles)
        kept = [lines[i] for i in at.tolist()]
        by_line: dict[int, dict[str, Any]] = {}
        for column, (places, cells) in edits.items():
            for place, cell in zip(places.tolist(), cells, strict=True):
                by_line.setdefault(place, {})[column] = cell
        for column, fresh in added_columns(before, data, rows, there).items():
            for place, value in enumerate(fresh):
                by_line.setdefault(place, {})[column] = value
        for place, cells_of in by_line.items():
            kept[place] = _edited(kept[place], cells_of)
        done = b"".join(line if line.endswith(b"\n") else line + b"\n" for line in kept)
        with published(out) as draft:
            draft.write_bytes(gzip.compress(done, 6, mtime=0) if original.name.lower().endswith(".gz") else done)

    def written_ids(self, original: Path, data: Dataset, rows: np.ndarray, reading: Reading,
                    changed: np.ndarray | None = None) -> np.ndarray:
        """The same ids where there is an id column, else row numbers."""
        return written_names(data, rows, bool(self._open(original, reading)[1].id))


def _lines(raw: bytes, name: str, limits: Limits) -> tuple[list[bytes], list[int]]:
    raw = raw.removeprefix(codecs.BOM_UTF8)
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UnreadableInput(f"{name} is UTF-16", advice="JSON is UTF-8: save it again")
    if raw.lstrip()[:1] == b"[":
        raise UnreadableInput(f"{name} is one JSON array", advice="write one object per line (JSON Lines), "
                              "e.g. pandas.read_json(f).to_json('data.jsonl', orient='records', lines=True)")
    lines, numbers = [], []
    start, number = 0, 0
    while start < len(raw):
        end = raw.find(b"\n", start)
        end = len(raw) if end < 0 else end + 1
        number += 1
        if end - start > 4 * limits.max_field_chars + (1 << 20):
            raise LimitExceeded(f"{name}, line {number:,}: {end - start:,} bytes",
                                advice="shorten the line, or raise Limits.max_field_chars")
        line = raw[start:end]
        if line.strip():
            lines.append(line)
            numbers.append(number)
            if len(lines) > limits.max_rows:
                raise LimitExceeded(f"{name} has more than {limits.max_rows:,} rows", advice="scan parts of it")
        start = end
    if not lines:
        raise UnreadableInput(f"{name} has no rows", advice="check that it was written completely")
    return lines, numbers


class _Bad(ValueError):
    """A rule that this line breaks."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _Bad(f"the key {key[:60]!r} occurs twice")
            seen.add(key)
    return out


def _constant(word: str) -> Any:
    raise _Bad(f"{word} is not JSON; write null")


def _float(text: str) -> float:
    value = float(text)
    if value - value != 0:
        raise _Bad(f"the number {text[:20]} is out of range")
    return value


def _int(text: str) -> int | float:
    if len(text) <= 18:
        return int(text)
    if len(text) > 300:
        raise _Bad(f"a whole number of {len(text):,} digits is out of range")
    return float(text)


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_constant, parse_float=_float, parse_int=_int)


def _record(line: bytes, number: int, name: str, limits: Limits) -> dict[str, Any]:
    where = f"{name}, line {number:,}"
    try:
        if line.count(b"[") + line.count(b"{") > limits.max_json_depth:
            _check_depth(line, limits.max_json_depth)
        text = line.decode("utf-8")
        record = _DECODER.decode(text)
        if b"\\ud" in line or b"\\uD" in line:
            json.dumps(record, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise UnreadableInput(f"{where}: half of a surrogate pair",
                              advice="the text was cut inside a character; repair or drop the line") from error
    except UnicodeDecodeError as error:
        raise UnreadableInput(f"{where}: not UTF-8 at byte {error.start:,}", advice="JSON is UTF-8: save it again") from error
    except json.JSONDecodeError as error:
        raise UnreadableInput(f"{where}, column {error.colno:,}: {error.msg}", advice="every line is one JSON object") from error
    except (_Bad, RecursionError) as error:
        raise UnreadableInput(f"{where}: {error}", advice="repair or drop the line") from error
    if not isinstance(record, dict):
        raise UnreadableInput(f"{where}: {type(record).__name__} instead of an object",
                              advice='write {"text": ..., "label": ...} on every line')
    return record


def _check_depth(line: bytes, most: int) -> None:
    """Brackets outside strings, counted with NumPy."""
    flat = np.frombuffer(line.replace(b"\\\\", b"  ").replace(b'\\"', b"  "), np.uint8)
    outside = np.cumsum(flat == 0x22) % 2 == 0
    opens = ((flat == 0x5B) | (flat == 0x7B)) & outside
    closes = ((flat == 0x5D) | (flat == 0x7D)) & outside
    deepest = int(np.cumsum(opens.astype(np.int64) - closes).max(initial=0))
    if deepest > most:
        raise _Bad(f"nested {deepest:,} deep, the limit is {most}")


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    if not any(isinstance(v, (dict, list)) for v in record.values()):
        return record
    out: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, dict):
            out.update({f"{key}.{k}": v for k, v in _flat(value).items()})
        else:
            out[key] = json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value
    return out


def _columns(records: list[dict[str, Any]], name: str, limits: Limits) -> dict[str, Plain]:
    import pyarrow as pa

    flat = [_flat(r) for r in records]
    keys: dict[str, None] = {}
    for r in flat:
        if r.keys() - keys.keys():
            keys.update(dict.fromkeys(r))
            if len(keys) > limits.max_columns:
                raise LimitExceeded(f"{name} has more than {limits.max_columns:,} keys", advice="keep the keys you need")
    out: dict[str, Plain] = {}
    for key in keys:
        cells = [r.get(key) for r in flat]
        kinds = {type(c) for c in cells} - {type(None)}
        remark = ""
        if kinds <= {bool}:
            column = pa.array(cells, pa.int8() if not kinds else pa.bool_())
        elif kinds <= {int, float, bool}:
            column = pa.array([None if c is None else c * 1 for c in cells], pa.int64() if kinds <= {int, bool} else pa.float64())
        else:
            if kinds != {str}:
                remark = f"column {key!r} mixes {', '.join(sorted(k.__name__ for k in kinds))}; all are read as text"
                cells = [None if c is None else c if isinstance(c, str) else json.dumps(c) for c in cells]
            column = pa.array(cells, pa.large_string())
        found = plain_columns(pa.table({key: column}), limits, name)[key]
        out[key] = Plain(found.name, found.kind, found.values, found.levels, remark or found.remark)
    return out


def _edited(line: bytes, cells: dict[str, Any]) -> bytes:
    text = line.decode("utf-8")
    record = json.loads(text)
    for column, cell in cells.items():
        holder, path = record, column
        while path not in holder and "." in path:
            head = next((k for k in sorted(holder, key=len, reverse=True) if path.startswith(f"{k}.") and isinstance(holder[k], dict)), "")
            if not head:
                break
            holder, path = holder[head], path[len(head) + 1:]
        old = holder.get(path)
        if isinstance(cell, str) and isinstance(old, (bool, int, float)):
            cell = json.loads(cell) if not isinstance(old, bool) else cell in ("1", "true")
        elif cell is not None and hasattr(cell, "isoformat"):
            cell = cell.isoformat()
        holder[path] = cell
    end = "\r\n" if text.endswith("\r\n") else "\n"
    compact = '": ' not in text and '", ' not in text
    return (json.dumps(record, ensure_ascii=text.isascii(), separators=(",", ":") if compact else None) + end).encode("utf-8")
