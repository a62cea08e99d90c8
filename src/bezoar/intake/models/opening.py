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
MODELS = (".safetensors", ".pt", ".pt2", ".pth", ".ckpt", ".bin", ".npz", ".npy", ".onnx", ".h5", ".keras", ".gguf", ".pkl")
MOST_FILES = 10_000
MOST_SHARDS = 200


def read_weights(path: str | Path, limits: Limits | None = None) -> Weights:
    """The arrays of a model file, or of the one model of a folder (its safetensors together), with a verdict; see `Weights`.

    The file is read in a child process without network, without further files and with little memory; nothing in it is run.
    Raises UnreadableInput where there is no such file, or it is empty; LimitExceeded beyond `Limits.max_file_bytes`. What the
    content holds raises nothing.
    """
    parts = [_read(p, limits or Limits(), arrays=True) for p in _files(Path(path))]
    if len(parts) == 1:
        return parts[0]
    verdict = worst([p.verdict for p in parts])
    reasons = tuple(r for p in parts if p.verdict == verdict for r in p.reasons)
    if verdict == SAFE and len({n for p in parts for n in p.arrays}) < sum(len(p.arrays) for p in parts):
        verdict, reasons = REFUSED, ("two of its files hold arrays of one name",)
    arrays = {n: a for p in parts for n, a in p.arrays.items()} if verdict == SAFE else {}
    extra = {**parts[0].extra, "files": len(parts), "limit": any(p.extra.get("limit") for p in parts)}
    return Weights(arrays, parts[0].kind, verdict, reasons, extra)


def open_weights(path: str | Path, limits: Limits | None = None) -> Weights:
    """As `read_weights`; raises Refused, LimitExceeded or UnreadableInput where the verdict is not "safe" or there are no arrays."""
    return opened(read_weights(path, limits), Path(path).name)


def opened(weights: Weights, name: str) -> Weights:
    """What was read, where it holds arrays; raises as `open_weights`."""
    reason = weights.reasons[0] if weights.reasons else "it holds no arrays"
    if weights.verdict == REFUSED:
        raise Refused(f"{name} is refused: {reason}", advice="do not load it elsewhere either; ask its maker for a safetensors file")
    if weights.extra.get("limit"):
        raise LimitExceeded(f"{name} cannot be read within the limits: {reason}", advice="raise the limits if you trust it")
    if weights.verdict != SAFE or not weights.arrays:
        raise UnreadableInput(f"{name} cannot be read: {reason}", advice=_next(reason))
    return weights


def _next(reason: str) -> str:
    told = "convert" in reason or "export" in reason
    return ("safetensors files, state dicts of torch, npz, torch.export, ONNX, TorchScript, XGBoost and LightGBM models are opened" if told
            else CONVERT)


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


def _files(path: Path) -> list[Path]:
    """The file itself, or the safetensors files of a folder, or its only model file."""
    if not path.is_dir():
        return [path]
    found = [p for p in sorted(path.iterdir())[:MOST_FILES] if p.is_file() and p.suffix.lower() in MODELS]
    shards = [p for p in found if p.suffix.lower() == ".safetensors"]
    if 0 < len(shards) <= MOST_SHARDS:
        return shards
    if len(found) != 1:
        raise UnreadableInput(f"{path.name} holds {len(found)} model files" if found else f"{path.name} holds no model file",
                              advice="give the file itself")
    return found


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
