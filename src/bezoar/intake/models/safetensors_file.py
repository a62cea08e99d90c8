"""The safetensors format, with its own rules checked: one header, arrays that fill the rest exactly, in order, none shared."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from bezoar.core.limits import MIB
from bezoar.intake.models.arrays import KINDS, Kept
from bezoar.intake.models.json_names import once
from bezoar.intake.models.verdicts import Hostile, TooMuch, Unknown

MOST_HEADER = 32 * MIB
NAMES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32", "I16": "int16",
         "I8": "int8", "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool", "C64": "complex64"}
LATER = ("F8_E5M2", "F8_E4M3", "F8_E8M0", "F6_E2M3", "F6_E3M2", "F4")


def read(raw: memoryview, keep: Kept, extra: dict[str, Any]) -> None:
    """Every array into `keep`, the `__metadata__` into `extra`."""
    size = len(raw)
    length = int.from_bytes(raw[:8], "little")
    if size < 10 or length > size - 8:
        raise Hostile("its header is longer than the file")
    if length > MOST_HEADER:
        raise TooMuch(f"its header has {length:,} bytes, at most {MOST_HEADER:,} are read")
    header = _header(bytes(raw[8:8 + length]))
    data = raw[8 + length:]
    told = header.pop("__metadata__", {})
    if not isinstance(told, dict) or any(type(v) is not str for v in told.values()):
        raise Hostile("its metadata are not texts")
    rows = [_entry(name, about, len(data)) for name, about in header.items()]
    place = 0
    for begin, end, name, *_ in sorted(rows, key=lambda r: (r[0], r[1])):
        if begin != place:
            raise Hostile(f"its array {name[:60]!r} leaves a hole or shares bytes with another one")
        place = end
    if place != len(data):
        raise Hostile("there are bytes behind its last array")
    kinds: dict[str, int] = {}
    for begin, end, name, kind, shape in rows:
        kinds[kind] = kinds.get(kind, 0) + 1
        code = np.dtype("|u1" if kind == "bool" else KINDS[kind])
        keep.add(name, np.frombuffer(data[begin:end], code).reshape(shape), kind, name)
    extra["kinds"] = kinds
    extra["values"] = {k[:80]: v[:10_000] for k, v in list(told.items())[:1000]}


def _header(raw: bytes) -> dict[str, Any]:
    try:
        text = raw.decode("utf-8")
        found = json.loads(text, object_pairs_hook=once, parse_constant=_never, parse_float=_never)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise Hostile(f"its header is no JSON that the format allows ({str(error)[:60]})") from None
    if not isinstance(found, dict) or text[:1] != "{" or text.rstrip(" ")[-1:] != "}":
        raise Hostile("its header is no JSON object")
    return found


def _never(text: str) -> Any:
    raise ValueError(f"the number {text[:20]}")


def _entry(name: str, about: Any, size: int) -> tuple[int, int, str, str, tuple[int, ...]]:
    if not isinstance(about, dict) or set(about) != {"dtype", "shape", "data_offsets"}:
        raise Hostile(f"its header says too little or too much about {name[:60]!r}")
    kind, shape, offsets = about["dtype"], about["shape"], about["data_offsets"]
    if kind in LATER:
        raise Unknown(f"it has numbers of the kind {kind}, which is not read yet; save it as float16 or bfloat16")
    if kind not in NAMES:
        raise Hostile(f"its array {name[:60]!r} is of no kind that the format knows")
    counts = [v for part in (shape, offsets) for v in (part if type(part) is list else ["no list"])]
    if any(type(v) is not int or not 0 <= v < 1 << 62 for v in counts) or len(offsets) != 2 or len(shape) > 32:
        raise Hostile(f"its header has a place or a shape of {name[:60]!r} that cannot be")
    begin, end = offsets
    width = np.dtype(KINDS[NAMES[kind]]).itemsize
    if begin > end or end > size or end - begin != math.prod(shape) * width:
        raise Hostile(f"its array {name[:60]!r} has a shape and a place in the file that do not fit")
    return begin, end, name, NAMES[kind], tuple(shape)
