"""A witness: somebody else who remembers the newest head of a log and signs only what continues it.

Answers are those of c2sp.org/tlog-witness, whether a request comes as a file or over HTTP; the new head is stored before the answer
leaves, under a lock, so that of two requests at once the shorter never wins over the longer.
"""

from __future__ import annotations

import base64
import fcntl
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from bezoar.core.errors import UnreadableInput
from bezoar.maths import merkle
from bezoar.provenance import notes, strict
from bezoar.provenance.disk import DISK, Disk
from bezoar.provenance.keys import PrivateKey
from bezoar.provenance.notes import Checkpoint, Signer
from bezoar.provenance.refusals import NotTrusted
from bezoar.provenance.tiles import Reader

MOST_PROOF = 63
MOST_BODY = 64 << 10


@dataclass(frozen=True)
class Answer:
    """An HTTP answer: status, content type, body. 200: cosignature lines."""

    status: int
    kind: str
    body: bytes


def _no(status: int, why: str) -> Answer:
    return Answer(status, "text/plain; charset=utf-8", why.encode() + b"\n")


def request(reader: Reader, head: Checkpoint, old: int) -> bytes:
    """What a log sends: the size the witness knows, the proof from there, the checkpoint."""
    proof = merkle.prove_consistency(reader.node, old, head.size) if 0 < old <= head.size else []
    return f"old {old}\n".encode() + b"".join(base64.b64encode(h) + b"\n" for h in proof) + b"\n" + head.to_bytes()


def parse_request(body: bytes) -> tuple[int, list[bytes], Checkpoint]:
    """Raises UnreadableInput."""
    top, gap, rest = body.partition(b"\n\n")
    rows = top.split(b"\n")
    size = rows[0][4:]
    if (not gap or not rows[0].startswith(b"old ") or not size.isdigit() or len(size) > 18 or (size != b"0" and size[:1] == b"0")
            or len(rows) > 1 + MOST_PROOF):
        raise UnreadableInput("this is not a request to a witness", advice="bezoar log request")
    proof = [strict.unbase64(r.decode("ascii", "replace"), "request") for r in rows[1:]]
    if any(len(h) != 32 for h in proof):
        raise UnreadableInput("this is not a request to a witness", advice="bezoar log request")
    return int(size), proof, notes.parse_checkpoint(rest)


class Witness:
    """Knows the keys of some logs (origin to signers) and keeps one head per log in `folder`."""

    def __init__(self, folder: str | Path, name: str, key: PrivateKey, logs: Mapping[str, Sequence[Signer]], disk: Disk = DISK) -> None:
        self.folder, self.name, self._key, self._logs, self._disk = Path(folder), notes.check_name(name), key, logs, disk
        key.public.raw()

    def _path(self, origin: str) -> Path:
        return self.folder / f"{sha256(origin.encode()).hexdigest()[:32]}.checkpoint"

    def head(self, origin: str) -> Checkpoint | None:
        """The newest head that was cosigned."""
        path = self._path(origin)
        return notes.parse_checkpoint(strict.read_bytes(path, "witness head", notes.MOST_BYTES)) if path.exists() else None

    def add_checkpoint(self, body: bytes, now: datetime) -> Answer:
        """Check a request and cosign. Never raises for what the request holds."""
        if len(body) > MOST_BODY:
            return _no(413, "too large")
        try:
            old, proof, fresh = parse_request(body)
        except UnreadableInput as error:
            return _no(400, error.message)
        signers = self._logs.get(fresh.origin)
        if signers is None:
            return _no(404, "unknown log")
        try:
            notes.check_checkpoint(fresh.to_bytes(), signers)
        except NotTrusted as error:
            return _no(403, error.message)
        if old > fresh.size:
            return _no(400, "old size above the checkpoint's")
        self._disk.make_folders(self.folder)
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            held = self.head(fresh.origin)
            size = held.size if held else 0
            if old != size:
                return Answer(409, "text/x.tlog.size", f"{size}\n".encode())
            if fresh.size == 0 and fresh.root != merkle.EMPTY_ROOT:
                return _no(422, "an empty log has another root")
            if old == 0 or held is None:
                if proof:
                    return _no(422, "a proof from nothing")
            elif fresh.size == size and fresh.root != held.root:
                return _no(422, "two roots of one size")
            elif not merkle.verify_consistency(old, fresh.size, proof, held.root, fresh.root):
                return _no(422, "the proof does not hold")
            line = notes.cosign(fresh, self.name, self._key, now)
            self._disk.write_file(self._path(fresh.origin), fresh.to_bytes())
        finally:
            os.close(lock)
        return Answer(200, "text/plain; charset=utf-8", line.to_bytes()[len(fresh.note.text.encode()) + 1:])
