"""What a model file is, by its content; its name is only held against that."""

from __future__ import annotations

import re

from bezoar.intake.models.verdicts import Hostile

ZIP, PICKLE, SAFETENSORS, NPY, HDF5, GGUF, ONNX, XGBOOST, LIGHTGBM, TEXT, SAVED_MODEL, PACKED, ARCHIVE, UNKNOWN = (
    "zip", "pickle", "safetensors", "npy", "hdf5", "gguf", "onnx", "xgboost", "lightgbm", "text", "saved model", "compressed", "archive",
    "unknown")
STARTS = ((b"PK\x03\x04", ZIP), (b"PK\x05\x06", ZIP), (b"\x93NUMPY", NPY), (b"\x89HDF\r\n\x1a\n", HDF5), (b"GGUF", GGUF),
          (b"7z\xbc\xaf\x27\x1c", ARCHIVE),
          (b"Rar!\x1a\x07", ARCHIVE), (b"\x1f\x8b", PACKED), (b"BZh", PACKED), (b"\xfd7zXZ\x00", PACKED), (b"\x28\xb5\x2f\xfd", PACKED),
          (b"\x04\x22\x4d\x18", PACKED), (b"ZF", PACKED), (b"x\x01", PACKED), (b"x\x5e", PACKED), (b"x\x9c", PACKED), (b"x\xda", PACKED),
          (b"tree\nversion=", LIGHTGBM), (b"\x7fELF", UNKNOWN), (b"MZ", UNKNOWN), (b"#!", UNKNOWN))
OLD_GLOBAL = re.compile(rb"[ci]([A-Za-z_][\w.]*)\n([A-Za-z_][\w.]*)\n")
"""A global as pickle protocols 0 and 1 name it."""
EXPECTED = {".safetensors": (SAFETENSORS,), ".npy": (NPY,), ".npz": (ZIP,), ".onnx": (ONNX,), ".gguf": (GGUF,), ".h5": (HDF5,),
            ".hdf5": (HDF5,), ".keras": (ZIP,), ".ubj": (XGBOOST,), ".json": (TEXT, XGBOOST), ".jinja": (TEXT,), ".txt": (TEXT, LIGHTGBM)}
TORCH = (".pt", ".pth", ".bin", ".ckpt", ".tar", ".model", ".pkl", ".pickle", ".th")


def kind_of(raw: memoryview) -> str:
    """One of the words above. Raises Hostile for a file that is two things at once."""
    head = bytes(raw[:4096])
    kind = next((k for start, k in STARTS if head.startswith(start)), "") or _unmarked(raw, head)
    if head[257:262] == b"ustar":
        if kind == UNKNOWN:
            return ARCHIVE
        raise Hostile(f"it is a tar archive and {_a(kind)} at once")
    if kind != ZIP and _ends_as_zip(raw):
        raise Hostile(f"it is a zip archive and {_a(kind)} at once")
    if kind in (ZIP, PICKLE, SAFETENSORS, NPY) and b"7z\xbc\xaf\x27\x1c\x00" in bytes(raw[1:65_536]):
        raise Hostile(f"it is a 7z archive and {_a(kind)} at once")
    return kind


def _unmarked(raw: memoryview, head: bytes) -> str:
    if len(raw) >= 10 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 40:
        return SAFETENSORS
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return PICKLE
    if head.startswith(b"{L") and b"learner" in head:
        return XGBOOST
    if bytes(raw[-2:]).rstrip()[-1:] == b"." and OLD_GLOBAL.search(head):
        return PICKLE
    if _texty(head):
        return XGBOOST if head.lstrip()[:1] == b"{" and b'"learner"' in head else TEXT
    if head[:1] == b"\x08" and _is_model_proto(raw):
        return ONNX
    if head[:1] in (b"\x08", b"\x12") and (b"serve" in head or b"saved_model" in head or b"saver" in bytes(raw[-4096:])):
        return SAVED_MODEL
    return UNKNOWN


def may_hold_templates(raw: memoryview) -> bool:
    """Whether a file is settings or text by its first bytes."""
    return bytes(raw[:4]) == b"GGUF" or _texty(bytes(raw[:4096]))


def _texty(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:
            return False
        text = head[:error.start].decode("utf-8")
    return all(c.isprintable() or c in "\t\r\n\ufeff" for c in text) and bool(text)


def _is_model_proto(raw: memoryview) -> bool:
    """Whether the top level reads as an ONNX ModelProto: known fields only, the graph among them."""
    from bezoar.intake.onnx_scan import fields

    try:
        seen = [field for field, _, _ in fields(raw, 0, len(raw))]
    except ValueError:
        return False
    return 7 in seen and all(f in (1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26) for f in seen)


def _ends_as_zip(raw: memoryview) -> bool:
    tail = bytes(raw[-65_600:])
    place = tail.rfind(b"PK\x05\x06")
    return place >= 0 and len(tail) - place >= 22 and int.from_bytes(tail[place + 20:place + 22], "little") == len(tail) - place - 22


def _a(kind: str) -> str:
    return {UNKNOWN: "something else", TEXT: "a text"}.get(kind, f"a file of the kind {kind}")


def check_name(suffix: str, kind: str) -> None:
    """Raises Hostile where the name promises another format than the content is."""
    wanted = EXPECTED.get(suffix)
    if (wanted and kind not in wanted and kind != UNKNOWN) or (suffix in TORCH and kind in (NPY, HDF5, ARCHIVE) and suffix != ".ckpt"):
        raise Hostile(f"its name ends in {suffix}, but its content is {_a(kind)}")
