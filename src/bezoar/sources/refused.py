"""What is not read, and what to do instead: formats that run code when opened, and formats that are not supported yet."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from bezoar.core.ability import Info, Reading, Source
from bezoar.core.dataset import Dataset
from bezoar.core.errors import Refused, UnreadableInput, UsageError

CODE = {".pkl": "a pickle", ".pickle": "a pickle", ".p": "a pickle", ".pt": "a torch pickle", ".pth": "a torch pickle",
        ".bin": "a torch pickle", ".ckpt": "a torch pickle", ".joblib": "a joblib pickle", ".dill": "a dill pickle",
        ".cloudpickle": "a pickle", ".mat": "a MATLAB file", ".h5": "an HDF5 file", ".hdf5": "an HDF5 file",
        ".keras": "a Keras archive", ".rds": "an R object", ".rdata": "an R workspace"}
LATER = {".tar": "a tar archive (WebDataset)", ".tgz": "a tar archive", ".zip": "a zip archive", ".7z": "a 7z archive",
         ".xz": "an xz file", ".zst": "a zstd file", ".wav": "one audio file", ".flac": "one audio file", ".py": "a source file",
         ".xlsx": "a workbook", ".xls": "a workbook", ".sqlite": "a database", ".db": "a database",
         ".tfrecord": "a TFRecord file", ".npy": "one array", ".txt": "a text file", ".xml": "an XML file",
         ".yaml": "a YAML file", ".yml": "a YAML file"}
UNPACK = "unpack it into a folder"
INSTEAD = {".npy": "put x and y into one file: numpy.savez('data.npz', x=x, y=y)",
           ".txt": "make it a CSV or JSONL with the columns text and label", ".xlsx": "save the sheet as CSV",
           ".xls": "save the sheet as CSV", ".zip": UNPACK, ".tar": UNPACK, ".tgz": UNPACK, ".7z": UNPACK, ".gz": UNPACK,
           ".xz": "unpack it", ".zst": "unpack it"}


class Unread(Source):
    """Says no, clearly."""

    info: ClassVar[Info] = Info(name="refused", summary="formats that run code when read, or are not supported yet")

    def claims(self, path: Path) -> bool:
        """By suffix, or by the first bytes of a pickle."""
        return path.is_file() and (path.suffix.lower() in CODE or path.suffix.lower() in LATER or path.name.lower().endswith(".tar.gz")
                                   or _pickled(path))

    def open(self, path: Path, reading: Reading) -> Dataset:
        """Always raises: Refused where reading could run code, UnreadableInput otherwise."""
        suffix = path.suffix.lower()
        if suffix == ".npy" and _object_npy(path):
            raise Refused(f"{path.name} holds Python objects, which is a pickle and runs code when read",
                          advice="save it with a plain dtype: numpy.savez('data.npz', x=x.astype(str), y=y)")
        if suffix in (".h5", ".hdf5", ".mat"):
            raise UnreadableInput(f"{path.name} looks like {CODE[suffix]}, which is not supported",
                                  advice="save the arrays: numpy.savez('data.npz', x=x, y=y)")
        if suffix in CODE or _pickled(path):
            raise Refused(f"{path.name} is {CODE.get(suffix, 'a pickle')}: opening it can run code",
                          advice="where it was made, save the data as NPZ (numpy.savez('data.npz', x=x, y=y)), Parquet, CSV or JSONL")
        raise UnreadableInput(f"{path.name} looks like {LATER.get(suffix, 'a tar archive')}, which is not supported yet",
                              advice=INSTEAD.get(suffix, "use an image folder, CSV, Parquet, JSONL, NPZ or a saved Arrow dataset"))

    def write(self, original: Path, data: Dataset, rows: np.ndarray, out: Path, reading: Reading,
              changed: np.ndarray | None = None) -> None:
        """Nothing is written in such a format."""
        raise UsageError(f"nothing is written as {original.suffix}", advice="use NPZ, CSV, Parquet or JSONL")


def _head(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(4096)
    except OSError:
        return b""


def _pickled(path: Path) -> bool:
    """Protocol 2 to 5 pickles by their first two bytes."""
    head = _head(path)
    return len(head) > 2 and head[0] == 0x80 and head[1] in (2, 3, 4, 5)


def _object_npy(path: Path) -> bool:
    head = _head(path)
    return head.startswith(b"\x93NUMPY") and (b"'|O'" in head or b"'O'" in head)
