"""Archives of `torch.export.save`: a graph as JSON beside raw arrays. Both are read as data; nothing of `torch.export` is called.

Two layouts: that of torch 2.8 and later (`models/NAME.json`, arrays as plain bytes), and the one before it, with its arrays as files of
`torch.save` inside. Those, and inputs kept as an example, go through the reader of pickles that builds numbers only. What the graph may
hold is said in `exported_operators`; expressions, guards and trees of containers, which the loader of torch evaluates, are never read.
Fails for programs of several inputs or answers, of other inputs than float32, and for compiled ones (AOTInductor).
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import numpy as np

from bezoar.core.limits import Limits
from bezoar.intake.models.archive import Archive
from bezoar.intake.models.arrays import KINDS, Keep, strided
from bezoar.intake.models.exported_program import LARGEST, translated
from bezoar.intake.models.json_names import once
from bezoar.intake.models.torch_file import look_zip, read_zip
from bezoar.intake.models.verdicts import CONVERT, Hostile, TooMuch, Unknown

MOST_JSON = 64 << 20
MOST_ARRAYS = 100_000
PLAIN = re.compile(r"(archive_format|archive_version|byteorder|version|\.format_version|\.storage_alignment"
                   r"|\.data/(version|serialization_id))\Z")
MODEL = re.compile(r"models/([\w-]{1,100})\.json\Z", re.ASCII)
STORED = re.compile(r"data/(?:weights/weight|constants/tensor)_\d{1,9}\Z", re.ASCII)
OBJECT = re.compile(r"data/constants/(custom_obj|opaque_obj)_", re.ASCII)
SAMPLES = re.compile(r"data/sample_inputs/[\w-]{1,100}\.pt\Z", re.ASCII)
EARLIER, PARTS = "serialized_exported_program.json", ("serialized_state_dict", "serialized_constants", "serialized_example_inputs")
NUMBERS = {1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64", 12: "bool", 13: "bfloat16"}
"""Kinds of elements as the format numbers them."""
STRIDED = 7
SIZE = re.compile(r"(?:Symbol\('\w{1,40}'(?:, (?:positive|integer|nonnegative|real|commutative)=True)*\)|[su]\d{1,9}|\d{1,18}"
                  r"|[-+*/(), ]|FloorDiv|CleanDiv|Mod|PythonMod|Max|Min|Add|Mul|Pow|Integer|floor)+\Z", re.ASCII)
"""Expressions over sizes as exporters write them; the loader of torch evaluates what stands there."""
GUARD = re.compile(r"(?:L|args|kwargs|flat_args|size|and|or|not|s\d{1,9}|'\w{1,60}'|\d{1,18}|[-+*/%()\[\].,<>=! ])+\Z", re.ASCII)
TREES = frozenset({"builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"})
"""Containers that inputs and answers may stand in."""


def is_exported(names: list[str]) -> bool:
    """Whether the members of an archive are those of `torch.export.save`."""
    inner = [n.partition("/")[2] for n in names]
    return EARLIER in names or "archive_format" in inner or any(MODEL.match(n) for n in inner)


def read(archive: Archive, limits: Limits, keep: Keep, extra: dict[str, Any]) -> None:
    """Every array into `keep` under its name in the network, the program in its short form into `extra`. Raises Hostile for what lies or
    would run, Unknown for what is not followed, TooMuch."""
    found = _earlier(archive, limits, keep) if EARLIER in archive.members else _current(archive, limits, keep)
    root, names = found
    _quiet(root)
    program = translated(root, names)
    extra["program"] = program.plain()
    version = root.get("torch_version") if isinstance(root, dict) else None
    extra["torch"] = version[:40] if type(version) is str else ""


def _current(archive: Archive, limits: Limits, keep: Keep) -> tuple[Any, set[str]]:
    tops = {name.partition("/")[0] for name in archive.members}
    if len(tops) != 1:
        raise Hostile("its archive has more than one top folder")
    top = f"{tops.pop()}/"
    inside = {name.removeprefix(top) for name in archive.members}
    models = sorted(m[1] for n in inside if (m := MODEL.match(n)))
    if any("aotinductor" in n or n.startswith("data/executorch") or n.endswith((".so", ".cubin")) for n in inside):
        raise Hostile("it holds a compiled program, which is machine code; save the exported program alone (torch.export.save)")
    if found := next((n for n in sorted(inside) if OBJECT.match(n)), ""):
        raise Hostile(f"it keeps the object {found[-60:]!r} as a pickle, whose reader runs code; {CONVERT}")
    if len(models) != 1:
        raise Unknown(f"it is an archive of torch.export with {len(models)} programs, archives of one are read")
    told = {f"models/{models[0]}.json", *(f"data/{k}s/{models[0]}_{k}s_config.json" for k in ("weight", "constant"))}
    odd = [n for n in sorted(inside - told) if not (PLAIN.match(n) or STORED.match(n) or SAMPLES.match(n) or n.startswith("extra/"))]
    if odd:
        raise Hostile(f"its archive holds {odd[0][:60]!r}, which torch.export.save does not write")
    missing = [n for n in sorted(told) if n not in inside]
    if missing:
        raise Unknown(f"it is a damaged archive of torch.export: there is no {missing[0][-60:]!r}")
    form, order = (bytes(archive.read(top + n, 16)) if n in inside else b"" for n in ("archive_format", "byteorder"))
    if form != b"pt2" or order not in (b"little", b""):
        raise Unknown("it is an archive of torch.export of another form, or of a machine with another order of bytes")
    arrays = _Arrays(archive, top, limits, keep)
    for kind in ("weight", "constant"):
        arrays.add(_json(archive.read(f"{top}data/{kind}s/{models[0]}_{kind}s_config.json", MOST_JSON), limits), f"data/{kind}s/")
    lost = [n for n in sorted(inside) if STORED.match(n) and n not in arrays.used]
    if lost:
        raise Hostile(f"its archive holds {lost[0]!r}, which no array of the program names")
    for name in sorted(inside):
        if SAMPLES.match(name):
            look_zip(_inner(archive.read(top + name), archive), limits)
        elif PLAIN.match(name) or name.startswith("extra/"):
            archive.read(top + name)
    return _json(archive.read(f"{top}models/{models[0]}.json", MOST_JSON), limits), arrays.names


def _earlier(archive: Archive, limits: Limits, keep: Keep) -> tuple[Any, set[str]]:
    """The layout of torch 2.1 to 2.7."""
    known = {EARLIER, "version", *(f"{part}{end}" for part in PARTS for end in (".pt", ".json"))}
    odd = [n for n in sorted(archive.members) if n not in known and not n.startswith("extra_files/")]
    if odd:
        raise Hostile(f"its archive holds {odd[0][:60]!r}, which torch.export.save does not write")
    renamed = _Renamed(keep, None)
    for part in PARTS:
        name = next((n for n in (f"{part}.pt", f"{part}.json") if n in archive.members), "")
        raw = archive.read(name) if name else memoryview(b"")
        if not len(raw):
            continue
        inner = _inner(raw, archive)
        if part == PARTS[0] or (part == PARTS[1] and any("/data/" in n for n in inner.members)):
            read_zip(inner, limits, renamed, {})
        else:
            look_zip(inner, limits)
    for name in sorted(archive.members):
        if name == "version" or name.startswith("extra_files/"):
            archive.read(name)
    return _json(archive.read(EARLIER, MOST_JSON), limits), renamed.names


class _Renamed:
    """Hands arrays on: under `name` where there is one, else as they are called."""

    def __init__(self, keep: Keep, name: str | None) -> None:
        self.keep, self.name = keep, name
        self.names: set[str] = set()

    def add(self, name: str, array: np.ndarray, kind: str, identity: Any) -> None:
        called = name if self.name is None else self.name
        if called in self.names:
            raise Hostile(f"it has two arrays called {called[:60]!r}")
        self.names.add(called)
        self.keep.add(called, array, kind, (called, identity))


class _Arrays:
    """The arrays that the two lists of an archive name."""

    def __init__(self, archive: Archive, top: str, limits: Limits, keep: Keep) -> None:
        self.archive, self.top, self.limits, self.keep = archive, top, limits, keep
        self.names: set[str] = set()
        self.used: set[str] = set()

    def add(self, told: Any, folder: str) -> None:
        rows = told.get("config") if isinstance(told, dict) else None
        if not isinstance(rows, dict) or len(told) != 1:
            raise Hostile("its list of arrays is not what torch.export writes")
        if len(rows) > MOST_ARRAYS:
            raise TooMuch(f"it has more than {MOST_ARRAYS:,} arrays")
        for name, about in rows.items():
            if not isinstance(about, dict) or type(path := about.get("path_name")) is not str or name in self.names:
                raise Hostile("its list of arrays is not what torch.export writes")
            if not STORED.match(folder + path) or self.top + folder + path not in self.archive.members:
                raise Hostile(f"its array {name[:60]!r} is said to be in {path[:60]!r}, which is not in the file")
            raw = self.archive.read(self.top + folder + path)
            self.used.add(folder + path)
            self.names.add(name)
            if about.get("use_pickle") is True:
                read_zip(_inner(raw, self.archive), self.limits, _Renamed(self.keep, name), {})
            else:
                self._plain(name, about.get("tensor_meta"), raw, folder + path)

    def _plain(self, name: str, meta: Any, raw: memoryview, path: str) -> None:
        if not isinstance(meta, dict):
            raise Hostile("its list of arrays is not what torch.export writes")
        kind = NUMBERS.get(meta.get("dtype", 0))
        if kind is None or meta.get("layout") != STRIDED:
            raise Unknown(f"its array {name[:60]!r} has numbers of a kind, or in an order, that is not read; {CONVERT}")
        size, stride = _whole(meta.get("sizes")), _whole(meta.get("strides"))
        offset = _whole([meta.get("storage_offset")])[0]
        width = np.dtype(KINDS[kind]).itemsize
        if len(size) != len(stride) or len(raw) % width or math.prod(size) > LARGEST:
            raise Hostile(f"its array {name[:60]!r} has a shape and a place in the file that do not fit")
        array = strided(raw, kind, len(raw) // width, offset, size, stride)
        self.keep.add(name, array, kind, (path, kind, offset, size, stride))


def _whole(values: Any) -> tuple[int, ...]:
    """Sizes as the format writes them; expressions are none."""
    if type(values) is not list or len(values) > 32:
        raise Hostile("its list of arrays has a shape that cannot be")
    out = [v.get("as_int") if isinstance(v, dict) and len(v) == 1 else None for v in values]
    if any(type(v) is not int or not 0 <= v < 1 << 40 for v in out):
        raise Hostile("its list of arrays has a shape that is an expression, or cannot be")
    return tuple(int(v) for v in out if v is not None)


def _inner(raw: memoryview, around: Archive) -> Archive:
    """A file of `torch.save` inside the archive; older ones and plain pickles are not what `torch.export.save` writes."""
    if bytes(raw[:4]) != b"PK\x03\x04":
        raise Hostile("it keeps an array or an example as a plain pickle, which torch.export.save does not write")
    return Archive(raw, around.left)


def _json(raw: memoryview, limits: Limits) -> Any:
    try:
        text = bytes(raw).decode("utf-8")
        _shallow(text, limits.max_json_depth)
        return json.loads(text, object_pairs_hook=once)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise Hostile(f"its program is no JSON ({str(error)[:60]})") from None


def _shallow(text: str, most: int) -> None:
    """Raises ValueError where brackets are nested deeper than `most`; those inside texts are counted as well, and close again."""
    depth = 0
    for found in re.finditer(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', text):
        sign = found.group()
        depth += (sign in "[{") - (sign in "]}") if len(sign) == 1 else 0
        if depth > most:
            raise ValueError("nested too deep")


def _quiet(root: Any) -> None:
    """Raises Hostile where a text that the loader of torch evaluates is more than sizes, and Unknown for containers of the author's own."""
    todo = [root]
    while todo:
        value = todo.pop()
        if isinstance(value, list):
            todo.extend(value)
        elif isinstance(value, dict):
            todo.extend(value.values())
            for key, pattern in (("expr_str", SIZE), ("guards_code", GUARD)):
                texts = value.get(key, [])
                for text in texts if type(texts) is list else [texts]:
                    if type(text) is not str or len(text) > 2000 or not pattern.match(text):
                        raise Hostile(f"its program has an expression that is no size, which its loader evaluates: {str(text)[:60]!r}")
            for key in ("in_spec", "out_spec"):
                kinds = re.findall(r'"type":\s*"([^"]*)"', value[key]) if type(value.get(key)) is str else []
                if odd := [k for k in kinds if k not in TREES]:
                    raise Unknown(f"its program takes or gives {odd[0][:60]!r}, a container that is not followed; {CONVERT}")
