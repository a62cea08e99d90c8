"""Does an ONNX file point at other files? Found in the protobuf itself, before any runtime sees the model."""

from __future__ import annotations

from collections.abc import Iterator

SCHEMA: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {}}
EXTERNAL_DATA, DATA_LOCATION = 13, 14
NODE_DOMAIN, FUNCTION_DOMAIN = 7, 10


def has_external_data(raw: bytes, most_depth: int = 64) -> bool:
    """Whether any tensor of a serialised ModelProto lives in another file. Raises ValueError on anything malformed.

    >>> has_external_data(b"")
    False
    """
    todo = [("model", 0, len(raw), 0)]
    while todo:
        kind, position, end, depth = todo.pop()
        if depth > most_depth:
            raise ValueError("nested too deep")
        while position < end:
            key, position = _varint(raw, position, end)
            field, wire = key >> 3, key & 7
            if wire == 0:
                value, position = _varint(raw, position, end)
                if kind == "tensor" and field == DATA_LOCATION and value == 1:
                    return True
            elif wire == 2:
                size, position = _varint(raw, position, end)
                if position + size > end:
                    raise ValueError("a length beyond the end")
                if kind == "tensor" and field == EXTERNAL_DATA:
                    return True
                if field in SCHEMA[kind]:
                    todo.append((SCHEMA[kind][field], position, position + size, depth + 1))
                position += size
            elif wire in (1, 5):
                position += 8 if wire == 1 else 4
            else:
                raise ValueError(f"wire type {wire}")
        if position > end:
            raise ValueError("a field beyond the end")
    return False


def fields(raw: bytes | memoryview, position: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(field number, start, end) of each field of the message in [position, end). Raises ValueError on anything malformed."""
    while position < end:
        key, position = _varint(raw, position, end)
        wire, start = key & 7, position
        if wire == 0:
            _, position = _varint(raw, position, end)
        elif wire == 2:
            size, start = _varint(raw, position, end)
            position = start + size
        elif wire in (1, 5):
            position += 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if position > end or not key >> 3:
            raise ValueError("a field beyond the end")
        yield key >> 3, start, position


def domains(raw: bytes, most_depth: int = 64) -> set[str]:
    """The domains of all operators that a serialised ModelProto uses, those of its own functions left out."""
    used: set[str] = set()
    own: set[str] = set()
    todo = [("model", 0, len(raw), 0)]
    while todo:
        kind, position, end, depth = todo.pop()
        if depth > most_depth:
            raise ValueError("nested too deep")
        for field, start, stop in fields(raw, position, end):
            if (kind, field) in (("node", NODE_DOMAIN), ("function", FUNCTION_DOMAIN)):
                (used if kind == "node" else own).add(raw[start:stop].decode("utf-8", "replace"))
            elif field in SCHEMA[kind]:
                todo.append((SCHEMA[kind][field], start, stop, depth + 1))
    return used - own


def _varint(raw: bytes | memoryview, position: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while position < end and shift < 70:
        byte = raw[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise ValueError("a number that does not end")
