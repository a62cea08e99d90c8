"""The globals that a checkpoint may name, each as plain data; all others are foreign.

A foreign global of the standard library, of a name with dots or of a format that is known to carry code is a reason to refuse;
any other one (a class of the author's own package) makes the file inconclusive. Nothing here is imported or called by its name.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from bezoar.intake.models.verdicts import Hostile, Unknown


@dataclass(frozen=True, slots=True)
class Global:
    """A name in a module, nothing more."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"[:120]


@dataclass(frozen=True, slots=True)
class Named:
    """A foreign global: whether it is active (would be refused) and, where it is called, with which first text."""

    what: str
    active: bool
    argument: str = ""


@dataclass(frozen=True, slots=True)
class Opaque:
    """What a foreign global or its call would have been."""

    what: str
    active: bool = False

    def __str__(self) -> str:
        return self.what


@dataclass(frozen=True, slots=True, eq=False)
class Storage:
    """`count` elements of `kind` under `key`, somewhere in the file."""

    kind: str
    key: str
    count: int


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """A strided view of a storage; counts are elements."""

    storage: Storage
    kind: str
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class Ordered(dict):
    """A dict to which attributes may be given (and are dropped)."""


class NumpyType(dict):
    """A numpy dtype: its code under "code"."""


class NumpyArray(dict):
    """An array beside the weights (the state of a generator): checked, not kept."""


STORAGES = {"DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
            "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8", "ByteStorage": "uint8",
            "BoolStorage": "bool", "ComplexFloatStorage": "complex64", "ComplexDoubleStorage": "complex128"}
TYPES = {"float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "uint16", "uint32", "uint64", "bool",
         "complex64", "complex128", "double", "float", "half", "long", "int", "short"}
_NUMPY = ("numpy.core.multiarray", "numpy._core.multiarray")
_BUILTIN = ("builtins", "__builtin__")
CALLS = {**{("collections", n): n for n in ("OrderedDict", "defaultdict")}, ("argparse", "Namespace"): "Namespace",
         **{("torch._utils", n): n for n in ("_rebuild_tensor_v2", "_rebuild_tensor", "_rebuild_tensor_v3", "_rebuild_parameter")},
         ("torch", "Size"): "Size", ("torch", "device"): "device", ("numpy", "dtype"): "dtype", ("_codecs", "encode"): "encode",
         **{(m, n): n for m in _NUMPY for n in ("scalar", "_reconstruct")},
         **{(m, "_frombuffer"): "_frombuffer" for m in ("numpy.core.numeric", "numpy._core.numeric")},
         **{(m, "set"): "set" for m in _BUILTIN}}
MOST_FOUND = 1000
NDARRAY = ("numpy", "ndarray")
UNTYPED = ("torch.storage", "UntypedStorage")
WIDTHS = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint64": 8,
          "uint32": 4, "uint16": 2, "uint8": 1, "bool": 1, "complex64": 8, "complex128": 16}
_VALUES = ("complex", "range", "slice", "frozenset", "bytearray", "list", "dict", "tuple", "int", "float", "str", "bool", "bytes", "object")
HARMLESS = {"pathlib": ("Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"), "types": ("SimpleNamespace",),
            "datetime": ("datetime", "date", "timedelta", "timezone"), "collections": ("Counter", "deque"),
            "torch.serialization": ("_get_layout",), **dict.fromkeys(_BUILTIN, _VALUES)}
"""Names that do nothing when called: not read, and no reason to refuse."""
ACTIVE_PLACES = tuple(f"{place}." for place in (
    "torch.hub", "torch.load", "torch.jit", "torch.serialization", "torch.storage", "torch.utils", "torch.ops",
    "torch._ops", "torch.classes", "torch._dynamo", "torch._inductor", "torch.package", "torch.distributed",
    "torch.multiprocessing", "torch.fx", "torch.export", "torch.compile", "torch.library", "torch.testing", "numpy.load",
    "numpy.testing", "numpy.f2py", "numpy.lib", "numpy.distutils", "numpy.ctypeslib", "numpy.fromfile", "numpy.save",
    "numpy.memmap", "transformers.dynamic_module_utils", "transformers.utils", "transformers.pipelines",
    "torchvision.datasets"))
"""Parts of the usual libraries that load, compile or write; what else they hold is a class that is not read."""
OLD_LIBRARY = frozenset({"__builtin__", "__main__", "copy_reg", "commands", "nt", "posix", "pip", "setuptools", "pkg_resources"})
REFUSED_FORMATS = frozenset({"joblib", "dill", "cloudpickle", "skops", "sklearn"})


