"""One digest over all records, from which any one record can be proved in or out, and which a change of few records changes cheaply.

Records are sorted into 2**bits buckets by the hash of their id; the buckets are the leaves of an RFC 6962 tree. A proof is the record's
bucket (about eight records, as hashes) and its audit path: it shows what the record is, or that there is none of that id. Added, removed
and changed records touch only their buckets. Ids and contents are hashed with the dataset's salt, so that neighbours in a bucket are not
readable; the salt is public, so contents that can be guessed can be confirmed.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import Any

from bezoar.core.errors import UnreadableInput, UsageError
from bezoar.maths import merkle
from bezoar.provenance import strict

METHOD = "buckets/1"
PER_BUCKET = 8
MOST_BITS = 24
PROOF = "bezoar.record-proof/1"


def id_hash(salt: bytes, identity: str) -> bytes:
    """Hash of a record's id."""
    return sha256(b"bezoar.record.id\0" + salt + identity.encode("utf-8", "surrogatepass")).digest()


def content_hash(salt: bytes, content: bytes) -> bytes:
    """Hash of a record's content."""
    return sha256(b"bezoar.record.content\0" + salt + content).digest()


def bits_for(count: int) -> int:
    """Buckets (as a power of two) for about `PER_BUCKET` records each.

    >>> bits_for(0), bits_for(8), bits_for(1_000_000)
    (0, 0, 17)
    """
    return min(MOST_BITS, max(0, (max(count, 1) - 1) // PER_BUCKET).bit_length())


@dataclass(frozen=True)
class Seal:
    """What a statement says of its records; `root` is 32 bytes."""

    root: bytes
    count: int
    bits: int
    salt: bytes

    def to_dict(self) -> dict[str, Any]:
        return {"method": METHOD, "root": self.root.hex(), "count": self.count, "bits": self.bits, "salt": self.salt.hex()}

    @classmethod
    def from_dict(cls, value: Any) -> Seal:
        """Raises UnreadableInput."""
        what = "statement's record seal"
        bits = strict.field(value, "bits", int, what)
        count = strict.field(value, "count", int, what)
        if value.get("method") != METHOD or not 0 <= bits <= MOST_BITS or count < 0:
            raise UnreadableInput(f"the {what} is of another method", advice="use the version of bezoar that signed it")
        return cls(strict.unhex(value.get("root"), what), count, bits, strict.unhex(value.get("salt"), what, 16))


class RecordTree:
    """Records by id, sealed. `update` re-hashes the touched buckets only.

    >>> tree = RecordTree(bytes(16), [("a", b"1"), ("b", b"2")])
    >>> before = tree.seal().root
    >>> tree.update({"b": b"3"}); tree.seal().root == before
    False
    """

    def __init__(self, salt: bytes, records: Iterable[tuple[str, bytes]], bits: int | None = None) -> None:
        if len(salt) != 16:
            raise UsageError("the salt has 16 bytes")
        self.salt = salt
        id_start, content_start = b"bezoar.record.id\0" + salt, b"bezoar.record.content\0" + salt
        entries = [sha256(id_start + i.encode("utf-8", "surrogatepass")).digest() + sha256(content_start + c).digest() for i, c in records]
        entries.sort()
        self.count = len(entries)
        self.bits = bits_for(self.count) if bits is None else bits
        self._buckets: list[bytes] = []
        drop, at = 32 - self.bits, 0
        heads = [int.from_bytes(e[:4], "big") >> drop for e in entries]
        for bucket in range(1 << self.bits):
            stop = at
            while stop < self.count and heads[stop] == bucket:
                stop += 1
            self._buckets.append(b"".join(entries[at:stop]))
            at = stop
        for a, b in pairwise(entries):
            if a[:32] == b[:32]:
                raise UsageError("two records have the same id", advice="name a column of unique ids with --id, or leave it out")
        self._tree = merkle.Tree(merkle.leaf_hash(b) for b in self._buckets)

    def _place(self, key: bytes) -> int:
        return int.from_bytes(key[:4], "big") >> (32 - self.bits)

    def update(self, changes: Mapping[str, bytes | None]) -> None:
        """Put, change or (None) remove records."""
        id_start, content_start = b"bezoar.record.id\0" + self.salt, b"bezoar.record.content\0" + self.salt
        touched: dict[int, bytes] = {}
        drop = 32 - self.bits
        for identity, content in changes.items():
            key = sha256(id_start + identity.encode("utf-8", "surrogatepass")).digest()
            place = int.from_bytes(key[:4], "big") >> drop
            held = touched[place] if place in touched else self._buckets[place]
            at = held.find(key)
            while at & 63 and at >= 0:  # a hash that ends in the middle of another's content
                at = held.find(key, at + 1)
            if at < 0:
                at = next((i for i in range(0, len(held), 64) if held[i:i + 32] > key), len(held))
                rest = held[at:]
            else:
                rest = held[at + 64:]
            fresh = b"" if content is None else key + sha256(content_start + content).digest()
            touched[place] = held[:at] + fresh + rest
        for place, held in touched.items():
            self.count += (len(held) - len(self._buckets[place])) >> 6
            self._buckets[place] = held
        self._tree.update({place: merkle.leaf_hash(held) for place, held in touched.items()})

    def seal(self) -> Seal:
        """The value that is signed."""
        return Seal(self._tree.root(), self.count, self.bits, self.salt)

    def prove(self, identity: str) -> dict[str, Any]:
        """A proof about one id, in or out, as a JSON object."""
        place = self._place(id_hash(self.salt, identity))
        return {"schema": PROOF, "id": identity, "bucket": base64.b64encode(self._buckets[place]).decode(),
                "path": [base64.b64encode(h).decode() for h in self._tree.inclusion(place)]}


def check_proof(proof: bytes, seal: Seal, identity: str, content: bytes | None = None) -> bool:
    """Whether the sealed records hold `identity`; with `content`, hold exactly that under it.

    Raises UnreadableInput when `proof` shows neither presence nor absence.
    """
    what = "record proof"
    value = strict.parse_json(proof, what)
    bucket = strict.unbase64(value.get("bucket"), what)
    path = [strict.unbase64(h, what) for h in strict.field(value, "path", list, what)]
    key = id_hash(seal.salt, identity)
    place = int.from_bytes(key[:4], "big") >> (32 - seal.bits)
    keys = [bucket[i:i + 32] for i in range(0, len(bucket), 64)]
    fine = (value.get("schema") == PROOF and value.get("id") == identity and len(bucket) % 64 == 0
            and all(a < b for a, b in pairwise(keys))
            and merkle.verify_inclusion(merkle.leaf_hash(bucket), place, 1 << seal.bits, path, seal.root))
    if not fine:
        raise UnreadableInput(f"the {what} does not fit the signed record root",
                              advice="it is damaged, of another id, or of another version")
    for i, held in enumerate(keys):
        if held == key:
            return content is None or bucket[i * 64 + 32:i * 64 + 64] == content_hash(seal.salt, content)
    return False


def write_proof(proof: dict[str, Any]) -> bytes:
    """The proof as a file."""
    return json.dumps(proof, separators=(",", ":")).encode() + b"\n"
