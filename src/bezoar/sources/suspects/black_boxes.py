"""Models that are only asked: a Python function, an ONNX file -> a `Suspect` without a module."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bezoar.core.errors import AbilityFailed, BezoarError, Refused, Unavailable, UnreadableInput, UsageError
from bezoar.core.image_triggers import fit as stretched
from bezoar.core.inputs import Images, Inputs, Table, Texts
from bezoar.core.limits import MIB, Limits
from bezoar.core.suspect import Suspect
from bezoar.intake.models import SAFE, read_weights
from bezoar.sources.suspects.taken import SIDE

if TYPE_CHECKING:
    from bezoar.intake.models.asked_apart import Runner

BATCH = 64
MEMORY = 2048 * MIB
SECONDS = 120.0
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)


def suspect_from_callable(function: Callable[[Any], Any], classes: Sequence[str] = (), shape: Sequence[int] = (), *,
                          modality: str = "image", name: str = "", batch: int = BATCH, notes: tuple[str, ...] = ()) -> Suspect:
    """A function of the user's own as a black box.

    function  gets (n, h, w, 3) uint8 pictures (a list of them where `shape` is not given), a list of texts, or (n, d) float32 rows;
              returns (n, K) probabilities or logits, or (n,) probabilities of the second of two classes
    classes   K names; without them it is asked about blank inputs to count its outputs
    Raises AbilityFailed where the function fails or answers in another shape.
    """
    if modality not in ("image", "text", "tabular"):
        raise UsageError(f"unknown modality {modality!r}", advice="one of: image, text, tabular")
    label = name or f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', type(function).__name__)}"
    answer = _Asked(function, modality, tuple(int(v) for v in shape), batch)
    count = len(classes) or answer.of(_blank(modality, answer.shape)).shape[1]
    if count < 2:
        raise AbilityFailed("the model gives one column", advice="audits need a classifier of two classes or more")
    return Suspect(label, modality, tuple(str(c) for c in classes) or tuple(str(i) for i in range(count)),
                   hashlib.sha256(f"bezoar.callable/1\0{label}".encode()).hexdigest(), answer, shape=answer.shape, notes=notes)


def _blank(modality: str, shape: tuple[int, ...]) -> Any:
    if modality == "text":
        return ["", "a"]
    if modality == "tabular" and not shape:
        raise UsageError("how many numbers the model reads per row is not known", advice="name its classes, or give the shape of one input")
    return np.zeros((2, *(shape or (SIDE, SIDE, 3))), np.uint8 if modality == "image" else np.float32)


class _Asked:
    """Inputs -> (n, K) float32 probabilities of a function over rows."""

    def __init__(self, function: Callable[[Any], Any], modality: str, shape: tuple[int, ...], batch: int) -> None:
        self.function, self.modality, self.shape, self.batch = function, modality, shape, max(1, batch)

    def __call__(self, inputs: Inputs) -> np.ndarray:
        parts = [self.of(rows) for rows in _rows(inputs, self.modality, self.shape, self.batch)]
        return np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)

    def of(self, rows: Any) -> np.ndarray:
        """(n, K) for one batch."""
        try:
            found = self.function(rows)
        except BezoarError:
            raise
        except Exception as error:
            raise AbilityFailed(f"the model failed: {type(error).__name__}: {str(error)[:200]}",
                                advice="try it by hand on one input") from error
        return probabilities(found, len(rows))


def probabilities(found: Any, count: int) -> np.ndarray:
    """(n, K) float32: rows that are no probabilities are taken as logits; (n,) as the probability of the second class.

    >>> probabilities([0.25], 1).tolist(), probabilities([[0.0, 0.0]], 1).tolist()
    ([[0.75, 0.25]], [[0.5, 0.5]])
    """
    try:
        p = np.asarray(found, np.float64)
    except (TypeError, ValueError):
        p = np.zeros(0)
    if p.ndim == 2 and p.shape[1] == 1:
        p = p[:, 0]
    if p.shape == (count,) and ((p >= 0) & (p <= 1)).all():
        p = np.stack([1 - p, p], axis=1)
    if p.ndim != 2 or len(p) != count:
        raise AbilityFailed(f"the model answered {p.shape} for {count} inputs",
                            advice="it has to give one row of probabilities per input")
    if not np.isfinite(p).all():
        raise AbilityFailed("the model answers with numbers that are not finite", advice="its weights are damaged; get another copy")
    if (p >= 0).all() and np.allclose(p.sum(axis=1), 1, atol=1e-3):
        return (p / p.sum(axis=1, keepdims=True)).astype(np.float32)
    e = np.exp(p - p.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True), np.float32)


def _rows(inputs: Inputs, modality: str, shape: tuple[int, ...], batch: int) -> Any:
    if modality == "image" and isinstance(inputs, Images):
        for _, pictures in inputs.chunks(batch):
            if shape:
                yield np.stack([p if p.shape == shape else stretched(p, shape[0], shape[1]) for p in pictures])
            else:
                yield np.stack(pictures) if len({p.shape for p in pictures}) == 1 else pictures
    elif modality == "text" and isinstance(inputs, Texts):
        yield from (list(inputs.values[i:i + batch]) for i in range(0, len(inputs), batch))
    elif modality == "tabular" and isinstance(inputs, Table):
        matrix = np.stack([c.values.astype(np.float32) for c in inputs.columns.values()], axis=1)
        yield from (matrix[i:i + batch] for i in range(0, len(matrix), batch))
    else:
        raise UsageError(f"the model reads data of the kind {modality}", advice="give such data to ask it about")


def open_onnx(path: str | Path, *, classes: Sequence[str] = (), shape: Sequence[int] | None = None, pixels: str = "0..1",
              limits: Limits | None = None) -> Suspect:
    """An ONNX classifier as a black box; it runs in a child process (`intake.models.asked_apart`).

    Raises Refused or UnreadableInput for files that point outside, use foreign operators, or that the runtime does not take.
    """
    path = Path(path)
    seen = read_weights(path, limits)
    if seen.kind != "onnx" or seen.verdict != SAFE:
        kind = Refused if seen.verdict == "refused" else UnreadableInput
        reason = seen.reasons[0] if seen.reasons else "it is no ONNX file"
        raise kind(f"{path.name} cannot be used: {reason}", advice="export it again as one file")
    try:
        import onnxruntime  # noqa: F401
    except ImportError:
        raise Unavailable("onnxruntime", advice="pip install 'bezoar[onnx]'") from None
    from bezoar.intake.models.asked_apart import KINDS, TEXTS

    runner, digest = started(path, "onnx")
    dims = runner.shape
    size: tuple[int, ...] = ()
    make: Callable[[Any], Any] = list
    if runner.kind == TEXTS:
        modality = "text"
    elif runner.kind in KINDS and len(dims) == 4:
        last = dims[3] in (1, 3) and dims[1] not in (1, 3)
        height, width, depth = (dims[1], dims[2], dims[3]) if last else (dims[2], dims[3], dims[1])
        size = tuple(int(v) for v in shape) if shape else (height or SIDE, width or SIDE, 3)
        modality, make = "image", pictures_as(KINDS[runner.kind], last, depth == 1, pixels)
    elif runner.kind in KINDS and len(dims) == 2:
        modality, size, code = "tabular", (dims[1],) if dims[1] else tuple(shape or ()), KINDS[runner.kind]
        make = lambda rows: np.asarray(rows, code)  # noqa: E731
    else:
        raise UnreadableInput(f"{path.name} takes {runner.kind} of shape {dims}",
                              advice="pictures (n, 3, h, w), rows (n, d) or texts are audited")
    return asked(runner, path.name, make, digest, modality, size, classes, fixed=dims[0] or 0)


def started(path: Path, runtime: str) -> tuple[Runner, str]:
    """The model of a file in a child of its own, and the SHA-256 of the file. Errors as those of `Runner`."""
    from bezoar.intake.models.asked_apart import Runner

    handle = os.open(path.resolve(), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        with os.fdopen(os.dup(handle), "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Runner(handle, MEMORY, SECONDS, runtime), digest
    finally:
        os.close(handle)


def asked(runner: Runner, name: str, make: Callable[[Any], Any], digest: str, modality: str, size: Sequence[int | None],
          classes: Sequence[str] = (), *, fixed: int = 0, notes: tuple[str, ...] = ()) -> Suspect:
    """The suspect behind a runner; `make` turns rows into what it reads, `fixed` is the batch that it insists on."""
    def ask(rows: Any) -> Any:
        batch = make(rows)
        short = fixed - len(batch) if fixed > len(batch) else 0
        if short:
            batch = batch + [""] * short if isinstance(batch, list) else np.concatenate([batch, np.repeat(batch[-1:], short, axis=0)])
        outputs = [o for o in runner.ask(batch) if o.ndim == 2 and len(o) == len(batch) and o.dtype.kind == "f"]
        if not outputs:
            raise AbilityFailed(f"{name} has no output with one row of numbers per input", advice="export the logits as an output")
        return outputs[0][:len(rows)]

    notes = ("it is asked as a black box, in a process of its own", *notes)
    made = suspect_from_callable(ask, (), tuple(v for v in size if v), modality=modality, name=name, batch=fixed or BATCH, notes=notes)
    if classes and len(classes) != len(made.classes):
        raise UsageError(f"{len(classes)} classes are named, the model has {len(made.classes)}",
                         advice="name them all, in the order of its outputs")
    return Suspect(made.name, modality, tuple(classes) or made.classes, digest, made.answer, shape=made.shape, notes=notes)


def pictures_as(code: str, last: bool, grey: bool, pixels: str) -> Callable[[Any], np.ndarray]:
    if pixels not in ("0..1", "-1..1", "imagenet"):
        raise UsageError(f"unknown scale of pixels {pixels!r}", advice="one of: -1..1, 0..1, imagenet")

    def make(rows: Any) -> np.ndarray:
        x = np.asarray(rows)
        if code != "|u1":
            x = x.astype(np.float32) / 255
            x = 2 * x - 1 if pixels == "-1..1" else (x - MEAN) / DEVIATION if pixels == "imagenet" else x
        if grey:
            x = x.mean(axis=3, keepdims=True)
        return np.ascontiguousarray((x if last else np.moveaxis(x, 3, 1)).astype(code))

    return make
