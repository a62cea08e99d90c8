"""Where hashes and entries of a log stand on disk: C2SP tlog-tiles, so that any static file server can serve it and any tool read it.

A tile holds 256 hashes of one level, an entry bundle 256 entries behind two-byte lengths. Full tiles never change.
Format: c2sp.org/tlog-tiles.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from bezoar.core.errors import UnreadableInput, UsageError
from bezoar.maths import merkle
from bezoar.provenance import strict

WIDTH = 256
MOST_ENTRY = 65535
"""Largest entry, bytes."""


def place(level: int | str, index: int, width: int = WIDTH) -> str:
    """Relative path of a tile (`level` a number) or an entry bundle (`level` 'entries').

    >>> place(0, 1234067), place("entries", 7, 12)
    ('tile/0/x001/x234/067', 'tile/entries/007.p/12')
    """
    digits = f"{index % 1000:03d}"
    while index >= 1000:
        index //= 1000
        digits = f"x{index % 1000:03d}/{digits}"
    return f"tile/{level}/{digits}" + (f".p/{width}" if width < WIDTH else "")


def spans(size: int, level: int = 0) -> Iterator[tuple[int, int]]:
    """(index, width) of every tile of a tile level in a tree of `size`."""
    count = size >> (8 * level)
    for i in range(count >> 8):
        yield i, WIDTH
    if count & 255:
        yield count >> 8, count & 255


def pack(entries: list[bytes]) -> bytes:
    """An entry bundle."""
    out = []
    for e in entries:
        if len(e) > MOST_ENTRY:
            raise UsageError(f"an entry of {len(e):,} bytes is larger than {MOST_ENTRY:,}", advice="log its digest")
        out += [len(e).to_bytes(2, "big"), e]
    return b"".join(out)


def whole_entries(data: bytes, most: int) -> tuple[list[bytes], int]:
    """Entries up to the first that is cut off, and where they end."""
    out: list[bytes] = []
    at = 0
    while at + 2 <= len(data) and len(out) <= most:
        stop = at + 2 + (data[at] << 8 | data[at + 1])
        if stop > len(data):
            break
        out.append(data[at + 2:stop])
        at = stop
    return out, at


def unpack(data: bytes, width: int, what: str) -> list[bytes]:
    """Raises UnreadableInput unless it holds exactly `width` entries."""
    out, at = whole_entries(data, width)
    if at != len(data) or len(out) != width:
        raise UnreadableInput(f"{what} is cut off or damaged", advice="restore it from a copy of the log")
    return out


class Reader:
    """Tiles of a tree of `size` below a folder. `node` serves the proofs of `maths.merkle`."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder, self.size = folder, size
        self._tile = lru_cache(4096)(self._read_tile)

    def _bytes(self, level: int | str, index: int, width: int) -> bytes:
        """The tile, or a wider one of the same place (which begins with the same bytes)."""
        path = self.folder / place(level, index, width)
        if not path.exists():
            wider = [p for p in (self.folder / place(level, index, 1)).parent.glob("*") if p.name.isdigit() and int(p.name) >= width]
            path = min(wider, key=lambda p: int(p.name), default=self.folder / place(level, index))
        return strict.read_bytes(path, "tile", WIDTH * (MOST_ENTRY + 2))

    def _read_tile(self, level: int, index: int) -> bytes:
        count = (self.size >> (8 * level)) - index * WIDTH
        width = min(WIDTH, count)
        if width <= 0:
            raise UnreadableInput(f"no tile {index} of level {level} in a log of {self.size:,}", advice="the log is shorter than was asked")
        data = self._bytes(level, index, width)
        if len(data) < width * 32 or len(data) % 32:
            raise UnreadableInput(f"tile {place(level, index, width)} is cut off", advice="restore it from a copy of the log")
        return data[:width * 32]

    def tile(self, level: int, index: int) -> bytes:
        """The hashes of one tile, joined."""
        return self._tile(level, index)

    def node(self, level: int, index: int) -> bytes:
        """A complete node of the tree."""
        above, inner = divmod(level, 8)
        first = index << inner
        tile = self.tile(above, first >> 8)
        at = (first & 255) << 5
        row = tile[at:at + (32 << inner)]
        if len(row) != 32 << inner:
            raise UnreadableInput(f"tile {place(above, first >> 8)} is cut off", advice="restore it from a copy of the log")
        while len(row) > 32:
            row = b"".join([sha256(b"\x01" + row[i:i + 64]).digest() for i in range(0, len(row), 64)])
        return row

    def root(self, size: int | None = None) -> bytes:
        """Root of the first `size` leaves, from the tiles alone."""
        return merkle.root_of(self.node, self.size if size is None else size)

    def bundle(self, index: int) -> list[bytes]:
        """The entries of one bundle."""
        width = min(WIDTH, self.size - index * WIDTH)
        data = self._bytes("entries", index, width)
        try:
            return unpack(data, width, place("entries", index, width))
        except UnreadableInput:
            for wide in range(width + 1, WIDTH + 1):  # a wider bundle stood in for it
                try:
                    return unpack(data, wide, "")[:width]
                except UnreadableInput:
                    continue
            raise

    def readable(self, index: int) -> list[bytes]:
        """What can be read of a damaged bundle, from its start; nothing where there is no file."""
        width = min(WIDTH, self.size - index * WIDTH)
        try:
            return whole_entries(self._bytes("entries", index, width), width)[0][:width]
        except UnreadableInput:
            return []

    def entry(self, index: int) -> bytes:
        """One entry; UsageError outside the log."""
        if not 0 <= index < self.size:
            raise UsageError(f"the log has {self.size:,} entries, none with number {index}", advice="numbers begin at 0")
        return self.bundle(index >> 8)[index & 255]
