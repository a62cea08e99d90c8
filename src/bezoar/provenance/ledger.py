"""The append-only log: one writer, many threads, entries promised only when they would survive a power cut.

`append` returns after its group was written and flushed; groups form by themselves while a flush is under way. A second thread moves
promised entries into tiles and signs a checkpoint; what is read at opening is re-hashed before anything is signed. After any disk error
the writer stops for good: reopening reads what is really there and goes on, without repair by hand.
"""

from __future__ import annotations

import fcntl
import os
import queue
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from bezoar.core.errors import BezoarError, UnreadableInput, UsageError
from bezoar.maths import merkle
from bezoar.provenance import journal, notes, strict, tiles
from bezoar.provenance.disk import DISK, Disk, DiskFailed
from bezoar.provenance.keys import PrivateKey
from bezoar.provenance.notes import Checkpoint, Signer
from bezoar.provenance.refusals import NotTrusted

MOST_GROUP = 4096
"""Entries of one group."""
PUBLISH_EVERY = 65536
"""Entries after which tiles are written without being asked."""


class _Ticket:
    __slots__ = ("done", "entries", "error", "start")

    def __init__(self, entries: list[bytes]) -> None:
        self.entries = entries
        self.start = -1
        self.error: BaseException | None = None
        self.done = threading.Lock()
        self.done.acquire()


