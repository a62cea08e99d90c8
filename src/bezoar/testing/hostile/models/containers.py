"""Archives and headers that lie: zip, safetensors, npy and npz."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bezoar.testing.hostile.models.kit import (
    EITHER,
    FOUR,
    GOOD,
    INCONCLUSIVE,
    REFUSED,
    ModelCase,
    makes,
    model_case,
    of_bytes,
    of_file,
    register,
    stream,
    torch_zip,
    written,
    zipped,
)

CENTRAL, END = b"PK\x01\x02", b"PK\x05\x06"


def _patched(raw: bytes, mark: bytes, at: int, new: bytes, which: int = 0) -> bytes:
    """`new` at `at` bytes behind the `which`-th `mark`."""
    place = -1
    for _ in range(which + 1):
        place = raw.index(mark, place + 1)
    return raw[:place + at] + new + raw[place + at + len(new):]


def _both(raw: bytes, local: int, central: int, new: bytes) -> bytes:
    """The same change in the first member's own header and in the directory."""
    return _patched(_patched(raw, b"PK\x03\x04", local, new), CENTRAL, central, new)


def _twin(folder: Path) -> bytes:
    """The directory shows the good pickle, the first header of that name holds a calling one."""
    import warnings

    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w") as archive:
        warnings.simplefilter("ignore")
        for name, data in (("m/data.pkl", stream(makes(folder))), ("m/data.pkl", GOOD), ("m/data/0", FOUR)):
            archive.writestr(zipfile.ZipInfo(name), data)
    return out.getvalue()


def _hidden(folder: Path) -> bytes:
    """A member that the directory does not name, between two that it names."""
    first, raw = stream(makes(folder)), torch_zip(more={"m/data/9": stream(makes(folder))})
    place = raw.index(b"m/data/9", raw.index(CENTRAL)) - 46
    cut = raw[:place] + raw[place + 46 + 8:]
    end = cut.index(END)
    count, size = struct.unpack_from("<HI", cut, end + 10)
    assert first in cut
    return cut[:end + 8] + struct.pack("<HHI", count - 1, count - 1, size - 54) + cut[end + 16:]


def _overlap() -> bytes:
    """Two names for the bytes of one member."""
    raw = torch_zip(more={"m/data/1": FOUR})
    place = raw.index(b"m/data/1", raw.index(CENTRAL)) - 46
    first = raw.index(b"m/data/0") - 30
    return raw[:place + 42] + struct.pack("<I", first) + raw[place + 46:]


def _bomb() -> bytes:
    return torch_zip(storages={"0": b"\0" * (96 << 20)}, method=zipfile.ZIP_DEFLATED)


def _link() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo("m/data.pkl"), GOOD)
        info = zipfile.ZipInfo("m/data/0")
        info.create_system, info.external_attr = 3, 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    return out.getvalue()


