"""Arrays of any usual shape and dtype -> inputs and columns."""

from __future__ import annotations

import numpy as np

from bezoar.core.columns import Plain, plain_text
from bezoar.core.errors import UnreadableInput
from bezoar.core.inputs import Column, Images, Inputs, Table, Texts

CHANNELS = (1, 3, 4)


def array_inputs(x: np.ndarray, what: str, modality: str = "", names: list[str] | None = None) -> tuple[Inputs, str, list[str]]:
    """Inputs, modality and what was assumed, from strings (n,), numbers (n, d), or pictures (n, h, w[, c]) or (n, c, h, w).

    Raises UnreadableInput for other shapes, and for pictures with values that are no pixel values.

    >>> array_inputs(np.zeros((2, 4, 4), np.uint8), "x")[1]
    'image'
    """
    if x.ndim and not len(x):
        raise UnreadableInput(f"{what} has no rows", advice="pass at least one sample")
    if x.dtype.kind in "US":
        column = array_column("x", x.reshape(len(x), -1)[:, 0] if x.ndim == 2 and x.shape[1] == 1 else x)
        return Texts(np.append(column.texts, "")[column.values]), "text", []
    if x.dtype.kind not in "biuf":
        raise UnreadableInput(f"{what} has dtype {x.dtype}", advice="use numbers, or strings")
    if x.ndim in (3, 4) and modality != "tabular":
        pixels, said = pixels_of(x, what)
        return Images.of(pixels), "image", said
    if x.ndim == 1 or x.ndim == 2 or modality == "tabular":
        flat = x.reshape(len(x), -1)
        names = names or [f"x{j}" for j in range(flat.shape[1])]
        values = flat.astype(np.float64)
        infinite = int(np.isinf(values).sum())
        if infinite:
            values[np.isinf(values)] = np.nan
        said = [f"{infinite:,} infinite values count as missing"] if infinite else []
        missing = int(np.isnan(values).sum()) - infinite
        said += [f"{missing:,} values are missing (NaN)"] if missing else []
        return Table({k: Column("number", values[:, j].copy()) for j, k in enumerate(names)}), "tabular", said
    raise UnreadableInput(f"{what} has shape {x.shape}", advice="pictures are (n, h, w, 3), tables (n, d), texts (n,)")


def channels_first(x: np.ndarray) -> bool:
    """Whether a 4-D picture array is (n, c, h, w)."""
    return x.ndim == 4 and x.shape[-1] not in CHANNELS and x.shape[1] in (1, 3)


def scale_of(x: np.ndarray) -> tuple[float, float, str]:
    """(low, high) of the pixel values that map to 0 and 255, and a sentence ('' for 8 bit)."""
    if x.dtype == np.uint8:
        return 0.0, 255.0, ""
    if x.dtype.kind == "b":
        return 0.0, 1.0, "pixels are booleans"
    low, high = (float(np.min(x)), float(np.max(x))) if x.size else (0.0, 1.0)
    if x.dtype.kind in "iu":
        if low >= 0 and high <= 255:
            return 0.0, 255.0, ""
        return 0.0, 65535.0, "16-bit pixels, shown with 8 bits"
    if low >= 0 and high <= 1:
        return 0.0, 1.0, "pixel values lie in [0, 1]"
    if low >= -1 and high <= 1:
        return -1.0, 1.0, "pixel values lie in [-1, 1]"
    return 0.0, 255.0, "pixel values lie in [0, 255]"


