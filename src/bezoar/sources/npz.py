"""NPZ archives: `x` and `y`, optionally `id`, `source`, `contributor`, `time`, `url`, `licence`.

`x` may hold pictures ((n, h, w), (n, h, w, 1|3|4) or (n, 1|3, h, w); 8 or 16 bit, or floats in [0, 1], [-1, 1] or
[0, 255]), rows of numbers (n, d), or strings (n,). Object arrays are refused: they are pickles. Every array's header is
read first, so a decompression bomb is recognised before a byte is allocated. Cost: as fast as it unpacks.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np

from bezoar.core.ability import Info, Reading, Source
from bezoar.core.arrays import array_column, array_inputs, class_column, pixels_like
from bezoar.core.columns import Plain, Roles, assemble
from bezoar.core.dataset import Dataset
from bezoar.core.edits import added_columns, positions_of, written_names
from bezoar.core.errors import LimitExceeded, Refused, UnreadableInput, UsageError
from bezoar.core.inputs import Images, Table, Texts
from bezoar.core.limits import Limits
from bezoar.core.roles import NONE, listing
from bezoar.intake.door import RATIO_COUNTS_ABOVE, SAYS_ITSELF, declared, published, size_of
from bezoar.intake.pictures import MARK, MARKED

X = ("x", "X", "data", "images", "image", "features", "texts", "text", "inputs", "x_train", "X_train", "arr_0")
Y = ("y", "Y", "labels", "label", "target", "targets", "classes", "y_train", "arr_1")
ID = ("id", "ids")
ORIGIN = {"source": ("source", "sources", "vendor"), "contributor": ("contributor", "contributors", "annotator"),
          "time": ("time", "timestamp", "date"), "url": ("url",), "licence": ("licence", "license")}


class Npz(Source):
    """Arrays in one file."""

    info: ClassVar[Info] = Info(name="npz", summary="NPZ archives with x and y", modalities=("image", "text", "tabular"),
                                cost="as fast as it unpacks")

    def claims(self, path: Path) -> bool:
        """By the name: .npz."""
        return path.suffix.lower() == ".npz" and path.is_file()

    def open(self, path: Path, reading: Reading) -> Dataset:
        """Raises Refused for objects, LimitExceeded for bombs, UnreadableInput for anything that is not an NPZ."""
        return self._open(path, reading)[0]

    def _open(self, path: Path, reading: Reading) -> tuple[Dataset, dict[str, np.ndarray], Roles]:
        arrays = read_arrays(path, reading.limits)
        keys = list(arrays)
        x_key = _key(keys, reading.text, X, "--text")
        if not x_key:
            raise UnreadableInput(f"{path.name} has no array 'x'", advice=f"its arrays are: {listing(keys)}; name one with --text")
        x = arrays[x_key]
        n = len(x) if x.ndim else 0
        inputs, modality, said = array_inputs(x, f"{path.name}: array {x_key!r}", reading.modality)
        columns: dict[str, Plain] = {}
        y_key = "" if reading.label == NONE else _key(keys, reading.label, tuple(k for k in Y if k != x_key), "--label")
        if y_key:
            columns[y_key] = class_column(y_key, arrays[y_key])
        id_key = "" if reading.id == NONE else _key(keys, reading.id, ID, "--id")
        origin: dict[str, str] = {}
        for name, known in ORIGIN.items():
            asked = getattr(reading, name, "")
            found = "" if asked == NONE else _key(keys, asked, known, f"--{name}")
            if found and found not in (x_key, y_key):
                origin[name] = found
        for extra in reading.keep_columns:
            origin[extra] = _key(keys, extra, (), "--group")
        for key in [id_key, *origin.values()]:
            if key and key not in columns:
                columns[key] = array_column(key, arrays[key])
        for key, column in columns.items():
            if len(column) != n:
                raise UnreadableInput(f"{path.name}: {key!r} has {len(column):,} entries and {x_key!r} has {n:,}",
                                      advice="give one per sample")
        notes = [f"array {x_key!r}: {n:,} x {x.shape[1:]} {x.dtype}", *said]
        rest = [k for k in keys if k not in columns and k != x_key]
        notes += [f"arrays not read: {listing(rest, 10)}"] if rest else []
        roles = Roles(modality, y_key, (), id_key, origin, (), ())
        notes.append(f"label array: {y_key!r}" if y_key else "no label array; name it with --label")
        data = assemble(columns, roles, name=path.name, limits=reading.limits, inputs=inputs, notes=tuple(notes),
                        declared=(*declared(path), *((SAYS_ITSELF,) if _marked(path) else ())))
        return data, arrays, Roles(modality, y_key, (x_key,), id_key, origin)

    def write(self, original: Path, data: Dataset, rows: np.ndarray, out: Path, reading: Reading,
              changed: np.ndarray | None = None) -> None:
        """The same arrays with `rows` only; arrays that do not run over samples are copied whole."""
        before, arrays, roles = self._open(original, reading)
        at, added = positions_of(before, data, rows)
        n = len(before)
        done = {k: (a[at] if a.ndim and len(a) == n else a) for k, a in arrays.items()}
        places = np.flatnonzero(added if changed is None else changed[rows] | added)
        if len(places):
            new, key = rows[places], roles.text[0]
            done[key] = _changed_x(done[key], places, data, new, arrays[key])
            if roles.label and data.labels is not None:
                done[roles.label] = _changed_y(done[roles.label], places, np.array(data.labels.classes, object)[data.labels.codes[new]])
        fresh = np.flatnonzero(added)
        if len(fresh):
            texts = {roles.id: data.ids, **{c: data.origin[k] for k, c in (roles.origin or {}).items() if k in data.origin}}
            for column, values in texts.items():
                if column and column not in (roles.label, roles.text[0]):
                    kind = done[column].dtype.kind
                    done[column] = _changed_y(done[column] if kind in "US" else done[column].astype(str), fresh, values[rows[fresh]])
        done.update({k: np.array(v) for k, v in added_columns(before, data, rows, arrays).items()})
        with published(out) as draft:
            with open(draft, "wb") as file:
                np.savez_compressed(file, **done)  # type: ignore[arg-type]
            if (changed is not None and changed[rows].any()) or _marked(original):
                with zipfile.ZipFile(draft, "a") as archive:
                    archive.comment = f"{MARK}: {MARKED}".encode()

    def written_ids(self, original: Path, data: Dataset, rows: np.ndarray, reading: Reading,
                    changed: np.ndarray | None = None) -> np.ndarray:
        """The same ids where there is an id array, else row numbers."""
        return written_names(data, rows, bool(self._open(original, reading)[2].id))


def _marked(path: Path) -> bool:
    """Whether the archive's comment says that an attack of ours wrote it."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.comment.startswith(MARK.encode())
    except (zipfile.BadZipFile, OSError, ValueError):
        return False