def look_up(name: Global, found: list[Named]) -> Any:
    """The global as data; what is foreign is written down and becomes Opaque."""
    place = (name.module, name.name)
    if place in CALLS or place in (NDARRAY, UNTYPED) or (name.module == "torch" and (name.name in STORAGES or name.name in TYPES)):
        return name
    root = name.module.split(".", 1)[0]
    library = root in sys.stdlib_module_names or root in OLD_LIBRARY
    harmless = name.name in HARMLESS.get(name.module, ())
    active = ("." in name.name or not name.module.isascii() or not name.name.isidentifier() or root in REFUSED_FORMATS
              or (not harmless and (library or f"{name.module}.{name.name}.".startswith(ACTIVE_PLACES))))
    note(found, Named(str(name), active))
    return Opaque(str(name), active)


def note(found: list[Named], named: Named) -> None:
    """Write down a foreign global or call: the first thousand, and an active one in any case."""
    if len(found) < MOST_FOUND:
        found.append(named)
    elif named.active:
        found[-1] = named


def called(what: Any, arguments: Any, found: list[Named], foreign: bool = False) -> Any:
    """What a call leaves: data for the allowed globals, Opaque for the others."""
    if type(arguments) is not tuple:
        raise Hostile("its pickle calls something with what is no tuple")
    if isinstance(what, Opaque):
        first = next((a for a in arguments if isinstance(a, (str, bytes))), "")
        note(found, Named(what.what, what.active, str(first[:80])))
        return what
    if foreign or not isinstance(what, Global) or (name := CALLS.get((what.module, what.name))) is None:
        raise Hostile(f"its pickle calls {what if isinstance(what, Global) else 'what is no function'}")
    if any(isinstance(a, Opaque) for a in arguments):
        return Opaque(str(what))
    try:
        return MAKERS[name](*arguments)
    except TypeError:
        raise Hostile(f"its pickle calls {what} with arguments of the wrong kind") from None


def built(target: Any, state: Any, found: list[Named]) -> Any:
    """What setting a state leaves. Only records that stand for known kinds take one."""
    if isinstance(target, Opaque) or isinstance(state, Opaque):
        return target
    if isinstance(target, NumpyType):
        _need(type(state) is tuple and len(state) == 8 and type(state[0]) is int and state[1] in ("<", "|", "=")
              and state[2:] == (None, None, None, -1, -1, 0))
        return target
    if isinstance(target, NumpyArray):
        _need(type(state) is tuple and len(state) == 5 and state[0] == 1 and _counts(state[1]) and isinstance(state[2], NumpyType)
              and type(state[3]) is bool and type(state[4]) is bytes)
        return target
    if isinstance(target, Ordered):
        _need(type(state) is dict)
        if target.pop("__namespace__", None) is True:
            target.update(state)
        return target
    raise Hostile("its pickle sets attributes of plain data")


def persistent(identity: Any, found: list[Named]) -> Any:
    """The storage that a persistent id stands for: ("storage", type, key, location, count[, view])."""
    if type(identity) is tuple and len(identity) == 4 and identity[0] == "module" and isinstance(identity[1], Opaque):
        return identity[1]
    if type(identity) is not tuple or len(identity) not in (5, 6) or identity[0] != "storage":
        raise Hostile("its pickle has a persistent id that is no storage")
    _, kind, key, location, count = identity[:5]
    if isinstance(kind, Opaque):
        return Opaque(kind.what)
    untyped = isinstance(kind, Global) and (kind.module, kind.name) == UNTYPED
    _need(untyped or (isinstance(kind, Global) and kind.module == "torch" and kind.name in STORAGES))
    if len(identity) == 6 and identity[5] is not None:
        raise Unknown("it uses views of storages as torch 0.3 wrote them")
    _need(type(key) is str and 0 < len(key) <= 64 and type(location) is str and _count(count))
    return Storage("uint8" if untyped else STORAGES[kind.name], key, count)


def _need(right: bool) -> None:
    if not right:
        raise Hostile("its pickle confuses types: an argument is not of the kind that it has to be")


def _count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 62


def _counts(value: Any) -> bool:
    return type(value) is tuple and len(value) <= 32 and all(_count(v) for v in value)


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, needs_slope: Any = False, hooks: Any = None, metadata: Any = None) -> Tensor:
    _need(isinstance(storage, Storage) and _count(offset) and _counts(size) and _counts(stride) and len(size) == len(stride)
          and type(needs_slope) is bool and (hooks is None or (isinstance(hooks, dict) and not hooks))
          and (metadata is None or (isinstance(metadata, dict) and not metadata)))
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) if all(size) else -1
    if last >= storage.count:
        raise Hostile("it has a tensor that reaches beyond its storage")
    return Tensor(storage, storage.kind, offset, size, stride)


