"""Pictures stored in Arrow tables: a struct of `bytes` and `path`, as Hugging Face `datasets` and Parquet exports write it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from bezoar.core.errors import UnreadableInput
from bezoar.core.inputs import Images
from bezoar.core.limits import MIB, Limits
from bezoar.intake.pictures import Undecodable, decode, strict_decoding

KEEP_BYTES = 1536 * MIB


def picture_column(table: Any) -> str:
    """The first column that holds encoded pictures, or ''."""
    import pyarrow as pa

    for field in table.schema:
        kind = field.type
        if pa.types.is_struct(kind) and {"bytes", "path"} <= {f.name for f in kind}:
            return str(field.name)
    return ""


def decoded(column: Any, limits: Limits) -> tuple[Images, np.ndarray, list[tuple[int, str]], int]:
    """Pictures, the rows that could be read, (row, reason) for the others, and how many say that an attack planted them.

    Two threads, in order.
    """
    chunks = [c.field("bytes") if hasattr(c, "field") else c for c in column.chunks]
    starts = np.cumsum([0] + [len(c) for c in chunks])

    def raw(row: int) -> bytes | None:
        chunk = int(np.searchsorted(starts, row, "right")) - 1
        cell = chunks[chunk][row - int(starts[chunk])]
        return cell.as_py() if cell.is_valid else None

    def one(row: int) -> tuple[np.ndarray, str] | str:
        data = raw(row)
        if data is None:
            return "no picture bytes (only a path, which is not followed)"
        if len(data) > limits.max_sample_bytes:
            return f"{len(data):,} bytes, the limit is {limits.max_sample_bytes:,}"
        try:
            return decode(data, limits)
        except Undecodable as error:
            return str(error)

    kept: list[int] = []
    failed: list[tuple[int, str]] = []
    sizes: list[tuple[int, int]] = []
    pictures: list[np.ndarray] | None = []
    held = planted = 0
    n = int(starts[-1])
    with strict_decoding(), ThreadPoolExecutor(2) as pool:
        for start in range(0, n, 512):
            rows = range(start, min(start + 512, n))
            for row, result in zip(rows, pool.map(one, rows, chunksize=64), strict=True):
                if isinstance(result, str):
                    failed.append((row, result))
                    continue
                pixels, remark = result
                planted += remark == "planted"
                kept.append(row)
                sizes.append(pixels.shape[:2])
                held += pixels.nbytes
                if held > KEEP_BYTES:
                    pictures = None
                if pictures is not None:
                    pictures.append(pixels)
    rows_kept = np.array(kept, np.int64)
    if pictures is not None:
        dense = len(set(sizes)) == 1
        return Images.of(np.stack(pictures) if dense else pictures), rows_kept, failed, planted

    def reader(wanted: np.ndarray) -> list[np.ndarray]:
        with strict_decoding():
            found = [one(int(rows_kept[i])) for i in wanted]
        bad = next((f for f in found if isinstance(f, str)), None)
        if bad is not None:
            raise UnreadableInput(f"a picture could be read at first and now cannot: {bad}")
        return [f[0] for f in found if not isinstance(f, str)]

    return Images(np.array(sizes), reader), rows_kept, failed, planted

