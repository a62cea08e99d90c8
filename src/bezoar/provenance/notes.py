"""Signed notes, checkpoints and cosignatures, as C2SP specifies them: text that people can read and any tool can verify.

A checkpoint is a note of three lines: origin, size, root. The log signs it with Ed25519 (type 1); a witness adds a timestamped cosignature
(type 4). Signatures by unknown keys are ignored; a bad signature under a known name and key id rejects the whole note.
Formats: c2sp.org/signed-note, c2sp.org/tlog-checkpoint, c2sp.org/tlog-cosignature.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from bezoar.core.errors import UnreadableInput, UsageError
from bezoar.core.escape import line
from bezoar.provenance.keys import PrivateKey, PublicKey
from bezoar.provenance.refusals import NotTrusted

LOG, WITNESS = 1, 4
"""Signature types."""
MOST_BYTES = 1 << 20
MOST_SIGNATURES = 100


@dataclass(frozen=True)
class Signer:
    """A name and a key of type `LOG` or `WITNESS`, as a verifier knows it."""

    name: str
    key: PublicKey
    kind: int = LOG

    @property
    def hint(self) -> bytes:
        """The four bytes that stand before a signature."""
        return sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.key.raw()).digest()[:4]

    @property
    def vkey(self) -> str:
        """The verifier key in the text form that other tools read."""
        return f"{self.name}+{self.hint.hex()}+{base64.b64encode(bytes([self.kind]) + self.key.raw()).decode()}"

    @classmethod
    def from_vkey(cls, text: str) -> Signer:
        """Raises UnreadableInput."""
        from cryptography.hazmat.primitives.asymmetric import ed25519

        try:
            name, hint, rest = text.strip().split("+", 2)
            raw = base64.b64decode(rest, validate=True)
            signer = cls(check_name(name), PublicKey.of(ed25519.Ed25519PublicKey.from_public_bytes(raw[1:])), raw[0])
            if signer.kind not in (LOG, WITNESS) or signer.hint.hex() != hint:
                raise ValueError
        except (ValueError, binascii.Error, IndexError, UsageError):
            raise UnreadableInput(f"{line(text, 60)!r} is not a verifier key", advice="it looks like name+01234567+AbCd...") from None
        return signer


@dataclass(frozen=True)
class Note:
    """The signed text (with its last newline) and the signature lines as (name, four bytes, signature)."""

    text: str
    signatures: tuple[tuple[str, bytes, bytes], ...]

    def to_bytes(self) -> bytes:
        rows = "".join(f"\u2014 {n} {base64.b64encode(h + s).decode()}\n" for n, h, s in self.signatures)
        return (self.text + "\n" + rows).encode()

    def by(self, signers: Iterable[Signer]) -> list[tuple[Signer, datetime | None]]:
        """Who of `signers` signed it, witnesses with their time; raises NotTrusted on a bad signature of a known one."""
        known = {(s.name, s.hint): s for s in signers}
        found: dict[str, tuple[Signer, datetime | None]] = {}
        for name, hint, signature in self.signatures:
            signer = known.get((name, hint))
            if signer is None:
                continue
            when = None
            message = self.text.encode()
            if signer.kind == WITNESS:
                if len(signature) != 72:  # without its time it is no cosignature, whatever key made it
                    signature = bytes(72)
                seconds = int.from_bytes(signature[:8], "big")
                message, signature = f"cosignature/v1\ntime {seconds}\n".encode() + message, signature[8:]
                when = datetime.fromtimestamp(seconds, UTC) if seconds < 1 << 37 else None
            if len(signature) != 64 or not signer.key.accepts(signature, message):
                raise NotTrusted("bad-signature", f"the note carries a bad signature of {line(name, 80)!r}",
                                 advice="it was changed or forged")
            found.setdefault(signer.key.id + str(signer.kind), (signer, when))
        return list(found.values())


@dataclass(frozen=True)
class Checkpoint:
    """The head of a log."""

    origin: str
    size: int
    root: bytes
    note: Note

    def to_bytes(self) -> bytes:
        return self.note.to_bytes()


def check_name(name: str) -> str:
    """A name without space, plus sign or control character; raises UsageError."""
    if not name or len(name) > 200 or "+" in name or any(c.isspace() for c in name) or not name.isprintable():
        raise UsageError(f"{line(name, 60)!r} cannot name a log or a witness", advice="use something like example.org/log")
    return name


def parse(data: bytes, what: str = "note") -> Note:
    """Raises UnreadableInput; verifies nothing."""
    def bad(why: str) -> UnreadableInput:
        return UnreadableInput(f"the {what} is not a signed note: {why}", advice="it is damaged or no such file")

    if len(data) > MOST_BYTES:
        raise bad(f"{len(data):,} bytes")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise bad("not UTF-8") from None
    if any(ord(c) < 0x20 and c != "\n" for c in text):
        raise bad("control characters")
    body, gap, rest = text.rpartition("\n\n")
    if not gap or not rest.endswith("\n") or not body:
        raise bad("no signatures")
    rows = rest[:-1].split("\n")
    if len(rows) > MOST_SIGNATURES:
        raise bad("too many signatures")
    found = []
    for row in rows:
        parts = row.split(" ")
        try:
            if len(parts) != 3 or parts[0] != "\u2014" or not parts[1] or "+" in parts[1]:
                raise ValueError
            raw = base64.b64decode(parts[2], validate=True)
            if len(raw) < 5 or base64.b64encode(raw).decode() != parts[2]:
                raise ValueError
        except (ValueError, binascii.Error):
            raise bad("a signature line is malformed") from None
        found.append((parts[1], raw[:4], raw[4:]))
    return Note(body + "\n", tuple(found))


def parse_checkpoint(data: bytes, what: str = "checkpoint") -> Checkpoint:
    """Raises UnreadableInput; verifies nothing."""
    note = parse(data, what)
    rows = note.text.split("\n")
    try:
        origin, size, root = rows[0], rows[1], base64.b64decode(rows[2], validate=True)
        if not origin or not size.isascii() or not size.isdigit() or (size != "0" and size[0] == "0") or len(size) > 18 or len(root) != 32:
            raise ValueError
        if base64.b64encode(root).decode() != rows[2]:
            raise ValueError
    except (IndexError, ValueError, binascii.Error):
        raise UnreadableInput(f"the {what} has no proper origin, size and root", advice="it is damaged or no such file") from None
    return Checkpoint(origin, int(size), root, note)


def checkpoint_text(origin: str, size: int, root: bytes) -> str:
    """The three lines."""
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"


def sign_checkpoint(origin: str, size: int, root: bytes, keys: Sequence[PrivateKey]) -> Checkpoint:
    """Signed by the log's key; by the old and the new one while keys are rotated."""
    text = checkpoint_text(origin, size, root)
    rows = tuple((origin, Signer(origin, k.public).hint, k.sign(text.encode())) for k in keys)
    return Checkpoint(origin, size, root, Note(text, rows))


