"""npy and npz: plain numbers only, headers read by a parser of literals, sizes exact."""

from __future__ import annotations

import ast
import math
import re
from typing import Any

import numpy as np

from bezoar.intake.models.archive import Archive
from bezoar.intake.models.arrays import Kept
from bezoar.intake.models.verdicts import CONVERT, Hostile, Unknown

MAGIC = b"\x93NUMPY"
LONGEST_HEADER = 10_000
TYPE = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248]|c8|c16)\Z")


def read_npy(raw: memoryview, name: str, keep: Kept) -> None:
    """One array into `keep`. Refuses objects."""
    if bytes(raw[:6]) != MAGIC or len(raw) < 12 or (raw[6], raw[7]) not in ((1, 0), (2, 0), (3, 0)):
        raise Unknown("it is no npy file of a known version")
    wide = 2 if raw[6] == 1 else 4
    length = int.from_bytes(raw[8:8 + wide], "little")
    start = 8 + wide + length
    if length > LONGEST_HEADER or start > len(raw):
        raise Hostile("its npy header is longer than a header can be")
    head = _header(bytes(raw[8 + wide:start]))
    code, shape = head["descr"], head["shape"]
    if not isinstance(code, str) or "O" in code:
        raise Hostile(f"it holds objects, which are pickles; {CONVERT}")
    if not TYPE.match(code):
        raise Unknown(f"it holds elements of the type {code[:20]!r}; plain numbers are read")
    if type(shape) is not tuple or len(shape) > 32 or any(type(v) is not int or not 0 <= v < 1 << 62 for v in shape) or (
            type(head["fortran_order"]) is not bool):
        raise Hostile("its npy header has a shape that cannot be")
    dtype = np.dtype(code)
    if math.prod(shape) * dtype.itemsize != len(raw) - start:
        raise Hostile("its npy header states another size than there are bytes")
    array = np.frombuffer(raw[start:], np.dtype("|u1") if dtype.kind == "b" else dtype)
    array = array.reshape(shape, order="F" if head["fortran_order"] else "C")
    keep.add(name, array, "bool" if dtype.kind == "b" else "plain", name)


def _header(raw: bytes) -> dict[str, Any]:
    try:
        head = ast.literal_eval(raw.decode("utf-8").strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        raise Hostile("its npy header is no plain description of an array") from None
    if not isinstance(head, dict) or set(head) != {"descr", "fortran_order", "shape"}:
        raise Hostile("its npy header is no plain description of an array")
    return head


def read_npz(archive: Archive, keep: Kept) -> None:
    """Every member of an npz into `keep` under its name without ".npy"."""
    for name in archive.members:
        if not name.endswith(".npy"):
            raise Hostile(f"its archive holds {name[-60:]!r} beside arrays")
        read_npy(archive.read(name), name[:-4], keep)
