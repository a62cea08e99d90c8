"""Data that already lives in Python: NumPy, pandas, polars, Arrow, scikit-learn, torch, lists of strings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from bezoar.core.ability import Reading
from bezoar.core.arrays import array_column, array_inputs, class_column
from bezoar.core.columns import Plain, Roles, assemble, plain_text
from bezoar.core.dataset import Dataset
from bezoar.core.errors import LimitExceeded, UnreadableInput, UsageError
from bezoar.core.inputs import Images, Inputs, Table, Texts
from bezoar.core.limits import Limits
from bezoar.core.roles import infer, listing
from bezoar.intake.arrow import plain_columns


def from_python(x: Any, y: Any = None, *, reading: Reading | None = None, ids: Sequence[Any] | None = None,
                name: str = "data", **origin: Sequence[Any]) -> Dataset:
    """A `Dataset` from what users of Python hold.

    x       a Dataset (returned as it is); a list or array of strings; an (n, d) array of numbers, dense or scipy sparse;
            pictures (n, h, w[, c]) or a list of (h, w[, c]) arrays or PIL images; a pandas or polars frame or anything
            with the Arrow interface; a scikit-learn Bunch; a torch Dataset, read once from 0 to len-1
    y       labels: any sequence of n, one-hot (n, k), or the name of a column of `x`; None = inferred or absent
    origin  source, contributor, time, url, licence, or any other grouping, n values each, by keyword
    Raises UsageError where `x` is none of these or lengths differ.

    >>> from_python(["win money now", "see you at six"], ["spam", "ham"]).labels.classes
    ('ham', 'spam')
    """
    if isinstance(x, Dataset):
        return x
    reading = reading or Reading()
    if isinstance(y, str) or (isinstance(y, (int, np.integer)) and _is_frame(x)):
        reading = Reading(**{**{f: getattr(reading, f) for f in Reading.__dataclass_fields__}, "label": str(y)})
        y = None
    if isinstance(x, dict) and "data" in x and "target" in x and hasattr(x, "feature_names"):
        x, y = x["data"], x["target"] if y is None else y
    if _is_torch_dataset(x):
        x, found = _from_torch(x, reading.limits)
        y = found if y is None else y
    extra = {k: _column(k, v) for k, v in origin.items()}
    labels = None if y is None else _labels(y)
    if _is_frame(x):
        return _from_frame(x, labels, reading, ids, extra, name)
    inputs, modality, notes = _inputs(x, name, reading.modality)
    columns: dict[str, Plain] = {}
    if labels is not None:
        columns["label"] = labels
    return _finish(columns, Roles(modality, "label" if labels is not None else ""), inputs, ids, extra, reading, name, tuple(notes))


def _finish(columns: dict[str, Plain], roles: Roles, inputs: Inputs | None, ids: Sequence[Any] | None, extra: dict[str, Plain],
            reading: Reading, name: str, notes: tuple[str, ...] = ()) -> Dataset:
    n = len(inputs) if inputs is not None else len(next(iter(columns.values()), ()))
    columns = dict(columns)
    named, ident = dict(roles.origin or {}), roles.id
    for key, column in extra.items():
        columns[f"\0{key}"] = column
        named[key] = f"\0{key}"
    if ids is not None:
        columns["ids"] = _column("ids", ids)
        ident = "ids"
    for key, column in columns.items():
        if len(column) != n:
            raise UsageError(f"{key.strip(chr(0))} has {len(column):,} entries for {n:,} samples", advice="give one per sample")
    done = Roles(roles.modality, roles.label, roles.text, ident, named, roles.features, roles.notes)
    return assemble(columns, done, name=name, limits=reading.limits, inputs=inputs, notes=notes)


def _is_frame(x: Any) -> bool:
    return hasattr(x, "__arrow_c_stream__") or (hasattr(x, "columns") and hasattr(x, "iloc"))


def _is_torch_dataset(x: Any) -> bool:
    return (hasattr(x, "__getitem__") and hasattr(x, "__len__") and not isinstance(x, (Sequence, np.ndarray, Mapping, Images, Texts, Table))
            and not _is_frame(x) and any(c.__module__.startswith("torch.utils.data") for c in type(x).__mro__))


def _from_frame(x: Any, labels: Plain | None, reading: Reading, ids: Sequence[Any] | None, extra: dict[str, Plain], name: str) -> Dataset:
    import pyarrow as pa

    notes: tuple[str, ...] = ()
    if hasattr(x, "iloc"):
        x = x.to_frame() if not hasattr(x, "columns") else x
        columns, notes = _from_pandas(x, reading.limits, name)
    else:
        try:
            columns = plain_columns(pa.table(x), reading.limits, name)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, ValueError) as error:
            raise UsageError(f"{type(x).__name__} cannot be read through the Arrow interface: {error}",
                             advice="convert it to pandas") from error
    if labels is not None:
        if len(columns) and len(labels) != len(next(iter(columns.values()))):
            raise UsageError(f"y has {len(labels):,} entries for {len(next(iter(columns.values()))):,} samples",
                             advice="give one per sample")
        columns = {**columns, "\0label": labels}
        reading = Reading(**{**{f: getattr(reading, f) for f in Reading.__dataclass_fields__}, "label": "\0label"})
    return _finish(columns, infer(columns, reading), None, ids, extra, reading, name, notes)


def _from_pandas(frame: Any, limits: Limits, name: str) -> tuple[dict[str, Plain], tuple[str, ...]]:
    """Columns one by one, so that a column of mixed types becomes text instead of an error."""
    import pyarrow as pa

    if len(frame) > limits.max_rows:
        raise LimitExceeded(f"{name} has {len(frame):,} rows, the limit is {limits.max_rows:,}", advice="scan parts of it")
    out: dict[str, Plain] = {}
    notes: list[str] = []
    for j, key in enumerate(frame.columns):
        title = str(key) if str(key) not in out else f"{key}.{j}"
        series = frame.iloc[:, j]
        try:
            array = pa.array(series, from_pandas=True)
            column = array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            values = [None if v is None or v != v else str(v) for v in series.tolist()]
            column = pa.chunked_array([pa.array(values, pa.large_string())])
            notes.append(f"column {title!r} mixes types; it is read as text")
        found = plain_columns(pa.table({title: column}), limits, name)
        out.update(found)
        if not found:
            notes.append(f"column {title!r} holds {series.dtype}; it is not read")
    return out, tuple(notes)


def _labels(y: Any) -> Plain:
    if hasattr(y, "iloc") or hasattr(y, "__arrow_c_stream__") or hasattr(y, "__arrow_c_array__"):
        y = np.asarray(y.to_numpy() if hasattr(y, "to_numpy") else y)
    if isinstance(y, np.ndarray) and y.ndim == 2 and y.shape[1] > 1:
        return class_column("label", y)
    return _column("label", y)


def _column(name: str, values: Any) -> Plain:
    """A column from any sequence; mixed types become text."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    if isinstance(values, np.ndarray) and values.dtype.kind in "biufUSMm":
        return array_column(name, values)
    cells = list(values)
    kinds = {type(v) for v in cells if v is not None}
    if kinds and all(issubclass(k, (int, float, np.number, np.bool_)) for k in kinds):
        bools = all(issubclass(k, (bool, np.bool_)) for k in kinds)
        if None not in cells:
            array = np.array(cells, bool if bools else None)
            return array_column(name, array) if array.dtype != object else plain_text(name, np.array([str(c) for c in cells], object))
        return array_column(name, np.array([np.nan if c is None else float(c) for c in cells]))
    mixed = len({k for k in kinds if not issubclass(k, str)}) > 0 and any(issubclass(k, str) for k in kinds)
    texts = np.empty(len(cells), object)
    texts[:] = ["" if c is None or c != c else str(c) for c in cells]
    return plain_text(name, texts, f"{name} mixes text and numbers; all are read as text" if mixed else "")


