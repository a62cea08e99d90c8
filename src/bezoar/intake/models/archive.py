"""Zip archives, read strictly: one way to read the file, or none.

Refused: headers that differ between a member and the directory, bytes that no member owns (before, between, behind), members that share
bytes, doubled or leaving names, links, encryption, methods other than stored and deflated, a wrong checksum or size, a comment.
Members are views of the file where they are stored; deflated ones are produced under a limit on the bytes of all.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from bezoar.intake.models.verdicts import Hostile, TooMuch, Unknown

LOCAL, CENTRAL, END, END64, LOCATOR, DESCRIPTOR = (b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"PK\x07\x08")
MOST_MEMBERS = 200_000
FLAGS = 0x0002 | 0x0004 | 0x0008 | 0x0800
FULL = 0xFFFFFFFF
EXTRAS = frozenset({0x0001, 0x4246, 0x5455, 0x7875, 0x5855, 0x000A})
"""Extra fields that do not change what a member is: wide sizes, torch's padding, times, owners."""


@dataclass(frozen=True, slots=True)
class Member:
    """`packed` bytes at `start` that give `size` bytes with checksum `crc`."""

    name: str
    method: int
    start: int
    packed: int
    size: int
    crc: int


class Archive:
    """The members of a whole file in memory (or mapped); `most` bytes may be produced in all."""

    def __init__(self, raw: memoryview, most: int) -> None:
        self.raw = raw
        self.left = most
        self.members = _members(raw)

    def read(self, name: str, whole: int | None = None) -> memoryview:
        """The bytes of a member, its checksum verified."""
        member = self.members[name]
        if whole is not None and member.size > whole:
            raise TooMuch(f"its member {name[-60:]!r} has {member.size:,} bytes, at most {whole:,} are read")
        packed = self.raw[member.start:member.start + member.packed]
        if member.method == 0:
            data = packed
        else:
            self.left -= member.size
            if self.left < 0:
                raise TooMuch("it unpacks to more bytes than the limits allow; it looks like a decompression bomb")
            stream = zlib.decompressobj(-15)
            try:
                made = stream.decompress(packed, member.size + 1)
            except zlib.error:
                raise Unknown(f"its member {name[-60:]!r} is damaged") from None
            if len(made) != member.size or not stream.eof or stream.unused_data:
                raise Hostile(f"its member {name[-60:]!r} unpacks to another size than it states")
            data = memoryview(made)
        if zlib.crc32(data) != member.crc:
            raise Hostile(f"its member {name[-60:]!r} does not have the checksum that is stated")
        return data


def _members(raw: memoryview) -> dict[str, Member]:
    count, start, size, end = _directory(raw)
    out: dict[str, Member] = {}
    ranges: list[tuple[int, int]] = []
    at = start
    for _ in range(count):
        if at + 46 > start + size or raw[at:at + 4] != CENTRAL:
            raise Hostile("its zip directory does not hold what it states")
        (_, made, _, flags, method, _, _, crc, packed, full, names, extras, notes, disk, _, outside, offset) = struct.unpack_from(
            "<4sHHHHHHIIIHHHHHII", raw, at)
        stop = at + 46 + names + extras + notes
        if stop > start + size:
            raise Hostile("its zip directory does not hold what it states")
        name_raw, extra = bytes(raw[at + 46:at + 46 + names]), bytes(raw[at + 46 + names:at + 46 + names + extras])
        full, packed, offset = _wide(extra, [full, packed, offset])
        at = stop
        name = _name(name_raw)
        if name in out:
            raise Hostile(f"its zip directory has the name {name[-60:]!r} twice")
        if flags & ~FLAGS or method not in (0, 8) or disk or notes:
            raise Hostile(f"its zip member {name[-60:]!r} is encrypted, or written in a way that no writer of models uses")
        if made >> 8 == 3 and (outside >> 28) not in (0, 8):
            raise Hostile(f"its zip member {name[-60:]!r} is a link or a device")
        if method == 0 and packed != full:
            raise Hostile(f"its zip member {name[-60:]!r} states two sizes")
        begin, after = _local(raw, offset, start, name_raw, flags, method, crc, packed, full)
        ranges.append((offset, after))
        out[name] = Member(name, method, begin, packed, full, crc)
    if at != start + size:
        raise Hostile("its zip directory does not hold what it states")
    place = 0
    for begin, after in sorted(ranges):
        if begin != place:
            raise Hostile("its zip members share bytes, or there are bytes that no member owns")
        place = after
    if place != start or end != len(raw):
        raise Hostile("there are bytes around its zip members that no member owns")
    return out


