"""UBJSON as XGBoost writes it: marked values, lengths before everything, numbers with the highest byte first.

Fails for what that writer does not write: high-precision numbers, characters, objects of one type, lists of nothing.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from bezoar.core.limits import Limits
from bezoar.intake.models.verdicts import Hostile, TooMuch, Unknown

NUMBERS = {b"i": ">i1", b"U": ">u1", b"I": ">i2", b"l": ">i4", b"L": ">i8", b"d": ">f4", b"D": ">f8"}
FORMS = {b"i": ">b", b"U": ">B", b"I": ">h", b"l": ">i", b"L": ">q", b"d": ">f", b"D": ">d"}
PLAIN = {b"T": True, b"F": False, b"Z": None}


def load(raw: memoryview, limits: Limits) -> Any:
    """The value of a whole file: dicts, lists, texts, numbers, bools, None. Raises Hostile, Unknown or TooMuch.

    >>> load(memoryview(b"{L" + bytes(7) + b"\\x01a[$U#L" + bytes(7) + b"\\x02\\x05\\x06}"), Limits())
    {'a': [5, 6]}
    """
    reader = _Reader(raw, limits.max_json_depth)
    value = reader.value(reader.take(1), 0)
    if reader.at != len(raw):
        raise Hostile("there are bytes behind the end of its UBJSON")
    return value


class _Reader:
    def __init__(self, raw: memoryview, most_depth: int) -> None:
        self.raw, self.at, self.most_depth = raw, 0, most_depth

    def take(self, count: int) -> bytes:
        if count < 0 or self.at + count > len(self.raw):
            raise Unknown("its UBJSON is cut off, or names a length beyond its end")
        self.at += count
        return bytes(self.raw[self.at - count:self.at])

    def value(self, mark: bytes, depth: int) -> Any:
        if depth > self.most_depth:
            raise TooMuch("its UBJSON is nested deeper than is read")
        if mark in FORMS:
            return struct.unpack(FORMS[mark], self.take(struct.calcsize(FORMS[mark])))[0]
        if mark in PLAIN:
            return PLAIN[mark]
        if mark == b"S":
            return self.text()
        if mark == b"{":
            return self.object(depth)
        if mark == b"[":
            return self.list(depth)
        raise Unknown("its UBJSON holds a value that XGBoost does not write")

    def length(self) -> int:
        mark = self.take(1)
        if mark not in (b"i", b"U", b"I", b"l", b"L"):
            raise Unknown("its UBJSON has a length that is none")
        return int(self.value(mark, 0))

    def text(self) -> str:
        return self.take(self.length()).decode("utf-8")

    def object(self, depth: int) -> dict[str, Any]:
        out: dict[str, Any] = {}
        while bytes(self.raw[self.at:self.at + 1]) != b"}":
            name = self.text()
            if name in out:
                raise Hostile("its UBJSON has one name twice, which readers take differently")
            out[name] = self.value(self.take(1), depth + 1)
        self.take(1)
        return out

    def list(self, depth: int) -> list[Any]:
        mark = self.take(1)
        if mark == b"$":
            kind, sign = self.take(1), self.take(1)
            if kind not in NUMBERS or sign != b"#":
                raise Unknown("its UBJSON has a list of a type that XGBoost does not write")
            count, code = self.length(), np.dtype(NUMBERS[kind])
            return list(np.frombuffer(self.take(count * code.itemsize), code).tolist())
        if mark == b"#":
            count = self.length()
            if count > len(self.raw) - self.at:
                raise Unknown("its UBJSON is cut off, or names a length beyond its end")
            return [self.value(self.take(1), depth + 1) for _ in range(count)]
        out = []
        while mark != b"]":
            out.append(self.value(mark, depth + 1))
            mark = self.take(1)
        return out
