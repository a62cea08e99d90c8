"""Records of a dataset, one by one: id, content, and what a comparison of versions wants to know (label, source).

A folder's records are its files. A table's records are its rows: CSV, TSV, JSONL, Parquet, NPZ. An id is the id column where one is named,
else the digest of the row with a count for equal rows, so that an insertion at the top does not rename everything below.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from bezoar.core.errors import LimitExceeded, UnreadableInput, UsageError
from bezoar.core.limits import Limits
from bezoar.provenance import files, strict

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".npz")


@dataclass(frozen=True)
class Columns:
    """Names of the columns that mean something; empty where there is none."""

    id: str = ""
    label: str = ""
    source: str = ""
    contributor: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """One record. `content` is a digest or the canonical bytes of all its fields."""

    id: str
    content: bytes
    label: str = ""
    source: str = ""
    contributor: str = ""


def is_table(path: Path) -> bool:
    """Whether `path` is one file whose rows can be read."""
    return path.is_file() and path.suffix.lower() in TABLES


def records(path: str | Path, columns: Columns = Columns(), digests: dict[str, bytes] | None = None) -> Iterator[Record]:
    """Every record of the dataset at `path`. For a folder, `digests` (name to SHA-256) saves reading again."""
    path = Path(path)
    if path.is_dir():
        if digests is None:
            listing = files.walk(path)
            digests = dict(zip(listing.names, files.digests(listing), strict=True))
        for name, digest in digests.items():
            yield Record(name, digest, name.split("/")[0] if "/" in name else "")
        return
    if not is_table(path):
        yield Record(files.WHOLE, (digests or {}).get(files.WHOLE) or sha256(strict.read_bytes(path, "dataset", 1 << 40)).digest())
        return
    seen: Counter[bytes] = Counter()
    for row, content in _rows(path, columns):
        if columns.id:
            identity = str(row.get(columns.id, ""))
        else:
            digest = sha256(content).digest()[:16]
            identity = f"{digest.hex()}.{seen[digest]}"
            seen[digest] += 1
        label, source, contributor = (str(row.get(c, "")) if c else "" for c in (columns.label, columns.source, columns.contributor))
        yield Record(identity, content, label, source, contributor)


def _rows(path: Path, columns: Columns) -> Iterator[tuple[dict[str, Any], bytes]]:
    kind = path.suffix.lower()
    wanted = [c for c in (columns.id, columns.label, columns.source, columns.contributor) if c]
    try:
        if kind in (".csv", ".tsv"):
            yield from _csv(path, "\t" if kind == ".tsv" else ",", wanted)
        elif kind in (".jsonl", ".ndjson"):
            yield from _jsonl(path)
        elif kind == ".parquet":
            yield from _parquet(path, wanted)
        else:
            yield from _npz(path)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UnreadableInput(f"{path.name} cannot be read row by row: {error}",
                              advice="is it UTF-8 and of the kind its name says?") from None


def _need(names: list[str], wanted: list[str], path: Path) -> None:
    for column in wanted:
        if column not in names:
            raise UsageError(f"{path.name} has no column {column!r}", advice="columns are: " + ", ".join(map(str, names[:30])))


def _csv(path: Path, delimiter: str, wanted: list[str]) -> Iterator[tuple[dict[str, Any], bytes]]:
    csv.field_size_limit(Limits().max_field_chars)
    with path.open(newline="", encoding="utf-8-sig") as f:
        reader = csv.reader(f, delimiter=delimiter, strict=True)
        names = next(reader, [])
        _need(names, wanted, path)
        places = [(c, names.index(c)) for c in wanted]
        head = json.dumps(names).encode()
        for cells in reader:
            if cells:
                yield {c: cells[i] if i < len(cells) else "" for c, i in places}, head + json.dumps(cells).encode()


def _jsonl(path: Path) -> Iterator[tuple[dict[str, Any], bytes]]:
    with path.open("rb") as f:
        for number, raw in enumerate(iter(lambda: f.readline(Limits().max_field_chars * 4), b""), 1):
            if raw.strip():
                try:
                    row = strict.parse_json(raw, f"line {number} of {path.name}", surrogates=True)
                except UnreadableInput:
                    raise UnreadableInput(f"line {number} of {path.name} is not one JSON object", advice="repair the line") from None
                yield row, json.dumps(row, sort_keys=True, ensure_ascii=True).encode()


def _parquet(path: Path, wanted: list[str]) -> Iterator[tuple[dict[str, Any], bytes]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as table:
            names = table.schema_arrow.names
            _need(names, wanted, path)
            if table.metadata.num_rows > Limits().max_rows:
                raise LimitExceeded(f"{path.name} has {table.metadata.num_rows:,} rows", advice="split it, or raise Limits.max_rows")
            for batch in table.iter_batches(8192):
                for row in batch.to_pylist():
                    yield row, json.dumps(row, sort_keys=True, default=_plain).encode()
    except (pa.ArrowException, OSError) as error:
        raise UnreadableInput(f"{path.name} is not a readable Parquet file: {type(error).__name__}", advice="write it again") from None


def _plain(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _npz(path: Path) -> Iterator[tuple[dict[str, Any], bytes]]:
    import zipfile

    import numpy as np

    try:
        with np.load(io.BytesIO(strict.read_bytes(path, "dataset", Limits().max_file_bytes)), allow_pickle=False) as store:
            arrays = {name: store[name] for name in sorted(store.files)}
    except (ValueError, zipfile.BadZipFile, OSError, EOFError) as error:
        raise UnreadableInput(f"{path.name} is not a readable NPZ file: {type(error).__name__}",
                              advice="write it again without objects") from None
    n = max((len(a) for a in arrays.values() if a.ndim), default=0)
    columns = {k: np.ascontiguousarray(a) for k, a in arrays.items() if a.ndim and len(a) == n}
    heads = {k: f"{k}\0{a.dtype.str}\0{a.shape[1:]}\0".encode() for k, a in columns.items()}
    for i in range(n):
        row = {k: a[i].item() if a.ndim == 1 else "" for k, a in columns.items()}
        yield row, b"".join(heads[k] + a[i].tobytes() + b"\0" for k, a in columns.items())
