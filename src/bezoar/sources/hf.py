"""Datasets saved to disk by Hugging Face `datasets` (`save_to_disk`): Arrow files, read with pyarrow alone.

No loading script is ever run and nothing is fetched: only the Arrow files that `state.json` names inside the folder are
read. Class names come from `dataset_info.json`. Of a saved DatasetDict the split "train" is read, or the first one; the
others are named. Cost: about 1 s per 1,000,000 cells.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from bezoar.core.ability import Info, Reading, Source
from bezoar.core.dataset import Dataset
from bezoar.core.edits import written_names
from bezoar.core.errors import LimitExceeded, UnreadableInput
from bezoar.core.limits import MIB, Limits
from bezoar.core.roles import listing
from bezoar.intake.arrow_dataset import Opened, opened, subset
from bezoar.intake.door import RATIO_COUNTS_ABOVE, inside, published, read_regular


class SavedArrow(Source):
    """A folder written by `save_to_disk`."""

    info: ClassVar[Info] = Info(name="hf", summary="Hugging Face datasets saved to disk (Arrow files; no scripts)",
                                modalities=("image", "text", "tabular"))

    def claims(self, path: Path) -> bool:
        """By state.json (one dataset) or dataset_dict.json (several splits)."""
        return path.is_dir() and any((path / f).is_file() for f in ("state.json", "dataset_dict.json"))

    def open(self, path: Path, reading: Reading) -> Dataset:
        """Raises UnreadableInput for missing or damaged parts, Refused for a file list that leaves the folder."""
        return self._open(path, reading)[0].data

    def _open(self, path: Path, reading: Reading) -> tuple[Opened, Path, dict[str, list[str]]]:
        part, notes = _split(path, reading.limits)
        table = _read(part, reading.limits)
        names = _class_names(part, reading.limits)
        return opened(table, path, reading, notes=notes, class_names=names), part, names

    def write(self, original: Path, data: Dataset, rows: np.ndarray, out: Path, reading: Reading,
              changed: np.ndarray | None = None) -> None:
        """A folder that `load_from_disk` reads; splits that were not read are copied as they are."""
        import pyarrow as pa

        old, part, names = self._open(original, reading)
        done = subset(old, data, rows, changed, names)
        with published(out) as draft:
            target = draft / part.relative_to(original)
            target.mkdir(parents=True)
            if part != original:
                for item in sorted(original.iterdir()):
                    if item.is_symlink() or item == part:
                        continue
                    if item.is_dir():
                        shutil.copytree(item, draft / item.name, symlinks=True)
                    else:
                        shutil.copyfile(item, draft / item.name, follow_symlinks=False)
            with pa.OSFile(str(target / "data-00000-of-00001.arrow"), "wb") as sink, pa.ipc.new_stream(sink, done.schema) as writer:
                writer.write_table(done, max_chunksize=1000)
            digest = hashlib.sha256((target / "data-00000-of-00001.arrow").read_bytes()).hexdigest()[:16]
            state = _json(part / "state.json", reading.limits)
            state.update(_data_files=[{"filename": "data-00000-of-00001.arrow"}], _fingerprint=digest)
            (target / "state.json").write_text(json.dumps(state, indent=2), encoding="utf-8")
            info = read_regular(part / "dataset_info.json", 64 * MIB)[0] if (part / "dataset_info.json").is_file() else b"{}"
            (target / "dataset_info.json").write_bytes(info)

    def written_ids(self, original: Path, data: Dataset, rows: np.ndarray, reading: Reading,
                    changed: np.ndarray | None = None) -> np.ndarray:
        """The same ids where there is an id column, else row numbers."""
        return written_names(data, rows, bool(self._open(original, reading)[0].roles.id))


def _json(path: Path, limits: Limits) -> dict[str, Any]:
    try:
        found = json.loads(read_regular(path, min(limits.max_file_bytes, 64 * MIB))[0])
    except (OSError, ValueError, RecursionError) as error:
        raise UnreadableInput(f"{path.name} cannot be read: {error}", advice="save the dataset again with save_to_disk") from error
    if not isinstance(found, dict):
        raise UnreadableInput(f"{path.name} holds no object", advice="save the dataset again with save_to_disk")
    return found


def _split(path: Path, limits: Limits) -> tuple[Path, tuple[str, ...]]:
    if not (path / "dataset_dict.json").is_file():
        return path, ()
    splits = _json(path / "dataset_dict.json", limits).get("splits")
    if not isinstance(splits, list) or not splits or not all(isinstance(s, str) for s in splits):
        raise UnreadableInput("dataset_dict.json names no split", advice="save the dataset again with save_to_disk")
    chosen = "train" if "train" in splits else splits[0]
    rest = [s for s in splits if s != chosen]
    said = f"split: {chosen!r}" + (f"; not read: {listing(rest)} (give {path.name}/{rest[0]} to scan it)" if rest else "")
    return inside(path, chosen), (said,)


def _read(part: Path, limits: Limits) -> Any:
    import pyarrow as pa

    state = _json(part / "state.json", limits)
    if state.get("_indices_data_files"):
        raise UnreadableInput("this dataset is a selection of another one", advice="call flatten_indices() before save_to_disk")
    files = state.get("_data_files")
    if not isinstance(files, list) or not files or not all(isinstance(f, dict) and isinstance(f.get("filename"), str) for f in files):
        raise UnreadableInput("state.json names no data files", advice="save the dataset again with save_to_disk")
    batches: list[Any] = []
    produced = on_disk = rows = 0
    try:
        for entry in files:
            file = inside(part, entry["filename"])
            if file.is_symlink() or not file.is_file():
                raise UnreadableInput(f"{entry['filename']} is missing or a link", advice="copy the whole folder again")
            on_disk += file.stat().st_size
            with pa.OSFile(str(file), "rb") as source, pa.ipc.open_stream(source) as reader:
                for batch in reader:
                    produced += batch.nbytes
                    rows += batch.num_rows
                    if produced > min(limits.max_produced_bytes, max(RATIO_COUNTS_ABOVE, limits.max_produced_ratio * on_disk)):
                        raise LimitExceeded(f"{part.name} unpacks to more than {produced:,} bytes",
                                            advice="this looks like a decompression bomb")
                    if rows > limits.max_rows:
                        raise LimitExceeded(f"{part.name} has more than {limits.max_rows:,} rows", advice="scan parts of it")
                    batch.validate(full=True)
                    batches.append(batch)
        if not batches:
            raise UnreadableInput(f"{part.name} has no rows", advice="check that it was saved completely")
        return pa.Table.from_batches(batches)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UnreadableInput(f"{part.name}: its Arrow files cannot be read: {str(error)[:200]}",
                              advice="save the dataset again with save_to_disk") from error


def _class_names(part: Path, limits: Limits) -> dict[str, list[str]]:
    if not (part / "dataset_info.json").is_file():
        return {}
    features = _json(part / "dataset_info.json", limits).get("features")
    out: dict[str, list[str]] = {}
    for title, feature in (features.items() if isinstance(features, dict) else ()):
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and isinstance(feature.get("names"), list):
            names = [str(n) for n in feature["names"]]
            if len(set(names)) == len(names) <= limits.max_classes:
                out[title] = names
    return out
