"""The log that a command writes its step to, and the key that opens it."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from bezoar.core.errors import UsageError

LogFolder = Annotated[Path | None, typer.Option("--log", help="Log to write this step to.")]
LogPrivateKey = Annotated[Path | None, typer.Option("--log-private-key", help="private.pem of that log.")]

Write = Callable[[str, str, bytes], None]
"""write(kind, subject, payload)"""


@dataclass(frozen=True)
class Book:
    """An open log, or none: calling it writes an entry."""

    write: Write
    log: Any = None

    def __call__(self, kind: str, subject: str, payload: bytes) -> None:
        self.write(kind, subject, payload)

    def __bool__(self) -> bool:
        return self.log is not None

    def holds(self, kind: str, subject: str, payload: bytes) -> bool:
        """Whether the log held exactly this when it was opened."""
        from bezoar.provenance import entries

        return entries.holds(self.log, kind, subject, payload)


def passphrase(new: bool = False) -> str | None:
    """From BEZOAR_PASSPHRASE, else typed where somebody can type."""
    from bezoar.provenance.keys import PASSPHRASE

    held = os.environ.get(PASSPHRASE)
    if held or not sys.stdin.isatty():
        return held
    first = getpass.getpass("Passphrase: ")
    if new and getpass.getpass("Again: ") != first:
        raise UsageError("the two passphrases differ", advice="try again")
    return first


def private_key(path: Path) -> Any:
    """A private key; asks for its passphrase only when it is locked."""
    from bezoar.provenance import keys, strict

    pem = strict.read_bytes(path, "private key", 1 << 20)
    return keys.PrivateKey.parse(pem, passphrase() if b"ENCRYPTED" in pem else None)


@contextmanager
def book(folder: Path | None, key: Path | None) -> Iterator[Book]:
    """Opens the log before anything is done, so that no step happens that cannot be logged; it stays locked until the end."""
    if folder is None and key is None:
        yield Book(lambda kind, subject, payload: None)
        return
    secret = _secret(folder, key)
    assert folder is not None
    with _opened(folder, secret) as write:
        yield write


def later(folder: Path | None, key: Path | None) -> Write:
    """For long steps that change nothing: the log is opened once to see that it can be, and again for each entry."""
    if folder is None and key is None:
        return lambda kind, subject, payload: None
    secret, at = _secret(folder, key), folder
    assert at is not None
    with _opened(at, secret):
        pass

    def write(kind: str, subject: str, payload: bytes) -> None:
        with _opened(at, secret) as now:
            now(kind, subject, payload)

    return write


def _secret(folder: Path | None, key: Path | None) -> Any:
    if folder is None or key is None:
        raise UsageError("a log needs its folder and its key", advice="give --log and --log-private-key")
    return private_key(key)


@contextmanager
def _opened(folder: Path, secret: Any) -> Iterator[Book]:
    from bezoar.provenance import entries
    from bezoar.provenance.ledger import Log

    with Log(folder, [secret]) as log:
        def write(kind: str, subject: str, payload: bytes) -> None:
            entries.record(log, kind, subject, payload, secret.public.id)

        yield Book(write, log)
