"""What stands in a folder, and its digests: walked without following anything, hashed with threads.

Refused, because two systems would read two different things: links, FIFOs and devices, names that differ only in case or in Unicode form,
names that end in a dot or a space, control characters and backslashes in names. Nothing is ignored unless the signer says so, and what is
ignored is inside the signed bytes. An empty folder is a name too (it shifts class numbers), so it is recorded.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from bezoar.core.errors import LimitExceeded, Refused, UnreadableInput
from bezoar.core.escape import hides, line

WHOLE = "."
"""Name of the one file when a single file is signed, as OpenSSF model-signing writes it."""
MOST_FILES = 10_000_000
MOST_DEPTH = 64
PIECE = 1 << 20
"""Bytes read at once."""


@dataclass(frozen=True)
class Listing:
    """File names (POSIX, relative, in canonical order) with sizes, and folders without any file."""

    root: Path
    names: tuple[str, ...]
    sizes: tuple[int, ...]
    empty: tuple[str, ...] = ()


def order(name: str) -> tuple[str, ...]:
    """Canonical order: folder by folder, as OpenSSF model-signing sorts."""
    return tuple(name.split("/"))


def name_trouble(name: str) -> str:
    """Why a relative POSIX name is refused; empty when it is fine.

    >>> name_trouble("a/b.png"), name_trouble("../x"), name_trouble("a/b. ")
    ('', 'it leaves its folder', 'a part of it ends in a dot or a space')
    """
    if name == WHOLE:
        return ""
    parts = name.split("/")
    if not name or name.startswith("/") or "" in parts:
        return "it is empty or absolute"
    if "." in parts or ".." in parts:
        return "it leaves its folder"
    if "\\" in name:
        return "it holds a backslash"
    if len(parts) > MOST_DEPTH or len(name) > 4096:
        return "it is too long or too deep"
    if any(p[-1] in ". " for p in parts):
        return "a part of it ends in a dot or a space"
    if (not name.isascii() or not name.isprintable()) and any(hides(ord(c)) for c in name):
        return "it holds hidden or control characters"
    return ""


def fold(name: str) -> str:
    """Names with the same fold are one file on some system."""
    return name.lower() if name.isascii() else unicodedata.normalize("NFC", unicodedata.normalize("NFKC", name).casefold())


def check_names(names: Iterable[str], what: str, empty: Iterable[str] = ()) -> None:
    """Raises Refused for the first name that is unsafe, or for two that are one on some system: files, and folders at every depth."""
    seen: dict[str, str] = {}
    folders: dict[str, str] = {}

    def sound(name: str) -> None:
        trouble = name_trouble(name)
        if trouble:
            raise Refused(f"the name {line(name)!r} in the {what} is refused: {trouble}", advice="rename the file and sign again")

    def alone(name: str, other: str | None) -> None:
        if other is not None:
            how = "twice" if other == name else f"beside {line(other)!r}: they differ only in case or Unicode form"
            raise Refused(f"{line(name)!r} stands in the {what} {how}", advice="rename or remove one of them")

    def enter(folder: str) -> None:
        while folder and folders.get(folded := fold(folder)) != folder:
            alone(folder, folders.get(folded))
            folders[folded] = folder
            folder = folder.rpartition("/")[0]

    last = ""
    for name in names:
        sound(name)
        folded = fold(name)
        alone(name, seen.get(folded))
        seen[folded] = name
        above = name.rpartition("/")[0]
        if above != last:
            last = above
            enter(above)
    for name in empty:
        sound(name)
        enter(name)
    for folded, folder in folders.items():
        alone(folder, seen.get(folded))


def walk(path: str | Path, skip: Iterable[str] = ()) -> Listing:
    """What stands at `path`: a folder or one regular file. `skip`: relative names (files or folders) left out."""
    path = Path(path)
    skipped = frozenset(skip)
    try:
        info = os.lstat(path)
    except OSError as error:
        raise UnreadableInput(f"nothing at {path}: {error.strerror}", advice="check the path") from None
    if stat.S_ISLNK(info.st_mode):
        path = path.resolve()
        info = os.lstat(path)
    if stat.S_ISREG(info.st_mode):
        return Listing(path, (WHOLE,), (info.st_size,))
    if not stat.S_ISDIR(info.st_mode):
        raise Refused(f"{path} is neither a file nor a folder", advice="give a dataset or a model")
    found: list[tuple[str, int]] = []
    empty: list[str] = []
    pending = [""]
    while pending:
        folder = pending.pop()
        bare = True
        try:
            entries = list(os.scandir(path / folder if folder else path))
        except OSError as error:
            raise UnreadableInput(f"cannot read {line(folder) or path}: {error.strerror}", advice="check permissions") from None
        for entry in entries:
            name = f"{folder}/{entry.name}" if folder else entry.name
            if name in skipped:
                bare = False
                continue
            bare = False
            if entry.is_symlink():
                raise Refused(f"{line(name)!r} is a link", advice="replace it by the file it points to; links are never followed")
            if entry.is_dir(follow_symlinks=False):
                pending.append(name)
            elif entry.is_file(follow_symlinks=False):
                found.append((name, entry.stat(follow_symlinks=False).st_size))
            else:
                raise Refused(f"{line(name)!r} is a pipe, socket or device", advice="remove it")
        if bare and folder:
            empty.append(folder)
        if len(found) > MOST_FILES:
            raise LimitExceeded(f"more than {MOST_FILES:,} files", advice="pack them, or sign parts")
    found.sort(key=lambda pair: order(pair[0]))
    empty.sort(key=order)
    check_names([n for n, _ in found], "folder", empty)
    return Listing(path, tuple(n for n, _ in found), tuple(s for _, s in found), tuple(empty))


class Reader:
    """Opens files below a root, component by component, refusing links at each; remembers the last folder."""

    def __init__(self, root: Path) -> None:
        self._whole = not root.is_dir()
        self._root = os.open(root, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if self._whole else os.O_DIRECTORY))
        self._folder, self._handle = "", self._root

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        if self._handle != self._root:
            os.close(self._handle)
        os.close(self._root)

    def open(self, name: str) -> int:
        """A file descriptor of a regular file. Raises OSError or Refused."""
        if self._whole or name == WHOLE:
            handle = os.dup(self._root)
            os.lseek(handle, 0, os.SEEK_SET)
        else:
            folder, _, last = name.rpartition("/")
            if folder != self._folder:
                self._enter(folder)
            handle = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self._handle)
        return handle

    def _enter(self, folder: str) -> None:
        at = self._root
        try:
            for part in folder.split("/") if folder else []:
                below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
                if at != self._root:
                    os.close(at)
                at = below
        except OSError:
            if at != self._root:
                os.close(at)
            raise
        if self._handle != self._root:
            os.close(self._handle)
        self._folder, self._handle = folder, at

    def digest(self, name: str) -> bytes:
        """SHA-256 of a regular file as it is now."""
        handle = self.open(name)
        try:
            info = os.fstat(handle)
            if not stat.S_ISREG(info.st_mode):
                raise Refused(f"{line(name)!r} is not a regular file", advice="remove it")
            if info.st_size < PIECE:
                data = os.read(handle, info.st_size + 1)
                if len(data) <= info.st_size:
                    hasher = sha256(data)
                    while data:
                        data = os.read(handle, PIECE)
                        hasher.update(data)
                    return hasher.digest()
                hasher = sha256(data)
            else:
                hasher = sha256()
            buffer = bytearray(PIECE)
            view = memoryview(buffer)
            while n := os.readv(handle, [buffer]):
                hasher.update(view[:n])
            return hasher.digest()
        finally:
            os.close(handle)


def digests(listing: Listing, threads: int = 0, tick: Callable[[int], None] = lambda n: None) -> list[bytes]:
    """SHA-256 of every file, in the order of the listing. `threads` 0: as many as there are processors. Raises UnreadableInput."""
    threads = threads or min(32, os.cpu_count() or 1)
    tasks: list[range] = []
    start = weight = 0
    for i, size in enumerate(listing.sizes):
        weight += size + 65536
        if weight >= 16 << 20 or i - start >= 511:
            tasks.append(range(start, i + 1))
            start, weight = i + 1, 0
    if start < len(listing.sizes):
        tasks.append(range(start, len(listing.sizes)))

    def work(rows: range) -> list[bytes]:
        out = []
        with Reader(listing.root) as reader:
            for i in rows:
                try:
                    out.append(reader.digest(listing.names[i]))
                except OSError as error:
                    raise UnreadableInput(f"cannot read {line(listing.names[i])!r}: {error.strerror}",
                                          advice="did it change while it was read?") from None
        tick(len(rows))
        return out

    if threads == 1 or len(tasks) <= 1:
        return [d for rows in tasks for d in work(rows)]
    with ThreadPoolExecutor(threads) as pool:
        return [d for part in pool.map(work, tasks) for d in part]
