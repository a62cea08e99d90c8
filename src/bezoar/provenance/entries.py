"""What an entry of the log says: kind, subject, who, when, and a salted digest of its payload, which may be erased: all proofs still hold.

Kinds: policy, sign, scan, clean, approve, promote, rollback, revoke, incident, note. The writer's clock gives the time, never the caller.
"""

from __future__ import annotations

import json
import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from bezoar.core.errors import UnreadableInput, UsageError
from bezoar.core.escape import line
from bezoar.provenance import strict, tiles
from bezoar.provenance.disk import DISK, Disk
from bezoar.provenance.envelope import Envelope
from bezoar.provenance.keys import PrivateKey
from bezoar.provenance.ledger import Log

SCHEMA = "bezoar.entry/1"
KINDS = ("policy", "sign", "scan", "clean", "approve", "promote", "rollback", "revoke", "incident", "note")
HOLDS = ("policy", "sign", "approve", "revoke")
"""Kinds that mean nothing without a payload: replay would call them faults for ever."""
APPROVAL = "application/vnd.bezoar.approval+json"
MOST_PAYLOAD = 256 << 20


@dataclass(frozen=True)
class Entry:
    """One entry, parsed. `payload`: SHA-256 over salt and content, hexadecimal; empty where there is none."""

    kind: str
    subject: str
    by: str
    time: datetime
    payload: str = ""

    def to_bytes(self) -> bytes:
        body: dict[str, Any] = {"schema": SCHEMA, "kind": self.kind, "subject": self.subject, "by": self.by,
                                "time": strict.stamp(self.time),
                                "payload": self.payload}
        return json.dumps(body, sort_keys=True).encode()


def parse(data: bytes) -> Entry:
    """Raises UnreadableInput."""
    what = "log entry"
    body = strict.parse_json(data, what)
    if body.get("schema") != SCHEMA or body.get("kind") not in KINDS:
        raise UnreadableInput(f"the {what} is of an unknown kind", advice="use a newer version of bezoar")
    payload = strict.field(body, "payload", str, what)
    if payload:
        strict.unhex(payload, what)
    return Entry(body["kind"], strict.field(body, "subject", str, what), strict.field(body, "by", str, what),
                 strict.moment(body.get("time"), what), payload)


def record(log: Log, kind: str, subject: str, payload: bytes = b"", by: str = "", now: datetime | None = None, disk: Disk = DISK) -> int:
    """Write one entry and, before it, its payload; returns its number once both are durable."""
    if kind not in KINDS:
        raise UsageError(f"no entry kind {line(kind, 40)!r}", advice="kinds are: " + ", ".join(KINDS))
    if len(subject) > 1000 or len(by) > 200:
        raise UsageError("the subject of an entry is too long", advice="name a digest")
    if kind in HOLDS and not payload:
        raise UsageError(f"an entry of kind {kind!r} needs what it is about as its payload", advice="give --payload FILE")
    if len(payload) > MOST_PAYLOAD:
        raise UsageError(f"a payload of {len(payload):,} bytes is larger than {MOST_PAYLOAD:,}", advice="log its digest")
    name = ""
    if payload:
        blob = secrets.token_bytes(16) + payload
        name = sha256(blob).hexdigest()
        disk.write_file(payload_path(log.folder, name), blob)
    return log.append(Entry(kind, subject, by, now or strict.now(), name).to_bytes())


def holds(log: Log, kind: str, subject: str, payload: bytes) -> bool:
    """Whether a log that was just opened holds exactly this; it is read from its end, entry by entry."""
    reader = tiles.Reader(log.folder, log.published)
    for index in reversed(range(-(-log.published // tiles.WIDTH))):
        for raw in reversed(reader.bundle(index)):
            with suppress(UnreadableInput):  # foreign entries are somebody else's matter
                entry = parse(raw)
                if (entry.kind, entry.subject) == (kind, subject) and payload_of(log.folder, entry) == payload:
                    return True
    return False


def payload_path(folder: Path, name: str) -> Path:
    """Where a payload stands."""
    return folder / "payloads" / name[:2] / name


def payload_of(folder: Path, entry: Entry) -> bytes | None:
    """The payload, or None where it was erased. Raises UnreadableInput when it is not the one that was logged."""
    path = payload_path(folder, entry.payload)
    if not entry.payload or not path.exists():
        return None
    blob = strict.read_bytes(path, "payload", MOST_PAYLOAD + 16)
    if sha256(blob).hexdigest() != entry.payload:
        raise UnreadableInput("its payload is not the one that was logged", advice="restore it from a copy")
    return blob[16:]


def approval(subject: str, policy: str, key: PrivateKey) -> bytes:
    """A person's signed consent to promote exactly `subject` under exactly `policy` (both SHA-256)."""
    body = json.dumps({"_type": "bezoar.approval/1", "subject": subject, "policy": policy}, sort_keys=True).encode()
    return Envelope(body, APPROVAL).signed_by(key).to_json()


def policy_payload(text: bytes, signatures: Envelope | None = None) -> bytes:
    """The payload of a policy entry."""
    return json.dumps({"policy": text.decode("utf-8"), "signatures": signatures.to_dict() if signatures else None}).encode()
