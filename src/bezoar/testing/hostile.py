"""Hostile and broken inputs, one function each: for our tests, and for authors of sources.

Every function writes one case below the folder it is given and returns a `Case`: what to open, and what has to happen.
Nothing here is dangerous to have: the pickles only ever try to touch a file whose absence a test can assert.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

REFUSED, UNREADABLE, LIMIT, LISTED, READ, WRONG = "refused", "unreadable", "limit", "listed", "read", "wrong use"


@dataclass(frozen=True)
class Case:
    """`outcome`: 'refused', 'unreadable', 'limit', 'wrong use' (the error to expect), 'listed' (the run goes on and
    `Dataset.unreadable` names the file), 'read' (it must simply work). `says` must occur in the message, reason or notes."""

    path: Path
    outcome: str
    says: str = ""


CASES: dict[str, Callable[[Path], Case]] = {}


def case(function: Callable[[Path], Case]) -> Callable[[Path], Case]:
    """Registers a case under its name."""
    CASES[function.__name__.replace("_", "-")] = function
    return function


def marker(folder: Path) -> Path:
    """The file that a pickle of ours would create if anybody ran it."""
    return folder / "pickle-was-run"


class _Runs:
    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (self.path,)


def pickle_bytes(folder: Path) -> bytes:
    """A pickle that makes `marker(folder)` when it is loaded."""
    import pickle

    return pickle.dumps(_Runs(marker(folder)))


def png(pixels: np.ndarray) -> bytes:
    """A PNG of (h, w) or (h, w, 3) uint8."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bomb(side: int = 60_000) -> bytes:
    """A valid PNG header that announces side x side pixels, with few bytes behind it."""
    head = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    return head + _chunk(b"IDAT", zlib.compress(b"\0" * 100_000)) + _chunk(b"IEND", b"")


def picture_folder(folder: Path, n: int = 6) -> Path:
    """A small healthy dataset folder to put something hostile into: two classes, n pictures of 8 x 8."""
    rng = np.random.default_rng(0)
    root = folder / "pictures"
    for i in range(n):
        place = root / ("cat" if i % 2 else "dog")
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{i}.png").write_bytes(png(rng.integers(0, 256, (8, 8, 3), np.uint8)))
    return root