def _directory(raw: memoryview) -> tuple[int, int, int, int]:
    place = len(raw) - 22
    if place < 0 or raw[place:place + 4] != END:
        tail = bytes(raw[-(66_000):])
        if END in tail:
            raise Hostile("there are bytes behind the end of its zip archive")
        raise Unknown("its zip archive has no end: it is cut off or damaged")
    _, disk, first, here, count, size, start, note = struct.unpack_from("<4sHHHHIIH", raw, place)
    if disk or first or here != count or note:
        raise Hostile("its zip archive spans disks or carries a comment")
    wide = place - 20 >= 0 and raw[place - 20:place - 16] == LOCATOR
    edge = place
    if wide:
        _, _, at, disks = struct.unpack_from("<4sIQI", raw, place - 20)
        if disks != 1 or at + 56 != place - 20 or raw[at:at + 4] != END64:
            raise Hostile("the wide end of its zip archive does not fit")
        _, length, _, _, disk, first, here, many, long, far = struct.unpack_from("<4sQHHIIQQQQ", raw, at)
        if length != 44 or disk or first or here != many or (count, size, start) not in (
                (min(many, 0xFFFF), min(long, FULL), min(far, FULL)), (0xFFFF, FULL, FULL)):
            raise Hostile("its zip archive has two ends that differ")
        count, size, start, edge = many, long, far, at
    if count > MOST_MEMBERS:
        raise TooMuch(f"its zip archive has {count:,} members")
    if start + size != edge:
        raise Hostile("its zip directory is not where it is stated to be")
    return count, start, size, len(raw)


def _local(raw: memoryview, at: int, limit: int, name: bytes, flags: int, method: int, crc: int, packed: int, size: int) -> tuple[int, int]:
    if at + 30 > limit or raw[at:at + 4] != LOCAL:
        raise Hostile("its zip directory points at what is no member")
    _, _, own_flags, own_method, _, _, own_crc, own_packed, own_size, names, extras = struct.unpack_from("<4sHHHHHIIIHH", raw, at)
    begin = at + 30 + names + extras
    if begin + packed > limit:
        raise Hostile("its zip members reach beyond the archive")
    extra = bytes(raw[at + 30 + names:begin])
    own_size, own_packed = _wide(extra, [own_size, own_packed])
    stated = (own_crc, own_packed, own_size)
    if bytes(raw[at + 30:at + 30 + names]) != name or own_flags != flags or own_method != method or (
            stated != (crc, packed, size) and not (flags & 8 and stated == (0, 0, 0))):
        raise Hostile("its zip directory and the members themselves state different things")
    after = begin + packed
    if not flags & 8:
        return begin, after
    for form in ("<4sIII", "<4sIQQ"):
        length = struct.calcsize(form)
        if after + length <= limit and struct.unpack_from(form, raw, after) == (DESCRIPTOR, crc, packed, size):
            return begin, after + length
    raise Hostile("its zip members do not end as they state")


def _wide(extra: bytes, values: list[int]) -> list[int]:
    """Values that are full are in the zip64 extra field, in this order; where none is, it may repeat them (Python before 3.11.4 did)."""
    at, found = 0, False
    out = list(values)
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        body = extra[at + 4:at + 4 + length]
        if len(body) != length:
            raise Hostile("its zip members have extra fields that do not fit")
        at += 4 + length
        if kind not in EXTRAS or (kind == 1 and (found or length % 8)):
            raise Hostile("its zip members have extra fields that give other names or sizes")
        if kind == 1:
            found = True
            words = list(struct.unpack(f"<{length // 8}Q", body))
            for i, value in enumerate(values):
                if value == FULL and words:
                    out[i] = words.pop(0)
            if words and (FULL in values or words != values):
                raise Hostile("its zip members state sizes twice, and not alike")
    if at != len(extra):
        raise Hostile("its zip members have extra fields that do not fit")
    return out


def _name(raw: bytes) -> str:
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Hostile("its zip archive has a name that is not UTF-8") from None
    parts = name.split("/")
    if not name or "\0" in name or "\\" in name or name.startswith("/") or ":" in name or ".." in parts or "" in parts[:-1]:
        raise Hostile(f"its zip archive has a name that leaves its folder or hides: {name[-60:]!r}")
    return name
