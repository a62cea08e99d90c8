"""Files of other kinds, under their own names and under false ones; two kinds at once; settings and templates that reach out."""

from __future__ import annotations

import base64
import io
import json
import lzma
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

from bezoar.testing.hostile.kit import put
from bezoar.testing.hostile.models.containers import _one, _safe
from bezoar.testing.hostile.models.kit import (
    EITHER,
    FOUR,
    INCONCLUSIVE,
    REFUSED,
    ModelCase,
    call,
    makes,
    model_case,
    number,
    of_bytes,
    of_file,
    register,
    stream,
    text,
    torch_legacy,
    torch_zip,
    written,
    zipped,
)

HDF5 = b"\x89HDF\r\n\x1a\n" + b"\0" * 88
LAMBDA = {"class_name": "Lambda",
          "config": {"name": "l", "function": [base64.b64encode(b"\xe3\0\0").decode(), None, None], "function_type": "lambda"}}


def _keras(layer: object) -> bytes:
    settings = {"module": "keras", "class_name": "Sequential", "config": {"layers": [layer]}, "registered_name": None}
    return zipped({"config.json": json.dumps(settings).encode(), "metadata.json": b'{"keras_version": "3.0"}', "model.weights.h5": HDF5})


def _tar(name: str, data: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _tar_and(data: bytes) -> bytes:
    """A file of another kind that is a tar archive as well."""
    body = _tar("x", b"y")
    return data[:257] + body[257:512] + body[512:] if len(data) >= 257 else data.ljust(257, b"\0") + body[257:]


def _graph(op: str) -> bytes:
    node = b"\x0a\x01a\x12" + bytes([len(op)]) + op.encode()
    inner = b"\x0a" + bytes([len(node)]) + node
    meta = b"\x0a\x07\x22\x05serve" + b"\x12" + bytes([len(inner)]) + inner
    return b"\x08\x01\x12" + bytes([len(meta)]) + meta


def _field(number_of: int, data: bytes) -> bytes:
    size, out = len(data), b""
    while size > 127:
        out, size = out + bytes([size & 127 | 128]), size >> 7
    return bytes([number_of << 3 | 2]) + out + bytes([size]) + data


def _onnx(graph: bytes) -> bytes:
    return b"\x08\x09" + _field(7, graph) + _field(8, b"\x10\x11")


def _deep(depth: int) -> bytes:
    inner = b""
    for _ in range(depth):
        inner = _field(1, _field(5, _field(6, inner)))
    return inner


def _gguf(name: str, value: str, count: int = 1) -> bytes:
    def sized(t: str) -> bytes:
        return struct.pack("<Q", len(t.encode())) + t.encode()
    return b"GGUF" + struct.pack("<IQQ", 3, 0, count) + sized(name) + struct.pack("<I", 8) + sized(value)


TEMPLATES = {
    "class": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "globals": "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "item": "{{ messages['__class__'] }}",
    "attr-filter": "{{ ''|attr('__class__') }}",
    "attr-filter-joined": "{{ ''|attr('_'~'_class_'~'_') }}",
    "escaped-letters": "{{ ''['\\x5f\\x5fclass\\x5f\\x5f'] }}",
    "import": "{% import 'os' as os %}{{ os.system('id') }}",
    "include": "{% include '/etc/passwd' %}",
    "extends": "{% extends '/etc/passwd' %}",
    "lipsum": "{{ lipsum.globals }}",
    "self": "{{ self._TemplateReference__context }}",
    "namespace": "{% set ns = namespace() %}{{ ns.__init__.__globals__ }}",
    "format": "{{ '{0.__class__}'.format(messages) }}",
    "generator": "{{ (messages|map('upper')).gi_frame.f_globals }}",
    "hidden-signs": "{{ messages[0].content }}\u202e\u200b",
}
FILES: dict[str, tuple[str, Callable[[Path], bytes], str]] = {
    "keras-lambda": ("model.keras", lambda f: _keras(LAMBDA), REFUSED),
    "keras-class-of-os": ("model.keras", lambda f: _keras({"module": "os", "class_name": "system", "config": {"command": "true"}}),
                          REFUSED),
    "keras-function-of-utils": (
        "model.keras", lambda f: _keras({"module": "keras.src.utils.file_utils", "class_name": "function", "config": "get_file"}),
        REFUSED),
    "keras-registered": ("model.keras", lambda f: _keras({"module": None, "class_name": "Mine", "registered_name": "mine>Mine"}), REFUSED),
    "keras-plain": ("model.keras", lambda f: _keras({"module": "keras.layers", "class_name": "Dense", "config": {}}), INCONCLUSIVE),
    "keras-of-broken-json": ("model.keras", lambda f: zipped({"config.json": b"{", "metadata.json": b"{}"}), REFUSED),
    "keras-of-deep-json": ("model.keras", lambda f: zipped({"config.json": b"[" * 500_000, "metadata.json": b"{}"}), REFUSED),
    "keras-that-is-torch": ("model.keras", lambda f: torch_zip(), REFUSED),
    "h5-lambda": ("model.h5", lambda f: HDF5 + json.dumps(LAMBDA).encode(), REFUSED),
    "h5-registered": ("model.h5", lambda f: HDF5 + b'{"registered_name": "mine>Mine"}', REFUSED),
    "h5-plain": ("model.h5", lambda f: HDF5, INCONCLUSIVE),
    "h5-named-pt": ("model.pt", lambda f: HDF5, REFUSED),
    "saved-model-write-file": ("saved_model.pb", lambda f: _graph("WriteFile"), REFUSED),
    "saved-model-read-file": ("saved_model.pb", lambda f: _graph("ReadFile"), REFUSED),
    "saved-model-python": ("saved_model.pb", lambda f: _graph("PyFunc"), REFUSED),
    "saved-model-plain": ("saved_model.pb", lambda f: _graph("MatMul"), INCONCLUSIVE),
    "joblib": ("model.joblib", lambda f: stream(call("joblib.numpy_pickle", "NumpyArrayWrapper")) + b"\0" * 64, REFUSED),
    "joblib-in-lzma": ("model.joblib", lambda f: lzma.compress(stream(makes(f))), INCONCLUSIVE),
    "scikit-learn": ("model.pkl", lambda f: stream(call("sklearn.tree._classes", "DecisionTreeClassifier")), REFUSED),
    "skops": ("model.skops", lambda f: zipped({"schema.json": b'{"__class__": "Popen", "__module__": "subprocess"}'}), REFUSED),
    "zip-with-a-pickle": ("model.zip", lambda f: zipped({"data.pkl": stream(makes(f))}), REFUSED),
    "seven-zip": ("model.pt", lambda f: b"7z\xbc\xaf\x27\x1c\x00\x04" + b"\0" * 60, REFUSED),
    "seven-zip-inside": ("model.pt", lambda f: stream(text("7z") + b"C\x10" + b"7z\xbc\xaf\x27\x1c\x00\x04" + b"\0" * 8 + b"0N"), REFUSED),
    "rar": ("model.bin", lambda f: b"Rar!\x1a\x07\x01\x00" + b"\0" * 60, REFUSED),
    "tar": ("model.tar", lambda f: _tar("pickle", stream(makes(f))), REFUSED),
    "tar-and-pickle": ("model.pt", lambda f: _tar_and(stream(number(1)) + stream(makes(f))), REFUSED),
    "tar-and-safetensors": ("model.safetensors", lambda f: _tar_and(_safe(_one(), FOUR * 40)), REFUSED),
    "tar-and-zip": ("model.pt", lambda f: _tar_and(torch_zip()), REFUSED),
    "zip-behind-a-legacy-file": ("model.pt", lambda f: torch_legacy() + torch_zip(stream(makes(f))), REFUSED),
    "program": ("model.pt", lambda f: b"\x7fELF\x02\x01\x01" + b"\0" * 60, EITHER),
    "script": ("model.pt", lambda f: b"#!/bin/sh\ntouch x\n", EITHER),
    "python-named-pt": ("model.pt", lambda f: b"import os\nos.system('true')\n", EITHER),
    "html-named-pt": ("model.pt", lambda f: b"<!doctype html><title>404</title>", EITHER),
    "nothing-but-zeros": ("model.pt", lambda f: b"\0" * 4096, EITHER),
    "one-byte": ("model.pt", lambda f: b"\x80", EITHER),
    "pickle-named-safetensors": ("model.safetensors", lambda f: stream(makes(f)), REFUSED),
    "torch-named-safetensors": ("model.safetensors", lambda f: torch_zip(), REFUSED),
    "torch-named-npz": ("model.npz", lambda f: torch_zip(), REFUSED),
    "pickle-named-npy": ("model.npy", lambda f: stream(makes(f)), REFUSED),
    "pickle-named-onnx": ("model.onnx", lambda f: stream(makes(f)), REFUSED),
    "pickle-named-json": ("model.json", lambda f: b"cos\nmkdir\n(V" + str(f / "pickle-was-run").encode() + b"\ntR.", REFUSED),
    "pickle-before-a-text": ("vocab.txt", lambda f: b"cos\nmkdir\n(V" + str(f / "pickle-was-run").encode() + b"\ntR.\n[PAD]\n", REFUSED),
    "pickle-before-a-template": (
        "chat_template.jinja",
        lambda f: b"(V" + str(f / "pickle-was-run").encode() + b"\nios\nmkdir\n.{{ messages }}",
        REFUSED),
    "json-that-is-none": ("config.json", lambda f: b'{"a": 1,}', INCONCLUSIVE),
    "safetensors-named-pt": ("model.pt", lambda f: _safe(_one()), INCONCLUSIVE),
    "pickle-named-gguf": ("model.gguf", lambda f: stream(makes(f)), REFUSED),
    "onnx-with-outside-data": (
        "model.onnx", lambda f: _onnx(_field(5, _field(13, _field(1, b"location") + _field(2, b"../../etc/passwd")))),
        REFUSED),
    "onnx-with-outside-data-in-a-branch": ("model.onnx", lambda f: _onnx(_field(1, _field(5, _field(6, _field(5, b"\x70\x01"))))), REFUSED),
    "onnx-with-foreign-operators": ("model.onnx", lambda f: _onnx(_field(1, _field(4, b"Shell") + _field(7, b"evil.ops"))), INCONCLUSIVE),
    "onnx-nested-deep": ("model.onnx", lambda f: _onnx(_deep(200)), INCONCLUSIVE),
    "onnx-cut-off": ("model.onnx", lambda f: _onnx(_field(5, b"\0" * 40))[:-30], INCONCLUSIVE),
    "gguf-template": ("model.gguf", lambda f: _gguf("tokenizer.chat_template", TEMPLATES["globals"]), REFUSED),
    "gguf-plain": ("model.gguf", lambda f: _gguf("general.name", "x"), INCONCLUSIVE),
    "gguf-with-a-long-text": ("model.gguf", lambda f: _gguf("a", "x")[:-9] + struct.pack("<Q", 1 << 62) + b"x", REFUSED),
    "gguf-with-many-settings": ("model.gguf", lambda f: _gguf("a", "x", 1 << 60), INCONCLUSIVE),
    "gguf-with-a-long-list": ("model.gguf", lambda f: _gguf("a", "x", 1)[:-13] + struct.pack("<IIQ", 9, 8, 1 << 60), REFUSED),
    "xgboost": ("model.json", lambda f: b'{"learner":{"learner_model_param":{"num_class":"3"}},"version":[2,0,0]}', INCONCLUSIVE),
    "lightgbm": ("model.txt", lambda f: b"tree\nversion=v4\nnum_class=3\n", INCONCLUSIVE),
    "settings-with-code": ("config.json", lambda f: b'{"auto_map": {"AutoModel": "evil--code.Model"}}', REFUSED),
    "settings-that-trust": ("config.json", lambda f: b'{"trust_remote_code": true}', REFUSED),
}
for _name, (_file, _make, _verdict) in FILES.items():
    register(f"format-{_name}", of_file(_make, _file, _verdict))
for _name, _source in TEMPLATES.items():
    register(f"template-{_name}", of_bytes(_source.encode(), "chat_template.jinja", says="template"))
for _name in ("class", "attr-filter", "import"):
    register(f"template-in-settings-{_name}", of_bytes(
        json.dumps({"chat_template": [{"name": "tool_use", "template": TEMPLATES[_name]}]}).encode(), "tokenizer_config.json",
        says="template"))


@model_case
def template_nested_deep(folder: Path) -> ModelCase:
    return written(folder, b"{{ " + b"(" * 200_000 + b"1" + b")" * 200_000 + b" }}", "chat_template.jinja", EITHER)


@model_case
def template_of_a_huge_power(folder: Path) -> ModelCase:
    return written(folder, b"{{ 9**9**9**9 }}{{ 'a' * 10**12 }}{{ ''.__class__ }}", "chat_template.jinja", REFUSED)


@model_case
def a_folder_with_code(folder: Path) -> ModelCase:
    put(folder, "modeling.py", b"import os")
    return ModelCase(put(folder, "model.safetensors", _safe(_one())).parent, REFUSED, "code")


@model_case
def a_folder_with_a_pickle(folder: Path) -> ModelCase:
    put(folder, "model.safetensors", _safe(_one()))
    return ModelCase(put(folder, "training_args.bin", stream(makes(folder))).parent, REFUSED, "training_args.bin")


@model_case
def a_folder_with_a_link(folder: Path) -> ModelCase:
    put(folder, "model.safetensors", _safe(_one()))
    (folder / "config.json").symlink_to("/etc/passwd")
    return ModelCase(folder, REFUSED, "link")
