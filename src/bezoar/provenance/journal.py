"""The log's journal: what was promised and does not stand in tiles yet. A group of entries is one frame; a frame is whole or not there.

A frame that was cut off at the very end was never promised and is dropped. A damaged frame with anything whole behind it was promised:
that is damage, and it is said.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from bezoar.provenance import strict
from bezoar.provenance.refusals import NotTrusted
from bezoar.provenance.tiles import pack, unpack

MAGIC = b"bezoarG1"
HEAD = len(MAGIC) + 8 + 4 + 8 + 32


def frame(start: int, entries: list[bytes]) -> bytes:
    """One group, numbered from `start`."""
    body = pack(entries)
    head = MAGIC + start.to_bytes(8, "big") + len(entries).to_bytes(4, "big") + len(body).to_bytes(8, "big")
    return head + sha256(head + body).digest() + body


def _read(data: bytes, at: int) -> tuple[int, list[bytes], int] | None:
    """(start, entries, where the next frame begins), or None where no whole frame stands."""
    if data[at:at + 8] != MAGIC or at + HEAD > len(data):
        return None
    start, count, size = (int.from_bytes(data[at + a:at + b], "big") for a, b in ((8, 16), (16, 20), (20, 28)))
    body = data[at + HEAD:at + HEAD + size]
    if len(body) != size or sha256(data[at:at + 28] + body).digest() != data[at + 28:at + HEAD]:
        return None
    return start, unpack(body, count, "journal"), at + HEAD + size


def frames(data: bytes, name: str) -> list[tuple[int, list[bytes]]]:
    """Every whole frame; raises NotTrusted for damage that is not a cut-off end."""
    out, at = [], 0
    while at < len(data):
        found = _read(data, at)
        if found is None:
            behind = data.find(MAGIC, at + 1)
            while behind >= 0:
                if _read(data, behind) is not None:
                    raise NotTrusted("journal", f"{name} is damaged at byte {at:,}, before entries that were promised",
                                     advice="restore it from a copy; do not append")
                behind = data.find(MAGIC, behind + 1)
            break
        out.append((found[0], found[1]))
        at = found[2]
    return out


def segments(folder: Path) -> list[Path]:
    """The journal's files, oldest first."""
    return sorted(folder.glob("journal-*"), key=lambda p: p.name)


def read(path: Path) -> list[tuple[int, list[bytes]]]:
    """Every whole frame of one file."""
    return frames(strict.read_bytes(path, "journal", 1 << 34), path.name)
