"""Where bundles stand: signing again loses nothing, and with a log no bundle appears at its place before its entry is durable.

    photos.sig            the newest bundle
    photos.v1.sig         the one that stood there before; `trace` and `rollback` need it
    .photos.sig.waiting   signed and perhaps not logged yet: no verifier reads it, and the next `sign` finishes or forgets it
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bezoar.core.errors import BezoarError, UnreadableInput, UsageError
from bezoar.core.escape import line
from bezoar.provenance import envelope, statement, strict
from bezoar.provenance.disk import DISK, Disk, DiskFailed
from bezoar.provenance.statement import Statement

WAITING = "bezoar.waiting/1"
Record = Callable[[Statement, bytes], None]
"""record(statement, bundle) returns once the log holds them."""


def kept_name(out: Path, version: int) -> Path:
    """Where the bundle of an older version is kept.

    >>> kept_name(Path("photos.sig"), 1).name
    'photos.v1.sig'
    """
    return out.with_name(f"{out.stem}.v{version}{out.suffix}")


def _waiting(out: Path) -> Path:
    return out.with_name(f".{out.name}.waiting")


@dataclass(frozen=True)
class Room:
    """A place that may be written, and the older bundle that has to be kept first."""

    out: Path
    kept: Path | None = None
    old: bytes = b""
    replace: bool = False


def room(out: str | Path, head: str, version: int, within: str = "", replace: bool = False) -> Room:
    """Whether a bundle about `head`, of `version`, may be written to `out`; changes nothing. Raises UsageError.

    What stands there must be a bundle of an older version of the same dataset, which is then kept. `replace` gives up any other bundle, but
    never another kind of file. `within`: the name of `out` inside the data, where an older bundle beside it would be new data.
    """
    out = Path(out)
    if os.path.lexists(_waiting(out)):
        raise UsageError(f"a signing of {out} into a log was cut off", advice="run it again with its --log, which finishes or forgets it")
    return _room(out, head, version, within, replace)


def _room(out: Path, head: str, version: int, within: str, replace: bool) -> Room:
    other = "give --out another name"
    if not os.path.lexists(out):
        return Room(out, replace=replace)
    if out.is_symlink() or not out.is_file():
        raise UsageError(f"{out} exists and is no bundle", advice=other)
    raw = strict.read_bytes(out, "signature")
    try:
        there = statement.parse(envelope.payload(raw))
    except BezoarError:
        raise UsageError(f"{out} exists and is no bundle", advice=other) from None
    if replace:
        return Room(out, replace=True)
    if there.about.head != head or not there.about.version:
        raise UsageError(f"{out} holds {there.title}, and this would be {line(head.replace(':', ' '), 80)!r}",
                         advice=f"go on from it with --previous {out}, or {other}; --replace loses it")
    if there.about.version >= version:
        raise UsageError(f"{out} holds {there.title} already; version {version} does not rise above it",
                         advice=f"--previous {out} goes on from it and keeps it; --replace loses it")
    if within:
        raise UsageError(f"{line(within)!r} inside the data holds {there.title}; to keep it beside the new one would change the data",
                         advice="give --out a name outside the data, or say --replace to lose it")
    kept = kept_name(out, there.about.version)
    if os.path.lexists(kept):
        if kept.is_symlink() or strict.read_bytes(kept, "signature") != raw:
            raise UsageError(f"{kept} is not the {there.title} that would be kept there", advice=f"move it, or {other}")
        return Room(out)
    return Room(out, kept, raw)


def put(place: Room, fresh: Statement, bundle: bytes, record: Record | None = None, disk: Disk = DISK) -> None:
    """Write a bundle to its place, after the older one was kept and after `record`. Raises DiskFailed: then running again mends it."""
    if record is not None:
        said = {"schema": WAITING, "replace": place.replace, "bundle": base64.b64encode(bundle).decode()}
        disk.write_file(_waiting(place.out), json.dumps(said).encode())
        try:
            record(fresh, bundle)
        except DiskFailed:
            raise  # nobody knows whether the log holds it: the next run looks
        except BaseException:
            _forget(place.out, disk)
            raise
    if place.kept is not None:
        disk.write_file(place.kept, place.old)
    disk.write_file(place.out, bundle)
    if record is not None:
        _forget(place.out, disk)


def resume(out: str | Path, logged: Callable[[Statement, bytes], bool], disk: Disk = DISK) -> bytes | None:
    """What a signing left that was cut off: put in its place and returned where the log holds it, else forgotten. Raises UsageError."""
    out, what = Path(out), "waiting bundle"
    if not os.path.lexists(_waiting(out)):
        return None
    body = strict.parse_json(strict.read_bytes(_waiting(out), what), what)
    if body.get("schema") != WAITING:
        raise UnreadableInput(f"{_waiting(out)} is of an unknown kind", advice="use a newer version of bezoar")
    bundle = strict.unbase64(body.get("bundle"), what)
    held = statement.parse(envelope.payload(bundle))
    done = logged(held, bundle)
    if done and not (out.is_file() and strict.read_bytes(out, "signature") == bundle):
        put(_room(out, held.about.head, held.about.version, "", body.get("replace") is True), held, bundle, None, disk)
    _forget(out, disk)
    return bundle if done else None


def _forget(out: Path, disk: Disk) -> None:
    try:
        disk.unlink(_waiting(out))
        disk.sync_folder(out.parent)
    except OSError as error:
        raise DiskFailed(f"cannot remove {_waiting(out)}: {error.strerror}", advice="check the disk, then run it again") from error
