"""CSV and TSV, plain or gzipped.

Looks at: encoding (UTF-8 with or without mark, UTF-16 with mark, otherwise Latin-1 for what is not UTF-8: said aloud),
delimiter (comma, semicolon, tab, bar: whichever the header holds most), types. Fails with the line number on NUL bytes,
ragged rows and fields beyond `Limits.max_field_chars`. A cleaned copy keeps every untouched line byte for byte.
Cost: about 2 s for 1,000,000 rows of 20 columns. The whole file is held in memory.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from bezoar.core.ability import Info, Reading, Source
from bezoar.core.columns import Plain, Roles, assemble, strings
from bezoar.core.dataset import Dataset
from bezoar.core.edits import Edits, added_columns, cell_edits, written_names
from bezoar.core.errors import LimitExceeded, UnreadableInput
from bezoar.core.limits import MIB, Limits
from bezoar.core.roles import infer
from bezoar.intake.arrow import plain_columns, unique_names
from bezoar.intake.door import declared, line_at, published, read_file

SUFFIXES = (".csv", ".tsv", ".tab")
ABSENT = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "#N/A", "-nan", "n/a"]
MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


class Delimited(Source):
    """Tables with one record per line."""

    info: ClassVar[Info] = Info(name="csv", summary="CSV and TSV files, plain or gzipped", modalities=("text", "tabular"),
                                cost="about 2 s for 1,000,000 rows of 20 columns")

    def claims(self, path: Path) -> bool:
        """By the name: .csv, .tsv, .tab, each also with .gz."""
        name = path.name.lower()
        return path.is_file() and (name.removesuffix(".gz")).endswith(SUFFIXES)

    def open(self, path: Path, reading: Reading) -> Dataset:
        """Raises UnreadableInput with the line number, LimitExceeded, UsageError for a column that is not there."""
        return self._open(path, reading)[0]

    def _open(self, path: Path, reading: Reading) -> tuple[Dataset, Roles, list[str], bytes]:
        raw = read_file(path, reading.limits)
        text, notes = _as_utf8(raw, path.name)
        _check_lines(text, path.name, reading.limits)
        table, headless = _parse(text, path.name, _delimiter(text, path.name))
        if headless:
            notes.append("the first line holds only numbers, so the columns have no names: they are called c0, c1, ...")
        columns = plain_columns(table, reading.limits, path.name, guess_numbers=True)
        header = list(columns)
        del table
        roles = infer(columns, reading)
        columns = _literal(columns, roles, text, path.name, reading.limits)
        data = assemble(columns, roles, name=path.name, limits=reading.limits, notes=tuple(notes), declared=declared(path))
        return data, roles, header, raw

    def write(self, original: Path, data: Dataset, rows: np.ndarray, out: Path, reading: Reading,
              changed: np.ndarray | None = None) -> None:
        """Lines of `rows`, each byte for byte as in `original` unless a cell of it changed."""
        before, roles, header, raw = self._open(original, reading)
        at, edits = cell_edits(before, data, rows, changed, roles)
        mark = next((m for m, _ in MARKS if raw.startswith(m)), b"")
        encoding = next((e for m, e in MARKS if raw.startswith(m)), "utf-8")
        body = raw[len(mark):] if encoding == "utf-8" else raw[len(mark):].decode(encoding).encode("utf-8", "surrogatepass")
        _, _, headless = _header(body, _delimiter(body, original.name))
        records = split_records(body, len(before) + (0 if headless else 1), original.name)
        head, records = ([], records) if headless else (records[:1], records[1:])
        lines = [records[i] for i in at.tolist()]
        delimiter = _delimiter(body, original.name)
        _apply(lines, edits, header, delimiter)
        for title, cells in ({} if headless else added_columns(before, data, rows, header)).items():
            head, lines = _appended(head, [title], delimiter), _appended(lines, cells, delimiter)
        end = b"\r\n" if b"\r\n" in body[:100_000] else b"\n"
        whole = head + [line if line.endswith((b"\n", b"\r")) else line + end for line in lines[:-1]] + lines[-1:]
        if lines and body.endswith((b"\n", b"\r")) and not whole[-1].endswith((b"\n", b"\r")):
            whole[-1] += end
        done = b"".join(whole)
        if encoding != "utf-8":
            done = done.decode("utf-8", "surrogatepass").encode(encoding)
        with published(out) as draft:
            done = mark + done
            draft.write_bytes(gzip.compress(done, 6, mtime=0) if original.name.lower().endswith(".gz") else done)

    def written_ids(self, original: Path, data: Dataset, rows: np.ndarray, reading: Reading,
                    changed: np.ndarray | None = None) -> np.ndarray:
        """The same ids where there is an id column, else row numbers."""
        return written_names(data, rows, bool(self._open(original, reading)[1].id))


def _as_utf8(raw: bytes, name: str) -> tuple[bytes, list[str]]:
    """UTF-8 bytes without mark, and what was assumed."""
    for mark, encoding in MARKS[1:]:
        if raw.startswith(mark):
            try:
                return raw[2:].decode(encoding).encode("utf-8"), [f"encoding: {encoding.upper()}"]
            except UnicodeError as error:
                raise UnreadableInput(f"{name} starts as {encoding.upper()} and is not: {error}", advice="save it as UTF-8") from error
    raw = raw.removeprefix(codecs.BOM_UTF8)
    bad = first_invalid(raw)
    if bad < 0:
        return raw, []
    count = 0

    def as_latin(error: UnicodeError) -> tuple[str, int]:
        nonlocal count
        assert isinstance(error, UnicodeDecodeError)
        count += error.end - error.start
        return error.object[error.start:error.end].decode("cp1252", "replace").replace("�", "?"), error.end

    codecs.register_error("bezoar.latin", as_latin)
    text = raw.decode("utf-8", "bezoar.latin").encode("utf-8")
    return text, [f"line {line_at(raw, bad):,} is not UTF-8: {count:,} bytes of the file were read as Latin-1 (Windows-1252)"]


def first_invalid(raw: bytes) -> int:
    """Position of the first byte that is not UTF-8, or -1.

    >>> first_invalid(b"ab\\xff")
    2
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(raw), 16 * MIB):
        pending = len(decoder.getstate()[0])
        try:
            decoder.decode(raw[start:start + 16 * MIB], start + 16 * MIB >= len(raw))
        except UnicodeDecodeError as error:
            return start - pending + error.start
    return -1


