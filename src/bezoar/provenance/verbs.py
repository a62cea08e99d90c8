"""Sign and verify from Python, with paths for keys: what `bezoar sign` and `bezoar verify` do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bezoar.provenance import guard, keys, signing
from bezoar.provenance.keys import keygen
from bezoar.provenance.statement import About, Statement

Paths = str | Path | Sequence[str | Path]


def sign(path: str | Path, key: str | Path, out: str | Path | None = None, *, previous: str | Path | None = None,
         passphrase: str | None = None,
         days: float = signing.DAYS, ignore: Sequence[str] = (), seal_records: bool = True, threads: int = 0, replace: bool = False,
         **about: Any) -> Statement:
    """Sign a folder or file; writes the bundle to `out` (PATH.sig when left out) and returns what was signed.

    A bundle of an older version at `out` is kept as OUT.vN; anything else there raises UsageError. `replace` gives up the bundle there.

    `about`: dataset, kind ('dataset' or 'model'), source, licence, how, inputs (digests of statements it was made from), scan.
    """
    before = signing.read_signature(previous) if previous is not None else None
    target = Path(out) if out is not None else Path(str(path).rstrip("/") + ".sig")
    return signing.sign(path, keys.load_private(key, passphrase), About(**about), days=days, previous=before, out=target, ignore=ignore,
                        seal_records=seal_records, threads=threads, replace_bundle=replace).statement


def verify(path: str | Path, signature: Paths | None = None, *, public_key: Paths = (), policy: str | Path | None = None,
           newest: str | Path | None = None, chain: Sequence[str | Path] = (), log_proof: str | Path | None = None, dataset: str = "",
           state: str | Path | None = None, remember: bool = True, threads: int = 0) -> Statement:
    """Prove that `path` is exactly what was signed and may be trusted now. Raises `NotTrusted`, whose `reason` names the cause."""
    signatures = [Path(str(path).rstrip("/") + ".sig")] if signature is None else _several(signature)
    ground = guard.Trust(tuple(_several(public_key)), policy, tuple(chain), newest, state, remember, log_proof, dataset=dataset)
    return guard.verify(path, signatures, ground, threads=threads).statement


def _several(paths: Paths) -> list[str | Path]:
    return [paths] if isinstance(paths, (str, Path)) else list(paths)


__all__ = ["keygen", "sign", "verify"]
