"""A copy of a store somewhere else: any place that fsspec knows (s3://, gs://, az://, sftp://, a folder).

Content has its digest as its name, so a copy is only a matter of what is missing; pieces go before the versions that name them, names last.
What comes back is hashed before it is kept: the place is not trusted.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from bezoar.core.errors import Unavailable, UnreadableInput, UsageError
from bezoar.core.escape import line
from bezoar.provenance import chunking, files, strict
from bezoar.provenance.disk import DISK
from bezoar.provenance.refusals import NotTrusted
from bezoar.provenance.versions import Store, parse_ref

PARTS = ("chunks", "versions", "signatures", "refs")
"""In the order in which they are copied."""


def _open(url: str) -> tuple[Any, str]:
    try:
        import fsspec
    except ImportError:
        raise Unavailable("the package 'fsspec'", advice="pip install fsspec, and s3fs or gcsfs for those places") from None
    try:
        fs, root = fsspec.core.url_to_fs(url)
        return fs, str(root)
    except (ValueError, ImportError) as error:
        raise UsageError(f"{line(url, 100)!r} cannot be opened: {line(error, 120)}", advice="s3://bucket/prefix, or a folder") from None


def _names(fs: Any, root: str, part: str) -> set[str]:
    base = f"{root.rstrip('/')}/{part}"
    try:
        return {str(p)[len(base) + 1:] for p in fs.find(base) if not str(p).rsplit("/", 1)[-1].startswith(".")}
    except FileNotFoundError:
        return set()


def push(store: Store, url: str, tick: Callable[[int], None] = lambda n: None) -> int:
    """Copy what the place lacks; returns how many files went there. Names (refs) are always written anew."""
    fs, root = _open(url)
    sent = 0
    for part in PARTS:
        local = store.folder / part
        there = set() if part == "refs" else _names(fs, root, part)
        for path in sorted(p for p in local.rglob("*") if p.is_file() and not p.name.startswith(".")):
            name = path.relative_to(local).as_posix()
            if name not in there:
                target = f"{root.rstrip('/')}/{part}/{name}"
                fs.makedirs(target.rsplit("/", 1)[0], exist_ok=True)
                fs.pipe_file(target, strict.read_bytes(path, "part of the store", 1 << 32))
                sent += 1
                tick(1)
    return sent


def _check_ref(name: str, data: bytes) -> None:
    try:
        parse_ref(data)
        if "/" not in name:
            return
    except UnreadableInput:
        pass
    raise UnreadableInput(f"the name {line(name)!r} there is damaged", advice="do not use this copy")


def pull(store: Store, url: str, tick: Callable[[int], None] = lambda n: None) -> int:
    """Copy what the store lacks, each file checked; returns how many came. Names that stand here already are left as they are."""
    fs, root = _open(url)
    got = 0
    for part in PARTS:
        for name in sorted(_names(fs, root, part)):
            if files.name_trouble(name):
                raise NotTrusted("store", f"the place holds the name {line(name)!r}", advice="do not use this copy")
            target = store.folder / part / name
            if target.exists():
                continue
            path = f"{root.rstrip('/')}/{part}/{name}"
            most = chunking.LARGEST if part == "chunks" else 1 << 32
            if int(fs.info(path)["size"]) > most:
                raise NotTrusted("store", f"{line(name)!r} is too large to be what its name says", advice="do not use this copy")
            data = bytes(fs.cat_file(path))
            if part in ("chunks", "versions") and sha256(data).hexdigest() != Path(name).name:
                raise NotTrusted("store", f"{part}/{line(name)} is not what its name says", advice="do not use this copy")
            if part == "refs":
                _check_ref(name, data)
            DISK.write_file(target, data)
            got += 1
            tick(1)
    return got
