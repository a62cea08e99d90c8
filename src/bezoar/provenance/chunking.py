"""Cut bytes where their content says so, so that an insertion moves few boundaries and equal stretches are stored once.

A boundary stands behind every position whose rolling hash over the last 32 bytes ends in zeros (about every 256 KiB), at least 64 KiB
and at most 1 MiB apart. The hash is the gear hash of FastCDC, computed for all positions at once by doubling.
Paper: Xia et al. 2016, "FastCDC".
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from typing import BinaryIO

import numpy as np

SMALLEST, LARGEST = 64 << 10, 1 << 20
MASK = np.uint32((1 << 18) - 1)
WINDOW = 32
BLOCK = 8 << 20


@cache
def _gear() -> np.ndarray:
    return np.array([int.from_bytes(sha256(b"bezoar.gear" + bytes([i])).digest()[:4], "big") for i in range(256)], np.uint32)


def rolling(data: np.ndarray) -> np.ndarray:
    """Hash over the 32 bytes up to each position; (n,) uint8 -> (n,) uint32. The first 31 look at fewer bytes."""
    hashes = _gear()[data]
    width = 1
    while width < WINDOW:
        longer = hashes.copy()
        longer[width:] += hashes[:-width] << np.uint32(width)
        hashes, width = longer, width * 2
    return hashes


def cut(data: bytes, final: bool = True) -> list[int]:
    """Where the pieces of `data` end. Unless `final`, the last stretch that may still grow is left out."""
    if len(data) <= SMALLEST:
        return [len(data)] if final and data else []
    marks = np.flatnonzero(rolling(np.frombuffer(data, np.uint8)) & MASK == 0) + 1
    out, at = [], 0
    while len(data) - at > SMALLEST:
        k = int(np.searchsorted(marks, at + SMALLEST))
        end = min(int(marks[k]) if k < len(marks) else len(data) + LARGEST, at + LARGEST)
        if end > len(data):
            break
        out.append(end)
        at = end
    if final and at < len(data):
        out.append(len(data))
    return out


def pieces(source: BinaryIO) -> Iterator[bytes]:
    """The content of a file, piece by piece; needs about 80 MB for any size."""
    held = b""
    while True:
        block = source.read(BLOCK)
        held += block
        at = 0
        for end in cut(held, final=not block):
            yield held[at:end]
            at = end
        held = held[at:]
        if not block:
            return