class Log:
    """An open log. Use as a context manager; `close` publishes what is left."""

    def __init__(self, folder: str | Path, keys: Sequence[PrivateKey], origin: str = "", disk: Disk = DISK) -> None:
        """Open, or create when `origin` is given and nothing is there. Raises UsageError when another process writes."""
        self.folder, self._keys, self._disk = Path(folder), tuple(keys), disk
        fresh = not (self.folder / "checkpoint").exists()
        if fresh and not origin:
            raise UnreadableInput(f"no log at {self.folder}", advice="make one with `bezoar log new`")
        try:
            disk.make_folders(self.folder)
            self._lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DiskFailed(f"cannot open the log: {error.strerror}", advice="check the disk") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise UsageError(f"another process writes to {self.folder}", advice="wait for it; a log has one writer") from None
        self._tree = merkle.Tree()
        self._tail: list[bytes] = []
        """Entries from the start of the last bundle that is not full on disk."""
        self._broken: BaseException | None = None
        self._journal, self._turn = -1, False
        self._segments: list[tuple[int, Path]] = []
        """(first entry, file) of the journal files of this opening; the last one is being written."""
        self._state, self._publishing = threading.Lock(), threading.Lock()
        self._queue: queue.SimpleQueue[_Ticket | None] = queue.SimpleQueue()
        try:
            self.origin = notes.check_name(origin) if fresh else ""
            self.published = 0 if fresh else self._load()
            self._recover(fresh)
        except OSError as error:
            self._release()
            raise DiskFailed(f"cannot open the log: {error.strerror or error}", advice="check the disk, then open it again") from error
        except BaseException:
            self._release()
            raise
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._tree)

    def _load(self) -> int:
        """The published part: tiles re-hashed and held against the signed checkpoint."""
        head = notes.parse_checkpoint(strict.read_bytes(self.folder / "checkpoint", "checkpoint", notes.MOST_BYTES))
        self.origin = head.origin
        notes.check_checkpoint(head.to_bytes(), [Signer(head.origin, k.public) for k in self._keys])
        reader = tiles.Reader(self.folder, head.size)
        for index, _width in tiles.spans(head.size):
            data = reader.tile(0, index)
            self._tree.extend(data[i:i + 32] for i in range(0, len(data), 32))
        if self._tree.root() != head.root:
            raise NotTrusted("tiles", "the tiles do not add up to the signed checkpoint",
                             advice="bezoar log verify says where; restore from a copy")
        if head.size % tiles.WIDTH:
            self._tail = reader.bundle(head.size // tiles.WIDTH)
        return head.size

    def _recover(self, fresh: bool) -> None:
        """Entries that were promised after the last checkpoint come back from the journal and go into tiles at once."""
        old = journal.segments(self.folder)
        for path in old:
            for start, entries in journal.read(path):
                for i, entry in enumerate(entries, start):
                    leaf = merkle.leaf_hash(entry)
                    if i < len(self._tree):
                        if self._tree.node(0, i) != leaf:
                            raise NotTrusted("journal", f"entry {i} differs between journal and tiles",
                                             advice="restore from a copy; do not append")
                        continue
                    if i > len(self._tree):
                        raise NotTrusted("journal", f"entries from {len(self._tree)} to {i} are missing",
                                         advice="restore from a copy; do not append")
                    self._tree.append(leaf)
                    self._tail.append(entry)
        if fresh or len(self._tree) > self.published:
            self._publish_to(len(self._tree), self._tail)
            self._tail = self._tail[len(self._tail) - len(self._tree) % tiles.WIDTH:] if len(self._tree) % tiles.WIDTH else []
        for path in old:
            self._disk.unlink(path)
        if old:
            self._disk.sync_folder(self.folder)

    # --- appending ---------------------------------------------------------------------------------------------------------------

    def append(self, entry: bytes) -> int:
        """Number of the entry, once it is durable. Raises DiskFailed: then nothing was promised."""
        return self.extend([entry])

    def extend(self, entries: list[bytes]) -> int:
        """Number of the first of several entries, all in one group."""
        for e in entries:
            if len(e) > tiles.MOST_ENTRY:
                raise UsageError(f"an entry of {len(e):,} bytes is larger than {tiles.MOST_ENTRY:,}", advice="log its digest")
        if self._thread is None:
            self._start()
        ticket = _Ticket(entries)
        self._queue.put(ticket)
        ticket.done.acquire()
        if ticket.error is not None:
            raise DiskFailed(f"the log could not be written: {ticket.error}",
                             advice="check the disk, then open the log again") from ticket.error
        return ticket.start

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="log-writer", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        closing = False
        while not closing:
            first = self._queue.get()
            group: list[_Ticket] = []
            count = 0
            while True:
                if first is None:
                    closing = True
                    break
                group.append(first)
                count += len(first.entries)
                if count >= MOST_GROUP:
                    break
                try:
                    first = self._queue.get_nowait()
                except queue.Empty:
                    break
            if not group:
                continue
            error = self._broken
            if error is None:
                try:
                    self._commit(group)
                except BaseException as caught:  # noqa: BLE001 - whatever it was, nobody may be told that the group is safe
                    error = self._broken = caught
            for ticket in group:
                ticket.error = error
                ticket.done.release()
            if error is None and len(self._tree) - self.published >= PUBLISH_EVERY and not self._publishing.locked():
                threading.Thread(target=self._publish_quietly, name="log-publisher", daemon=True).start()

    def _commit(self, group: list[_Ticket]) -> None:
        entries = [e for ticket in group for e in ticket.entries]
        start = len(self._tree)
        if self._turn and self._journal >= 0:
            self._disk.close(self._journal)
            self._journal = -1
        if self._journal < 0:
            self._turn = False
            self._journal = self._open_segment(start)
        self._disk.write_all(self._journal, journal.frame(start, entries))
        self._disk.fsync(self._journal)
        with self._state:
            self._tree.extend(merkle.leaf_hash(e) for e in entries)
            self._tail += entries
        for ticket in group:
            ticket.start = start
            start += len(ticket.entries)

    def _open_segment(self, start: int) -> int:
        path = self.folder / f"journal-{start:016d}"
        handle = self._disk.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        self._disk.sync_folder(self.folder)
        self._segments.append((start, path))
        return handle

    # --- publishing --------------------------------------------------------------------------------------------------------------

    def checkpoint(self) -> Checkpoint:
        """Move everything promised so far into tiles and sign the head. Raises DiskFailed."""
        with self._publishing:
            if self._broken is not None:
                raise DiskFailed(f"the log stopped: {self._broken}", advice="check the disk, then open the log again")
            try:
                with self._state:
                    size, tail, base = len(self._tree), list(self._tail), self.published // tiles.WIDTH * tiles.WIDTH
                if size > self.published:
                    self._turn = True
                    self._publish_to(size, tail)
                    with self._state:
                        self._tail = self._tail[size // tiles.WIDTH * tiles.WIDTH - base:]
                    while len(self._segments) > 1 and self._segments[1][0] <= size:
                        self._disk.unlink(self._segments.pop(0)[1])
            except (OSError, BezoarError) as error:
                self._broken = error
                raise DiskFailed(f"the log could not be published: {error}", advice="check the disk, then open the log again") from error
            return notes.parse_checkpoint(strict.read_bytes(self.folder / "checkpoint", "checkpoint", notes.MOST_BYTES))

    def _publish_quietly(self) -> None:
        with suppress(BezoarError):  # it is in `_broken`, and the next append says so
            self.checkpoint()

    def _publish_to(self, size: int, tail: list[bytes]) -> None:
        """Write tiles, bundles, then the checkpoint. `tail` begins at the last bundle that is not full."""
        folders: set[Path] = set()
        first = self.published // tiles.WIDTH
        with self._state:
            for index, width in tiles.spans(size):
                if index >= first:
                    at = (index - first) * tiles.WIDTH
                    self._put(tiles.place("entries", index, width), tiles.pack(tail[at:at + width]), folders)
        level = 0
        while size >> (8 * level):
            with self._state:
                rows = [(index, width, self._tree.row(8 * level, index * tiles.WIDTH, index * tiles.WIDTH + width))
                        for index, width in tiles.spans(size, level) if index >= (self.published >> (8 * level)) // tiles.WIDTH]
            for index, width, data in rows:
                self._put(tiles.place(level, index, width), data, folders)
            level += 1
        for folder in sorted(folders):
            self._disk.sync_folder(folder)
        head = notes.sign_checkpoint(self.origin, size, self._tree.root(size), self._keys)
        self._disk.write_file(self.folder / "checkpoint", head.to_bytes())
        self.published = size

    def _put(self, place: str, data: bytes, folders: set[Path]) -> None:
        path = self.folder / place
        if path.exists() and strict.read_bytes(path, "tile", len(data) + 1) == data:
            return
        self._disk.make_folders(path.parent)
        name = path.parent / f".{path.name}.tmp"
        handle = self._disk.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            self._disk.write_all(handle, data)
            self._disk.fsync(handle)
        finally:
            self._disk.close(handle)
        self._disk.replace(name, path)
        folders.add(path.parent)

    def add_cosignatures(self, lines: bytes, witnesses: Sequence[Signer]) -> Checkpoint:
        """Put witnesses' lines under the published checkpoint they were made for. Raises NotTrusted for lines of none of them."""
        with self._publishing:
            head = notes.parse_checkpoint(strict.read_bytes(self.folder / "checkpoint", "checkpoint", notes.MOST_BYTES))
            witnesses = [w for w in witnesses if w.kind == notes.WITNESS]
            extra = notes.parse(head.note.text.encode() + b"\n" + lines, "cosignature")
            good = {s.hint for s, _ in extra.by(witnesses)}
            new = {r[:2]: r for r in extra.signatures if r[1] in good}  # in the place of an older line of the same witness
            rows = [*(r for r in head.note.signatures if r[:2] not in new), *new.values()]
            if not good:
                raise NotTrusted("witnesses", "no cosignature of a known witness", advice="give the right --witness key")
            fresh = Checkpoint(head.origin, head.size, head.root, notes.Note(head.note.text, tuple(rows)))
            self._disk.write_file(self.folder / "checkpoint", fresh.to_bytes())
            return fresh

    def close(self) -> None:
        """Publish and let go of the log."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None
        try:
            if self._broken is None:
                self.checkpoint()
                try:
                    for _, path in self._segments:
                        self._disk.unlink(path)
                except OSError as error:
                    raise DiskFailed(f"the log could not be closed: {error}",
                                     advice="check the disk; nothing that was promised is lost") from error
        finally:
            self._release()

    def _release(self) -> None:
        if self._journal >= 0:
            os.close(self._journal)
            self._journal = -1
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def read(folder: str | Path, log: Sequence[Signer], witnesses: Sequence[Signer] = (), quorum: int = 0) -> tuple[Checkpoint, tiles.Reader]:
    """The published log, for anyone: checkpoint checked, tiles read on demand."""
    folder = Path(folder)
    head = notes.check_checkpoint(strict.read_bytes(folder / "checkpoint", "checkpoint", notes.MOST_BYTES), log, witnesses, quorum)
    return head, tiles.Reader(folder, head.size)


