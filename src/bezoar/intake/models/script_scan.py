"""A static look at a TorchScript archive: what its programs name, and what its pickles name. Nothing is loaded.

Programs pass where every operator is one of `script_operators.PLAIN`; those that touch files, networks or Python are refused, all others
make the file inconclusive. The text is split by a lexer of our own that knows only what `torch.jit.save` writes (no comments, no
continued lines, no prefixes of texts), so that the two readers of it cannot disagree.
Fails to see a program that never ends or takes all memory: that is for the limits of the child that runs it.
"""

from __future__ import annotations

import re
from typing import Any

from bezoar.core.limits import Limits
from bezoar.intake.models.allowed import Opaque
from bezoar.intake.models.archive import Archive
from bezoar.intake.models.opcodes import Reader
from bezoar.intake.models.script_operators import PLAIN, PRIM, REACHING, REACHING_SPACES
from bezoar.intake.models.verdicts import CONVERT, Hostile, TooMuch, Unknown

SOURCE = re.compile(r"code/__torch__(/\w{1,200})*\.py\Z", re.ASCII)
NUMBERED = re.compile(r"(data|constants|traced_inputs)/\w{1,40}\Z", re.ASCII)
PICKLES = ("data.pkl", "constants.pkl", "traced_inputs.pkl")
BESIDE = frozenset({"version", "byteorder", ".format_version", ".storage_alignment", ".data/serialization_id", ".data/version"})
RESTORING = frozenset(f"torch.jit._pickle.{n}" for n in ("build_intlist", "build_doublelist", "build_boollist", "build_tensorlist",
                                                         "restore_type_tag"))
TOKEN = re.compile(r'[ \n]+|[A-Za-z_]\w*|\d+(?:\.\d*)?(?:[eE][-+]?\d+)?j?|"(?:[^"\\\n]|\\[^\n])*"'
                   r"|'(?:[^'\\\n]|\\[^\n])*'|\.\.\.|->|[-+*/%()\[\]{}:=,.<>!@&|^~]", re.ASCII)
FORBIDDEN = frozenset({"fork", "awaitable", "import", "__builtins__", "eval", "exec", "open"})
MOST_SOURCE, MOST_SOURCES, MOST_PICKLE = 16 << 20, 20_000, 64 << 20


def is_script(names: list[str]) -> bool:
    """Whether the members of an archive are those of `torch.jit.save`."""
    return any(n.endswith("/constants.pkl") or n.partition("/")[2].startswith("code/") for n in names)


def look(archive: Archive, limits: Limits) -> None:
    """Passes where nothing that reaches out is seen. Raises Hostile, Unknown or TooMuch."""
    tops = {name.partition("/")[0] for name in archive.members}
    if len(tops) != 1:
        raise Hostile("its archive has more than one top folder")
    top = tops.pop()
    inside = sorted(name[len(top) + 1:] for name in archive.members)
    sources = [n for n in inside if SOURCE.match(n)]
    if "data.pkl" not in inside or "constants.pkl" not in inside or not sources:
        raise Unknown(f"it is a TorchScript archive without a program or its constants; {CONVERT}")
    for name in inside:
        if name == "bytecode.pkl" or name.startswith("mobile"):
            raise Unknown(f"it is a TorchScript archive for telephones; {CONVERT}")
        if not (name in PICKLES or name in BESIDE or SOURCE.match(name) or SOURCE.match(name.removesuffix(".debug_pkl"))
                or NUMBERED.match(name) or name.startswith("extra/")):
            raise Hostile(f"its archive holds {name[:60]!r}, which torch.jit.save does not write")
    if len(sources) > MOST_SOURCES or sum(archive.members[f"{top}/{n}"].size for n in sources) > MOST_SOURCE:
        raise TooMuch("its program is longer than is looked at")
    for name in sources:
        _program(bytes(archive.read(f"{top}/{name}")), name)
    for name in inside:
        if name in PICKLES or name.endswith(".debug_pkl"):
            root = _pickle(archive.read(f"{top}/{name}", MOST_PICKLE), limits)
            if name == "data.pkl" and not (isinstance(root, Opaque) and root.what.startswith("__torch__.")):
                raise Unknown(f"it is a TorchScript archive whose object is no module; {CONVERT}")
        elif not SOURCE.match(name):
            archive.read(f"{top}/{name}")


