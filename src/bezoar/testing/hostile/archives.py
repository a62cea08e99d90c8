"""Formats that run code when read, and archives that lie or explode."""

from __future__ import annotations

import gzip
import io
import os
import zipfile
from pathlib import Path

import numpy as np

from bezoar.testing.hostile.kit import (
    LIMIT,
    REFUSED,
    UNREADABLE,
    Case,
    case,
    pickle_bytes,
    put,
)

# -- formats that run code

@case
def pickle_file(folder: Path) -> Case:
    return Case(put(folder, "data.pkl", pickle_bytes(folder)), REFUSED, "run code")


@case
def pickle_without_suffix(folder: Path) -> Case:
    return Case(put(folder, "data", pickle_bytes(folder)), REFUSED, "run code")


@case
def torch_file(folder: Path) -> Case:
    return Case(put(folder, "data.pt", pickle_bytes(folder)), REFUSED, "run code")


@case
def joblib_file(folder: Path) -> Case:
    return Case(put(folder, "data.joblib", pickle_bytes(folder)), REFUSED, "run code")


def _object_npy(folder: Path) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|O", "fortran_order": False, "shape": (2,)})
    return buffer.getvalue() + pickle_bytes(folder)


@case
def npy_with_objects(folder: Path) -> Case:
    return Case(put(folder, "data.npy", _object_npy(folder)), REFUSED, "objects")


@case
def npz_with_objects(folder: Path) -> Case:
    path = folder / "data.npz"
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", _object_npy(folder))
    return Case(path, REFUSED, "objects")


@case
def npz_that_is_a_pickle(folder: Path) -> Case:
    return Case(put(folder, "data.npz", pickle_bytes(folder)), UNREADABLE, "archive")


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
    return Case(put(folder, "data.npz", whole[:3000]), UNREADABLE, "archive")


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
    return Case(put(folder, "data.csv.gz", body.getvalue()), LIMIT, "bomb")


@case
def gzip_cut(folder: Path) -> Case:
    return Case(put(folder, "data.csv.gz", gzip.compress(b"text,label\n" + os.urandom(4000))[:2000]), UNREADABLE, "gzip")


@case
def tar_archive(folder: Path) -> Case:
    return Case(put(folder, "data.tar", bytes(10_240)), UNREADABLE, "not supported yet")
