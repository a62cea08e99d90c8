"""Sign a path, and compare a path with what was signed."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType

from bezoar.core.errors import UnreadableInput, UsageError
from bezoar.core.escape import line
from bezoar.provenance import bundles, envelope, files, rows, statement, strict
from bezoar.provenance.bundles import Record
from bezoar.provenance.envelope import IN_TOTO, Envelope
from bezoar.provenance.keys import PrivateKey
from bezoar.provenance.records import RecordTree
from bezoar.provenance.refusals import NotTrusted
from bezoar.provenance.rows import Columns
from bezoar.provenance.statement import About, Statement

DAYS = 365
"""How long a statement holds when nothing is said, days."""


@dataclass(frozen=True)
class Signed:
    """What `sign` made. `bundle` is what stands in the file."""

    statement: Statement
    bundle: bytes


def read_signature(path: str | Path) -> Envelope:
    """A bundle or envelope; raises UnreadableInput."""
    return envelope.parse(strict.read_bytes(path, "signature"), f"signature {Path(path).name}")


def read_unproved(path: str | Path) -> Envelope:
    """The payload of a bundle of any kind, with the signatures that keys made, if any. Raises UnreadableInput."""
    raw = strict.read_bytes(path, "signature")
    try:
        return envelope.parse(raw, f"signature {Path(path).name}")
    except UnreadableInput:
        return Envelope(envelope.payload(raw, f"signature {Path(path).name}"), IN_TOTO)


def inside(path: str | Path, other: str | Path) -> str:
    """The relative POSIX name of `other` where it stands inside the folder `path`; empty otherwise."""
    root, at = os.path.realpath(path), os.path.join(os.path.realpath(os.path.dirname(os.path.abspath(other))), os.path.basename(other))
    return os.path.relpath(at, root).replace(os.sep, "/") if at.startswith(root + os.sep) else ""


def sign(path: str | Path, key: PrivateKey | None, about: About = About(), *,  # noqa: B008
         days: float = DAYS, previous: Envelope | None = None,
         out: str | Path | None = None, ignore: Sequence[str] = (), seal_records: bool = True, columns: Columns = Columns(),  # noqa: B008
         threads: int = 0, now: datetime | None = None, tick: Callable[[int], None] = lambda n: None,
         keyless: Callable[[bytes], bytes] | None = None, replace_bundle: bool = False, record: Record | None = None,
         instead: Mapping[str, bytes] = MappingProxyType({})) -> Signed:
    """Digest everything at `path` and sign it; writes the bundle to `out` when given. Nothing is written on an error.

    What stands at `out` may only be a bundle of an older version of the same dataset, which is kept as OUT.vN (see `bundles`), unless
    `replace_bundle`. `record` writes the statement and its bundle to a log; the bundle appears at `out` only after it.

    `previous`: the signature of the version before, by the same key; name, version and record buckets go on from there. `keyless` takes the
    exact bytes and gives a bundle, in the place of a key; then `previous` is believed as it is. `instead`: files of a folder as they will
    stand there, which are signed in the place of what stands there now.
    """
    path = Path(path)
    ignore = tuple(sorted({*ignore, *([i] if out is not None and (i := inside(path, out)) else [])}))
    issued = now or strict.now()
    before = None
    if previous is not None:
        if key is not None and not previous.signers([key.public]):
            raise NotTrusted("signature", "the previous signature is not by this key",
                             advice="give --previous a bundle that this key signed")
        before = statement.parse(previous.payload)
        if about.dataset and before.about.dataset and about.dataset != before.about.dataset:
            raise UsageError(f"the previous statement is about {line(before.about.dataset)!r}", advice="leave --dataset out, or start anew")
    name = os.path.basename(os.path.realpath(path))
    about = replace(about, issued=issued, expires=about.expires or issued + timedelta(days=days),
                    dataset=about.dataset or (before.about.dataset if before else "") or name,
                    kind=before.about.kind if before and before.about.version else about.kind,
                    version=about.version or (before.about.version + 1 if before else 1), previous=before.digest if before else "")
    if before and about.version <= before.about.version:
        raise UsageError(f"version {about.version} does not rise above {before.about.version}", advice="leave --version out")
    place = bundles.room(out, about.head, about.version, inside(path, out), replace_bundle) if out is not None else None
    listing = files.walk(path, {*ignore, *instead})
    found = dict(zip(listing.names, files.digests(listing, threads, tick), strict=True))
    if instead:
        found |= {n: sha256(data).digest() for n, data in instead.items()}
        found = {n: found[n] for n in sorted(found, key=files.order)}
    if seal_records:
        old = before.about.records if before else None
        tree = RecordTree(old.salt if old else secrets.token_bytes(16),
                          ((r.id, r.content) for r in rows.records(path, columns, found)), old.bits if old else None)
        about = replace(about, records=tree.seal())
    payload = statement.build(name, found, about, ignore, listing.empty)
    if key is not None:
        bundle = Envelope(payload, IN_TOTO).signed_by(key).bundle()
    elif keyless is not None:
        bundle = keyless(payload)
    else:
        raise UsageError("nothing to sign with", advice="give --key, or --keyless")
    fresh = statement.parse(payload)
    if place is not None:
        bundles.put(place, fresh, bundle, record)
    return Signed(fresh, bundle)


def cosign(signature: Envelope, key: PrivateKey, out: str | Path, replace_bundle: bool = False, record: Record | None = None) -> bytes:
    """A second person's signature over the same bytes, as a bundle of its own. Raises NotTrusted where this key has signed already."""
    if signature.signers([key.public]):
        raise NotTrusted("signature", "this key has signed that statement already", advice="another person's key must sign")
    signed = statement.parse(signature.payload)
    place = bundles.room(out, signed.about.head, signed.about.version, replace=replace_bundle)
    bundle = Envelope(signature.payload, signature.kind).signed_by(key).bundle()
    bundles.put(place, signed, bundle, record)
    return bundle


