"""What a finding shows: pictures, excerpts, facts, plots. Data only; each sink draws and escapes for itself."""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np


def pack(array: np.ndarray) -> dict[str, Any]:
    """An array as JSON: dtype, shape, zlib bytes in base64. No code, no pickle.

    >>> unpack(pack(np.arange(3, dtype=np.uint8))).tolist()
    [0, 1, 2]
    """
    array = np.ascontiguousarray(array)
    return {"dtype": array.dtype.str, "shape": list(array.shape),
            "zlib": base64.b64encode(zlib.compress(array.tobytes(), 6)).decode()}


def unpack(packed: dict[str, Any], max_bytes: int = 64 << 20) -> np.ndarray:
    """The array of `pack`; numbers and booleans only, at most `max_bytes`."""
    dtype = np.dtype(packed["dtype"])
    if dtype.kind not in "biuf":
        raise ValueError(f"refused dtype {dtype}")
    shape = tuple(int(s) for s in packed["shape"])
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if size > max_bytes or any(s < 0 for s in shape):
        raise ValueError("array larger than allowed")
    raw = zlib.decompressobj().decompress(base64.b64decode(packed["zlib"]), size + 1)
    if len(raw) != size:
        raise ValueError("array bytes do not fit its shape")
    return np.frombuffer(raw, dtype).reshape(shape)


@dataclass(frozen=True, eq=False)
class Picture:
    """(h, w, 3) or (h, w, 4) uint8 pixels. `sample` is the id it shows, '' when it is a trigger or a map."""

    kind: ClassVar[str] = "picture"
    pixels: np.ndarray
    caption: str = ""
    sample: str = ""
    enlarge: int = 1
    """How many screen pixels a pixel should have (nearest neighbour), a hint."""


def before_after(before: np.ndarray, after: np.ndarray, caption: str) -> Picture:
    """A sheet of pictures (n, h, w, 3) uint8, n > 0, those before above those after, enlarged to about 200 pixels in height.

    >>> before_after(np.zeros((3, 10, 8, 3), np.uint8), np.ones((3, 10, 8, 3), np.uint8), "as it was, and as it is").pixels.shape
    (200, 240, 3)
    """
    sheet = np.concatenate([np.concatenate(pair) for pair in zip(before, after, strict=True)], axis=1)
    grow = max(1, 200 // sheet.shape[0])
    return Picture(sheet.repeat(grow, axis=0).repeat(grow, axis=1), caption=caption)


LABELLED = "labelled "
"""How the caption of a member begins that says its label."""


@dataclass(frozen=True)
class Excerpt:
    """A piece of text with marked spans (start, end) in characters of `text`."""

    kind: ClassVar[str] = "excerpt"
    text: str
    marks: tuple[tuple[int, int], ...] = ()
    caption: str = ""
    sample: str = ""


@dataclass(frozen=True)
class Facts:
    """A small table: a header and rows of cells, all text."""

    kind: ClassVar[str] = "facts"
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    sample: str = ""


@dataclass(frozen=True)
class Bars:
    """Named non-negative quantities, e.g. members per source; `highlight` are the names to stress."""

    kind: ClassVar[str] = "bars"
    names: tuple[str, ...]
    values: tuple[float, ...]
    highlight: tuple[str, ...] = ()
    caption: str = ""


LOG_COUNT, LOG_SUSPICION = "log10(1 + samples)", "suspicion, -log10(1 - s)"
"""Labels of axes that a page draws with the plain numbers at their ticks."""


@dataclass(frozen=True, eq=False)
class Plot:
    """Series over x: `series` maps a name to (k,) float arrays; `style` is 'line', 'step' or 'points'."""

    kind: ClassVar[str] = "plot"
    x: np.ndarray
    series: dict[str, np.ndarray]
    style: str = "line"
    x_label: str = ""
    y_label: str = ""
    caption: str = ""


@dataclass(frozen=True, eq=False)
class Scatter:
    """A map: (k, 2) float points, (k,) bool `marked`, (k,) int `group` (a class code)."""

    kind: ClassVar[str] = "scatter"
    points: np.ndarray
    marked: np.ndarray
    group: np.ndarray
    caption: str = ""


Evidence = Picture | Excerpt | Facts | Bars | Plot | Scatter
_KINDS: dict[str, type] = {c.kind: c for c in (Picture, Excerpt, Facts, Bars, Plot, Scatter)}


def evidence_to_dict(evidence: Evidence) -> dict[str, Any]:
    """JSON form, `kind` first.

    >>> evidence_to_dict(Bars(("a",), (1.0,)))["kind"]
    'bars'
    """
    out: dict[str, Any] = {"kind": evidence.kind}
    for f in fields(evidence):
        value = getattr(evidence, f.name)
        if isinstance(value, np.ndarray):
            value = pack(value)
        elif isinstance(value, dict):
            value = {k: pack(np.asarray(v)) for k, v in value.items()}
        out[f.name] = value
    return out


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def evidence_from_dict(data: dict[str, Any]) -> Evidence:
    """The inverse of `evidence_to_dict`; unknown kinds and fields raise ValueError."""
    cls = _KINDS.get(data.get("kind", ""))
    if cls is None:
        raise ValueError(f"unknown evidence {data.get('kind')!r}")
    names = {f.name for f in fields(cls)}
    extra = set(data) - names - {"kind"}
    if extra:
        raise ValueError(f"unknown fields {sorted(extra)}")
    values: dict[str, Any] = {}
    for key in names & set(data):
        value = data[key]
        if isinstance(value, dict) and "zlib" in value:
            value = unpack(value)
        elif isinstance(value, dict):
            value = {k: unpack(v) for k, v in value.items()}
        values[key] = _tuples(value)
    return cls(**values)