def _check_lines(text: bytes, name: str, limits: Limits) -> None:
    nul = text.find(b"\0")
    if nul >= 0:
        raise UnreadableInput(f"{name}, line {line_at(text, nul):,}: a NUL byte",
                              advice="this is not a text table, or it is UTF-16 without its mark: save it as UTF-8")
    most = 4 * limits.max_field_chars
    if len(text) <= most:
        return
    previous = 0
    while previous < len(text):
        window = text.rfind(b"\n", previous, previous + most)
        if window < 0 and len(text) - previous > most:
            following = text.find(b"\n", previous)
            size = (following if following >= 0 else len(text)) - previous
            raise LimitExceeded(f"{name}, line {line_at(text, previous):,}: a line of {size:,} bytes, the limit for one field is "
                                f"{limits.max_field_chars:,} characters", advice="shorten the field, or raise Limits.max_field_chars")
        previous = window + 1 if window >= 0 else len(text)


def _delimiter(text: bytes, name: str) -> str:
    if name.lower().removesuffix(".gz").endswith((".tsv", ".tab")):
        return "\t"
    head = text[:100_000].decode("utf-8", "replace")
    try:
        first = next(csv.reader(io.StringIO(head, newline=""), delimiter="\x01"), [""])
    except csv.Error:
        return ","
    line = first[0] if '"' not in head.split("\n", 1)[0] else _unquoted(head.split("\n", 1)[0])
    counts = {d: line.count(d) for d in ",;\t|"}
    best = max(counts, key=lambda d: counts[d])
    return best if counts[best] else ","


