"""Kinds of models that are recognised and not opened as arrays: what can be said of them without running anything."""

from __future__ import annotations

import json
import re
from typing import Any

from bezoar.intake.models.archive import Archive
from bezoar.intake.models.templates import problems, templates_in
from bezoar.intake.models.verdicts import CONVERT, Hostile, TooMuch, Unknown
from bezoar.intake.onnx_scan import domains, has_external_data

TF_OPS = (b"ReadFile", b"WriteFile", b"PyFunc", b"EagerPyFunc", b"PyFuncStateless", b"MatchingFiles", b"SaveV2", b"MergeV2Checkpoints",
          b"PrintV2", b"LoadLibrary", b"ShardedFilename", b"RemoteCall", b"DebugIdentityV2", b"TFRecordReader")
ONNX_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft", "ai.onnx.training", "ai.onnx.preview.training")
MOST_KEYS = 100_000
GGUF_WIDTH = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


def onnx(raw: memoryview, extra: dict[str, Any]) -> None:
    """Passes where the file is whole by itself: nothing outside, no operators of others."""
    try:
        outside, named = has_external_data(bytes(raw)), domains(bytes(raw))
    except ValueError as error:
        raise Unknown(f"it is a damaged ONNX file ({error})") from None
    if outside:
        raise Hostile("it keeps weights in other files, named by the model itself; export it again as one file")
    foreign = sorted(named - set(ONNX_DOMAINS))
    if foreign:
        raise Unknown(f"it uses operators of {foreign[0][:60]!r}, which no runtime has of itself; export it with standard operators")
    extra["opens as"] = "black box"


def hdf5(raw: memoryview) -> None:
    """Old Keras files are settings beside arrays; settings may hold marshalled functions."""
    whole = bytes(raw)
    if re.search(rb'"class_name"\s*:\s*"(Lambda|TFOpLambda|SlicingOpLambda)"|__lambda__|"function_type"\s*:\s*"lambda"', whole):
        raise Hostile(f"it is a Keras model with a Lambda layer, which is code; build it without, and {CONVERT}")
    if re.search(rb'"registered_name"\s*:\s*"[^">]+>|"module"\s*:\s*"(?!keras|tensorflow|builtins)[^"]+"', whole):
        raise Hostile(f"it is a Keras model that names code of its own; {CONVERT}")
    raise Unknown(f"it is an HDF5 file (Keras), whose settings can hold code; {CONVERT}, or export it to ONNX")


def other_zip(archive: Archive, suffix: str) -> None:
    """Zip archives that are neither torch nor npz. Always raises."""
    names = set(archive.members)
    if suffix == ".keras" or {"config.json", "metadata.json"} <= names:
        if "config.json" in names:
            try:
                _keras(json.loads(bytes(archive.read("config.json", 16 << 20))))
            except (ValueError, RecursionError):
                raise Hostile("it is a Keras archive whose settings are no JSON") from None
        raise Unknown("it is a Keras archive, whose settings can name code; export it to ONNX, or " + CONVERT)
    if "schema.json" in names:
        raise Hostile("it is a skops archive, which names classes to be made and called; export the model to ONNX")
    pickles = [n for n in sorted(names) if n.endswith((".pkl", ".pickle", ".joblib", ".dill"))]
    if pickles:
        raise Hostile(f"its archive holds the pickle {pickles[0][-60:]!r} where torch.save puts none; {CONVERT}")
    inner = [n for n in sorted(names) if n.endswith((".safetensors", ".pt", ".pth", ".bin", ".npz", ".npy"))]
    if inner:
        raise Unknown(f"it is an archive that holds {inner[0][-60:]!r}; unpack it and give that file")
    raise Unknown(f"it is a zip archive of no kind that is read; {CONVERT}")


