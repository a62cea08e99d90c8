"""Pickles that call: plainly, by other names, and hidden. Each stands in a torch zip, and some in the old format or bare as well."""

from __future__ import annotations

import os
import pickle
import zlib
from collections.abc import Callable
from pathlib import Path

from bezoar.testing.hostile.kit import marker
from bezoar.testing.hostile.models.kit import (
    ACTIVE,
    EITHER,
    EMPTY,
    GOOD,
    INCONCLUSIVE,
    POP,
    PROTO2,
    PROTO4,
    REFUSED,
    STOP,
    ModelCase,
    call,
    makes,
    model_case,
    named,
    number,
    of_bytes,
    of_file,
    register,
    short,
    state,
    stream,
    tensor,
    text,
    torch_legacy,
    torch_zip,
    tuple_of,
    written,
)


def _command(folder: Path) -> str:
    return f"__import__('os').mkdir({str(marker(folder))!r})"


def _stack(module: str, name: str, *arguments: bytes) -> bytes:
    return short(module) + short(name) + b"\x93" + tuple_of(*arguments) + b"R"


LIVE: dict[str, Callable[[Path], bytes]] = {
    "os-mkdir": lambda f: stream(makes(f)),
    "posix-mkdir": lambda f: stream(call("posix", "mkdir", text(str(marker(f))))),
    "eval": lambda f: stream(call("builtins", "eval", text(_command(f)))),
    "exec": lambda f: stream(call("builtins", "exec", text(_command(f)))),
    "eval-of-python-2": lambda f: stream(call("__builtin__", "eval", text(_command(f)))),
    "stack-global": lambda f: stream(_stack("os", "mkdir", text(str(marker(f)))), PROTO4),
    "stack-global-by-memo": lambda f: stream(short("os") + b"\x94" + short("mkdir") + b"\x94000"[:1] + POP * 2 + b"h\x00h\x01\x93"
                                             + tuple_of(text(str(marker(f)))) + b"R", PROTO4),
    "stack-global-of-wide-texts": lambda f: stream(b"\x8d" + (2).to_bytes(8, "little") + b"os" + text("mkdir") + b"\x93"
                                                   + tuple_of(text(str(marker(f)))) + b"R", PROTO4),
    "dotted-name": lambda f: stream(_stack("shutil", "os.mkdir", text(str(marker(f)))), PROTO4),
    "dotted-name-of-an-allowed-module": lambda f: stream(_stack("collections", "_sys.modules.__class__", EMPTY + b"") + POP
                                                         + _stack("genericpath", "os.mkdir", text(str(marker(f)))), PROTO4),
    "inst": lambda f: stream(b"(" + text(str(marker(f))) + b"ios\nmkdir\n"),
    "obj": lambda f: stream(b"(" + named("os", "mkdir") + text(str(marker(f))) + b"o"),
    "call-dropped-by-pop": lambda f: stream(makes(f) + POP + state(text("w"), number(1))),
    "call-dropped-by-pop-mark": lambda f: stream(b"(" + makes(f) + b"1" + state(text("w"), number(1))),
    "call-as-a-key": lambda f: stream(b"}" + makes(f) + number(1) + b"s"),
    "call-as-an-argument": lambda f: stream(call("collections", "OrderedDict", b"](" + tuple_of(text("w"), makes(f)) + b"e")),
    "call-in-the-metadata": lambda f: stream(call("collections", "OrderedDict") + b"}" + text("_metadata") + makes(f) + b"sb"),
    "call-by-dup": lambda f: stream(named("os", "mkdir") + b"2" + POP + tuple_of(text(str(marker(f)))) + b"R"),
    "call-by-memo": lambda f: stream(named("os", "mkdir") + b"q\x07" + POP + b"h\x07" + tuple_of(text(str(marker(f)))) + b"R"),
    "memo-rewritten": lambda f: stream(named("collections", "OrderedDict") + b"q\x00" + POP + named("os", "mkdir") + b"q\x00" + POP
                                       + b"h\x00" + tuple_of(text(str(marker(f)))) + b"R"),
    "map": lambda f: stream(call("builtins", "list", call("builtins", "map", named("os", "mkdir"), b"](" + text(str(marker(f))) + b"e"))),
    "partial": lambda f: stream(call("functools", "partial", named("os", "mkdir"), text(str(marker(f)))) + EMPTY + b"R"),
    "getattr": lambda f: stream(call("builtins", "getattr", call("importlib", "import_module", text("os")), text("mkdir"))
                                + tuple_of(text(str(marker(f)))) + b"R"),
    "attrgetter": lambda f: stream(call("operator", "attrgetter", text("mkdir")) + tuple_of(call("importlib", "import_module", text("os")))
                                   + b"R" + tuple_of(text(str(marker(f)))) + b"R"),
    "methodcaller": lambda f: stream(call("operator", "methodcaller", text("mkdir"), text(str(marker(f))))
                                     + tuple_of(call("importlib", "import_module", text("os"))) + b"R"),
    "run-code": lambda f: stream(call("runpy", "_run_code", call("builtins", "compile", text(_command(f)), text("x"), text("exec")), b"}")),
    "timeit": lambda f: stream(call("timeit", "timeit", text(_command(f)), text("pass"), named("time", "perf_counter"), number(1))),
    "profile": lambda f: stream(call("cProfile", "run", text(_command(f) + ";raise SystemExit"))),
    "locate": lambda f: stream(call("pydoc", "locate", text("os.mkdir")) + tuple_of(text(str(marker(f)))) + b"R"),
    "nested-pickle": lambda f: stream(call("pickle", "loads", b"C" + bytes([len(stream(makes(f)))]) + stream(makes(f)))
                                      if len(stream(makes(f))) < 256 else makes(f)),
    "build-of-a-class": lambda f: stream(named("types", "SimpleNamespace") + EMPTY + b"\x81}" + text("x") + makes(f) + b"sb"),
    "frame-of-protocol-4": lambda f: pickle.dumps(_Makes(f), 4),
    "frame-of-protocol-5": lambda f: pickle.dumps(_Makes(f), 5),
    "protocol-0": lambda f: b"cos\nmkdir\n(V" + str(marker(f)).encode() + b"\ntR.",
    "protocol-0-inst": lambda f: b"(V" + str(marker(f)).encode() + b"\nios\nmkdir\n.",
    "protocol-0-mark-first": lambda f: b"(lp0\n0cposix\nmkdir\n(V" + str(marker(f)).encode() + b"\ntR.",
    "protocol-1": lambda f: b"cos\nmkdir\n(" + text(str(marker(f))) + b"tR.",
}
"""Pickles that really make the marker when the standard library reads them."""