def cosign(checkpoint: Checkpoint, name: str, key: PrivateKey, when: datetime) -> Note:
    """A witness's line over a checkpoint, as a note with only that line."""
    seconds = int(when.timestamp())
    message = f"cosignature/v1\ntime {seconds}\n".encode() + checkpoint.note.text.encode()
    return Note(checkpoint.note.text, ((name, Signer(name, key.public, WITNESS).hint, seconds.to_bytes(8, "big") + key.sign(message)),))


def check_checkpoint(data: bytes, log: Sequence[Signer], witnesses: Sequence[Signer] = (), quorum: int = 0) -> Checkpoint:
    """A checkpoint by one of the log's keys and at least `quorum` distinct witnesses. Raises NotTrusted or UnreadableInput."""
    found = parse_checkpoint(data)
    signed = found.note.by([*log, *witnesses])
    if not any(s.kind == LOG and s.name == found.origin for s, _ in signed):
        raise NotTrusted("log-signature", f"the checkpoint of {line(found.origin, 80)!r} is not signed by this log's key",
                         advice="wrong key, or a cosignature alone")
    count = sum(s.kind == WITNESS for s, _ in signed)
    if count < quorum:
        raise NotTrusted("witnesses", f"{count} of {quorum} witnesses cosigned this checkpoint", advice="bezoar log witness")
    return found