def _keras(root: Any) -> None:
    todo = [root]
    while todo:
        value = todo.pop()
        if isinstance(value, dict):
            kind, module, own = value.get("class_name"), value.get("module"), value.get("registered_name")
            if isinstance(kind, str) and ("Lambda" in kind or kind in ("__lambda__", "function")):
                raise Hostile("it is a Keras model with a Lambda layer or a function, which is code; build it without, and " + CONVERT)
            if isinstance(module, str) and (module.split(".")[0] not in ("keras", "builtins", "") or "src" in module or "utils" in module):
                raise Hostile(f"it is a Keras model that names code by itself ({module[:60]}); {CONVERT}")
            if isinstance(own, str) and ">" in own:
                raise Hostile(f"it is a Keras model that names code of its own ({own[:60]}); {CONVERT}")
            todo.extend(value.values())
        elif isinstance(value, list):
            todo.extend(value)


def saved_model(raw: memoryview) -> None:
    """TensorFlow graphs are programs. Always raises."""
    whole = bytes(raw)
    found = [op.decode() for op in TF_OPS if re.search(rb"[\x00-\x1f]" + op + rb"(?![A-Za-z0-9])", whole)]
    active = [op for op in found if op not in ("SaveV2", "MergeV2Checkpoints", "ShardedFilename")]
    if active:
        raise Hostile(f"it is a TensorFlow graph with operations that touch files or call Python: {', '.join(active)}; export it to ONNX")
    raise Unknown("it is a TensorFlow graph, which is a program; export it to ONNX")


def text(raw: memoryview, suffix: str, extra: dict[str, Any]) -> None:
    """Templates and settings: Hostile where one reaches out. Passes otherwise; there are no weights in it."""
    if len(raw) > 64 << 20:
        raise TooMuch("it is a text of more than 64 MiB")
    found = templates_in(bytes(raw), suffix)
    lines = [line for template in found[:1000] for line in problems(template)]
    extra["templates"] = len(found)
    if lines:
        raise (Unknown if all("cannot be parsed" in x for x in lines) else Hostile)("; ".join(dict.fromkeys(lines[:5])))


def gguf(raw: memoryview, extra: dict[str, Any]) -> None:
    """The settings of a GGUF file; its template is scanned. Always raises: its numbers are not opened."""
    reader = _Gguf(raw)
    for name, value in reader.settings():
        if "chat_template" in name and isinstance(value, str):
            lines = problems(value)
            extra["templates"] = extra.get("templates", 0) + 1
            if lines:
                raise Hostile("; ".join(dict.fromkeys(lines[:5])))
    raise Unknown("it is a GGUF file, whose quantised weights are not read; its settings reach for nothing outside; give safetensors")


class _Gguf:
    def __init__(self, raw: memoryview) -> None:
        self.raw, self.at = raw, 4

    def settings(self) -> list[tuple[str, Any]]:
        version = self.number(4)
        if version not in (2, 3):
            raise Unknown(f"it is a GGUF file of version {version}")
        self.number(8)
        count = self.number(8)
        if count > MOST_KEYS:
            raise TooMuch("it is a GGUF file with more settings than are read")
        return [(self.text(), self.value(self.number(4), 0)) for _ in range(count)]

    def number(self, width: int) -> int:
        if self.at + width > len(self.raw):
            raise Unknown("it is a GGUF file that is cut off")
        self.at += width
        return int.from_bytes(self.raw[self.at - width:self.at], "little")

    def text(self) -> str:
        length = self.number(8)
        if self.at + length > len(self.raw):
            raise Hostile("it is a GGUF file with a text longer than itself")
        self.at += length
        return bytes(self.raw[self.at - length:self.at]).decode("utf-8", "replace")

    def value(self, kind: int, depth: int) -> Any:
        if kind == 8:
            return self.text()
        if kind == 9:
            inner, count = self.number(4), self.number(8)
            if depth > 2 or count > len(self.raw):
                raise Hostile("it is a GGUF file with a list longer than itself")
            if inner in GGUF_WIDTH:
                if self.at + count * GGUF_WIDTH[inner] > len(self.raw):
                    raise Hostile("it is a GGUF file with a list longer than itself")
                self.at += count * GGUF_WIDTH[inner]
                return None
            for _ in range(count):
                self.value(inner, depth + 1)
            return None
        if kind not in GGUF_WIDTH:
            raise Hostile("it is a GGUF file with a value of no known kind")
        return self.number(GGUF_WIDTH[kind])
