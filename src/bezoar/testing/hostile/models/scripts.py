"""TorchScript archives whose programs reach out, or whose pickles do. None may be opened as weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bezoar.testing.hostile.models.kit import (
    EMPTY,
    GOOD,
    INCONCLUSIVE,
    REFUSED,
    call,
    makes,
    named,
    of_file,
    register,
    stream,
    text,
    torch_legacy,
    zipped,
)

MODULE = stream(named("__torch__", "M") + EMPTY + b"\x81")
CLEAN = b"class M(Module):\n  def forward(self: __torch__.M,\n    x: Tensor) -> Tensor:\n    return torch.relu(x)\n"


def script(program: bytes = CLEAN, **more: bytes) -> bytes:
    """An archive as `torch.jit.save` writes it, with this program; other members where given."""
    members = {"data.pkl": MODULE, "code/__torch__.py": program, "constants.pkl": stream(EMPTY), "version": b"3\n", "byteorder": b"little"}
    return zipped({f"m/{name}": raw for name, raw in {**members, **more}.items()})


def says(line: str) -> bytes:
    """The clean program with another line in the place of its answer."""
    return CLEAN.replace(b"return torch.relu(x)", line.encode())


CASES: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "that-maps-a-file": (lambda f: script(says('return torch.from_file("/etc/passwd", False, 9)')), REFUSED),
    "that-writes-a-file": (lambda f: script(says(f'torch.save(x, "{f / "pickle-was-run"}")')), REFUSED),
    "that-calls-others": (lambda f: script(says('return ops.rpc.rpc_async("a", "b")')), REFUSED),
    "that-calls-python": (lambda f: script(says("return ops.prim.PythonOp(x)")), REFUSED),
    "that-renames-torch": (lambda f: script(says('t = torch\n    return t.from_file("/etc/passwd", False, 9)')), INCONCLUSIVE),
    "that-takes-an-attribute-of-torch": (lambda f: script(says('return getattr(torch, "from_file")("/etc/passwd")')), INCONCLUSIVE),
    "with-a-comment": (lambda f: script(says("return torch.relu(x) # x")), INCONCLUSIVE),
    "with-a-continued-line": (lambda f: script(says('return torch.\\\n from_file("/etc/passwd")')), INCONCLUSIVE),
    "that-forks": (lambda f: script(says("return fork(x)")), INCONCLUSIVE),
    "with-classes-of-c": (lambda f: script(says("return __torch__.torch.classes.a.B()")), INCONCLUSIVE),
    "with-unknown-operators": (lambda f: script(says("return ops.evil.go(x)")), INCONCLUSIVE),
    "whose-object-is-a-call": (lambda f: script(**{"data.pkl": stream(makes(f))}), REFUSED),
    "whose-constants-are-a-call": (lambda f: script(**{"constants.pkl": stream(makes(f))}), REFUSED),
    "whose-notes-are-a-call": (lambda f: script(**{"code/__torch__.py.debug_pkl": stream(makes(f))}), REFUSED),
    "whose-constants-run-a-shell": (lambda f: script(**{"constants.pkl": stream(call("os", "system", text("true")))}), REFUSED),
    "whose-object-is-a-dict": (lambda f: script(**{"data.pkl": GOOD}), INCONCLUSIVE),
    "with-python-beside": (lambda f: script(**{"code/setup.py": b"import os"}), REFUSED),
    "with-an-old-pickle-beside": (lambda f: script(**{"extra.pt": torch_legacy(stream(makes(f)))}), REFUSED),
    "plain": (lambda f: script(), INCONCLUSIVE)}
for _name, (_build, _verdict) in CASES.items():
    register(f"script-{_name}", of_file(_build, verdict=_verdict))