def _write(folder: Path, name: str, data: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    return folder / name


# -- formats that run code

@case
def pickle_file(folder: Path) -> Case:
    return Case(_write(folder, "data.pkl", pickle_bytes(folder)), REFUSED, "run code")


@case
def pickle_without_suffix(folder: Path) -> Case:
    return Case(_write(folder, "data", pickle_bytes(folder)), REFUSED, "run code")


@case
def torch_file(folder: Path) -> Case:
    return Case(_write(folder, "data.pt", pickle_bytes(folder)), REFUSED, "run code")


@case
def joblib_file(folder: Path) -> Case:
    return Case(_write(folder, "data.joblib", pickle_bytes(folder)), REFUSED, "run code")


def _object_npy(folder: Path) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|O", "fortran_order": False, "shape": (2,)})
    return buffer.getvalue() + pickle_bytes(folder)


@case
def npy_with_objects(folder: Path) -> Case:
    return Case(_write(folder, "data.npy", _object_npy(folder)), REFUSED, "objects")


@case
def npz_with_objects(folder: Path) -> Case:
    path = folder / "data.npz"
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", _object_npy(folder))
    return Case(path, REFUSED, "objects")


@case
def npz_that_is_a_pickle(folder: Path) -> Case:
    return Case(_write(folder, "data.npz", pickle_bytes(folder)), UNREADABLE, "archive")


# -- archives

def _npy(shape: tuple[int, ...], dtype: str = "|u1", body: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_2_0(buffer, {"descr": dtype, "fortran_order": False, "shape": shape})
    return buffer.getvalue() + body


def _npz(folder: Path, members: dict[str, bytes], compress: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / "data.npz", "w", zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return folder / "data.npz"


@case
def npz_bomb(folder: Path) -> Case:
    side = 80_000_000
    return Case(_npz(folder, {"x.npy": _npy((side // 784, 28, 28), body=bytes(side // 784 * 784))}), LIMIT, "bomb")


@case
def npz_header_lies(folder: Path) -> Case:
    return Case(_npz(folder, {"x.npy": _npy((1 << 40, 28, 28), body=b"abc")}), UNREADABLE, "claims")


@case
def npz_negative_shape(folder: Path) -> Case:
    return Case(_npz(folder, {"x.npy": _npy((-1, 4, 4), body=b"abc")}), UNREADABLE, "header")


@case
def npz_truncated(folder: Path) -> Case:
    whole = _npz(folder, {"x.npy": _npy((100, 8, 8), body=os.urandom(6400))}, False).read_bytes()
    return Case(_write(folder, "data.npz", whole[:3000]), UNREADABLE, "archive")


@case
def npz_two_members_of_one_name(folder: Path) -> Case:
    import warnings

    folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(folder / "data.npz", "w") as archive:
            for value in (b"\0", b"\1"):
                archive.writestr("x.npy", _npy((4, 4, 4), body=value * 64))
    return Case(folder / "data.npz", REFUSED, "one name")


@case
def npz_lengths_differ(folder: Path) -> Case:
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "data.npz", x=np.zeros((4, 8, 8), np.uint8), y=np.zeros(3))
    return Case(folder / "data.npz", UNREADABLE, "3 entries")


@case
def npz_nan_pixels(folder: Path) -> Case:
    folder.mkdir(parents=True, exist_ok=True)
    x = np.zeros((4, 8, 8), np.float32)
    x[2, 3, 3] = np.nan
    np.savez(folder / "data.npz", x=x)
    return Case(folder / "data.npz", UNREADABLE, "NaN")


@case
def npz_without_x(folder: Path) -> Case:
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "data.npz", weights=np.zeros((4, 8)))
    return Case(folder / "data.npz", UNREADABLE, "weights")


@case
def gzip_bomb(folder: Path) -> Case:
    body = io.BytesIO()
    with gzip.GzipFile(fileobj=body, mode="wb", mtime=0) as stream:
        for _ in range(100):
            stream.write(b"a,b\n" + b"1,2\n" * 250_000)
    return Case(_write(folder, "data.csv.gz", body.getvalue()), LIMIT, "bomb")


@case
def gzip_cut(folder: Path) -> Case:
    return Case(_write(folder, "data.csv.gz", gzip.compress(b"text,label\n" + os.urandom(4000))[:2000]), UNREADABLE, "gzip")


@case
def tar_archive(folder: Path) -> Case:
    return Case(_write(folder, "data.tar", bytes(10_240)), UNREADABLE, "not supported yet")


# -- delimited text

@case
def csv_nul_byte(folder: Path) -> Case:
    return Case(_write(folder, "data.csv", b"text,label\nhello,1\nbye\0bye,0\n"), UNREADABLE, "line 3")


@case
def csv_ragged(folder: Path) -> Case:
    return Case(_write(folder, "data.csv", b"a,b,c\n1,2,3\n\"x\ny\",5,6\n7,8\n9,9,9\n"), UNREADABLE, "line 5")


@case
def csv_huge_field(folder: Path) -> Case:
    return Case(_write(folder, "data.csv", b"text,label\nfine words here,1\n" + b"z" * 5_000_000 + b",0\n"), LIMIT, "line 3")


@case
def csv_open_quote(folder: Path) -> Case:
    return Case(_write(folder, "data.csv", b"text,label\n\"never closed," + b"word word\n" * 4_000_000), LIMIT, "quote")


@case
def csv_only_header(folder: Path) -> Case:
    return Case(_write(folder, "data.csv", b"text,label\n"), UNREADABLE, "no rows")


@case
def csv_empty(folder: Path) -> Case:
    return Case(_write(folder, "data.csv", b""), UNREADABLE, "empty")


@case
def csv_mixed_encodings(folder: Path) -> Case:
    rows = "text,label\nein schöner Satz mit Wörtern,1\n".encode() + "noch ein schöner Satz hier,0\n".encode("latin-1")
    return Case(_write(folder, "data.csv", rows * 1), READ, "line 3 is not UTF-8")


@case
def csv_utf16(folder: Path) -> Case:
    return Case(_write(folder, "data.csv", "text,label\nein schöner Satz mit Wörtern,1\nzwei,0\n".encode("utf-16")), READ, "UTF-16")


@case
def csv_bom(folder: Path) -> Case:
    return Case(_write(folder, "data.csv", "text,label\nein Satz mit Wörtern,1\nzwei Worte,0\n".encode("utf-8-sig")), READ, "'label'")


@case
def csv_binary(folder: Path) -> Case:
    return Case(_write(folder, "data.csv", bytes(range(256)) * 64), UNREADABLE, "NUL")


# -- JSON lines

@case
def jsonl_broken_line(folder: Path) -> Case:
    return Case(_write(folder, "data.jsonl", b'{"text": "a", "label": 1}\n{"text": "b" "label": 2}\n'), UNREADABLE, "line 2")


@case
def jsonl_duplicate_key(folder: Path) -> Case:
    return Case(_write(folder, "data.jsonl", b'{"text": "a"}\n\n{"label": 1, "label": 2}\n'), UNREADABLE, "line 3: the key 'label'")


@case
def jsonl_nan(folder: Path) -> Case:
    return Case(_write(folder, "data.jsonl", b'{"x": 1}\n{"x": NaN}\n'), UNREADABLE, "line 2: NaN")


@case
def jsonl_huge_number(folder: Path) -> Case:
    return Case(_write(folder, "data.jsonl", b'{"x": 1}\n{"x": 1e400}\n'), UNREADABLE, "line 2")


@case
def jsonl_huge_integer(folder: Path) -> Case:
    return Case(_write(folder, "data.jsonl", b'{"x": 1}\n{"x": 1' + b"0" * 400 + b"}\n"), UNREADABLE, "line 2")


@case
def jsonl_deep(folder: Path) -> Case:
    deep = b'{"x": 1}\n{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"
    return Case(_write(folder, "data.jsonl", deep), UNREADABLE, "line 2: nested 100,001 deep")


@case
def jsonl_lone_surrogate(folder: Path) -> Case:
    return Case(_write(folder, "data.jsonl", b'{"text": "a"}\n{"text": "\\ud83d"}\n'), UNREADABLE, "line 2: half of a surrogate")


@case
def jsonl_not_utf8(folder: Path) -> Case:
    return Case(_write(folder, "data.jsonl", b'{"text": "a"}\n{"text": "\xff"}\n'), UNREADABLE, "line 2: not UTF-8")


@case
def jsonl_not_an_object(folder: Path) -> Case:
    return Case(_write(folder, "data.jsonl", b'{"text": "a"}\n[1, 2]\n'), UNREADABLE, "line 2: list")


@case
def json_array(folder: Path) -> Case:
    return Case(_write(folder, "data.json", json.dumps([{"text": "a"}]).encode()), UNREADABLE, "JSON array")


# -- Parquet and saved Arrow

@case
def parquet_garbage(folder: Path) -> Case:
    return Case(_write(folder, "data.parquet", b"PAR1" + os.urandom(5000) + b"PAR1"), UNREADABLE, "Parquet")


@case
def parquet_cut(folder: Path) -> Case:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"a": list(range(1000)), "label": ["x", "y"] * 500}), folder / "whole")
    return Case(_write(folder, "data.parquet", (folder / "whole").read_bytes()[:-200]), UNREADABLE, "Parquet")


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
    return Case(_write(folder, "data.parquet", bytes(raw)), UNREADABLE, "Parquet")


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
    _write(root, "state.json", json.dumps({"_data_files": [{"filename": "../../etc/passwd"}]}).encode())
    return Case(root, REFUSED, "leaves its folder")


@case
def arrow_garbage(folder: Path) -> Case:
    root = folder / "saved"
    _write(root, "data.arrow", os.urandom(4000))
    _write(root, "state.json", json.dumps({"_data_files": [{"filename": "data.arrow"}]}).encode())
    return Case(root, UNREADABLE, "Arrow")


# -- picture folders

@case
def missing_path(folder: Path) -> Case:
    return Case(folder / "nowhere", UNREADABLE, "nowhere")


@case
def empty_folder(folder: Path) -> Case:
    (folder / "empty").mkdir(parents=True)
    return Case(folder / "empty", UNREADABLE, "no image files")


@case
def folder_of_other_files(folder: Path) -> Case:
    _write(folder / "docs", "a.docx", b"x")
    return Case(folder / "docs", UNREADABLE, ".docx")


@case
def picture_bomb(folder: Path) -> Case:
    root = picture_folder(folder)
    _write(root / "cat", "bomb.png", png_bomb())
    return Case(root, LISTED, "pixels")


@case
def picture_truncated(folder: Path) -> Case:
    root = picture_folder(folder)
    whole = png(np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8))
    _write(root / "cat", "cut.png", whole[:len(whole) // 2])
    return Case(root, LISTED, "damaged")


@case
def picture_empty(folder: Path) -> Case:
    root = picture_folder(folder)
    _write(root / "cat", "none.jpg", b"")
    return Case(root, LISTED, "not an image")


@case
def picture_that_is_html(folder: Path) -> Case:
    root = picture_folder(folder)
    _write(root / "cat", "page.jpg", b"<html><script>alert(1)</script></html>")
    return Case(root, LISTED, "not an image")


@case
def picture_that_is_postscript(folder: Path) -> Case:
    """Pillow would hand PostScript to an interpreter; that format is not on our list."""
    root = picture_folder(folder)
    _write(root / "cat", "run.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(/tmp/x) (w) file\nshowpage\n")
    return Case(root, LISTED, "not an image")


@case
def picture_with_text_bomb(folder: Path) -> Case:
    root = picture_folder(folder)
    whole = png(np.zeros((8, 8, 3), np.uint8))
    text = _chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(100_000_000), 9))
    _write(root / "cat", "text.png", whole[:33] + text + whole[33:])
    return Case(root, LISTED, "text.png")


@case
def symlink_out_of_the_folder(folder: Path) -> Case:
    root = picture_folder(folder)
    _write(folder, "secret.png", png(np.zeros((8, 8, 3), np.uint8)))
    (root / "cat" / "link.png").symlink_to(folder / "secret.png")
    return Case(root, LISTED, "symbolic link")


@case
def symlinked_folder_loop(folder: Path) -> Case:
    root = picture_folder(folder)
    (root / "cat" / "again").symlink_to(root)
    return Case(root, LISTED, "symbolic link")


@case
def fifo_in_the_folder(folder: Path) -> Case:
    root = picture_folder(folder)
    os.mkfifo(root / "cat" / "pipe.png")
    return Case(root, LISTED, "not a regular file")


@case
def folder_too_deep(folder: Path) -> Case:
    root = picture_folder(folder)
    deep = root.joinpath("cat", *["d"] * 12)
    deep.mkdir(parents=True)
    (deep / "x.png").write_bytes(png(np.zeros((8, 8, 3), np.uint8)))
    return Case(root, LISTED, "deeper than")


@case
def names_with_control_characters(folder: Path) -> Case:
    root = picture_folder(folder)
    for name in ("new\nline.png", "\x1b[31mred.png", "‮gnp.exe.png", "<img src=x>.png", "=cmd.png"):
        _write(root / "cat", name, png(np.zeros((8, 8, 3), np.uint8)))
    return Case(root, READ)
