"""What hostile model files are made of: an assembler of pickles, torch files around them, and the registry."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bezoar.testing.hostile.kit import marker, put

REFUSED, INCONCLUSIVE, EITHER = "refused", "inconclusive", "either"


@dataclass(frozen=True)
class ModelCase:
    """`verdict`: "refused", "inconclusive", or "either" of them; `says` occurs in the reasons."""

    path: Path
    verdict: str
    says: str = ""


Builder = Callable[[Path], ModelCase]
MODEL_CASES: dict[str, Builder] = {}
ACTIVE: dict[str, Callable[[Path], bytes]] = {}
"""Pickles that make `marker(folder)` under the reader of the standard library: proof that the payloads are live."""


def model_case(function: Builder) -> Builder:
    """Registers a case under its name."""
    MODEL_CASES[function.__name__.replace("_", "-")] = function
    return function


def register(name: str, build: Builder) -> None:
    """Registers a case that a table makes."""
    if name in MODEL_CASES:
        raise ValueError(f"two cases are called {name}")
    MODEL_CASES[name] = build


# -- pickle, one opcode each

PROTO2, PROTO4, STOP, MARK, POP, REDUCE, EMPTY, BUILD = b"\x80\x02", b"\x80\x04", b".", b"(", b"0", b"R", b")", b"b"


def text(value: str) -> bytes:
    """BINUNICODE."""
    raw = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(raw)) + raw


def short(value: str) -> bytes:
    """SHORT_BINUNICODE."""
    return b"\x8c" + bytes([len(value.encode())]) + value.encode()


def number(value: int) -> bytes:
    """LONG1, which every protocol from 2 on has."""
    raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def named(module: str, name: str) -> bytes:
    """GLOBAL."""
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n"


def tuple_of(*items: bytes) -> bytes:
    """MARK ... TUPLE."""
    return b"(" + b"".join(items) + b"t"


def call(module: str, name: str, *arguments: bytes) -> bytes:
    """GLOBAL, a tuple, REDUCE."""
    return named(module, name) + tuple_of(*arguments) + REDUCE


def makes(folder: Path) -> bytes:
    """The call that makes the marker."""
    return call("os", "mkdir", text(str(marker(folder))))


def storage(key: str = "0", count: int = 4, kind: str = "FloatStorage") -> bytes:
    """A storage by its persistent id."""
    return tuple_of(text("storage"), named("torch", kind), text(key), text("cpu"), number(count)) + b"Q"


def tensor(where: bytes | None = None, offset: bytes = number(0), size: bytes = tuple_of(number(4)), stride: bytes = tuple_of(number(1)),
           hooks: bytes = named("collections", "OrderedDict") + EMPTY + REDUCE) -> bytes:
    """A tensor of four numbers; each part can be replaced."""
    return call("torch._utils", "_rebuild_tensor_v2", storage() if where is None else where, offset, size, stride, b"\x89", hooks)


def state(*pairs: bytes) -> bytes:
    """A dict of texts and values, in turn."""
    return b"}(" + b"".join(pairs) + b"u"


def stream(body: bytes, proto: bytes = PROTO2) -> bytes:
    """A whole pickle."""
    return proto + body + STOP


GOOD = stream(state(text("weight"), tensor()))
FOUR = struct.pack("<4f", 1, 2, 3, 4)


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A plain zip archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return out.getvalue()


def torch_zip(pickle: bytes = GOOD, storages: dict[str, bytes] | None = None, more: dict[str, bytes] | None = None,
              method: int = zipfile.ZIP_STORED) -> bytes:
    """The zip that torch.save writes around a pickle."""
    parts = {f"m/data/{k}": v for k, v in ({"0": FOUR} if storages is None else storages).items()}
    return zipped({"m/data.pkl": pickle, "m/byteorder": b"little", **parts, "m/version": b"3\n", **(more or {})}, method)


def torch_legacy(pickle: bytes = GOOD, keys: bytes | None = None, behind: bytes = struct.pack("<q", 4) + FOUR) -> bytes:
    """The file that torch.save wrote before 1.6 around a pickle."""
    head = stream(number(0x1950A86A20F9469CFC6C)) + stream(number(1001))
    system = stream(state(text("protocol_version"), number(1001), text("little_endian"), b"\x88"))
    return head + system + pickle + (stream(b"](" + text("0") + b"e") if keys is None else keys) + behind


def written(folder: Path, data: bytes, name: str = "model.pt", verdict: str = REFUSED, says: str = "") -> ModelCase:
    """The case of one file."""
    return ModelCase(put(folder, name, data), verdict, says)


def of_file(build: Callable[[Path], bytes], name: str = "model.pt", verdict: str = REFUSED, says: str = "") -> Builder:
    """A case of one file that `build` makes."""
    return lambda folder: written(folder, build(folder), name, verdict, says)


def of_bytes(data: bytes, name: str = "model.pt", verdict: str = REFUSED, says: str = "") -> Builder:
    """A case of one file."""
    return lambda folder: written(folder, data, name, verdict, says)
