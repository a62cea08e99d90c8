"""The newest that was ever accepted here: it only moves forward, so that an older version, policy or revocation list cannot come back.

One JSON file, `BEZOAR_STATE` or ~/.local/state/bezoar, changed under a lock and replaced whole. What stands in it is per trust domain: one
policy's name, or one bare key.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bezoar.core.errors import UnreadableInput
from bezoar.provenance import strict
from bezoar.provenance.disk import DISK, DiskFailed

SCHEMA = "bezoar.trust/1"
VARIABLE = "BEZOAR_STATE"


@dataclass
class Head:
    """The newest accepted statement of one dataset."""

    version: int
    digest: str
    signers: list[str] = field(default_factory=list)


@dataclass
class Domain:
    """What is remembered for one policy or key."""

    policy: str = ""
    """Text of the newest accepted policy."""
    policies: list[str] = field(default_factory=list)
    """SHA-256 of every accepted policy, oldest first."""
    newest: list[Any] = field(default_factory=list)
    """[version, SHA-256] of the newest list of heads, or empty."""
    heads: dict[str, Head] = field(default_factory=dict)
    revoked_keys: list[str] = field(default_factory=list)
    revoked_statements: list[str] = field(default_factory=list)


class Memory:
    """All domains. `to_json` and `from_json` round-trip."""

    def __init__(self, domains: dict[str, Domain] | None = None, places: dict[str, str] | None = None) -> None:
        self.domains = domains or {}
        self.places = places or {}
        """Which policy (by name) stood at which path, so that a file cannot be exchanged for a policy of another name."""

    def domain(self, name: str) -> Domain:
        return self.domains.setdefault(name, Domain())

    def to_json(self) -> bytes:
        return json.dumps({"schema": SCHEMA, "places": dict(sorted(self.places.items())),
                           "domains": {k: asdict(v) for k, v in sorted(self.domains.items())}}, indent=1).encode() + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> Memory:
        """Raises UnreadableInput: a damaged memory is never taken for an empty one."""
        try:
            body = strict.parse_json(data, "trust memory")
            if body["schema"] != SCHEMA:
                raise ValueError
            domains = {}
            for name, value in body["domains"].items():
                heads = {k: Head(int(h["version"]), str(h["digest"]), list(h["signers"])) for k, h in value["heads"].items()}
                domains[name] = Domain(str(value["policy"]), list(value["policies"]), list(value["newest"]), heads,
                                       list(value["revoked_keys"]), list(value["revoked_statements"]))
            return cls(domains, {str(k): str(v) for k, v in body["places"].items()})
        except (KeyError, TypeError, ValueError, AttributeError, UnreadableInput):
            raise UnreadableInput("the trust memory is damaged",
                                  advice="restore it from a backup; without it old versions could come back") from None


def folder() -> Path:
    """Where the memory stands."""
    there = os.environ.get(VARIABLE)
    if there:
        return Path(there)
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "bezoar"


def load(place: str | Path | None = None) -> tuple[Memory, bytes]:
    """The memory and the bytes it was read from (empty where nothing was ever accepted)."""
    raw = _held(Path(place) if place is not None else folder())
    return (Memory.from_json(raw) if raw else Memory()), raw


def _held(place: Path) -> bytes:
    """What is stored; empty only where nothing stands. A file that lost its content is damage, not a beginning."""
    path = place / "trust.json"
    raw = strict.read_bytes(path, "trust memory") if os.path.lexists(path) else b""
    if not raw and os.path.lexists(path):
        Memory.from_json(raw)
    return raw


def save(place: str | Path | None, memory: Memory, before: bytes) -> bool:
    """Replace the memory, unless somebody else has changed it since `before` was read: then False, and nothing is written."""
    at = Path(place) if place is not None else folder()
    after = memory.to_json()
    if after == before:
        return True
    try:
        at.mkdir(parents=True, exist_ok=True)
        lock = os.open(at / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DiskFailed(f"cannot remember what was accepted: {at}: {error.strerror}",
                         advice=f"set {VARIABLE} to a folder that can be written, or say --no-memory") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _held(at) != before:
            return False
        DISK.write_file(at / "trust.json", after, mode=0o600)
        return True
    finally:
        os.close(lock)
