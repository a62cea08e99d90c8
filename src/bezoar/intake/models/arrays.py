"""Numbers from bytes: element kinds, strided views held against their storage, and the place where finished arrays go."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np

from bezoar.intake.models.verdicts import Hostile, TooMuch

KINDS: dict[str, str] = {
    "float64": "<f8", "float32": "<f4", "float16": "<f2", "bfloat16": "<u2", "int64": "<i8", "int32": "<i4", "int16": "<i2", "int8": "|i1",
    "uint64": "<u8", "uint32": "<u4", "uint16": "<u2", "uint8": "|u1", "bool": "|b1", "complex64": "<c8", "complex128": "<c16"}
"""Our word -> numpy code of the bytes as they lie there."""
RESULTS = frozenset(KINDS.values())


class Sink(Protocol):
    """Where arrays are written; `left` bytes may still come."""

    left: int

    def write(self, data: memoryview) -> int:
        """The offset at which the bytes begin."""


class Keep(Protocol):
    """Where readers hand arrays over."""

    def add(self, name: str, array: np.ndarray, kind: str, identity: Any) -> None:
        """Keep `array` (elements of `kind`) as `name`; equal `identity`, equal bytes."""


class Kept:
    """Finished arrays by name: what is shared is written once."""

    def __init__(self, sink: Sink, most_arrays: int) -> None:
        self.sink = sink
        self.most = most_arrays
        self.rows: list[list[Any]] = []
        self._done: dict[Any, tuple[str, int]] = {}

    def add(self, name: str, array: np.ndarray, kind: str, identity: Any) -> None:
        """Keep `array` (elements of `kind`) as `name`; equal `identity`, equal bytes."""
        if len(name) > 1000 or not name.isprintable():
            raise Hostile("it has an array with an absurd name")
        if len(self.rows) >= self.most:
            raise TooMuch(f"it has more than {self.most:,} arrays")
        if identity not in self._done:
            bytes_of_one = 4 if kind == "bfloat16" else array.dtype.itemsize
            self.sink.left -= array.size * bytes_of_one
            if self.sink.left < 0:
                raise TooMuch("its arrays are larger than the limits allow for a file of this size")
            if kind == "bfloat16":
                array = (array.astype("<u4") << 16).view("<f4")
            if kind == "bool":
                array = array != 0
            plain = np.ascontiguousarray(array)
            if plain.dtype.byteorder == ">":
                plain = plain.astype(plain.dtype.newbyteorder("<"))
            self._done[identity] = plain.dtype.str, self.sink.write(memoryview(plain.reshape(-1).view(np.uint8).data))
        code, place = self._done[identity]
        self.rows.append([name, code, list(array.shape), place])


def strided(data: memoryview, kind: str, count: int, offset: int, size: tuple[int, ...], stride: tuple[int, ...], swap: bool = False
            ) -> np.ndarray:
    """A view of a storage of `count` elements. Raises Hostile where the storage is shorter than it is said to be, or the view leaves it."""
    code = np.dtype("|u1" if kind == "bool" else KINDS[kind])
    if len(data) != count * code.itemsize:
        raise Hostile("it has a storage of another length than it states")
    flat = np.frombuffer(data, code.newbyteorder(">") if swap else code)
    if not math.prod(size):
        return np.zeros(size, code)
    if offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) >= count:
        raise Hostile("it has a tensor that reaches beyond its storage")
    return np.lib.stride_tricks.as_strided(flat[offset:], size, tuple(s * code.itemsize for s in stride), writeable=False)
