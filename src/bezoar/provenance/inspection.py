"""Look at a log as somebody who does not trust it: every entry re-hashed, every tile re-derived, the head held against an older one.

Tamper evidence begins where somebody else holds a checkpoint: `against` compares with one and, on a fork, gives a proof that a third party
can check with the log's key alone.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bezoar.core.errors import UnreadableInput, UsageError
from bezoar.maths import merkle
from bezoar.provenance import journal, ledger, notes, strict, tiles
from bezoar.provenance.notes import Checkpoint, Signer
from bezoar.provenance.refusals import NotTrusted

EVIDENCE = "bezoar.fork/1"
PROOF = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True)
class Inspected:
    """What was re-derived. `waiting`: entries in the journal, promised and not yet under a checkpoint."""

    head: Checkpoint
    waiting: int
    witnesses: int


def inspect(folder: str | Path, log: Sequence[Signer], witnesses: Sequence[Signer] = (), quorum: int = 0,
            older: Checkpoint | None = None) -> Inspected:
    """Re-derive everything; raises NotTrusted that names the first bad entry, or both heads."""
    head, reader = ledger.read(folder, log, witnesses, quorum)
    tree = merkle.Tree()
    bad: tuple[int, str] | None = None
    for index, width in tiles.spans(head.size):
        try:
            entries = reader.bundle(index)
        except UnreadableInput as error:
            raise NotTrusted("entry", f"entry {_first_bad(reader, index):,} is the first that is wrong: {error.message}",
                             advice=error.advice) from None
        leaves = [merkle.leaf_hash(e) for e in entries]
        tree.extend(leaves)
        try:
            stored = reader.tile(0, index)
        except UnreadableInput as error:
            raise NotTrusted("tile", f"hashes of entries from {index * tiles.WIDTH:,} on cannot be read: {error.message}",
                             advice=error.advice) from None
        if bad is None and b"".join(leaves) != stored:
            k = next(k for k in range(width) if leaves[k] != stored[k * 32:k * 32 + 32])
            bad = index * tiles.WIDTH + k, ""
    if bad is not None:
        intact = tree.root() == head.root
        where = "its hash in the tiles was changed; the entry is the one that was signed" if intact else "it or its hash was changed"
        raise NotTrusted("entry", f"entry {bad[0]:,} is the first that is wrong: {where}",
                         advice="restore the log from a copy, and keep this one as evidence")
    level = 1
    while head.size >> (8 * level):
        for index, width in tiles.spans(head.size, level):
            first = index * tiles.WIDTH
            try:
                stored = reader.tile(level, index)
            except UnreadableInput as error:
                raise NotTrusted("tile", f"tile {tiles.place(level, index, width)} cannot be read: {error.message}",
                                 advice=error.advice) from None
            if stored != tree.row(8 * level, first, first + width):
                k = next(k for k in range(width) if stored[k * 32:k * 32 + 32] != tree.node(8 * level, first + k))
                raise NotTrusted("tile", f"tile {tiles.place(level, index, width)} is wrong from entry {(first + k) << (8 * level):,} on",
                                 advice="it can be derived again from the entries")
        level += 1
    if tree.root() != head.root:
        raise NotTrusted("root",
                         f"{head.size:,} entries have root {tree.root().hex()[:16]}, and the checkpoint says {head.root.hex()[:16]}",
                         advice="entries were rewritten with their tiles; restore the log from a copy")
    if older is not None:
        against(older, head, reader, log)
    waiting = 0
    for path in journal.segments(Path(folder)):
        for start, entries in journal.read(path):
            for i, e in enumerate(entries, start):
                if i < head.size and tree.node(0, i) != merkle.leaf_hash(e):
                    raise NotTrusted("entry", f"entry {i:,} differs between journal and tiles", advice="restore the log from a copy")
                waiting = max(waiting, i + 1 - head.size)
    return Inspected(head, waiting, sum(s.kind == notes.WITNESS for s, _ in head.note.by([*log, *witnesses])))


def _first_bad(reader: tiles.Reader, index: int) -> int:
    """The first entry of a damaged bundle that is not what its hash says."""
    entries = reader.readable(index)
    try:
        stored = reader.tile(0, index)
    except UnreadableInput:
        return index * tiles.WIDTH
    wrong = (k for k, e in enumerate(entries) if merkle.leaf_hash(e) != stored[k * 32:k * 32 + 32])
    return index * tiles.WIDTH + next(wrong, len(entries))


class Forked(NotTrusted):
    """Two heads of one log that cannot both be true. `evidence` convinces a third party."""

    def __init__(self, message: str, evidence: bytes) -> None:
        self.evidence = evidence
        super().__init__("fork", message, advice="keep both checkpoints; `bezoar log verify --evidence FILE` writes the proof")


def against(older: Checkpoint, head: Checkpoint, reader: tiles.Reader, log: Sequence[Signer]) -> None:
    """Whether `head` continues `older`; raises Forked (another history) or NotTrusted (cut off)."""
    notes.check_checkpoint(older.to_bytes(), log)
    if older.origin != head.origin:
        raise UsageError("the older checkpoint is of another log", advice="compare checkpoints of one origin")
    if head.size < older.size:
        raise NotTrusted("truncated", f"the log has {head.size:,} entries and showed a signed head of {older.size:,} before",
                         advice="it was cut off or restored from an old backup; get the rest from a copy")
    if older.size == 0:
        return
    prefix = reader.root(older.size)
    proof = merkle.prove_consistency(reader.node, older.size, head.size)
    if not merkle.verify_consistency(older.size, head.size, proof, prefix, head.root):
        raise NotTrusted("tiles", "the tiles do not add up to the checkpoint", advice="bezoar log verify says where")
    if prefix != older.root:
        body: dict[str, Any] = {"schema": EVIDENCE, "older": older.to_bytes().decode(), "newer": head.to_bytes().decode(),
                                "prefix": base64.b64encode(prefix).decode(), "proof": [base64.b64encode(h).decode() for h in proof]}
        raise Forked(f"two histories: the head of {older.size:,} entries was {older.root.hex()[:16]}; under that of {head.size:,} it is "
                     f"{prefix.hex()[:16]}", json.dumps(body, indent=1).encode() + b"\n")


def judge(evidence: bytes, log: Sequence[Signer]) -> tuple[Checkpoint, Checkpoint]:
    """The two heads, if `evidence` proves that the log signed two histories. Raises UnreadableInput or NotTrusted when it does not."""
    what = "evidence"
    body = strict.parse_json(evidence, what)
    if body.get("schema") != EVIDENCE:
        raise UnreadableInput("this is not evidence of a fork", advice="bezoar log verify --evidence FILE")
    older = notes.check_checkpoint(strict.field(body, "older", str, what).encode(), log)
    newer = notes.check_checkpoint(strict.field(body, "newer", str, what).encode(), log)
    prefix = strict.unbase64(body.get("prefix"), what)
    proof = [strict.unbase64(h, what) for h in strict.field(body, "proof", list, what)]
    if older.origin != newer.origin or prefix == older.root or not merkle.verify_consistency(older.size, newer.size, proof, prefix,
                                                                                             newer.root):
        raise NotTrusted("no-fork", "the evidence does not prove a fork", advice="do not accuse the log on this ground")
    return older, newer


def write_proof(head: Checkpoint, index: int, path: Sequence[bytes]) -> bytes:
    """An inclusion proof as c2sp.org/tlog-proof: readable offline, with the checkpoint inside."""
    rows = "".join(base64.b64encode(h).decode() + "\n" for h in path)
    return f"{PROOF}\nindex {index}\n{rows}\n".encode() + head.to_bytes()


def prove(folder: str | Path, log: Sequence[Signer], index: int) -> tuple[bytes, bytes]:
    """(entry, proof) of one entry."""
    head, reader = ledger.read(folder, log)
    entry = reader.entry(index)
    path = merkle.prove_inclusion(reader.node, index, head.size)
    if not merkle.verify_inclusion(merkle.leaf_hash(entry), index, head.size, path, head.root):
        raise NotTrusted("entry", f"entry {index:,} does not add up to the checkpoint", advice="bezoar log verify says where")
    return entry, write_proof(head, index, path)


def check_proof(proof: bytes, entry: bytes, log: Sequence[Signer], witnesses: Sequence[Signer] = (), quorum: int = 0) -> tuple[int,
                                                                                                                               Checkpoint]:
    """(index, checkpoint) when `proof` shows that the log holds `entry`. Raises NotTrusted or UnreadableInput."""
    def bad() -> UnreadableInput:
        return UnreadableInput("this is not an inclusion proof", advice="bezoar log prove")

    top, gap, rest = proof.partition(b"\n\n")
    rows = top.split(b"\n")
    if not gap or rows[0] != PROOF.encode() or len(rows) > 3 + merkle.LONGEST_PROOF:
        raise bad()
    del rows[0]
    if rows and rows[0].startswith(b"extra "):
        del rows[0]
    if not rows or not rows[0].startswith(b"index ") or not rows[0][6:].isdigit() or len(rows[0]) > 26:
        raise bad()
    index = int(rows[0][6:])
    path = [strict.unbase64(r.decode("ascii", "replace"), "inclusion proof") for r in rows[1:]]
    head = notes.check_checkpoint(rest, log, witnesses, quorum)
    if not merkle.verify_inclusion(merkle.leaf_hash(entry), index, head.size, path, head.root):
        raise NotTrusted("not-included", f"the proof does not show this entry under the head of {head.size:,}",
                         advice="another entry, or a changed proof")
    return index, head