def _tensor_v3(storage: Any, offset: Any, size: Any, stride: Any, needs_slope: Any, hooks: Any, kind: Any, metadata: Any = None) -> Tensor:
    """As `_tensor`, for element types that have no storage of their own: the storage counts bytes."""
    _need(isinstance(storage, Storage) and storage.kind == "uint8" and isinstance(kind, Global) and kind.module == "torch")
    if kind.name not in WIDTHS:
        raise Unknown(f"it has numbers of the kind {kind.name[:40]}, which is not read yet; save it as float16 or bfloat16")
    _need(storage.count % WIDTHS[kind.name] == 0)
    inner = Storage(kind.name, storage.key, storage.count // WIDTHS[kind.name])
    plain = _tensor(inner, offset, size, stride, needs_slope, hooks, metadata)
    return Tensor(storage, kind.name, plain.offset, plain.size, plain.stride)


def _parameter(data: Any, needs_slope: Any, hooks: Any) -> Tensor:
    _need(isinstance(data, Tensor) and type(needs_slope) is bool and isinstance(hooks, dict) and not hooks)
    assert isinstance(data, Tensor)
    return data


def _ordered(pairs: Any = ()) -> Ordered:
    made = Ordered()
    _need(type(pairs) in (list, tuple))
    for pair in pairs:
        _need(type(pair) in (list, tuple) and len(pair) == 2 and type(pair[0]) in (str, int) and pair[0] not in made)
        made[pair[0]] = pair[1]
    return made


def _default(factory: Any = None) -> Ordered:
    if factory is not None:
        raise Unknown("it has a dict with a factory")
    return Ordered()


def _size(items: Any = ()) -> tuple[int, ...]:
    items = tuple(items) if type(items) is list else items
    _need(_counts(items))
    return tuple(items)


def _device(kind: Any, index: Any = None) -> str:
    _need(type(kind) is str and len(kind) <= 64 and (index is None or _count(index)))
    return kind if index is None else f"{kind}:{index}"


def _dtype(code: Any, align: Any = False, copy: Any = True) -> NumpyType:
    _need(type(code) is str and code[:1] in tuple("?biufc") and len(code) <= 3)
    return NumpyType(code=code)


def _array(kind: Any, shape: Any, code: Any) -> NumpyArray:
    _need(isinstance(kind, Global) and (kind.module, kind.name) == NDARRAY and shape == (0,) and code in (b"b", "b"))
    return NumpyArray()


def _buffer(data: Any, kind: Any, shape: Any, order: Any) -> NumpyArray:
    _need(type(data) is bytes and isinstance(kind, NumpyType) and _counts(shape) and order in ("C", "F", "A"))
    return NumpyArray()


def _scalar(kind: Any, data: Any) -> float | int | str:
    _need(isinstance(kind, NumpyType) and type(data) is bytes and len(data) <= 16)
    import numpy as np

    try:
        dtype = np.dtype(kind["code"])
    except TypeError:
        raise Unknown("it has a number of a kind that is not known") from None
    _need(dtype.itemsize == len(data) and not dtype.hasobject and dtype.kind in "?biuf")
    value = np.frombuffer(data, dtype.newbyteorder("<"))[0].item()
    return value if isinstance(value, (int, float)) else str(value)


def _encode(text: Any, how: Any = "latin1") -> bytes:
    _need(type(text) is str and how in ("latin1", "latin-1"))
    try:
        return bytes(text, "latin-1")
    except UnicodeEncodeError:
        raise Hostile("its pickle encodes text that has no such code") from None


def _set(items: Any = ()) -> set[Any]:
    _need(type(items) in (list, tuple) and all(type(v) in (str, bool) or (type(v) is int and abs(v) < 1 << 31) for v in items))
    return set(items)


MAKERS: dict[str, Any] = {
    "OrderedDict": _ordered, "defaultdict": _default, "Namespace": lambda: Ordered(__namespace__=True),
    "_rebuild_tensor_v2": _tensor, "_rebuild_tensor": _tensor, "_rebuild_tensor_v3": _tensor_v3,
    "_rebuild_parameter": _parameter, "Size": _size, "device": _device,
    "dtype": _dtype, "scalar": _scalar, "_reconstruct": _array, "_frombuffer": _buffer, "encode": _encode, "set": _set}