def _inputs(x: Any, name: str, modality: str) -> tuple[Inputs, str, list[str]]:
    if isinstance(x, Images):
        return x, "image", []
    if isinstance(x, Texts):
        return x, "text", []
    if isinstance(x, Table):
        return x, "tabular", []
    if hasattr(x, "detach"):
        x = x.detach().cpu().numpy()
    if hasattr(x, "toarray") and hasattr(x, "nnz"):
        if x.shape[0] * x.shape[1] * 8 > 4 << 30:
            raise UsageError(f"a sparse array of shape {x.shape} is too wide", advice="pass the texts it was made from, or fewer columns")
        x = x.toarray()
    if isinstance(x, np.ndarray):
        if x.dtype == object:
            x = list(x)
        else:
            return array_inputs(x, name, modality)
    if isinstance(x, str) or not isinstance(x, Sequence):
        raise UsageError(f"cannot tell what kind of data {type(x).__name__} holds",
                         advice="pass an (n, h, w, 3) uint8 array, a list of strings, an (n, d) array, a data frame or a torch Dataset")
    if not len(x):
        raise UnreadableInput(f"{name} has no rows", advice="pass at least one sample")
    if all(isinstance(v, str) or v is None for v in x):
        return Texts.of(["" if v is None else v for v in x]), "text", []
    if hasattr(x[0], "shape") or hasattr(x[0], "getbands"):
        return _pictures(x, name, modality)
    try:
        return array_inputs(np.array(x, np.float64), name, modality)
    except (ValueError, TypeError) as error:
        kinds = sorted({type(v).__name__ for v in x})
        raise UsageError(f"a list of {listing(kinds, 5)} is neither texts nor rows of numbers", advice="pass one kind of sample") from error