def pixels_of(x: np.ndarray, what: str) -> tuple[np.ndarray, list[str]]:
    """(n, h, w, 1|3) uint8 from any usual picture array, and what was assumed."""
    said: list[str] = []
    if channels_first(x):
        x = np.moveaxis(x, 1, -1)
        said.append("pictures are (n, channels, h, w)")
    if x.ndim == 3:
        x = x[..., None]
    if x.shape[-1] not in CHANNELS:
        raise UnreadableInput(f"{what} has shape {x.shape}, and {x.shape[-1]} are no colour channels",
                              advice="pictures are (n, h, w), (n, h, w, 1|3|4) or (n, 1|3, h, w); --modality tabular flattens them")
    if 0 in x.shape[1:]:
        raise UnreadableInput(f"{what} has shape {x.shape}: pictures without pixels", advice="check how the array was written")
    if x.shape[-1] == 4:
        said.append("the alpha channel is not looked at")
        x = x[..., :3]
    if x.dtype.kind == "f" and not np.isfinite(x.sum(dtype=np.float64)):
        bad = int((~np.isfinite(x)).any(axis=(1, 2, 3)).sum())
        raise UnreadableInput(f"{what}: {bad:,} pictures hold NaN or infinite pixels", advice="drop or repair them first")
    low, high, remark = scale_of(x)
    said += [remark] if remark else []
    if x.dtype == np.uint8:
        return x, said
    if x.size and (float(x.min()) < low or float(x.max()) > high):
        raise UnreadableInput(f"{what} has pixel values from {x.min():.4g} to {x.max():.4g}",
                              advice="use 0..255, 0..65535, 0..1 or -1..1; undo a normalisation by mean and deviation first")
    out = np.empty(x.shape, np.uint8)
    for start in range(0, len(x), 1024):
        part = x[start:start + 1024].astype(np.float32)
        out[start:start + 1024] = np.rint((part - low) * (255.0 / (high - low))).astype(np.uint8)
    return out, said


def pixels_like(x: np.ndarray, pictures: np.ndarray) -> np.ndarray:
    """(k, h, w, 3) uint8 pictures in the layout, scale and dtype of the picture array `x`."""
    low, high, _ = scale_of(x)
    first = channels_first(x)
    depth = 1 if x.ndim == 3 else x.shape[1 if first else -1]
    values = pictures[..., :1] if depth == 1 else pictures
    scaled = values.astype(np.float64) * ((high - low) / 255.0) + low
    out = (np.rint(scaled) if x.dtype.kind in "iub" else scaled).astype(x.dtype)
    if depth == 4:
        out = np.concatenate([out, np.full((*out.shape[:3], 1), high, x.dtype)], axis=-1)
    if x.ndim == 3:
        return np.asarray(out[..., 0])
    return np.moveaxis(out, -1, 1) if first else out


def array_column(name: str, values: np.ndarray) -> Plain:
    """A column from (n,) numbers, strings or times. Raises UnreadableInput for anything else."""
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1 or values.dtype.kind not in "biufUSMm":
        raise UnreadableInput(f"{name!r} has shape {values.shape} and dtype {values.dtype}", advice="give one number or string per sample")
    if values.dtype.kind in "biuf":
        return Plain(name, "number", values.astype(np.float64) if values.dtype == np.float16 else values)
    if values.dtype.kind == "M":
        stamps = values.astype("M8[us]")
        return Plain(name, "time", np.where(np.isnat(stamps), np.nan, stamps.astype(np.int64) / 1e6))
    if values.dtype.kind == "m":
        return Plain(name, "number", values.astype("m8[us]").astype(np.int64) / 1e6)
    if values.dtype.kind == "S":
        return plain_text(name, np.array([v.decode("utf-8", "replace") for v in values.tolist()], object))
    return plain_text(name, values.astype(object))


def class_column(name: str, y: np.ndarray) -> Plain:
    """Labels as a column; one-hot rows (n, k) become class numbers."""
    if y.ndim == 2 and y.shape[1] > 1 and y.dtype.kind in "biuf":
        if not (((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all()):
            raise UnreadableInput(f"label array {name!r} has shape {y.shape} and is not one-hot", advice="give one label per sample")
        return Plain(name, "number", y.argmax(axis=1), remark=f"label array {name!r} is one-hot; classes are its column numbers")
    return array_column(name, y)
