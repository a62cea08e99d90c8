"""Opening a model file: through the door, read by a child, checked, and said in one sentence."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from bezoar.core.errors import LimitExceeded, Refused, UnreadableInput
from bezoar.core.limits import Limits
from bezoar.intake.door import size_of
from bezoar.intake.models.apart import read_apart
from bezoar.intake.models.verdicts import CONVERT, INCONCLUSIVE, REFUSED, SAFE, Inspection, Weights, worst

CODE = (".py", ".pyc", ".so", ".dll", ".dylib", ".sh", ".exe")
PLAIN = (".md", ".gitattributes", ".gitignore", ".png", ".jpg", ".jpeg", ".svg", ".pdf", ".csv", ".vocab", ".merges", ".spm")
MODELS = (".safetensors", ".pt", ".pth", ".ckpt", ".bin", ".npz", ".npy", ".onnx", ".h5", ".keras", ".gguf", ".pkl")
MOST_FILES = 10_000


def read_weights(path: str | Path, limits: Limits | None = None) -> Weights:
    """The arrays of a model file, or of the one model file of a folder, with a verdict; see `Weights`.

    The file is read in a child process without network, without further files and with little memory; nothing in it is run.
    Raises UnreadableInput where there is no such file, or it is empty; LimitExceeded beyond `Limits.max_file_bytes`. What the
    content holds raises nothing.
    """
    return _read(_one(Path(path)), limits or Limits(), arrays=True)


def open_weights(path: str | Path, limits: Limits | None = None) -> Weights:
    """As `read_weights`; raises Refused, LimitExceeded or UnreadableInput where the verdict is not "safe" or there are no arrays."""
    weights = read_weights(path, limits)
    name = Path(path).name
    reason = weights.reasons[0] if weights.reasons else "it holds no arrays"
    if weights.verdict == REFUSED:
        raise Refused(f"{name} is refused: {reason}", advice=f"do not load it elsewhere either; ask its maker to {_maker(reason)}")
    if weights.extra.get("limit"):
        raise LimitExceeded(f"{name} cannot be read within the limits: {reason}", advice="raise the limits if you trust it")
    if weights.verdict != SAFE or not weights.arrays:
        raise UnreadableInput(f"{name} cannot be read: {reason}", advice="" if "convert" in reason or "export" in reason else CONVERT)
    return weights


def _maker(reason: str) -> str:
    return "save it as safetensors" if "convert" not in reason else "do so"


def inspect(path: str | Path, limits: Limits | None = None) -> Inspection:
    """The static scan of a model file, or of every file of a folder (code that a folder brings is refused). Nothing is run.

    Raises UnreadableInput where there is nothing to read, LimitExceeded beyond the size limit.
    """
    path, limits = Path(path), limits or Limits()
    if not path.is_dir():
        return _seen(_read(path, limits, arrays=False))
    files = [p for p in sorted(path.rglob("*"))[:MOST_FILES + 1] if p.is_symlink() or not p.is_dir()]
    if not files:
        raise UnreadableInput(f"{path.name} is an empty folder", advice="give a model file, or a folder that holds one")
    parts = {p.relative_to(path).as_posix(): _file_of(p, limits) for p in files[:MOST_FILES]}
    if len(files) > MOST_FILES:
        parts["..."] = Inspection("folder", INCONCLUSIVE, (f"there are more than {MOST_FILES:,} files",))
    verdict = worst([i.verdict for i in parts.values()])
    reasons = [f"{name}: {reason}" for wanted in (REFUSED, INCONCLUSIVE) for name, i in parts.items() if i.verdict == wanted
               for reason in i.reasons]
    extra: dict[str, Any] = {"files": {name: {"kind": i.kind, "verdict": i.verdict} for name, i in parts.items()}}
    return Inspection("folder", verdict, tuple(reasons[:50]), extra)


def _file_of(path: Path, limits: Limits) -> Inspection:
    if path.is_symlink():
        return Inspection("link", REFUSED, ("it is a symbolic link",))
    if path.suffix.lower() in CODE:
        return Inspection("code", REFUSED, ("the folder brings its own code; use a model of an architecture that your library knows",))
    if path.suffix.lower() in PLAIN or path.name in (".gitattributes", "LICENSE", "README", "NOTICE"):
        return Inspection("plain", SAFE)
    try:
        return _seen(_read(path, limits, arrays=False))
    except (UnreadableInput, LimitExceeded) as error:
        return Inspection("unknown", INCONCLUSIVE, (str(error),))


def _seen(weights: Weights) -> Inspection:
    return Inspection(weights.kind, weights.verdict, weights.reasons, weights.extra)


def _one(path: Path) -> Path:
    """The file itself, or the only model file of a folder."""
    if not path.is_dir():
        return path
    found = [p for p in sorted(path.iterdir())[:MOST_FILES] if p.is_file() and p.suffix.lower() in MODELS]
    best = [p for p in found if p.suffix.lower() == ".safetensors"] or found
    if len(best) != 1:
        raise UnreadableInput(f"{path.name} holds {len(best)} model files" if best else f"{path.name} holds no model file",
                              advice="give the file itself")
    return best[0]


def _read(path: Path, limits: Limits, arrays: bool) -> Weights:
    size_of(path, limits)
    try:
        handle = os.open(path.resolve(), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise UnreadableInput(f"{path} cannot be opened: {error.strerror or error}", advice="check the path and its permissions") from error
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or not found.st_size:
            raise UnreadableInput(f"{path} is not a regular file", advice="give a file that nobody writes to")
        weights = read_apart(handle, found.st_size, path.suffix.lower()[:20], limits, arrays)
        after = os.fstat(handle)
        if (after.st_size, after.st_mtime_ns) != (found.st_size, found.st_mtime_ns):
            raise UnreadableInput(f"{path.name} changed while it was being read", advice="give a copy that nobody writes to")
        return weights
    finally:
        os.close(handle)
