"""Pickles that confuse, loop, expand or break off: nothing in them calls, and none is a checkpoint."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

from bezoar.testing.hostile.models.kit import (
    EITHER,
    EMPTY,
    GOOD,
    INCONCLUSIVE,
    PROTO2,
    PROTO4,
    REFUSED,
    call,
    makes,
    named,
    number,
    of_file,
    register,
    state,
    storage,
    stream,
    tensor,
    text,
    torch_legacy,
    torch_zip,
    tuple_of,
)


def _frame(body: bytes, length: int) -> bytes:
    return b"\x95" + struct.pack("<Q", length) + body


def _laughs(depth: int) -> bytes:
    body = b"]" + b"q\x00" + b"("
    body += number(1) * 10 + b"e"
    for i in range(1, depth):
        body += b"]" + bytes([ord("q"), i]) + b"(" + bytes([ord("h"), i - 1]) * 10 + b"e"
    return b"(" + body + b"t"


def _with(value: bytes) -> bytes:
    return torch_zip(stream(state(text("weight"), tensor(), text("other"), value)))


def _weight(value: bytes) -> bytes:
    return torch_zip(stream(state(text("weight"), value)))


def _dtype(flags: int, size: int = -1) -> bytes:
    """A number type whose state says that its bytes are pointers."""
    return (call("numpy", "dtype", text("f8"), b"\x89", b"\x88")
            + tuple_of(number(3), text("<"), b"N", b"N", b"N", number(size), number(-1), number(flags)) + b"b")


CASES: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "frame-across-an-opcode": (lambda f: torch_zip(PROTO4 + _frame(text("abcdef") + b".", 5)), REFUSED),
    "frame-longer-than-the-stream": (lambda f: torch_zip(PROTO4 + _frame(b"N.", 500)), REFUSED),
    "frame-in-a-frame": (lambda f: torch_zip(PROTO4 + _frame(_frame(b"N.", 2), 11)), REFUSED),
    "frame-of-nothing": (lambda f: torch_zip(PROTO4 + _frame(b"", 0) + b"N."), REFUSED),
    "frame-that-hides-a-call": (lambda f: torch_zip(PROTO4 + _frame(b"N" + makes(f), 1) + b"0N."), REFUSED),
    "stop-inside-a-frame": (lambda f: torch_zip(PROTO4 + _frame(b"N." + makes(f) + b".", 2 + len(makes(f)) + 1)), REFUSED),
    "frame-length-beyond-64-bits": (lambda f: torch_zip(PROTO4 + _frame(b"N.", (1 << 64) - 1)), REFUSED),
    "extension-1": (lambda f: torch_zip(stream(b"\x82\x01")), REFUSED),
    "extension-2": (lambda f: torch_zip(stream(b"\x83\x01\x00")), REFUSED),
    "extension-4": (lambda f: torch_zip(stream(b"\x84\x01\x00\x00\x00")), REFUSED),
    "persistent-id-as-a-line": (lambda f: torch_zip(stream(b"Pmodel\n")), REFUSED),
    "persistent-id-of-another-kind": (lambda f: torch_zip(stream(text("x") + b"Q")), REFUSED),
    "persistent-id-with-a-module": (
        lambda f: torch_zip(stream(tuple_of(text("module"), named("os", "system"), text("x"), text("y")) + b"Q")),
        REFUSED),
    "buffer-outside": (lambda f: torch_zip(stream(b"\x97", b"\x80\x05")), REFUSED),
    "dup": (lambda f: torch_zip(stream(b"(N2t")), REFUSED),
    "memo-never-written": (lambda f: torch_zip(stream(b"h\x05")), REFUSED),
    "memo-of-an-empty-stack": (lambda f: torch_zip(stream(b"q\x00N")), REFUSED),
    "memo-written-twice": (lambda f: torch_zip(stream(b"Nq\x00q\x00")), REFUSED),
    "memo-far-away": (lambda f: _with(b"Nr\xff\xff\xff\xffj\x00\x00\x00\x7f"), REFUSED),
    "memo-laughs": (lambda f: _with(_laughs(12)), REFUSED),
    "list-in-itself": (lambda f: _with(b"]q\x00h\x00a"), REFUSED),
    "dict-in-itself": (lambda f: _with(b"}q\x00" + text("a") + b"h\x00s"), REFUSED),
    "nested-deep": (lambda f: _with(b"(" * 100_000 + b"N" + b"t" * 100_000), REFUSED),
    "lists-nested-deep": (lambda f: _with(b"](" * 1_000 + b"N" + b"e" * 1_000), REFUSED),
    "calls-without-number": (
        lambda f: torch_zip(stream(b"(" + named("torch.nn.modules.linear", "Linear") + b"q\x00" + b"h\x00)R" * 200_000 + makes(f) + b"t")),
        REFUSED),
    "only-marks": (lambda f: torch_zip(PROTO2 + b"(" * 900_000), EITHER),
    "only-sets": (lambda f: torch_zip(PROTO4 + b"\x8f" * 900_000), EITHER),
    "sets-and-memos": (lambda f: torch_zip(PROTO4 + b"\x8f\x94" * 450_000), EITHER),
    "only-dicts": (lambda f: torch_zip(PROTO4 + b"(" + b"}" * 900_000 + b"t."), EITHER),
    "numbers-as-keys-that-collide": (
        lambda f: torch_zip(stream(b"}(" + b"".join(number(i * ((1 << 61) - 1)) + b"N" for i in range(1, 60_000)) + b"u")),
                                     EITHER),
    "number-without-end": (lambda f: _with(b"\x8b" + struct.pack("<i", 200_000) + b"\x7f" * 200_000), REFUSED),
    "number-of-negative-length": (lambda f: _with(b"\x8b" + struct.pack("<i", -1)), REFUSED),
    "text-beyond-the-end": (lambda f: _with(b"X\xff\xff\xff\x7fabc"), EITHER),
    "text-of-2-to-63": (lambda f: _with(b"\x8d" + b"\xff" * 7 + b"\x7fabc"), EITHER),
    "text-that-is-no-utf-8": (lambda f: _with(b"X\x02\x00\x00\x00\xff\xfe"), REFUSED),
    "text-with-a-lone-surrogate": (lambda f: _with(text("\ud800")), REFUSED),
    "a-name-without-an-end": (lambda f: torch_zip(stream(b"c" + b"a" * 5_000)), REFUSED),
    "cut-off": (lambda f: torch_zip(GOOD[:-20]), EITHER),
    "no-stop": (lambda f: torch_zip(GOOD[:-1]), INCONCLUSIVE),
    "two-values-left": (lambda f: torch_zip(stream(b"NN")), REFUSED),
    "open-mark-left": (lambda f: torch_zip(stream(b"N(")), REFUSED),
    "nothing-at-all": (lambda f: torch_zip(stream(b"")), REFUSED),
    "an-opcode-that-is-none": (lambda f: torch_zip(stream(b"\xf0")), REFUSED),
    "protocol-255": (lambda f: torch_zip(stream(b"N", b"\x80\xff")), INCONCLUSIVE),
    "global-by-number": (lambda f: torch_zip(stream(number(1) + number(2) + b"\x93", PROTO4)), REFUSED),
    "call-of-a-text": (lambda f: torch_zip(stream(text("os.system") + tuple_of(text("x")) + b"R")), REFUSED),
    "call-of-a-list": (lambda f: torch_zip(stream(b"]" + EMPTY + b"R")), REFUSED),
    "call-with-a-list": (lambda f: torch_zip(stream(named("collections", "OrderedDict") + b"]R")), REFUSED),
    "call-of-a-storage": (lambda f: torch_zip(stream(storage() + EMPTY + b"R")), REFUSED),
    "call-of-a-type": (lambda f: torch_zip(stream(named("torch", "FloatStorage") + EMPTY + b"R")), REFUSED),
    "call-of-a-dtype": (lambda f: torch_zip(stream(named("torch", "float32") + EMPTY + b"R")), REFUSED),
    "state-of-a-list": (lambda f: torch_zip(stream(b"]}b")), REFUSED),
    "state-of-a-tensor": (lambda f: _weight(tensor() + b"}b"), REFUSED),
    "state-that-is-no-dict": (lambda f: torch_zip(stream(call("collections", "OrderedDict") + text("x") + b"b")), REFUSED),
    "append-to-a-dict": (lambda f: torch_zip(stream(b"}Na")), REFUSED),
    "append-to-a-tuple": (lambda f: torch_zip(stream(EMPTY + b"Na")), REFUSED),
    "item-of-a-list": (lambda f: torch_zip(stream(b"]NNs")), REFUSED),
    "a-key-without-a-value": (lambda f: torch_zip(stream(b"}(Nu")), REFUSED),
    "a-list-as-a-key": (lambda f: _with(b"}]Ns"), EITHER),
    "a-key-twice": (lambda f: torch_zip(stream(state(text("w"), tensor(), text("w"), tensor()))), REFUSED),
    "tensor-of-a-number": (lambda f: _weight(tensor(number(3))), REFUSED),
    "tensor-of-a-text": (lambda f: _weight(tensor(text("0"))), REFUSED),
    "tensor-of-a-tensor": (lambda f: _weight(tensor(tensor())), REFUSED),
    "tensor-of-negative-size": (lambda f: _weight(tensor(size=tuple_of(number(-4)))), REFUSED),
    "tensor-of-true-size": (lambda f: _weight(tensor(size=tuple_of(b"\x88"))), REFUSED),
    "tensor-of-negative-stride": (lambda f: _weight(tensor(stride=tuple_of(number(-1)))), REFUSED),
    "tensor-of-a-short-stride": (lambda f: _weight(tensor(stride=EMPTY)), REFUSED),
    "tensor-of-negative-offset": (lambda f: _weight(tensor(offset=number(-1))), REFUSED),
    "tensor-beyond-its-storage": (lambda f: _weight(tensor(size=tuple_of(number(5)))), REFUSED),
    "tensor-beyond-by-its-offset": (lambda f: _weight(tensor(offset=number(1))), REFUSED),
    "tensor-beyond-by-its-stride": (lambda f: _weight(tensor(stride=tuple_of(number(1 << 40)))), REFUSED),
    "tensor-that-wraps-round": (lambda f: _weight(tensor(size=tuple_of(number(1 << 61)), stride=tuple_of(number(8)))), REFUSED),
    "tensor-spread-from-one-number": (lambda f: _weight(tensor(size=tuple_of(number(1 << 45)), stride=tuple_of(number(0)))), EITHER),
    "tensor-spread-thousandfold": (
        lambda f: _weight(tensor(size=tuple_of(number(1 << 14), number(1 << 14)), stride=tuple_of(number(0), number(0)))),
        EITHER),
    "tensor-of-many-dimensions": (lambda f: _weight(tensor(size=tuple_of(*[number(1)] * 5_000), stride=tuple_of(*[number(1)] * 5_000))),
                                  REFUSED),
    "tensor-with-hooks": (lambda f: _weight(tensor(hooks=state(number(0), named("collections", "OrderedDict")))), REFUSED),
    "tensor-without-arguments": (lambda f: _weight(call("torch._utils", "_rebuild_tensor_v2")), REFUSED),
    "parameter-of-a-text": (lambda f: _weight(call("torch._utils", "_rebuild_parameter", text("x"), b"\x88", b"}")), REFUSED),
    "storage-that-is-missing": (lambda f: _weight(tensor(storage("7"))), REFUSED),
    "storage-of-another-folder": (lambda f: _weight(tensor(storage("../../../etc/passwd"))), REFUSED),
    "storage-shorter-than-stated": (lambda f: _weight(tensor(storage(count=400))), REFUSED),
    "storage-longer-than-stated": (lambda f: _weight(tensor(storage(count=2), size=tuple_of(number(2)))), REFUSED),
    "storage-of-two-kinds": (lambda f: torch_zip(stream(state(text("a"), tensor(), text("b"), tensor(storage(kind="IntStorage"))))),
                             REFUSED),
    "storage-of-negative-count": (lambda f: _weight(tensor(storage(count=-4))), REFUSED),
    "storage-of-an-unknown-type": (lambda f: _weight(tensor(storage(kind="QInt8Storage"))), EITHER),
    "storage-type-as-a-text": (
        lambda f: _weight(tensor(tuple_of(text("storage"), text("FloatStorage"), text("0"), text("cpu"), number(4)) + b"Q")),
        REFUSED),
    "numpy-number-of-an-object": (
        lambda f: _with(call("numpy._core.multiarray", "scalar", call("numpy", "dtype", text("O8"), b"\x89", b"\x88"), b"C\x01A")),
                                  REFUSED),
    "numpy-array-of-another-class": (
        lambda f: _with(call("numpy._core.multiarray", "_reconstruct", named("os", "system"), tuple_of(number(0)), b"C\x01b")),
        REFUSED),
    "numpy-type-with-flags-of-objects": (lambda f: _with(_dtype(0x3F)), REFUSED),
    "numpy-type-with-a-size-of-its-own": (lambda f: _with(_dtype(0, 1 << 20)), REFUSED),
    "codec-of-another-name": (lambda f: _with(call("_codecs", "encode", text("x"), text("zlib_codec"))), REFUSED),
    "only-numbers": (lambda f: torch_zip(stream(state(text("epoch"), number(3)))), INCONCLUSIVE),
    "two-state-dicts": (
        lambda f: torch_zip(stream(state(text("student"), state(text("w"), tensor()), text("teacher"), state(text("w"), tensor())))),
                        INCONCLUSIVE),
    "legacy-cut-off": (lambda f: torch_legacy()[:-3], REFUSED),
    "legacy-with-a-longer-storage": (lambda f: torch_legacy(behind=struct.pack("<q", 9) + b"\0" * 36), REFUSED),
    "legacy-with-a-huge-storage": (lambda f: torch_legacy(behind=struct.pack("<q", -1) + b"\0" * 16), REFUSED),
    "legacy-without-its-storage": (lambda f: torch_legacy(keys=stream(b"]"), behind=b""), REFUSED),
    "legacy-with-one-storage-more": (lambda f: torch_legacy(keys=stream(b"](" + text("0") + text("1") + b"e")), REFUSED),
    "legacy-with-numbers-as-keys": (lambda f: torch_legacy(keys=stream(b"](" + number(0) + b"e")), REFUSED),
    "legacy-of-another-protocol": (lambda f: torch_legacy().replace(stream(number(1001)), stream(number(1002)), 1), REFUSED),
}
for _name, (_build, _verdict) in CASES.items():
    register(f"stream-{_name}", of_file(_build, verdict=_verdict))
