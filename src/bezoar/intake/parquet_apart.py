"""Parquet is decoded in a child process with limits: a damaged or hostile file may end the child, never the scan.

The child reads the footer, holds rows, columns and unpacked bytes against the limits, decodes, and writes an Arrow file that
the parent maps into memory. Malformed footers are known to abort pyarrow; here that becomes one sentence.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bezoar.core.errors import LimitExceeded, UnreadableInput
from bezoar.core.limits import MIB, Limits

SECONDS = 1800
"""Wall-clock and processor seconds that the child may take."""
RATIO_COUNTS_ABOVE = 64 * MIB
BOOT = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from bezoar.intake.parquet_apart import child; child(*sys.argv[2:])"


def read_parquet(path: Path, limits: Limits) -> tuple[Any, str]:
    """The pyarrow Table (strings dictionary-encoded) and the name of its compression.

    Raises UnreadableInput for what is damaged or ends the reader, LimitExceeded for what would unpack beyond the limits.
    """
    import pyarrow as pa

    numbers = [limits.max_rows, limits.max_columns, limits.max_produced_bytes, limits.max_produced_ratio]
    with tempfile.TemporaryDirectory(prefix="bezoar-parquet-") as scratch:
        out = Path(scratch) / "table.arrow"
        try:
            done = subprocess.run(  # noqa: S603 - our own interpreter and code; the path is an argument, not a command
                [sys.executable, "-I", "-W", "ignore", "-c", BOOT, json.dumps(sys.path), str(path.resolve()), str(out),
                 json.dumps(numbers)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=SECONDS, check=False,
                env={k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "TMPDIR", "OMP_NUM_THREADS", "SYSTEMROOT")})
            told = json.loads(done.stdout) if done.returncode == 0 else {"unreadable": f"it ended the reader (code {done.returncode})"}
        except subprocess.TimeoutExpired:
            raise LimitExceeded(f"{path.name} takes more than {SECONDS:,} s to decode", advice="write it again in parts") from None
        except ValueError:
            told = {"unreadable": "the reader said nothing"}
        if "limit" in told:
            raise LimitExceeded(f"{path.name} {told['limit']}", advice=told["advice"])
        if "unreadable" in told:
            raise UnreadableInput(f"{path.name} is not a readable Parquet file: {told['unreadable']}", advice="download or write it again")
        try:
            with pa.ipc.open_file(pa.memory_map(str(out))) as reader:
                table = reader.read_all()
        except (pa.ArrowException, OSError) as error:
            raise UnreadableInput(f"{path.name} cannot be decoded: {error}", advice="write it again") from error
    return table, str(told["codec"])


def child(path: str, out: str, numbers: str) -> None:
    """What runs apart: decode, write, say in one JSON object how it went."""
    import resource

    import pyarrow as pa

    max_rows, max_columns, max_bytes, ratio = json.loads(numbers)
    size = os.stat(path).st_size
    most = int(min(max_bytes, max(RATIO_COUNTS_ABOVE, ratio * size)))
    for what, amount in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_CPU, SECONDS), (resource.RLIMIT_FSIZE, 2 * most + RATIO_COUNTS_ABOVE),
                         (resource.RLIMIT_AS, 4 * most + (6 << 30))):
        resource.setrlimit(what, (amount, amount))
    try:
        told = _decode(path, out, max_rows, max_columns, most, size)
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, IndexError, OverflowError, MemoryError) as error:
        told = {"unreadable": " ".join(str(error).split())[:200] or type(error).__name__}
    print(json.dumps(told))  # noqa: T201 - the child's answer


def _decode(path: str, out: str, max_rows: int, max_columns: int, most: int, size: int) -> dict[str, str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, thrift_string_size_limit=64 << 20, thrift_container_size_limit=1 << 20) as file:
        about = file.metadata
        rows, width = about.num_rows, about.num_columns
        if rows > max_rows or width > max_columns:
            return {"limit": f"has {rows:,} rows and {width:,} columns, the limits are {max_rows:,} and {max_columns:,}",
                    "advice": "scan parts of it, or raise the limits"}
        groups = [about.row_group(g) for g in range(about.num_row_groups)]
        cells = sum(g.column(c).num_values for g in groups for c in range(width))
        unpacked = max(8 * cells, sum(g.total_byte_size for g in groups))
        if unpacked > most:
            return {"limit": f"unpacks to about {unpacked:,} bytes from {size:,}, the limit is {most:,}",
                    "advice": "this looks like a decompression bomb; write it again in parts if you trust it"}
        codec = groups[0].column(0).compression if groups and width else "SNAPPY"
        strings = [f.name for f in file.schema_arrow if str(f.type) in ("string", "large_string")]
        metadata = file.schema_arrow.metadata
    table = pq.read_table(path, read_dictionary=strings, memory_map=False).replace_schema_metadata(metadata)
    table.validate(full=True)
    options = pa.ipc.IpcWriteOptions(unify_dictionaries=True)
    with pa.OSFile(out, "wb") as sink, pa.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return {"codec": "NONE" if codec == "UNCOMPRESSED" else codec}
