"""Every limit of the tool, with its unit, in one value."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What bezoar is willing to read. Beyond a limit it says so; it never truncates in silence.

    >>> Limits().max_classes
    20000
    """

    max_file_bytes: int = 4 << 30
    """Size of one table or archive on disk, bytes."""
    max_sample_bytes: int = 64 * MIB
    """Size of one image file on disk, bytes."""
    max_pixels: int = 50_000_000
    """Pixels of one decoded image (width x height)."""
    max_produced_ratio: float = 200.0
    """Bytes produced per byte read from an archive or a compressed stream."""
    max_produced_bytes: int = 16 << 30
    """Bytes produced from an archive or a compressed stream."""
    max_field_chars: int = 1_000_000
    """Characters of one text or table field."""
    max_rows: int = 20_000_000
    """Rows of a table, files of a folder."""
    max_columns: int = 10_000
    """Columns of a table."""
    max_classes: int = 20_000
    """Distinct labels."""
    max_json_depth: int = 64
    """Nesting of a JSON value."""
    max_folder_depth: int = 8
    """Nesting of folders below DATA."""
    max_opcodes: int = 5_000_000
    """Opcodes of one pickle stream, values reached in what it builds."""
    max_arrays: int = 200_000
    """Named arrays of a model file."""
    max_model_ratio: float = 100.0
    """Bytes of arrays per byte of a model file; small files may give 64 MiB all the same."""
    max_model_seconds: int = 10
    """Processor seconds to read a model file, and one more for each 16 MiB of it."""
    max_trees: int = 100_000
    """Trees of a model of trees."""
    max_tree_nodes: int = 20_000_000
    """Nodes of all trees of a model together."""
    max_tree_depth: int = 1_000
    """Questions between the root of a tree and a leaf."""