def _renamed() -> bytes:
    """The Unicode Path field, which some readers take for the name."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo("m/data.pkl"), GOOD)
        info = zipfile.ZipInfo("m/data/0")
        new = b"\x01" + struct.pack("<I", zlib.crc32(b"m/data/0")) + b"m/data.pkl"
        info.extra = struct.pack("<HH", 0x7075, len(new)) + new
        archive.writestr(info, FOUR)
    return out.getvalue()


_M = torch_zip()
ZIPS: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "other-name-inside": (lambda f: _patched(_M, b"PK\x03\x04", 30, b"m/dato.pkl"), REFUSED),
    "other-name-in-the-directory": (lambda f: _patched(_M, CENTRAL, 46, b"m/dato.pkl"), REFUSED),
    "other-flags-inside": (lambda f: _patched(_M, b"PK\x03\x04", 6, b"\x00\x08"), REFUSED),
    "encrypted-in-the-directory": (lambda f: _patched(_M, CENTRAL, 8, b"\x01\x00"), REFUSED),
    "encrypted-inside": (lambda f: _patched(_M, b"PK\x03\x04", 6, b"\x01\x00"), REFUSED),
    "encrypted-in-both": (lambda f: _both(_M, 6, 8, b"\x01\x00"), REFUSED),
    "other-checksum-inside": (lambda f: _patched(_M, b"PK\x03\x04", 14, b"\x01\x02\x03\x04"), REFUSED),
    "other-checksum-in-both": (lambda f: _both(_M, 14, 16, b"\x01\x02\x03\x04"), REFUSED),
    "other-size-inside": (lambda f: _patched(_M, b"PK\x03\x04", 18, b"\x01\x00\x00\x00"), REFUSED),
    "other-size-in-the-directory": (lambda f: _patched(_M, CENTRAL, 24, b"\x01\x00\x00\x00"), REFUSED),
    "other-method-inside": (lambda f: _patched(_M, b"PK\x03\x04", 8, b"\x08\x00"), REFUSED),
    "other-method-in-both": (lambda f: _both(_M, 8, 10, b"\x0e\x00"), REFUSED),
    "method-deflate-of-stored-bytes": (lambda f: _both(_M, 8, 10, b"\x08\x00"), EITHER),
    "place-beyond-the-end": (lambda f: _patched(_M, CENTRAL, 42, b"\xff\xff\xff\x7f"), REFUSED),
    "two-of-a-name": (_twin, REFUSED),
    "a-member-that-is-not-listed": (_hidden, REFUSED),
    "two-names-for-the-same-bytes": (lambda f: _overlap(), REFUSED),
    "bytes-before": (lambda f: b"PK\x03\x04" + b"\0" * 96 + _M, REFUSED),
    "pickle-before": (lambda f: stream(makes(f)) + _M, REFUSED),
    "bytes-behind": (lambda f: _M + b"\0" * 40, REFUSED),
    "pickle-behind": (lambda f: _M + stream(makes(f)), REFUSED),
    "archive-behind": (lambda f: _M + zipped({"m/data.pkl": stream(makes(f))}), REFUSED),
    "bytes-before-the-directory": (lambda f: _patched(_M[:_M.index(CENTRAL)] + b"x" * 10 + _M[_M.index(CENTRAL):], END, 16,
                                                      struct.pack("<I", _M.index(CENTRAL) + 10)), REFUSED),
    "a-comment": (lambda f: _patched(_M, END, 20, b"\x05\x00") + b"hello", REFUSED),
    "an-end-in-a-comment": (lambda f: _patched(_M, END, 20, b"\x16\x00") + END + b"\0" * 18, REFUSED),
    "two-disks": (lambda f: _patched(_M, END, 4, b"\x01\x00"), REFUSED),
    "other-count": (lambda f: _patched(_M, END, 8, b"\x02\x00\x02\x00"), REFUSED),
    "no-end": (lambda f: _M[:-22], INCONCLUSIVE),
    "half": (lambda f: _M[:len(_M) // 2], INCONCLUSIVE),
    "no-member": (lambda f: END + b"\0" * 18, EITHER),
    "bomb": (lambda f: _bomb(), INCONCLUSIVE),
    "member-of-a-link": (lambda f: _link(), REFUSED),
    "name-that-leaves": (lambda f: torch_zip(more={"m/../../x": b"x"}), REFUSED),
    "name-from-the-root": (lambda f: torch_zip(more={"/etc/x": b"x"}), REFUSED),
    "name-of-windows": (lambda f: torch_zip(more={"C:\\x": b"x"}), REFUSED),
    "name-with-backslash": (lambda f: _M.replace(b"m/byteorder", b"m\\byteorder"), REFUSED),
    "name-that-is-no-utf-8": (lambda f: _M.replace(b"m/version", b"m/ver\xffion"), REFUSED),
    "name-with-nul": (lambda f: _M.replace(b"m/version", b"m/ver\0ion"), REFUSED),
    "two-tops": (lambda f: torch_zip(more={"n/data.pkl": stream(makes(f))}), REFUSED),
    "code-beside": (lambda f: torch_zip(more={"m/setup.py": b"import os"}), REFUSED),
    "a-second-pickle-beside": (lambda f: torch_zip(more={"m/extra.pkl": stream(makes(f))}), REFUSED),
    "a-pickle-by-another-name": (lambda f: zipped({"m/weights.pkl": stream(makes(f)), "m/version": b"3"}), REFUSED),
    "order-of-bytes-unknown": (lambda f: _M.replace(b"little", b"middle"), REFUSED),
    "a-torchscript-program": (lambda f: torch_zip(more={"m/code/__torch__.py": b"def forward(self): pass", "m/constants.pkl": GOOD}),
                              INCONCLUSIVE),
    "an-archive-in-an-archive": (lambda f: zipped({"model.pt": torch_zip(stream(makes(f)))}), INCONCLUSIVE),
    "another-name-in-an-extra-field": (lambda f: _renamed(), REFUSED),
    "wide-end-that-differs": (lambda f: _wide_end(_M), REFUSED),
}


def _wide_end(raw: bytes) -> bytes:
    start, end = raw.index(CENTRAL), raw.index(END)
    size = end - start
    wide = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, size, start) + struct.pack("<4sIQI", b"PK\x06\x07", 0, end, 1)
    return raw[:end] + wide + raw[end:]


for _name, (_build, _verdict) in ZIPS.items():
    register(f"zip-{_name}", of_file(_build, verdict=_verdict))


def _safe(header: Any, data: bytes = FOUR, raw: bytes | None = None, length: int | None = None) -> bytes:
    raw = json.dumps(header).encode() if raw is None else raw
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def _one(dtype: Any = "F32", shape: Any = (4,), offsets: Any = (0, 16), **more: Any) -> dict[str, Any]:
    return {"w": {"dtype": dtype, "shape": shape, "data_offsets": offsets, **more}}


_PAIR = '{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'
SAFETENSORS: dict[str, tuple[bytes, str]] = {
    "header-longer-than-the-file": (_safe(_one(), length=1 << 30), REFUSED),
    "header-of-2-to-63": (_safe(_one(), length=(1 << 63) - 1), EITHER),
    "header-of-nothing": (_safe({}, length=0), EITHER),
    "header-of-deep-json": (_safe(None, raw=b'{"a":' + b"[" * 400_000), REFUSED),
    "header-of-huge-json": (_safe({f"w{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(13_000)}, data=b"x"),
                            REFUSED),
    "header-cut-off": (_safe(_one(), b"", length=20)[:28], REFUSED),
    "header-of-a-list": (_safe(None, raw=b"[1]"), EITHER),
    "header-with-white-before": (_safe(None, raw=b" " + json.dumps(_one()).encode()), EITHER),
    "header-with-bytes-behind": (_safe(None, raw=json.dumps(_one()).encode() + b"\0\0"), REFUSED),
    "header-that-is-no-utf-8": (_safe(None, raw=b'{"\xff":1}'), REFUSED),
    "a-name-twice": (_safe(None, raw=_PAIR.encode()), REFUSED),
    "negative-place": (_safe(_one(offsets=(-16, 0))), REFUSED),
    "place-backwards": (_safe(_one(offsets=(16, 0))), REFUSED),
    "place-as-a-fraction": (_safe(_one(offsets=(0.0, 16.0))), REFUSED),
    "place-as-true": (_safe(_one(offsets=(False, 16))), REFUSED),
    "place-as-a-text": (_safe(_one(offsets=("0", "16"))), REFUSED),
    "place-of-three": (_safe(_one(offsets=(0, 8, 16))), REFUSED),
    "place-beyond-the-end": (_safe(_one(shape=(8,), offsets=(0, 32))), REFUSED),
    "arrays-that-overlap": (_safe({**_one(), "v": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}}), REFUSED),
    "arrays-with-a-hole": (_safe({**_one(shape=(1,), offsets=(0, 4)), "v": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}}),
                           REFUSED),
    "arrays-that-start-late": (_safe(_one(shape=(2,), offsets=(8, 16))), REFUSED),
    "bytes-behind": (_safe(_one(), FOUR + b"hidden"), REFUSED),
    "archive-behind": (_safe(_one(), FOUR + torch_zip()), REFUSED),
    "shape-that-does-not-fit": (_safe(_one(shape=(5,))), REFUSED),
    "shape-that-wraps-round": (_safe(_one(shape=(1 << 32, 1 << 32, 4))), REFUSED),
    "shape-of-negative-numbers": (_safe(_one(shape=(-2, -2))), REFUSED),
    "shape-of-nothing-huge": (_safe(_one(shape=(0, 1 << 63), offsets=(0, 0)), b""), REFUSED),
    "shape-of-many-dimensions": (_safe(_one(shape=[1] * 5_000, offsets=(0, 4)), FOUR[:4]), REFUSED),
    "kind-unknown": (_safe(_one(dtype="PICKLE")), REFUSED),
    "kind-as-a-number": (_safe(_one(dtype=3)), REFUSED),
    "kind-of-8-bits": (_safe(_one(dtype="F8_E4M3", shape=(16,))), INCONCLUSIVE),
    "an-entry-too-much": (_safe(_one(code="import os")), REFUSED),
    "an-entry-too-few": (_safe({"w": {"dtype": "F32", "shape": [4]}}), REFUSED),
    "not-a-number": (_safe(None, raw=b'{"w":{"dtype":"F32","shape":[NaN],"data_offsets":[0,16]}}'), REFUSED),
    "metadata-of-numbers": (_safe({"__metadata__": {"a": 1}, **_one()}), REFUSED),
    "metadata-of-a-list": (_safe({"__metadata__": ["a"], **_one()}), REFUSED),
    "a-name-with-escapes": (_safe({"w\x1b[2J\n": _one()["w"]}), REFUSED),
}
for _name, (_raw, _verdict) in SAFETENSORS.items():
    register(f"safetensors-{_name}", of_bytes(_raw, "model.safetensors", _verdict))


def _npy(head: str, data: bytes = FOUR, version: bytes = b"\x01\x00", length: int | None = None) -> bytes:
    raw = head.encode("latin-1") + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(raw) if length is None else length) + raw + data


def _plain(descr: str = "'<f4'", shape: str = "(4,)", order: str = "False") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


def _in_npz(build: Callable[[Path], bytes]) -> Callable[[Path], bytes]:
    return lambda folder: zipped({"w.npy": build(folder)})


NPY: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "objects": (lambda f: _npy(_plain("'|O'"), stream(makes(f))), REFUSED),
    "a-field-of-objects": (lambda f: _npy(_plain("[('a', '<f4'), ('b', '|O')]"), stream(makes(f))), REFUSED),
    "texts": (lambda f: _npy(_plain("'<U1'")), INCONCLUSIVE),
    "code-in-the-header": (lambda f: _npy(_plain(shape=f"__import__('os').mkdir({str(f)!r})")), REFUSED),
    "header-of-deep-brackets": (lambda f: _npy("(" * 9_000), REFUSED),
    "header-longer-than-the-file": (lambda f: _npy(_plain(), length=60_000), REFUSED),
    "header-with-more": (lambda f: _npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4,), 'x': 1}"), REFUSED),
    "header-that-multiplies": (lambda f: _npy(_plain(shape="('a' * 999999999,)")), REFUSED),
    "shape-too-large": (lambda f: _npy(_plain(shape="(5,)")), REFUSED),
    "shape-huge": (lambda f: _npy(_plain(shape="(4611686018427387904, 8)")), REFUSED),
    "shape-negative": (lambda f: _npy(_plain(shape="(-4,)")), REFUSED),
    "bytes-behind": (lambda f: _npy(_plain(), FOUR + stream(makes(f))), REFUSED),
    "order-that-is-a-text": (lambda f: _npy(_plain(order="'no'")), REFUSED),
    "version-9": (lambda f: _npy(_plain(), version=b"\x09\x00"), INCONCLUSIVE),
    "archive-behind": (lambda f: _npy(_plain(), FOUR + zipped({"m/data.pkl": stream(makes(f))})), REFUSED),
}
for _name, (_make, _verdict) in NPY.items():
    register(f"npy-{_name}", of_file(_make, "model.npy", _verdict))
    if _name in ("objects", "a-field-of-objects", "code-in-the-header", "shape-huge", "bytes-behind"):
        register(f"npz-{_name}", of_file(_in_npz(_make), "model.npz", _verdict))


@model_case
def npz_bomb(folder: Path) -> ModelCase:
    data = zipped({"w.npy": _npy(_plain(shape=f"({24 << 20},)"), b"\0" * (96 << 20))}, zipfile.ZIP_DEFLATED)
    return written(folder, data, "model.npz", INCONCLUSIVE, "bomb")


@model_case
def npz_of_many_bombs(folder: Path) -> ModelCase:
    one = _npy(_plain(shape=f"({4 << 20},)"), b"\0" * (16 << 20))
    return written(folder, zipped({f"w{i}.npy": one for i in range(20)}, zipfile.ZIP_DEFLATED), "model.npz", INCONCLUSIVE, "limits")


@model_case
def npz_with_a_pickle(folder: Path) -> ModelCase:
    out = io.BytesIO()
    np.savez(out, w=np.zeros(4, np.float32))
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr("code.pkl", stream(makes(folder)))
    return written(folder, out.getvalue(), "model.npz")


@model_case
def npz_whose_deflate_gives_less(folder: Path) -> ModelCase:
    raw = zipped({"w.npy": _npy(_plain(), FOUR * 1)}, zipfile.ZIP_DEFLATED)
    size = struct.pack("<I", len(_npy(_plain())) + 4)
    return written(folder, _both(raw, 22, 24, size), "model.npz", EITHER)


@model_case
def deflate_that_gives_more(folder: Path) -> ModelCase:
    inner = zlib.compress(b"\0" * (80 << 20), 9)[2:-4]
    raw = zipped({"m/data.pkl": GOOD, "m/data/0": inner})
    place = raw.index(b"m/data/0") - 30
    far = raw.index(b"m/data/0", raw.index(CENTRAL)) - 46
    raw = raw[:place + 8] + b"\x08\x00" + raw[place + 10:place + 22] + struct.pack("<I", 16) + raw[place + 26:]
    raw = raw[:far + 10] + b"\x08\x00" + raw[far + 12:far + 24] + struct.pack("<I", 16) + raw[far + 28:]
    return written(folder, raw, says="another size")
