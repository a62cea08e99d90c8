"""JSON in which no name stands twice: readers that differ in which one counts see different files."""

from __future__ import annotations

from typing import Any


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of its (name, value) pairs, for `json.loads(..., object_pairs_hook=once)`. Raises ValueError for a name that stands twice.

    >>> once([("a", 1), ("b", 2)])
    {'a': 1, 'b': 2}
    """
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name twice")
    return made