def _unquoted(line: str) -> str:
    return "".join(line.split('"')[::2])


def _header(text: bytes, delimiter: str) -> tuple[list[str], int, bool]:
    """Cells of the first record, the line after it, and whether it holds data rather than names."""
    reader = csv.reader(io.StringIO(text[:8 * MIB].decode("utf-8", "replace"), newline=""), delimiter=delimiter)
    try:
        cells = next((r for r in reader if r), [])
    except csv.Error:
        return [], 0, False
    return cells, reader.line_num, bool(cells) and all(_is_number(c) for c in cells)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _literal(columns: dict[str, Plain], roles: Roles, text: bytes, name: str, limits: Limits) -> dict[str, Plain]:
    """Ids, texts, labels and origins as they are written ("007", "True"), where reading them as numbers or times altered them."""
    asked = [roles.id, roles.label, *roles.text, *(c for k, c in (roles.origin or {}).items() if k != "time")]
    wanted = [c for c in dict.fromkeys(asked) if c and columns[c].kind != "text"]
    if not wanted:
        return columns
    table, _ = _parse(text, name, _delimiter(text, name), wanted)
    fresh = plain_columns(table, limits, name)
    out = dict(columns)
    for c in wanted:
        if (strings(fresh[c]) != strings(columns[c])).any() and (c != roles.label or fresh[c].distinct() == columns[c].distinct()):
            out[c] = replace(columns[c], written=fresh[c].written or fresh[c])
    return out


def _parse(text: bytes, name: str, delimiter: str, only: Sequence[str] = ()) -> tuple[Any, bool]:
    """The table, all text where types could not be told at once, and whether there was no header. `only` some columns, as text."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    cells, _, headless = _header(text, delimiter)
    names = [f"c{i}" for i in range(len(cells))] if headless else unique_names(cells)
    options = {"read_options": arrow_csv.ReadOptions(block_size=16 * MIB, column_names=names, skip_rows_after_names=0 if headless else 1),
               "parse_options": arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=b'"' in text)}
    convert: dict[str, Any] = {"null_values": ABSENT, "strings_can_be_null": False, "quoted_strings_can_be_null": False, "check_utf8": True,
               "true_values": ["true", "True", "TRUE"], "false_values": ["false", "False", "FALSE"]}
    types: dict[str, Any] = dict.fromkeys(only, pa.string())
    convert["include_columns"] = list(only)
    for _ in range(len(names) + 1):
        try:
            how = arrow_csv.ConvertOptions(column_types=types, **convert)
            return arrow_csv.read_csv(pa.BufferReader(text), convert_options=how, **options), headless
        except pa.ArrowInvalid as error:
            told = re.match(r"In CSV column #(\d+): CSV conversion error", str(error))
            if told is None:
                raise _explained(text, name, delimiter, str(error)) from error
            types[names[int(told[1])]] = pa.string()
            if len(types) > 4:
                types = dict.fromkeys(names, pa.string())
    raise UnreadableInput(f"{name} is not a readable table", advice="check the file in a text editor")


def _explained(text: bytes, name: str, delimiter: str, cause: str) -> UnreadableInput | LimitExceeded:
    """The parser's complaint with the line it is about."""
    if "straddling" in cause:
        return LimitExceeded(f"{name}: a record spans more than 16 MiB, probably because a quote is never closed",
                             advice="look for an odd number of \" characters")
    if "Empty CSV" in cause:
        return UnreadableInput(f"{name} has no rows", advice="check that the file is complete")
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(text), "utf-8", "replace", newline=""), delimiter=delimiter)
    width, line = 0, 1
    try:
        for record in reader:
            width = width or len(record)
            if record and len(record) != width:
                return UnreadableInput(f"{name}, line {line:,}: {len(record)} fields where the first line has {width}",
                                       advice=f"the delimiter was taken to be {delimiter!r}; quote fields that contain it")
            line = reader.line_num + 1
    except csv.Error as error:
        return UnreadableInput(f"{name}, line {line:,}: {error}", advice="check the quotes around this line")
    return UnreadableInput(f"{name} is not a readable table: {cause[:200]}", advice="check the file in a text editor")


