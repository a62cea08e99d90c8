"""Parquet files: tables, texts, or pictures in a struct of `bytes` and `path`.

The footer is read first: rows, columns and cells are held against the limits before a page is decoded, and dictionary
pages are never expanded, so a small file cannot become a large one. Cost: about 1 s for 1,000,000 rows of 20 columns.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from bezoar.core.ability import Info, Reading, Source
from bezoar.core.dataset import Dataset
from bezoar.core.errors import LimitExceeded, UnreadableInput
from bezoar.core.limits import Limits
from bezoar.intake.arrow_dataset import opened, subset
from bezoar.intake.door import RATIO_COUNTS_ABOVE, published, size_of


class Parquet(Source):
    """One Parquet file."""

    info: ClassVar[Info] = Info(name="parquet", summary="Parquet files", modalities=("image", "text", "tabular"),
                                cost="about 1 s for 1,000,000 rows of 20 columns")

    def claims(self, path: Path) -> bool:
        """By the name: .parquet, .pq."""
        return path.suffix.lower() in (".parquet", ".pq") and path.is_file()

    def open(self, path: Path, reading: Reading) -> Dataset:
        """Raises UnreadableInput for a damaged file, LimitExceeded for one that would unpack beyond the limits."""
        return opened(_table(path, reading.limits)[0], path, reading).data

    def write(self, original: Path, data: Dataset, rows: np.ndarray, out: Path, reading: Reading,
              changed: np.ndarray | None = None) -> None:
        """The same schema, metadata and compression; rows that are not changed keep every cell."""
        import pyarrow.parquet as pq

        table, codec = _table(original, reading.limits)
        done = subset(opened(table, original, reading), data, rows, changed)
        with published(out) as draft:
            pq.write_table(done, draft, compression=codec)


def _table(path: Path, limits: Limits) -> tuple[Any, str]:
    """The table, strings dictionary-encoded where the file has them so, and the compression of the first column."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    size = size_of(path, limits)
    try:
        with pq.ParquetFile(path, thrift_string_size_limit=64 << 20, thrift_container_size_limit=1 << 20) as file:
            about = file.metadata
            rows, width = about.num_rows, about.num_columns
            if rows > limits.max_rows or width > limits.max_columns:
                raise LimitExceeded(f"{path.name} has {rows:,} rows and {width:,} columns, the limits are {limits.max_rows:,} and "
                                    f"{limits.max_columns:,}", advice="scan parts of it, or raise the limits")
            groups = [about.row_group(g) for g in range(about.num_row_groups)]
            cells = sum(g.column(c).num_values for g in groups for c in range(width))
            unpacked = max(8 * cells, sum(g.total_byte_size for g in groups))
            most = min(limits.max_produced_bytes, max(RATIO_COUNTS_ABOVE, int(limits.max_produced_ratio * size)))
            if unpacked > most:
                raise LimitExceeded(f"{path.name} unpacks to about {unpacked:,} bytes from {size:,}, the limit is {most:,}",
                                    advice="this looks like a decompression bomb; write it again in parts if you trust it")
            codec = groups[0].column(0).compression if groups and width else "SNAPPY"
            strings = [f.name for f in file.schema_arrow if str(f.type) in ("string", "large_string")]
        table = pq.read_table(path, read_dictionary=strings, memory_map=False)
        plain = pq.read_schema(path)
    except (pa.ArrowException, OSError, ValueError, KeyError, MemoryError) as error:
        if isinstance(error, LimitExceeded):
            raise
        raise UnreadableInput(f"{path.name} is not a readable Parquet file: {str(error)[:200]}",
                              advice="download or write it again") from error
    return table.replace_schema_metadata(plain.metadata), codec if codec != "UNCOMPRESSED" else "NONE"
