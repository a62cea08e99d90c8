"""JSON and times from outside, read strictly: no doubled keys, no NaN, no depth bombs, times in UTC only."""

from __future__ import annotations

import base64
import binascii
import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bezoar.core.errors import LimitExceeded, UnreadableInput

MOST_BYTES = 512 << 20
"""Largest signature, statement or note that is read, bytes."""


def read_bytes(path: str | Path, what: str, most: int = MOST_BYTES) -> bytes:
    """A regular file of at most `most` bytes; raises UnreadableInput or LimitExceeded and never waits on a FIFO."""
    path = Path(path)
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise UnreadableInput(f"no {what} at {path}: {error.strerror}", advice="check the path") from None
    info = os.fstat(handle)
    if not stat.S_ISREG(info.st_mode):
        os.close(handle)
        raise UnreadableInput(f"{path} is not a regular file", advice=f"give the file of a {what}")
    with open(handle, "rb") as f:
        if info.st_size > most:
            raise LimitExceeded(f"{path} has {info.st_size:,} bytes, the limit for a {what} is {most:,}", advice="this is no such file")
        data = f.read(most + 1)
    if len(data) > most:
        raise LimitExceeded(f"{path} grows beyond {most:,} bytes", advice="this is no such file")
    return data


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("a key stands twice")
    return out


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def parse_json(data: bytes, what: str, surrogates: bool = False) -> dict[str, Any]:
    """One JSON object; raises UnreadableInput with the line of the mistake. `surrogates`: halves of characters are let through."""
    try:
        text = data.decode("utf-8")
        value = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
        if not surrogates and "\\ud" in text.lower():
            json.dumps(value, ensure_ascii=False).encode()  # half a character is no text: nothing could hash or write it
    except UnicodeDecodeError as error:
        raise UnreadableInput(f"the {what} is not UTF-8 at byte {error.start}", advice="it is damaged or no such file") from None
    except json.JSONDecodeError as error:
        raise UnreadableInput(f"the {what} is not JSON: line {error.lineno}: {error.msg}", advice="it is damaged or no such file") from None
    except (ValueError, RecursionError) as error:
        why = error.reason if isinstance(error, UnicodeEncodeError) else str(error)[:80]
        raise UnreadableInput(f"the {what} is not acceptable JSON: {why}", advice="it is damaged or no such file") from None
    if not isinstance(value, dict):
        raise UnreadableInput(f"the {what} is not a JSON object", advice="it is damaged or no such file")
    return value


def field(value: Any, key: str, kind: type | tuple[type, ...], what: str) -> Any:
    """A field of an object, of the stated type; bool is never a number."""
    found = value.get(key) if isinstance(value, dict) else None
    if not isinstance(found, kind) or (isinstance(found, bool) and kind is not bool):
        raise UnreadableInput(f"the {what} has no proper {key!r}", advice="it is damaged or of another tool")
    return found


def unbase64(text: Any, what: str) -> bytes:
    """Standard or url-safe base64, with its padding; anything else raises UnreadableInput.

    >>> unbase64("_-8=", "note") == unbase64("/+8=", "note")
    True
    """
    try:
        if not isinstance(text, str):
            raise TypeError
        plain = text.encode("ascii").translate(bytes.maketrans(b"-_", b"+/"))
        raw = base64.b64decode(plain, validate=True)
        if base64.b64encode(raw) != plain:
            raise ValueError
        return raw
    except (TypeError, ValueError, binascii.Error):
        raise UnreadableInput(f"the {what} holds something that is not base64", advice="it is damaged") from None


def unhex(text: Any, what: str, size: int = 32) -> bytes:
    """Lower-case hexadecimal of exactly `size` bytes."""
    try:
        raw = bytes.fromhex(text)
        if len(raw) == size and raw.hex() == text:
            return raw
    except (ValueError, TypeError):
        pass
    raise UnreadableInput(f"the {what} holds something that is not a digest", advice="it is damaged")


def now() -> datetime:
    """This second, in UTC."""
    return datetime.now(UTC).replace(microsecond=0)


def stamp(when: datetime) -> str:
    """RFC 3339 in UTC, to the second.

    >>> stamp(datetime(2027, 1, 2, 3, 4, 5, tzinfo=UTC))
    '2027-01-02T03:04:05Z'
    """
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: Any, what: str) -> datetime:
    """The reverse of `stamp`; raises UnreadableInput."""
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except (ValueError, TypeError):
        raise UnreadableInput(f"the {what} has no proper time", advice="times look like 2027-01-02T03:04:05Z") from None