def split_records(body: bytes, expected: int, name: str) -> list[bytes]:
    """The bytes of each record, terminators kept, blank lines left out. Raises UnreadableInput if the count differs.

    >>> split_records(b'a,b\\n1,"x\\ny"\\n', 2, "t.csv")
    [b'a,b\\n', b'1,"x\\ny"\\n']
    """
    if b'"' not in body:
        lines = _by_newline(body) if _odd_breaks(body) else body.splitlines(keepends=True)
        records = [r for r in lines if r.strip(b"\r\n")]
        if len(records) == expected:
            return records
    flat = np.frombuffer(body, np.uint8)
    quotes = np.flatnonzero(flat == 0x22)
    ends = np.flatnonzero(flat == 0x0A)
    ends = ends[np.searchsorted(quotes, ends) % 2 == 0] + 1
    cuts = np.concatenate([[0], ends, [len(body)] if not len(ends) or ends[-1] != len(body) else []]).astype(np.int64)
    records = [r for a, b in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True) if (r := body[a:b]).strip(b"\r\n")]
    if len(records) != expected:
        records = _by_reader(body)
    if len(records) != expected:
        raise UnreadableInput(f"{name}: {len(records):,} records by quotes, {expected:,} by the parser; it cannot be split safely",
                              advice="write the table again with standard quoting")
    return records


def _odd_breaks(body: bytes) -> bool:
    """bytes.splitlines also splits at a lone carriage return."""
    return body.count(b"\r") != body.count(b"\r\n")


def _by_newline(body: bytes) -> list[bytes]:
    return [line + b"\n" for line in body.split(b"\n") if line.strip(b"\r")]


def _by_reader(body: bytes) -> list[bytes]:
    """The slow way, by the csv module's own idea of a record."""
    lines = body.decode("latin-1").splitlines(keepends=True) if not _odd_breaks(body) else [
        line + "\n" for line in body.decode("latin-1").split("\n")]
    reader = csv.reader(lines)
    out, last = [], 0
    try:
        for record in reader:
            if record:
                out.append("".join(lines[last:reader.line_num]).encode("latin-1"))
            last = reader.line_num
    except csv.Error:
        return []
    return out


def _appended(lines: list[bytes], cells: list[str], delimiter: str) -> list[bytes]:
    """Each line with one more cell at its end."""
    tails = [line.removeprefix(b'""') for line in _written([["", c] for c in cells], delimiter)]
    bodies = [line.rstrip(b"\r\n") for line in lines]
    return [b + t + line[len(b):] for b, t, line in zip(bodies, tails, lines, strict=True)]


def _apply(lines: list[bytes], edits: Edits, header: list[str], delimiter: str) -> None:
    """Write changed cells into `lines`, in place; every other cell of the line keeps its text."""
    by_line: dict[int, dict[int, Any]] = {}
    for column, (places, cells) in edits.items():
        for place, cell in zip(places.tolist(), cells, strict=True):
            by_line.setdefault(place, {})[header.index(column)] = cell
    for place, cells_of in by_line.items():
        raw = lines[place]
        body = raw.rstrip(b"\r\n")
        end = raw[len(body):]
        try:
            fields = next(csv.reader(io.StringIO(body.decode("utf-8", "surrogateescape"), newline=""), delimiter=delimiter))
        except csv.Error as error:
            raise UnreadableInput(f"a line cannot be changed: {error}") from error
        for index, cell in cells_of.items():
            fields[index] = "" if cell is None else str(cell)
        lines[place] = _written([fields], delimiter)[0] + end


class _Lines(list[str]):
    write = list.append


def _written(records: list[list[str]], delimiter: str) -> list[bytes]:
    """Each record as one quoted line without its terminator. The writer only quotes line breaks that its terminator holds."""
    lines = _Lines()
    csv.writer(lines, delimiter=delimiter, lineterminator="\r\n").writerows(records)
    return [line[:-2].encode("utf-8", "surrogateescape") for line in lines]
