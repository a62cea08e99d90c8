"""Every change that provenance makes on disk goes through one object, so that tests can fail, kill or lose any single step.

Durable means: data written, the file flushed, and the folder that names it flushed. A file appears whole or not at all.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from bezoar.core.errors import BezoarError, ExitCode


class DiskFailed(BezoarError):
    """The disk refused: what was promised before still stands, what was asked now does not."""

    exit_code = ExitCode.INCOMPLETE


class Disk:
    """The system calls, one method each; a partial write goes on until all is written."""

    def open(self, path: Path, flags: int, mode: int = 0o644) -> int:
        return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, mode)

    def write(self, handle: int, data: bytes) -> int:
        return os.write(handle, data)

    def fsync(self, handle: int) -> None:
        os.fsync(handle)

    def close(self, handle: int) -> None:
        os.close(handle)

    def replace(self, old: Path, new: Path) -> None:
        os.replace(old, new)

    def link(self, old: Path, new: Path) -> None:
        os.link(old, new)

    def unlink(self, path: Path) -> None:
        os.unlink(path)

    def mkdir(self, path: Path) -> None:
        os.mkdir(path)

    def truncate(self, handle: int, size: int) -> None:
        os.ftruncate(handle, size)

    def write_all(self, handle: int, data: bytes) -> None:
        """All of `data`; raises OSError."""
        view = memoryview(data)
        while view:
            view = view[self.write(handle, bytes(view[:1 << 22])):]

    def sync_folder(self, folder: Path) -> None:
        """Make names in `folder` durable."""
        handle = self.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self.fsync(handle)
        finally:
            self.close(handle)

    def make_folders(self, folder: Path) -> None:
        """`folder` and what is missing above it, durably."""
        missing = []
        at = folder
        while not at.is_dir():
            missing.append(at)
            at = at.parent
        for new in reversed(missing):
            try:
                self.mkdir(new)
            except FileExistsError:
                continue
            self.sync_folder(new.parent)

    def write_file(self, path: Path, data: bytes, mode: int = 0o644, sync: bool = True) -> None:
        """All of `data` at `path`, or nothing: temporary file in the same folder, flush, rename, flush the folder. Raises DiskFailed."""
        name = path.parent / f".{path.name[:64]}.{secrets.token_hex(6)}.tmp"
        try:
            self.make_folders(path.parent)
            handle = self.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            try:
                self.write_all(handle, data)
                if sync:
                    self.fsync(handle)
            finally:
                self.close(handle)
            self.replace(name, path)
            if sync:
                self.sync_folder(path.parent)
        except OSError as error:
            with suppress(OSError):
                self.unlink(name)
            raise DiskFailed(f"cannot write {path}: {error.strerror or error}",
                             advice="free space or check the disk, then try again") from error


DISK = Disk()
