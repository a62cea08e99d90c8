"""Opening what others made: no symbolic link, no device, no endless stream; what was planted on purpose is said."""

from __future__ import annotations

import errno
import gzip
import json
import os
import stat
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bezoar.core.errors import LimitExceeded, Refused, UnreadableInput, UsageError
from bezoar.core.limits import MIB, Limits

RATIO_COUNTS_ABOVE = 64 * MIB
"""Bytes produced before `Limits.max_produced_ratio` is looked at: small constant arrays compress a thousandfold."""


def size_of(path: Path, limits: Limits) -> int:
    """Bytes of a regular, non-empty file within `limits.max_file_bytes`; otherwise one clear sentence."""
    try:
        found = path.stat()
    except OSError as error:
        raise UnreadableInput(f"{path} cannot be opened: {error.strerror or error}", advice="check the path and its permissions") from error
    if not stat.S_ISREG(found.st_mode):
        raise UnreadableInput(f"{path} is not a regular file", advice="give a file or a folder")
    if found.st_size == 0:
        raise UnreadableInput(f"{path} is empty (0 bytes)", advice="check that it was written or downloaded completely")
    if found.st_size > limits.max_file_bytes:
        raise LimitExceeded(f"{path.name} has {found.st_size:,} bytes, the limit is {limits.max_file_bytes:,}",
                            advice="split the file, or raise Limits.max_file_bytes")
    return found.st_size


def read_regular(path: str | Path, most: int) -> tuple[bytes, os.stat_result]:
    """Bytes and identity of a regular file, never through a symbolic link, never more than `most` bytes.

    Raises OSError (ELOOP for a link, EFBIG above `most`, ESTALE if it changed while it was read).
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        before = os.fstat(handle)
        if not stat.S_ISREG(before.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        if before.st_size > most:
            raise OSError(errno.EFBIG, f"{before.st_size:,} bytes, the limit is {most:,}")
        raw = b""
        while len(raw) <= before.st_size:
            piece = os.read(handle, before.st_size + 1 - len(raw))
            if not piece:
                break
            raw = raw + piece if raw else piece
        after = os.fstat(handle)
        if len(raw) != before.st_size or after.st_mtime_ns != before.st_mtime_ns:
            raise OSError(errno.ESTALE, "changed while it was being read")
        return raw, after
    finally:
        os.close(handle)


def read_file(path: Path, limits: Limits) -> bytes:
    """All bytes of a table or archive; gzip is undone under the limits on produced bytes.

    Raises UnreadableInput or LimitExceeded.
    """
    size = size_of(path, limits)
    try:
        raw, _ = read_regular(path.resolve(), limits.max_file_bytes)
    except OSError as error:
        raise UnreadableInput(f"{path} cannot be read: {error.strerror or error}",
                              advice="scan a copy that nobody writes to" if error.errno == errno.ESTALE else "") from error
    return gunzip(raw, limits, path.name) if raw[:2] == b"\x1f\x8b" else raw[:size]


def gunzip(raw: bytes, limits: Limits, name: str) -> bytes:
    """The bytes a gzip stream holds, counted while they are produced.

    >>> gunzip(gzip.compress(b"abc"), Limits(), "x.gz")
    b'abc'
    """
    import io

    most = min(limits.max_produced_bytes, max(RATIO_COUNTS_ABOVE, int(limits.max_produced_ratio * len(raw))))
    parts: list[bytes] = []
    total = 0
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(raw)) as stream:
            while piece := stream.read(4 * MIB):
                total += len(piece)
                if total > most:
                    raise LimitExceeded(f"{name} unpacks to more than {most:,} bytes from {len(raw):,}",
                                        advice="this looks like a decompression bomb; unpack it yourself if you trust it")
                parts.append(piece)
    except (OSError, EOFError, zlib.error) as error:
        raise UnreadableInput(f"{name} is a damaged gzip file: {error}", advice="download or write it again") from error
    return b"".join(parts)


def line_at(raw: bytes, position: int) -> int:
    """Line number (from 1) of a byte."""
    return raw.count(b"\n", 0, position) + 1


SAYS_ITSELF = "the file says itself that an attack planted poison in it"


def says_planted(count: int) -> tuple[str, ...]:
    """A sentence about pictures that carry the mark of `bezoar attack`; () for none.

    >>> says_planted(1)
    ('1 image says itself that an attack planted it',)
    """
    some = "1 image says itself that an attack planted it" if count == 1 else f"{count:,} images say themselves that an attack planted them"
    return (some,) if count else ()


def declared(path: Path) -> tuple[str, ...]:
    """What a `truth.json` in DATA or beside it says, as a sentence; () where there is none."""
    for folder in ([path] if path.is_dir() else []) + [path.parent]:
        try:
            raw, _ = read_regular(folder / "truth.json", 256 * MIB)
            told = json.loads(raw)
            count, gone, attack = len(told["poisoned"]), len(told.get("removed", ())), str(told["attack"])[:60]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue
        what = f"took {gone:,} samples from here" if gone else f"planted {count:,} poisoned samples here"
        return (f"truth.json says that the attack {attack!r} {what}",)
    return ()


def refuse_existing(out: Path) -> None:
    """Nothing is ever overwritten."""
    if out.exists() or out.is_symlink():
        raise UsageError(f"{out} exists already", advice="name a new path; nothing is ever overwritten")


@contextmanager
def published(out: Path) -> Iterator[Path]:
    """A temporary path beside `out` that becomes `out` in one step when the block ends well, and vanishes otherwise."""
    refuse_existing(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as scratch:
        draft = Path(scratch) / out.name
        yield draft
        refuse_existing(out)
        os.rename(draft, out)


def inside(root: Path, name: str) -> Path:
    """`root / name` for a relative POSIX path from a manifest; Refused when it would leave `root`."""
    parts = name.split("/")
    if not name or "\0" in name or name.startswith("/") or any(p in ("", ".", "..") for p in parts):
        raise Refused(f"the path {name!r} leaves its folder", advice="the list was edited; do not trust it")
    return root.joinpath(*parts)