def _key(keys: list[str], asked: str, known: tuple[str, ...], option: str) -> str:
    if asked:
        if asked not in keys:
            raise UsageError(f"no array {asked!r} for {option}", advice=f"the arrays are: {listing(keys)}")
        return asked
    return next((k for k in known if k in keys), "")


def read_arrays(path: Path, limits: Limits) -> dict[str, np.ndarray]:
    """All arrays of an NPZ; nothing is allocated before its header was checked against `limits`."""
    size_of(path, limits)
    out: dict[str, np.ndarray] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            names = [m.filename for m in members]
            if len(set(names)) != len(names):
                raise Refused(f"{path.name} holds two members of one name", advice="write it again with numpy.savez")
            total = 0
            for member in members:
                if not member.filename.endswith(".npy"):
                    continue
                total += member.file_size
                most = min(limits.max_produced_bytes, max(RATIO_COUNTS_ABOVE, int(limits.max_produced_ratio * path.stat().st_size)))
                if total > most:
                    raise LimitExceeded(f"{path.name} unpacks to more than {most:,} bytes",
                                        advice="this looks like a decompression bomb; unpack it yourself if you trust it")
                out[member.filename[:-4]] = _read_member(archive, member, path.name)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise UnreadableInput(f"{path.name} is a damaged or unusual NPZ archive: {error}",
                              advice="write it again with numpy.savez") from error
    return out


