"""What hostile cases are made of: the record, the registry, and small dangerous-looking bytes."""

from __future__ import annotations

import io
import os
import struct
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


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG with its checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bomb(side: int = 60_000) -> bytes:
    """A valid PNG header that announces side x side pixels, with few bytes behind it."""
    head = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    return head + png_chunk(b"IDAT", zlib.compress(b"\0" * 100_000)) + png_chunk(b"IEND", b"")


def picture_folder(folder: Path, n: int = 6) -> Path:
    """A small healthy dataset folder to put something hostile into: two classes, n pictures of 8 x 8."""
    rng = np.random.default_rng(0)
    root = folder / "pictures"
    for i in range(n):
        place = root / ("cat" if i % 2 else "dog")
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{i}.png").write_bytes(png(rng.integers(0, 256, (8, 8, 3), np.uint8)))
    return root


def put(folder: Path, name: str, data: bytes) -> Path:
    """Write a file below `folder`, which is made; its path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    return folder / name