class _Names(Reader):
    """A reader to which the program's own classes, and the few helpers of TorchScript, are no foreign globals."""

    def name(self, module: Any, name: Any) -> None:
        if type(module) is str and type(name) is str and _own(f"{module}.{name}"):
            self.push(Opaque(f"{module}.{name}"))
        else:
            super().name(module, name)


def _own(name: str) -> bool:
    inner = name.startswith("__torch__.") and not name.startswith("__torch__.torch.classes.")
    return name in RESTORING or (inner and name.isascii() and name.replace(".", "_").isidentifier())


def _pickle(raw: memoryview, limits: Limits) -> Any:
    from bezoar.intake.models.torch_file import foreign

    reader = _Names(raw, limits)
    try:
        value = reader.value()
    except (Hostile, Unknown, TooMuch) as stopped:
        raise foreign([n for n in reader.found if not _own(n.what)], str(stopped)) or stopped from None
    if problem := foreign([n for n in reader.found if not _own(n.what)]):
        raise problem
    if reader.end != len(raw):
        raise Hostile("there are bytes behind the end of its pickle: a second stream, or something hidden")
    return value


def _program(raw: bytes, name: str) -> None:
    """Every operator that one source names is a plain one."""
    try:
        tokens = tokens_of(raw.decode("ascii"))
    except ValueError:
        raise Unknown(f"its program {name[-60:]!r} is not written as torch.jit.save writes; {CONVERT}") from None
    for i, word in enumerate(tokens):
        behind = tokens[i - 1] if i else ""
        if word == "classes" and behind == "." and tokens[i - 2] != "self":
            raise Unknown(f"its program uses classes of C++; {CONVERT}, or export it to ONNX")
        if behind == ".":
            continue
        if word in FORBIDDEN:
            raise Unknown(f"its program names {word!r}; {CONVERT}, or export it to ONNX")
        if word == "torch":
            _operator("aten", _chain(tokens, i, 1)[0])
        elif word == "ops":
            _operator(*_chain(tokens, i, 2))


def _chain(tokens: list[str], place: int, parts: int) -> list[str]:
    """The names behind a root, exactly so many."""
    out = tokens[place + 1:place + 2 * parts + 2]
    if len(out) < 2 * parts or any(t != "." for t in out[0:2 * parts:2]) or (len(out) > 2 * parts and out[2 * parts] == "."):
        raise Unknown(f"its program uses {tokens[place]!r} in a way that torch.jit.save does not write; {CONVERT}")
    return out[1:2 * parts:2]


def _operator(space: str, name: str) -> None:
    whole = f"{space}::{name}"[:80]
    if space == "aten" and name in REACHING:
        raise Hostile(f"its program names the operator {whole!r}, which {REACHING[name]}")
    if space in REACHING_SPACES or (space == "prim" and "Python" in name):
        raise Hostile(f"its program names the operator {whole!r}, which reaches networks, files or Python")
    plain = name in PLAIN or (name.endswith("_") and not name.endswith("__") and name[:-1] in PLAIN)
    if not (space == "aten" and plain) and not (space == "prim" and name in PRIM):
        raise Unknown(f"its program names the operator {whole!r}, which is not among those that are run; {CONVERT}, or export it to ONNX")


def tokens_of(text: str) -> list[str]:
    """Names, numbers, texts and signs, blanks left out. Raises ValueError for anything that `torch.jit.save` does not write.

    >>> tokens_of("_0 = torch.relu(x, 1e-05)")
    ['_0', '=', 'torch', '.', 'relu', '(', 'x', ',', '1e-05', ')']
    """
    out: list[str] = []
    place = 0
    for found in TOKEN.finditer(text):
        token = found.group()
        if found.start() != place:
            raise ValueError("something between tokens")
        if token[0] in "\"'" and place and (text[place - 1].isalnum() or text[place - 1] in "_\"'"):
            raise ValueError("a text with a prefix, or two that touch")
        place = found.end()
        if token[0] not in " \n":
            out.append(token)
    if place != len(text):
        raise ValueError("something behind the last token")
    return out