HEADER = re.compile(r"\s*\{'descr':\s*'([<>|=]?[?a-zA-Z]\d{0,9}(?:\[\w{1,9}\])?)',\s*'fortran_order':\s*(True|False),\s*"
                    r"'shape':\s*\(([\d,\s]*)\),?\s*\}\s*$")


def _header(stream: IO[bytes], label: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, order and dtype; the header is matched against what NumPy writes, never evaluated."""
    start = stream.read(8)
    wide = start[6:7] in (b"\2", b"\3")
    if start[:6] != b"\x93NUMPY" or start[6:] not in (b"\1\0", b"\2\0", b"\3\0"):
        raise UnreadableInput(f"{label} is not a NumPy array", advice="write it again with numpy.savez")
    size = int.from_bytes(stream.read(4 if wide else 2), "little")
    found = HEADER.match(stream.read(size).decode("latin-1")) if size <= 10_000 else None
    try:
        if found is None:
            raise ValueError
        return tuple(int(side) for side in found[3].split(",") if side.strip()), found[2] == "True", np.dtype(found[1])
    except (ValueError, TypeError):
        raise UnreadableInput(f"{label} has a header that is no plain NumPy array's", advice="structured arrays are not read; "
                              "write plain numbers or strings with numpy.savez") from None


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> np.ndarray:
    label = f"{name}: array {member.filename[:-4]!r}"
    with archive.open(member) as stream:
        shape, fortran, dtype = _header(stream, label)
        if dtype.hasobject:
            raise Refused(f"{label} holds Python objects, which is a pickle and runs code when read",
                          advice="save strings with dtype 'U' or numbers, e.g. numpy.savez(file, x=x.astype(str))")
        if dtype.kind not in "biufUSMm":
            raise UnreadableInput(f"{label} has dtype {dtype}", advice="use numbers, strings or times")
        count = 1
        for side in shape:
            count *= int(side)
        size = count * dtype.itemsize
        if min(shape, default=0) < 0 or size > member.file_size or stream.tell() + size != member.file_size:
            raise UnreadableInput(f"{label} claims {size:,} bytes and the archive holds {member.file_size:,}",
                                  advice="the file is damaged or was tampered with")
        raw = bytearray(size)
        view, filled = memoryview(raw), 0
        while filled < size:
            piece = stream.read(min(size - filled, 1 << 24))
            if not piece:
                raise UnreadableInput(f"{label} is cut off", advice="download or write it again")
            view[filled:filled + len(piece)] = piece
            filled += len(piece)
    array = np.frombuffer(raw, dtype)
    return array.reshape(shape, order="F" if fortran else "C")


def _changed_x(x: np.ndarray, places: np.ndarray, data: Dataset, new: np.ndarray, whole: np.ndarray) -> np.ndarray:
    x = x.copy()
    inputs = data.inputs
    if isinstance(inputs, Images):
        x[places] = pixels_like(whole, np.stack(inputs.read(new)))
    elif isinstance(inputs, Texts):
        fresh = np.array([str(v) for v in inputs.values[new]])
        if x.dtype.kind == "S":
            fresh = np.char.encode(fresh, "utf-8")
        if fresh.dtype.itemsize > x.dtype.itemsize:
            x = x.astype(fresh.dtype)
        x[places] = fresh
    elif isinstance(inputs, Table):
        rows = np.stack([inputs[c].values[new] for c in inputs.names], axis=1)
        if x.dtype.kind in "iu" and (rows != np.rint(rows)).any():
            x = x.astype(np.float64)
        x[places] = rows.reshape(len(new), *x.shape[1:])
    return x


def _changed_y(y: np.ndarray, places: np.ndarray, classes: np.ndarray) -> np.ndarray:
    y = y.copy()
    if y.ndim == 2:
        y[places] = np.eye(y.shape[1], dtype=y.dtype)[[int(c) for c in classes]]
        return y
    fresh: Any = np.array([str(c) for c in classes])
    if y.dtype.kind in "US":
        fresh = np.char.encode(fresh, "utf-8") if y.dtype.kind == "S" else fresh
        if fresh.dtype.itemsize > y.dtype.itemsize:
            y = y.astype(fresh.dtype)
        y[places] = fresh
    else:
        y[places] = np.array([float(c) for c in fresh]).astype(y.dtype)
    return y
