"""Broken and hostile CSV, JSON Lines, Parquet and saved Arrow files."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from bezoar.testing.hostile.kit import (
    LIMIT,
    READ,
    REFUSED,
    UNREADABLE,
    Case,
    case,
    put,
)

# -- delimited text

@case
def csv_nul_byte(folder: Path) -> Case:
    return Case(put(folder, "data.csv", b"text,label\nhello,1\nbye\0bye,0\n"), UNREADABLE, "line 3")


@case
def csv_ragged(folder: Path) -> Case:
    return Case(put(folder, "data.csv", b"a,b,c\n1,2,3\n\"x\ny\",5,6\n7,8\n9,9,9\n"), UNREADABLE, "line 5")


@case
def csv_huge_field(folder: Path) -> Case:
    return Case(put(folder, "data.csv", b"text,label\nfine words here,1\n" + b"z" * 5_000_000 + b",0\n"), LIMIT, "line 3")


@case
def csv_open_quote(folder: Path) -> Case:
    return Case(put(folder, "data.csv", b"text,label\n\"never closed," + b"word word\n" * 4_000_000), LIMIT, "quote")


@case
def csv_only_header(folder: Path) -> Case:
    return Case(put(folder, "data.csv", b"text,label\n"), UNREADABLE, "no rows")


@case
def csv_empty(folder: Path) -> Case:
    return Case(put(folder, "data.csv", b""), UNREADABLE, "empty")


@case
def csv_mixed_encodings(folder: Path) -> Case:
    rows = "text,label\nein schöner Satz mit Wörtern,1\n".encode() + "noch ein schöner Satz hier,0\n".encode("latin-1")
    return Case(put(folder, "data.csv", rows * 1), READ, "line 3 is not UTF-8")


@case
def csv_utf16(folder: Path) -> Case:
    return Case(put(folder, "data.csv", "text,label\nein schöner Satz mit Wörtern,1\nzwei,0\n".encode("utf-16")), READ, "UTF-16")


@case
def csv_bom(folder: Path) -> Case:
    return Case(put(folder, "data.csv", "text,label\nein Satz mit Wörtern,1\nzwei Worte,0\n".encode("utf-8-sig")), READ, "'label'")


@case
def csv_binary(folder: Path) -> Case:
    return Case(put(folder, "data.csv", bytes(range(256)) * 64), UNREADABLE, "NUL")


# -- JSON lines

@case
def jsonl_broken_line(folder: Path) -> Case:
    return Case(put(folder, "data.jsonl", b'{"text": "a", "label": 1}\n{"text": "b" "label": 2}\n'), UNREADABLE, "line 2")


@case
def jsonl_duplicate_key(folder: Path) -> Case:
    return Case(put(folder, "data.jsonl", b'{"text": "a"}\n\n{"label": 1, "label": 2}\n'), UNREADABLE, "line 3: the key 'label'")


@case
def jsonl_nan(folder: Path) -> Case:
    return Case(put(folder, "data.jsonl", b'{"x": 1}\n{"x": NaN}\n'), UNREADABLE, "line 2: NaN")


@case
def jsonl_huge_number(folder: Path) -> Case:
    return Case(put(folder, "data.jsonl", b'{"x": 1}\n{"x": 1e400}\n'), UNREADABLE, "line 2")


@case
def jsonl_huge_integer(folder: Path) -> Case:
    return Case(put(folder, "data.jsonl", b'{"x": 1}\n{"x": 1' + b"0" * 400 + b"}\n"), UNREADABLE, "line 2")


@case
def jsonl_deep(folder: Path) -> Case:
    deep = b'{"x": 1}\n{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"
    return Case(put(folder, "data.jsonl", deep), UNREADABLE, "line 2: nested 100,001 deep")


@case
def jsonl_lone_surrogate(folder: Path) -> Case:
    return Case(put(folder, "data.jsonl", b'{"text": "a"}\n{"text": "\\ud83d"}\n'), UNREADABLE, "line 2: half of a surrogate")


@case
def jsonl_not_utf8(folder: Path) -> Case:
    return Case(put(folder, "data.jsonl", b'{"text": "a"}\n{"text": "\xff"}\n'), UNREADABLE, "line 2: not UTF-8")


@case
def jsonl_not_an_object(folder: Path) -> Case:
    return Case(put(folder, "data.jsonl", b'{"text": "a"}\n[1, 2]\n'), UNREADABLE, "line 2: list")


@case
def json_array(folder: Path) -> Case:
    return Case(put(folder, "data.json", json.dumps([{"text": "a"}]).encode()), UNREADABLE, "JSON array")


# -- Parquet and saved Arrow

@case
def parquet_garbage(folder: Path) -> Case:
    return Case(put(folder, "data.parquet", b"PAR1" + os.urandom(5000) + b"PAR1"), UNREADABLE, "Parquet")


@case
def parquet_cut(folder: Path) -> Case:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"a": list(range(1000)), "label": ["x", "y"] * 500}), folder / "whole")
    return Case(put(folder, "data.parquet", (folder / "whole").read_bytes()[:-200]), UNREADABLE, "Parquet")


@case
def parquet_row_group_without_columns(folder: Path) -> Case:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"a": [1, 2, 3], "b": ["x", "y", "z"]}), folder / "whole", compression="none")
    raw = bytearray((folder / "whole").read_bytes())
    size = int.from_bytes(raw[-8:-4], "little")
    start = len(raw) - 8 - size
    place = raw.index(b"\x19\x1c\x19\x2c", start)
    raw[place + 3] = 0x0C
    return Case(put(folder, "data.parquet", bytes(raw)), UNREADABLE, "Parquet")


@case
def parquet_bomb(folder: Path) -> Case:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    zeros = pa.array(np.zeros(15_000_000, np.int8))
    pq.write_table(pa.table({f"c{i}": zeros for i in range(3)}), folder / "data.parquet", compression="zstd")
    return Case(folder / "data.parquet", LIMIT, "bomb")


@case
def parquet_dictionary_bomb(folder: Path) -> Case:
    """One string of 900,000 characters, 200,000 times: 180 GB if the dictionary were expanded. Held to the field limit it reads."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    long = pa.DictionaryArray.from_arrays(pa.array(np.zeros(200_000, np.int32)), pa.array(["ab " * 300_000]))
    pq.write_table(pa.table({"text": long, "label": [0, 1] * 100_000}), folder / "data.parquet", compression="zstd")
    return Case(folder / "data.parquet", READ, "'text'")


@case
def arrow_escaping_file_list(folder: Path) -> Case:
    root = folder / "saved"
    put(root, "state.json", json.dumps({"_data_files": [{"filename": "../../etc/passwd"}]}).encode())
    return Case(root, REFUSED, "leaves its folder")


@case
def arrow_garbage(folder: Path) -> Case:
    root = folder / "saved"
    put(root, "data.arrow", os.urandom(4000))
    put(root, "state.json", json.dumps({"_data_files": [{"filename": "data.arrow"}]}).encode())
    return Case(root, UNREADABLE, "Arrow")