def _pictures(x: Sequence[Any], name: str, modality: str) -> tuple[Inputs, str, list[str]]:
    arrays = [np.asarray(v.convert("RGB")) if hasattr(v, "getbands") else
              v.detach().cpu().numpy() if hasattr(v, "detach") else np.asarray(v) for v in x]
    if len({(a.shape, a.dtype) for a in arrays}) == 1:
        return array_inputs(np.stack(arrays), name, modality)
    if any(a.ndim not in (2, 3) for a in arrays):
        raise UsageError("samples differ in shape and are no pictures", advice="pass rows of one length, or pictures (h, w[, c])")
    from bezoar.core.arrays import pixels_of

    low, high = min(float(a.min(initial=0)) for a in arrays), max(float(a.max(initial=0)) for a in arrays)
    out: list[np.ndarray] = []
    said: list[str] = []
    for a in arrays:
        scaled = a
        if a.dtype != np.uint8:
            scaled = a if low < 0 or high > 1 else np.rint(a * 255)
            if low < 0 or float(scaled.max(initial=0)) > 255:
                raise UsageError(f"pictures with values from {low:.4g} to {high:.4g}", advice="use 0..255 or 0..1")
            scaled = scaled.astype(np.uint8)
        pixels, said = pixels_of(scaled[None], name)
        out.append(np.repeat(pixels[0], 3, axis=-1) if pixels.shape[-1] == 1 else pixels[0])
    return Images.of(out), "image", said


def _from_torch(dataset: Any, limits: Limits) -> tuple[Any, Any]:
    """Samples and labels of a torch Dataset, each read once. Raises LimitExceeded beyond the limits."""
    n = len(dataset)
    if n > limits.max_rows:
        raise LimitExceeded(f"the torch Dataset has {n:,} samples, the limit is {limits.max_rows:,}", advice="pass a Subset")
    xs: list[Any] = []
    ys: list[Any] = []
    produced = 0
    for item in islice((dataset[i] for i in range(n)), n):
        if isinstance(item, Mapping):
            keys = list(item)
            item = (item[next((k for k in ("x", "image", "pixel_values", "text", "input", "data") if k in item), keys[0])],
                    item[next((k for k in ("y", "label", "labels", "target") if k in item), keys[-1])])
        parts = list(item) if isinstance(item, (tuple, list)) else [item]
        x, y = parts[0], parts[1] if len(parts) > 1 else None
        x = x.detach().cpu().numpy() if hasattr(x, "detach") else x
        produced += getattr(x, "nbytes", 256)
        if produced > limits.max_produced_bytes:
            raise LimitExceeded(f"the torch Dataset produces more than {limits.max_produced_bytes:,} bytes", advice="pass a Subset")
        xs.append(x)
        ys.append(np.asarray(y).item() if hasattr(y, "item") and np.size(np.asarray(y)) == 1 else y)
    if xs and isinstance(xs[0], np.ndarray) and len({(a.shape, a.dtype) for a in xs}) == 1:
        stacked: Any = np.stack(xs)
    else:
        stacked = xs
    return stacked, None if not ys or all(v is None for v in ys) else ys