def compare(path: str | Path, signed: Statement, signatures: Sequence[str | Path] = (), *, threads: int = 0, allow_ignored: bool = False,
            tick: Callable[[int], None] = lambda n: None) -> files.Listing:
    """Re-read everything at `path`; raises NotTrusted that names the first differences. Signature files inside are left out."""
    ours = {i for s in signatures if (i := inside(path, s))}
    listing = files.walk(path, {*signed.ignored, *ours})
    uncovered = [i for i in signed.ignored if i not in ours and os.path.lexists(Path(path) / i)]
    if uncovered and not allow_ignored:
        raise NotTrusted("ignored-path", f"{line(uncovered[0])!r} is there, and the signer left that path out of the signature",
                         advice="remove it, or say --allow-ignored if nobody reads it")
    names, wanted = set(listing.names), set(signed.digests)
    for what, reason, some in (("missing", "missing-file", wanted - names), ("not signed", "extra-file", names - wanted),
                               ("an empty folder that was not signed", "extra-folder", set(listing.empty) - set(signed.empty)),
                               ("an empty folder that is missing", "missing-folder", _gone(signed, listing, path))):
        if some:
            listed = sorted(some)
            more = f" and {len(some) - 3:,} more" if len(some) > 3 else ""
            raise NotTrusted(reason, f"{', '.join(repr(line(n)) for n in listed[:3])}{more}: {what}",
                             advice="get the data again from where it was signed")
    changed = [n for n, d in zip(listing.names, files.digests(listing, threads, tick), strict=True) if signed.digests[n] != d]
    if changed:
        more = f" and {len(changed) - 3:,} more" if len(changed) > 3 else ""
        told = [Path(path).name if n == "." else n for n in changed[:3]]  # a single file has no name inside itself
        raise NotTrusted("changed-file", f"{', '.join(repr(line(n)) for n in told)}{more}: not the content that was signed",
                         advice="get the data again from where it was signed")
    return listing


def _gone(signed: Statement, listing: files.Listing, path: str | Path) -> set[str]:
    return {e for e in signed.empty if e not in listing.empty and not (Path(path) / e).is_dir()}
