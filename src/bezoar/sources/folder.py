"""A folder of pictures by class: DATA/cat/0001.png. Any size; grey, RGB, RGBA, palette, 16-bit; nested folders allowed.

The label is the first folder below DATA (below train/, test/ or val/ where that is all there is). Ids are POSIX paths
relative to DATA. An optional `metadata.csv` in DATA with a column `file_name` adds source, contributor, time, url and
licence. A file that cannot be read, a symbolic link, a bomb, a file that changes while it is read are listed as
unreadable and the run goes on. Everything is decoded once with two threads; what does not fit in `KEEP_BYTES` is
decoded again when asked for, and must not have changed. Cost: about 1 s per 10,000 small files and core.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from bezoar.core.ability import Info, Reading, Source
from bezoar.core.columns import Plain, plain_text
from bezoar.core.dataset import ORIGIN, Dataset, Labels
from bezoar.core.errors import LimitExceeded, UnreadableInput, UsageError
from bezoar.core.inputs import Images, frozen
from bezoar.core.limits import MIB, Limits
from bezoar.core.roles import LIKELY, NONE, SURE, listing
from bezoar.intake.door import declared, inside, published, read_regular, says_planted
from bezoar.intake.pictures import SUFFIXES, Undecodable, decode, marked, png_bytes, strict_decoding

KEEP_BYTES = 1536 * MIB
SPLITS = frozenset(("train", "training", "test", "testing", "val", "valid", "validation", "dev"))
TABLES = frozenset((".csv", ".tsv", ".parquet", ".pq", ".jsonl", ".json", ".npz", ".gz", ".arrow"))
OURS = frozenset(("truth.json", "metadata.csv"))


@dataclass(frozen=True, slots=True)
class Entry:
    """A file as listed: path relative to DATA, size in bytes, time of change in ns."""

    name: str
    size: int
    mtime: int


class Folder(Source):
    """Pictures by class."""

    info: ClassVar[Info] = Info(name="folder", summary="folders of images by class", modalities=("image",),
                                cost="about 1 s per 10,000 small files and core")

    def claims(self, path: Path) -> bool:
        """Any folder that is not a saved Arrow dataset."""
        return path.is_dir() and not any((path / f).is_file() for f in ("state.json", "dataset_dict.json"))

    def open(self, path: Path, reading: Reading) -> Dataset:
        """Raises UnreadableInput where no file is a readable picture, UsageError for a column that is not there."""
        limits = reading.limits
        entries, unreadable, others = listed(path, limits)
        if not entries:
            said = f"; it holds {listing(sorted(others), 6)}" if others else ""
            one = "bezoar reads one table at a time: give one of these files" if others.keys() & TABLES else (
                "a dataset folder looks like DATA/cat/0001.png, DATA/dog/0001.png; or give one table file")
            raise UnreadableInput(f"{path} holds no image files{said}", advice=one)
        inputs, kept, failed, remarks = _decoded(path, entries, limits)
        unreadable += failed
        if not len(kept):
            raise UnreadableInput(f"none of the {len(entries):,} image files in {path} can be read, the first because: {failed[0][1]}",
                                  advice="check that the files were copied completely")
        ids = np.array([entries[i].name for i in kept], object)
        labels, notes = _labels(ids, reading)
        origin, more = _metadata(path, ids, reading)
        notes += more
        if others:
            kinds = ", ".join(f"{c:,} {s or 'without suffix'}" for s, c in sorted(others.items())[:8])
            notes.append(f"files that are not images were not read: {kinds}")
        planted = remarks.pop("planted", 0)
        for remark, count in sorted(remarks.items()):
            notes.append({"alpha": f"{count:,} images carry an alpha channel; it is not looked at",
                          "frames": f"{count:,} images hold several frames; only the first is looked at",
                          "16-bit": f"{count:,} images have 16 bits or floats per pixel; 8 bits are looked at"}[remark])
        told = says_planted(planted)
        return Dataset(inputs, "image", frozen(ids), labels, path.resolve().name, origin, tuple(sorted(unreadable)), tuple(notes),
                       (*declared(path), *told))

    def write(self, original: Path, data: Dataset, rows: np.ndarray, out: Path, reading: Reading,
              changed: np.ndarray | None = None) -> None:
        """Files copied byte for byte; changed pictures as PNG; relabelled ones in the folder of their class; both say so (`marked`)."""
        new_ids = self.written_ids(original, data, rows, reading, changed)
        touched = np.zeros(len(rows), bool) if changed is None else changed[rows]
        there = _there(original, reading)
        with published(out) as draft:
            draft.mkdir()
            made: set[Path] = set()
            for row, name, edited in zip(rows.tolist(), new_ids.tolist(), touched.tolist(), strict=True):
                target = inside(draft, name)
                if target.parent not in made:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    made.add(target.parent)
                raw = b"" if data.ids[row] not in there else _raw(original, data.ids[row], reading.limits)
                if not raw or (edited and not _same(raw, data, row, reading.limits)):
                    raw = png_bytes(data.inputs.read(np.array([row]))[0], planted=True)  # type: ignore[attr-defined]
                elif edited:
                    raw = marked(raw)
                target.write_bytes(raw)
            known = (original / "metadata.csv").is_file()
            held = _metadata(original, data.ids[:1], reading)[0]
            added = {k: v[rows].tolist() for k, v in data.origin.items() if k not in held}
            if known or added:
                renamed = dict(zip(data.ids[rows].tolist(), new_ids.tolist(), strict=True))
                _write_metadata(original, draft, renamed, added, reading.limits)

    def written_ids(self, original: Path, data: Dataset, rows: np.ndarray, reading: Reading,
                    changed: np.ndarray | None = None) -> np.ndarray:
        """Paths after `write`: a changed picture ends in .png, a relabelled one lies in the folder of its class."""
        ids = data.ids[rows].copy()
        there = _there(original, reading)
        new = np.array([name not in there for name in ids.tolist()], bool)
        touched = new if changed is None else changed[rows] | new
        if not touched.any():
            return ids
        taken = set(data.ids.tolist())
        for k in np.flatnonzero(touched).tolist():
            row, name = int(rows[k]), str(ids[k])
            if new[k]:
                place = "" if data.labels is None or data.labels.codes[row] < 0 else data.labels.classes[data.labels.codes[row]] + "/"
                name = place + name.replace("/", "-") + ".png"
            head, _, tail = name.rpartition("/")
            if data.labels is not None and data.labels.codes[row] >= 0:
                parts = name.split("/")
                level = 1 if len(parts) > 2 and parts[0].lower() in SPLITS else 0
                if len(parts) > level + 1:
                    parts[level] = data.labels.classes[data.labels.codes[row]]
                    head = "/".join(parts[:-1])
            stem, dot, suffix = tail.rpartition(".")
            stem = stem if dot else tail
            if not new[k] and not _same(_raw(original, name, reading.limits), data, row, reading.limits):
                suffix = "png"
            fresh = f"{head}/{stem}.{suffix}" if head else f"{stem}.{suffix}"
            count = 1
            while (fresh != name or new[k]) and fresh in taken:
                count += 1
                fresh = (f"{head}/" if head else "") + f"{stem}-{count}.{suffix}"
            taken.add(fresh)
            ids[k] = fresh
        return ids


def _pictures_hidden(item: os.DirEntry[str]) -> bool:
    """Whether a hidden file is a picture, or a hidden folder holds one."""
    if not item.is_dir(follow_symlinks=False):
        return item.name.lower().endswith(SUFFIXES)
    try:
        with os.scandir(item.path) as held:
            return any(h.name.lower().endswith(SUFFIXES) for h in held)
    except OSError:
        return True


def listed(root: Path, limits: Limits) -> tuple[list[Entry], list[tuple[str, str]], dict[str, int]]:
    """Image files below `root` in order of their path; what was refused, with the reason; other suffixes, counted."""
    entries: list[Entry] = []
    refused: list[tuple[str, str]] = []
    others: dict[str, int] = {}
    stack = [("", 0)]
    seen = 0
    while stack:
        folder, depth = stack.pop()
        try:
            found = list(os.scandir(root / folder))
        except OSError as error:
            if not folder:
                raise UnreadableInput(f"{root} cannot be listed: {error.strerror}", advice="check its permissions") from error
            refused.append((folder, f"folder cannot be listed: {error.strerror}"))
            continue
        for item in found:
            seen += 1
            if seen > limits.max_rows:
                raise LimitExceeded(f"{root} holds more than {limits.max_rows:,} files",
                                    advice="scan parts of it, or raise Limits.max_rows")
            name = f"{folder}/{item.name}" if folder else item.name
            shown = name.encode("utf-8", "backslashreplace").decode()
            if item.name.startswith("."):
                if _pictures_hidden(item):
                    refused.append((shown, "hidden, so it was not read; a training run may read it"))
                continue
            if item.is_symlink():
                refused.append((shown, "a symbolic link; links are not followed"))
            elif item.is_dir(follow_symlinks=False):
                if depth + 1 > limits.max_folder_depth:
                    refused.append((shown, f"deeper than {limits.max_folder_depth} folders"))
                else:
                    stack.append((name, depth + 1))
            elif not item.is_file(follow_symlinks=False):
                refused.append((shown, "not a regular file"))
            elif not item.name.lower().endswith(SUFFIXES):
                if not (depth == 0 and item.name in OURS):
                    suffix = os.path.splitext(item.name)[1].lower()[:20]
                    others[suffix] = others.get(suffix, 0) + 1
            else:
                status = item.stat(follow_symlinks=False)
                if shown != name:
                    refused.append((shown, "its name is not UTF-8"))
                elif status.st_size > limits.max_sample_bytes:
                    refused.append((name, f"{status.st_size:,} bytes, the limit is {limits.max_sample_bytes:,}"))
                else:
                    entries.append(Entry(name, status.st_size, status.st_mtime_ns))
    entries.sort(key=lambda e: e.name)
    return entries, refused, others


def _decoded(root: Path, entries: list[Entry], limits: Limits) -> tuple[Images, np.ndarray, list[tuple[str, str]], dict[str, int]]:
    """Pictures, the entries they came from, what failed and why, and how many carried which remark."""
    failed: list[tuple[str, str]] = []
    remarks: dict[str, int] = {}
    kept: list[int] = []
    sizes: list[tuple[int, int]] = []
    pictures: list[np.ndarray] | None = []
    digests: list[bytes] = []
    held = 0
    base = os.fspath(root)

    def one(entry: Entry) -> tuple[np.ndarray, str, bytes] | str:
        try:
            raw, status = read_regular(f"{base}/{entry.name}", limits.max_sample_bytes)
            if status.st_size != entry.size or status.st_mtime_ns != entry.mtime:
                return "changed while it was being read"
            return *decode(raw, limits), hashlib.blake2b(raw, digest_size=16).digest()
        except Undecodable as error:
            return str(error)
        except OSError as error:
            return error.strerror or str(error)

    def several(part: list[Entry]) -> list[tuple[np.ndarray, str, bytes] | str]:
        return [one(entry) for entry in part]

    step = 64
    parts = [entries[i:i + step] for i in range(0, len(entries), step)]
    with strict_decoding(), ThreadPoolExecutor(2) as pool:
        for group in range(0, len(parts), 8):
            place = group * step
            for results in pool.map(several, parts[group:group + 8]):
                for result in results:
                    if isinstance(result, str):
                        failed.append((entries[place].name, result))
                    else:
                        pixels, remark, digest = result
                        if remark:
                            remarks[remark] = remarks.get(remark, 0) + 1
                        kept.append(place)
                        sizes.append(pixels.shape[:2])
                        digests.append(digest)
                        held += pixels.nbytes
                        if held > KEEP_BYTES:
                            pictures = None
                        if pictures is not None:
                            pictures.append(pixels)
                    place += 1
    if pictures is not None and len(set(sizes)) == 1:
        height, width = sizes[0]
        dense = np.empty((len(kept), height, width, 3), np.uint8)
        for i in range(len(kept)):
            dense[i], pictures[i] = pictures[i], dense[0, :0]
        return Images.of(dense), np.array(kept), failed, remarks
    if pictures is not None:
        return Images.of(pictures) if pictures else Images.of(np.zeros((0, 1, 1, 3), np.uint8)), np.array(kept), failed, remarks
    names = [entries[i].name for i in kept]

    def again(row: int) -> np.ndarray:
        try:
            raw, _ = read_regular(f"{base}/{names[row]}", limits.max_sample_bytes)
            if hashlib.blake2b(raw, digest_size=16).digest() != digests[row]:
                raise UnreadableInput(f"{names[row]} changed during the scan", advice="scan a copy that nobody writes to")
            return decode(raw, limits)[0]
        except (OSError, Undecodable) as error:
            raise UnreadableInput(f"{names[row]} could be read at first and now cannot: {error}",
                                  advice="scan a copy that nobody writes to") from error

    def reader(rows: np.ndarray) -> list[np.ndarray]:
        with strict_decoding(), ThreadPoolExecutor(2) as pool:
            return list(pool.map(again, rows.tolist(), chunksize=16))

    return Images(np.array(sizes), reader), np.array(kept), failed, remarks


def _labels(ids: np.ndarray, reading: Reading) -> tuple[Labels | None, list[str]]:
    if reading.label == NONE:
        return None, ["no labels (as told)"]
    parts = [name.split("/") for name in ids]
    firsts = {p[0] for p in parts if len(p) > 1}
    if not firsts:
        return None, ["no class folders, so no labels: a labelled folder looks like DATA/cat/0001.png"]
    level, notes = 0, []
    if all(f.lower() in SPLITS for f in firsts) and any(len(p) > 2 for p in parts):
        level = 1
        notes.append(f"labels: the folders below {listing(sorted(firsts))}")
    column = plain_text("folder", np.array([p[level] if len(p) > level + 1 else "" for p in parts], object))
    codes, classes = _sorted_codes(column)
    if len(classes) > reading.limits.max_classes:
        raise LimitExceeded(f"{len(classes):,} class folders, the limit is {reading.limits.max_classes:,}",
                            advice="use --label - if the folders are no classes")
    if (codes < 0).any():
        notes.append(f"{int((codes < 0).sum()):,} images lie in no class folder and have no label")
    if not level:
        notes.append(f"labels: the first folder below DATA ({len(classes):,} class{'es' if len(classes) != 1 else ''})")
    return Labels(frozen(codes), classes), notes


def _sorted_codes(column: Plain) -> tuple[np.ndarray, tuple[str, ...]]:
    order = np.argsort(column.texts, kind="stable")
    place = np.empty(len(order) + 1, np.int64)
    place[order] = np.arange(len(order))
    place[-1] = -1
    return place[column.values], tuple(column.texts[order].tolist())


def _records(root: Path, limits: Limits) -> tuple[list[str], list[dict[str, str]]]:
    try:
        raw, _ = read_regular(root / "metadata.csv", limits.max_sample_bytes)
        reader = csv.DictReader(io.StringIO(raw.decode("utf-8-sig"), newline=""), restval="")
        return list(reader.fieldnames or []), list(reader)
    except (OSError, ValueError, csv.Error) as error:
        raise UnreadableInput(f"metadata.csv cannot be read: {error}", advice="it is a UTF-8 CSV with a column file_name") from error


def _metadata(root: Path, ids: np.ndarray, reading: Reading) -> tuple[dict[str, np.ndarray], list[str]]:
    if not (root / "metadata.csv").is_file():
        for option in ("source", "contributor", "time"):
            if getattr(reading, option) not in ("", NONE):
                raise UsageError(f"--{option} names a column, and {root} has no metadata.csv",
                                 advice="add DATA/metadata.csv with the columns file_name and source")
        return {}, []
    names, records = _records(root, reading.limits)
    if "file_name" not in names:
        return {}, [f"metadata.csv has no column file_name, so it is not used; its columns are: {listing(names)}"]
    lower = {n.strip().lower(): n for n in reversed(names)}
    wanted: dict[str, str] = {}
    for key in ORIGIN:
        asked = getattr(reading, key, "")
        if asked == NONE:
            continue
        if asked and asked not in names:
            raise UsageError(f"no column {asked!r} for --{key}", advice=f"the columns of metadata.csv are: {listing(names)}")
        found = asked or next((lower[n] for n in SURE[key] + LIKELY[key] if n in lower), "")
        if found:
            wanted[key] = found
    for extra in reading.keep_columns:
        if extra not in names:
            raise UsageError(f"no column {extra!r} for --group", advice=f"the columns of metadata.csv are: {listing(names)}")
        wanted[extra] = extra
    by_name = {r["file_name"]: r for r in records}
    blank: dict[str, str] = {}
    rows = [by_name.get(i, blank) for i in ids.tolist()]
    origin = {key: frozen(np.array([r.get(column) or "" for r in rows], object)) for key, column in wanted.items()}
    missing = sum(not r for r in rows)
    notes = [f"{key} from metadata.csv, column {column!r}" for key, column in wanted.items()]
    return origin, notes + ([f"{missing:,} images are not in metadata.csv"] if missing else [])


def _write_metadata(original: Path, out: Path, renamed: dict[str, str], added: dict[str, list[str]], limits: Limits) -> None:
    """metadata.csv for the files that were written, with new columns where an attack dealt out vendors."""
    names, records = _records(original, limits) if (original / "metadata.csv").is_file() else (["file_name"], [])
    by_name = {r.get("file_name", ""): r for r in records}
    with open(out / "metadata.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*names, *added], extrasaction="ignore", restval="")
        writer.writeheader()
        for k, (old, new) in enumerate(renamed.items()):
            if old in by_name or added:
                writer.writerow({**by_name.get(old, {}), "file_name": new, **{c: v[k] for c, v in added.items()}})


def _there(original: Path, reading: Reading) -> frozenset[str]:
    return frozenset(e.name for e in listed(original, reading.limits)[0])


def _raw(root: Path, name: str, limits: Limits) -> bytes:
    try:
        return read_regular(inside(root, name), limits.max_sample_bytes)[0]
    except OSError as error:
        raise UnreadableInput(f"{name} cannot be read: {error.strerror or error}", advice="the data changed since it was listed") from error


def _same(raw: bytes, data: Dataset, row: int, limits: Limits) -> bool:
    """Whether the file still holds the pixels of `row`."""
    try:
        with strict_decoding():
            pixels = decode(raw, limits)[0]
    except Undecodable:
        return False
    return bool(np.array_equal(pixels, data.inputs.read(np.array([row]))[0]))  # type: ignore[attr-defined]
