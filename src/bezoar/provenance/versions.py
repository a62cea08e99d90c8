"""Versions of a dataset, stored once by content: snapshot, compare, switch, roll back.

    chunks/ab/abcdef...      pieces of files, named by their SHA-256
    versions/ab/abcdef...    lists of files and their pieces, named by the SHA-256 of the list: equal content is one version
    signatures/abcdef.../    bundles about a version
    refs/NAME                which version is current: one small file, replaced whole, so that a reader sees the old or the new

A version appears only when all of its pieces are durable. Nothing is ever changed in place, and nothing is trusted when it is read: each
piece and each file is hashed again.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from bezoar.core.errors import BezoarError, Refused, UnreadableInput, UsageError
from bezoar.core.escape import line
from bezoar.provenance import chunking, envelope, files, memory, statement, strict
from bezoar.provenance.disk import DISK, Disk
from bezoar.provenance.envelope import Envelope
from bezoar.provenance.guard import Trust
from bezoar.provenance.refusals import NotTrusted
from bezoar.provenance.statement import Statement

SCHEMA = "bezoar.version/1"
REF = "bezoar.ref/1"
LFS = b"version https://git-lfs.github.com/spec/v1\n"
MOST_PAST = 10_000


@dataclass(frozen=True)
class Stored:
    """One file of a version."""

    name: str
    digest: bytes
    size: int
    chunks: tuple[str, ...]


@dataclass(frozen=True)
class Version:
    """A list of files; `id` is its own digest."""

    id: str
    files: tuple[Stored, ...]
    empty: tuple[str, ...] = ()

    @cached_property
    def digests(self) -> dict[str, bytes]:
        return {f.name: f.digest for f in self.files}

    @property
    def bytes(self) -> int:
        return sum(f.size for f in self.files)


@dataclass(frozen=True)
class Ref:
    """What a name points to, and what it pointed to before, newest last."""

    version: str
    past: tuple[str, ...] = ()


def parse_ref(data: bytes) -> Ref:
    """Raises UnreadableInput."""
    what = "reference"
    body = strict.parse_json(data, what)
    past = tuple(strict.unhex(p, what).hex() for p in strict.field(body, "past", list, what))
    return Ref(strict.unhex(body.get("version"), what).hex(), past)


def _version(group: list[Envelope]) -> int:
    """The version that a statement gives itself; 0 where it cannot be read."""
    try:
        return statement.parse(group[0].payload).about.version
    except (UnreadableInput, Refused):
        return 0


class Store:
    """A folder of versions."""

    def __init__(self, folder: str | Path, disk: Disk = DISK) -> None:
        self.folder, self._disk = Path(folder), disk

    # --- writing -----------------------------------------------------------------------------------------------------------------

    def snapshot(self, path: str | Path, skip: Sequence[str] = ()) -> Version:
        """Store everything at `path`; raises Refused for links and the like. What is there already is not written again."""
        listing = files.walk(path, skip)
        stored, folders = [], set()
        with files.Reader(listing.root) as reader:
            for name in listing.names:
                try:
                    with os.fdopen(reader.open(name), "rb") as source:
                        hasher, chunks, size = sha256(), [], 0
                        for piece in chunking.pieces(source):
                            if not size and piece.startswith(LFS):
                                raise Refused(f"{line(name)!r} is a git-LFS pointer, not the file itself",
                                              advice="git lfs pull, then again")
                            hasher.update(piece)
                            size += len(piece)
                            digest = sha256(piece).hexdigest()
                            chunks.append(digest)
                            place = self._chunk(digest)
                            if not self._there(place, len(piece)):
                                self._disk.write_file(place, piece)
                                folders.add(place.parent)
                except OSError as error:
                    raise UnreadableInput(f"cannot read {line(name)!r}: {error.strerror}",
                                          advice="did it change while it was read?") from None
                stored.append(Stored(name, hasher.digest(), size, tuple(chunks)))
        body = {"schema": SCHEMA, "files": [[f.name, f.digest.hex(), f.size, list(f.chunks)] for f in stored], "empty": list(listing.empty)}
        data = json.dumps(body, separators=(",", ":")).encode()
        name = sha256(data).hexdigest()
        place = self.folder / "versions" / name[:2] / name
        if not self._there(place, len(data)):
            self._disk.write_file(place, data)
        return Version(name, tuple(stored), listing.empty)

    def _there(self, place: Path, size: int) -> bool:
        """Whether a whole file stands there. Files appear by rename only, so size is enough; content is checked at every read."""
        try:
            return place.stat().st_size == size
        except OSError:
            return False

    def attach(self, version: str, bundle: bytes) -> None:
        """Keep a signature of a version; raises NotTrusted when it is of other content."""
        held = self.read(version)
        signed = statement.parse(envelope.parse(bundle).payload)
        if dict(signed.digests) != held.digests or set(signed.empty) != set(held.empty):
            raise NotTrusted("changed-file", f"this signature is not about version {version[:16]}", advice="sign what was stored")
        self._disk.write_file(self.folder / "signatures" / held.id / f"{sha256(bundle).hexdigest()[:32]}.sig", bundle)

    def switch(self, name: str, version: str) -> Ref:
        """Point a name to a version: one atomic replacement."""
        self.read(version)
        place = self._ref(name)
        past = (*self.ref(name).past, self.ref(name).version) if place.exists() else ()
        fresh = Ref(version, past[-MOST_PAST:])
        self._disk.write_file(place, json.dumps({"schema": REF, "version": version, "past": list(fresh.past)}).encode() + b"\n")
        return fresh

    def signed(self, version: str, ground: Trust) -> Statement:
        """The trusted statement about a version, be it the newest or not. Raises NotTrusted."""
        held = self.read(version)
        bundles: dict[bytes, list[Envelope]] = {}
        for place in sorted((self.folder / "signatures" / held.id).glob("*.sig")):
            with suppress(UnreadableInput):  # what a stranger put beside them does not take their place
                found = envelope.parse(strict.read_bytes(place, "signature"))
                bundles.setdefault(found.payload, []).append(found)
        if not bundles:
            raise NotTrusted("no-signature", f"version {version[:16]} was never signed",
                             advice="roll back to a signed version: bezoar versions")
        said: BezoarError | None = None
        for group in sorted(bundles.values(), key=_version, reverse=True):  # equal content may have been signed anew
            remembered = memory.load(ground.state)[0] if ground.remember else memory.Memory()
            try:
                signed = ground.decide(group, remembered, strict.now(), any_version=True)
                if dict(signed.digests) != held.digests or set(signed.empty) != set(held.empty):
                    raise NotTrusted("changed-file", f"the signature is not about version {version[:16]}", advice="sign what was stored")
                return signed
            except (NotTrusted, UnreadableInput, Refused) as error:
                if isinstance(error, NotTrusted) and error.reason == "revoked":
                    raise
                said = said or error
        assert said is not None
        raise said

    def rollback(self, name: str, version: str, ground: Trust, record: Callable[[Statement], None] = lambda signed: None) -> Ref:
        """Switch an existing name back to a version, only if it is signed, unexpired, unrevoked and whole.

        `record` writes the step to a log before the switch, and after all checks: no name ever points where the log does not say.
        """
        self.ref(name)
        signed = self.signed(version, ground)
        for _ in self.contents(self.read(version)):
            pass
        record(signed)
        return self.switch(name, version)

    # --- reading -----------------------------------------------------------------------------------------------------------------

    def _chunk(self, digest: str) -> Path:
        return self.folder / "chunks" / digest[:2] / digest

    def _ref(self, name: str) -> Path:
        if not name or "/" in name or name.startswith(".") or files.name_trouble(name):
            raise UsageError(f"{line(name, 60)!r} cannot name a line of versions", advice="use letters, digits and '-'")
        return self.folder / "refs" / name

    def ref(self, name: str) -> Ref:
        """What a name points to."""
        return parse_ref(strict.read_bytes(self._ref(name), f"version called {line(name, 60)}", 4 << 20))

    def refs(self) -> dict[str, Ref]:
        """All names."""
        place = self.folder / "refs"
        return {p.name: self.ref(p.name) for p in sorted(place.iterdir()) if not p.name.startswith(".")} if place.is_dir() else {}

    def find(self, text: str) -> str:
        """A version by name, by id, or by the unique beginning of an id (8 letters or more)."""
        if len(text) >= 8 and all(c in "0123456789abcdef" for c in text):
            found = [p.name for p in (self.folder / "versions" / text[:2]).glob(f"{text}*") if not p.name.startswith(".")]
            if len(found) == 1:
                return found[0]
            if found:
                raise UsageError(f"{text!r} begins {len(found)} versions", advice="give more letters")
            raise UsageError(f"no version {text!r} in {self.folder}", advice="see `bezoar versions`")
        return self.ref(text).version

    def read(self, version: str) -> Version:
        """A version's list, checked against its name. Raises NotTrusted when it was changed."""
        what = "version"
        strict.unhex(version, what)
        data = strict.read_bytes(self.folder / "versions" / version[:2] / version, f"version {version[:16]}", 1 << 32)
        if sha256(data).hexdigest() != version:
            raise NotTrusted("store", f"version {version[:16]} was changed on disk", advice="restore the store from a copy")
        body = strict.parse_json(data, what)
        empty = tuple(strict.field(body, "empty", list, what))
        try:
            stored = tuple(Stored(str(n), strict.unhex(d, what), int(size), tuple(strict.unhex(c, what).hex() for c in chunks))
                           for n, d, size, chunks in strict.field(body, "files", list, what))
        except (ValueError, TypeError):
            raise UnreadableInput(f"the {what} {version[:16]} lists something that is no file", advice="do not use this store") from None
        files.check_names([f.name for f in stored], what, map(str, empty))
        if any(f.name == files.WHOLE for f in stored) and (len(stored) > 1 or empty):
            raise UnreadableInput(f"the {what} {version[:16]} is of a file and of a folder at once", advice="do not use this store")
        return Version(version, stored, tuple(map(str, empty)))

    def contents(self, version: Version) -> Iterator[tuple[str, Iterator[bytes]]]:
        """(name, pieces) of every file; raises NotTrusted at the first piece or file that is not what its name says."""
        for f in version.files:
            def checked(f: Stored = f) -> Iterator[bytes]:
                whole = sha256()
                for digest in f.chunks:
                    strict.unhex(digest, "piece")
                    data = strict.read_bytes(self._chunk(digest), f"piece of {line(f.name)!r}", chunking.LARGEST)
                    if sha256(data).hexdigest() != digest:
                        raise NotTrusted("store", f"a piece of {line(f.name)!r} was changed on disk",
                                         advice="restore the store from a copy")
                    whole.update(data)
                    yield data
                if whole.digest() != f.digest:
                    raise NotTrusted("store", f"{line(f.name)!r} does not add up", advice="restore the store from a copy")

            parts = checked()
            yield f.name, parts
            for _ in parts:
                pass

    def checkout(self, version: str, out: str | Path) -> Version:
        """Write a version to a new place, each file whole and checked."""
        out = Path(out)
        if os.path.lexists(out):
            raise UsageError(f"{out} exists", advice="give a new place")
        held = self.read(version)
        single = [f.name for f in held.files] == [files.WHOLE]
        partial = out.parent / f".{out.name}.partial-{os.getpid()}"
        try:
            self._write_out(held, partial, single)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            partial.unlink(missing_ok=True)
            raise
        self._disk.replace(partial, out)
        self._disk.sync_folder(out.parent)
        return held

    def _write_out(self, held: Version, partial: Path, single: bool) -> None:
        self._disk.make_folders(partial if not single else partial.parent)
        for name, parts in self.contents(held):
            place = partial if single else partial / name
            self._disk.make_folders(place.parent)
            handle = self._disk.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            try:
                for data in parts:
                    self._disk.write_all(handle, data)
                self._disk.fsync(handle)
            finally:
                self._disk.close(handle)
        for name in held.empty:
            self._disk.make_folders(partial / name)

    def check(self) -> dict[str, Any]:
        """Read everything again; raises NotTrusted at the first fault."""
        count = size = 0
        for place in sorted((self.folder / "versions").glob("??/*")):
            if not place.name.startswith("."):
                count += 1
                held = self.read(place.name)
                size += held.bytes
                for _ in self.contents(held):
                    pass
        return {"versions": count, "bytes": size}
