"""The files of `bezoar clean` and `bezoar restore`.

OUT/clean         the data without the samples that were set aside, in the same format
OUT/quarantine    the samples that were set aside, in the same format
OUT/original      what is needed to restore byte for byte and is in neither (a table: the whole file, gzipped)
OUT/changes.json  `bezoar.changes/1`: where every original file is now with its SHA-256, and each change with its finding
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bezoar.core.ability import Reading, Repaired, Source
from bezoar.core.dataset import Dataset
from bezoar.core.errors import LimitExceeded, UnreadableInput, UsageError
from bezoar.core.limits import MIB, Limits
from bezoar.core.report import Report
from bezoar.intake.door import gunzip, inside, published, read_regular, refuse_existing

SCHEMA = "bezoar.changes/1"
SQUEEZED = (".gz", ".npz", ".parquet", ".pq", ".png", ".jpg", ".jpeg", ".webp", ".zip", ".zst", ".xz", ".bz2")


def quarantine(path: Path, source: Source, dataset: Dataset, reading: Reading, repaired: Repaired, report: Report,
               out: Path) -> dict[str, Any]:
    """Write OUT in one step; nothing of `path` is touched. Returns counts, paths and notes.

    Raises UsageError where OUT exists or the data is not what the report is about, UnreadableInput where the data
    changes while it is copied.
    """
    refuse_existing(out)
    _same_data(path, source, dataset, reading, report)
    files = _files(path, reading.limits)
    rows = np.flatnonzero(repaired.keep)
    gone = np.flatnonzero(~repaired.keep)
    why = {c.sample: c for c in repaired.changes}
    notes = list(repaired.notes)
    with published(out) as draft:
        draft.mkdir()
        single = path.is_file()
        for part, chosen in (("clean", rows), ("quarantine", gone)):
            if len(chosen):
                target = draft / part / path.name if single else draft / part
                source.write(path, dataset, chosen, target, reading)
        if not len(rows):
            notes.append("nothing is left in the clean copy")
        manifest = [_kept(path, draft, name, digest, reading.limits) for name, digest in files]
        if [d for _, d in _files(path, reading.limits)] != [d for _, d in files]:
            raise UnreadableInput(f"{path} changed while it was being cleaned", advice="clean a copy that nobody writes to")
        changes = [{"sample": str(dataset.ids[row]), "action": why[dataset.ids[row]].action, "finding": why[dataset.ids[row]].finding,
                    "row": int(row), "sha256": _row_digest(dataset, int(row))} for row in gone.tolist()]
        (draft / "changes.json").write_text(json.dumps({
            "schema": SCHEMA, "name": path.name, "kind": "file" if single else "folder", "format": source.info.name,
            "fingerprint": dataset.fingerprint, "samples": len(dataset), "files": manifest, "changes": changes, "notes": notes,
        }, indent=1) + "\n", encoding="utf-8")
    where = out / "clean" / path.name if single else out / "clean"
    return {"samples": len(dataset), "quarantined": len(gone), "clean": str(where), "quarantine": str(out / "quarantine"),
            "changes": str(out / "changes.json"), "notes": notes}


def restore(folder: Path, out: Path, limits: Limits | None = None) -> dict[str, Any]:
    """Put the original data back at `out`, every file checked by its SHA-256. Raises UnreadableInput where one differs."""
    limits = limits or Limits()
    refuse_existing(out)
    try:
        told = json.loads(read_regular(folder / "changes.json", 1024 * MIB)[0])
        if told["schema"] != SCHEMA:
            raise UnreadableInput(f"changes.json is {str(told['schema'])[:60]!r}, not {SCHEMA}", advice="use the bezoar that wrote it")
        files = [(str(f["path"]), str(f["at"]), str(f["sha256"]), bool(f["gzip"])) for f in told["files"]]
        single, samples = told["kind"] == "file", int(told["samples"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UnreadableInput(f"{folder} holds no readable changes.json: {reason}",
                              advice="give the folder that `bezoar clean` wrote") from error
    with published(out) as draft:
        if not single:
            draft.mkdir()
        for name, at, digest, packed in reversed(files):
            target = draft if single else inside(draft, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                raw = read_regular(inside(folder, at), limits.max_file_bytes)[0]
            except OSError as error:
                raise UnreadableInput(f"{at} cannot be read: {error.strerror or error}", advice="the folder is incomplete") from error
            raw = gunzip(raw, replace(limits, max_produced_ratio=2000.0), at) if packed else raw
            if hashlib.sha256(raw).hexdigest() != digest:
                raise UnreadableInput(f"{at} was changed since it was set aside", advice="nothing was restored; look for a backup")
            target.write_bytes(raw)
    return {"samples": samples, "restored": str(out)}


def _same_data(path: Path, source: Source, dataset: Dataset, reading: Reading, report: Report) -> None:
    wanted = report.subject.get("fingerprint", "")
    if dataset.fingerprint == wanted:
        return
    group = tuple(str(g) for g in report.plan.get("group", ()))
    if group and source.open(path, replace(reading, keep_columns=group)).fingerprint == wanted:
        return
    raise UsageError("the data changed since the scan",
                     advice="scan it again; and give the same --label, --text, --id... options as the scan")


def _files(path: Path, limits: Limits) -> list[tuple[str, str]]:
    """(relative POSIX path, SHA-256) of every regular file, in order; the file itself has its own name. Links are left out."""
    if path.is_file():
        return [(path.name, _digest(path, limits))]
    out: list[tuple[str, str]] = []
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            file = Path(folder) / name
            if file.is_file() and not file.is_symlink():
                out.append((file.relative_to(path).as_posix(), _digest(file, limits)))
                if len(out) > limits.max_rows:
                    raise LimitExceeded(f"{path} holds more than {limits.max_rows:,} files", advice="clean parts of it")
    return out


def _digest(file: Path, limits: Limits) -> str:
    try:
        return hashlib.sha256(read_regular(file.resolve() if file.is_symlink() else file, limits.max_file_bytes)[0]).hexdigest()
    except OSError as error:
        raise UnreadableInput(f"{file} cannot be read: {error.strerror or error}", advice="make it readable, or move it away") from error


def _kept(path: Path, draft: Path, name: str, digest: str, limits: Limits) -> dict[str, Any]:
    """Where the bytes of an original file are in `draft`; what is in neither copy goes to original/."""
    for part in ("clean", "quarantine") if path.is_dir() else ():
        copy = draft / part / name
        if copy.is_file() and _digest(copy, limits) == digest:
            return {"path": name, "sha256": digest, "at": f"{part}/{name}", "gzip": False}
    raw = read_regular(path.resolve() if path.is_file() else path / name, limits.max_file_bytes)[0]
    packed = not name.lower().endswith(SQUEEZED)
    at = f"original/{name}" + (".gz" if packed else "")
    target = inside(draft, at)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(gzip.compress(raw, 6, mtime=0) if packed else raw)
    return {"path": name, "sha256": digest, "at": at, "gzip": packed}


def _row_digest(dataset: Dataset, row: int) -> str:
    digest = hashlib.sha256(str(dataset.ids[row]).encode("utf-8", "surrogatepass"))
    dataset.inputs.take(np.array([row])).feed(digest)
    return digest.hexdigest()