class _Makes:
    def __init__(self, folder: Path) -> None:
        self.path = str(marker(folder))

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (self.path,)


def _in_zip(build: Callable[[Path], bytes]) -> Callable[[Path], bytes]:
    return lambda folder: torch_zip(build(folder))


def _in_legacy(build: Callable[[Path], bytes]) -> Callable[[Path], bytes]:
    return lambda folder: torch_legacy(build(folder))


for _name, _build in LIVE.items():
    ACTIVE[_name] = _build
    register(f"call-{_name}", of_file(_in_zip(_build), verdict=EITHER if _name.startswith("protocol") else REFUSED))
for _name in ("os-mkdir", "stack-global", "inst", "call-dropped-by-pop", "frame-of-protocol-4", "protocol-0", "protocol-0-inst",
              "protocol-0-mark-first", "protocol-1"):
    register(f"bare-{_name}", of_file(LIVE[_name], "model.pkl"))
    if not _name.startswith("protocol"):
        register(f"legacy-{_name}", of_file(_in_legacy(LIVE[_name])))

NAMES = ("subprocess.Popen", "os.system", "nt.system", "socket.create_connection", "ctypes.CDLL", "shutil.rmtree", "webbrowser.open",
         "logging.config.listen", "code.InteractiveInterpreter", "bdb.Bdb", "asyncio.run", "ssl.get_server_certificate", "sys.exit",
         "builtins.__import__", "builtins.open", "__main__.Thing", "copy_reg._reconstructor", "copyreg._reconstructor",
         "torch.storage._load_from_bytes", "torch.hub.load", "torch.load", "torch.jit.load", "torch.serialization.load",
         "torch.utils.cpp_extension.load", "torch._dynamo.guards.GuardBuilder", "torch.ops.load_library",
         "numpy.load", "numpy.testing._private.utils.runstring", "numpy.f2py.crackfortran.getlincoef", "numpy.lib.npyio.load",
         "joblib.load", "joblib.numpy_pickle.NumpyArrayWrapper", "dill._dill._load_type", "dill._dill._create_function",
         "cloudpickle.loads",
         "cloudpickle.cloudpickle._builtin_type", "sklearn.linear_model.LogisticRegression", "pip.main", "pkg_resources.run_script",
         "transformers.dynamic_module_utils.get_class_from_dynamic_module")
"""Names by which files have reached code, each called with one text."""
for _full in NAMES:
    _module, _, _attribute = _full.rpartition(".")
    register(f"names-{_full.replace('.', '-').lower()}", of_bytes(
        torch_zip(stream(state(text("w"), tensor(), text("x"), call(_module, _attribute, text("x"))))), says="would run code"))


@model_case
def names_an_unknown_package(folder: Path) -> ModelCase:
    body = stream(state(text("w"), tensor(), text("x"), call("somebodys_package.models", "Config", text("x"))))
    return written(folder, torch_zip(body), verdict=INCONCLUSIVE, says="needs code that is not in it")


@model_case
def keyword_objects(folder: Path) -> ModelCase:
    body = named("subprocess", "Popen") + EMPTY + b"}" + text("args") + text("true") + b"s\x92"
    return written(folder, torch_zip(stream(body, PROTO4)))


@model_case
def letters_that_look_alike(folder: Path) -> ModelCase:
    return written(folder, torch_zip(stream(_stack("t\u043erch._utils", "_rebuild_tensor_v2", number(1)), PROTO4)))


@model_case
def a_name_with_an_upper_case_module(folder: Path) -> ModelCase:
    return written(folder, torch_zip(stream(call("Torch._utils", "_rebuild_tensor_v2", number(1)))), verdict=EITHER)


@model_case
def second_stream_behind_the_first(folder: Path) -> ModelCase:
    return written(folder, torch_zip(GOOD + stream(makes(folder))), says="behind the end")


@model_case
def second_stream_in_a_legacy_file(folder: Path) -> ModelCase:
    return written(folder, torch_legacy() + stream(makes(folder)), says="behind its last storage")


@model_case
def second_stream_before_the_weights(folder: Path) -> ModelCase:
    return written(folder, stream(makes(folder)) + torch_legacy())


@model_case
def harmless_stream_then_a_call(folder: Path) -> ModelCase:
    return written(folder, stream(number(1)) + stream(makes(folder)), "model.pkl")


@model_case
def compressed_pickle(folder: Path) -> ModelCase:
    return written(folder, zlib.compress(stream(makes(folder))), "model.joblib", INCONCLUSIVE, "compressed")


@model_case
def protocol_in_the_middle(folder: Path) -> ModelCase:
    return written(folder, torch_zip(PROTO2 + state(text("w"), tensor()) + PROTO4 + STOP))
