"""A weights file, or a module in memory -> a `Suspect`: what auditors look at.

Predictions in batches, on one thread, the same every time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bezoar.core.errors import AbilityFailed, UnreadableInput, UsageError
from bezoar.core.escape import line
from bezoar.core.image_triggers import fit as stretched
from bezoar.core.inputs import Images, Inputs, Table, Texts
from bezoar.core.limits import Limits
from bezoar.core.suspect import Suspect, weights_digest
from bezoar.core.table_code import TableCode
from bezoar.core.table_triggers import Values
from bezoar.intake.door import published
from bezoar.intake.models import Weights, open_weights, opened
from bezoar.networks import architectures, training
from bezoar.networks.architectures import IMAGENET, OURS, PLAIN
from bezoar.networks.device import beside, wanted
from bezoar.networks.text_codes import SIGNS, codes_of
from bezoar.sources.suspects import trees
from bezoar.sources.suspects.taken import SCALE_TAKEN, SIDE, SIZE_TAKEN

BATCH = 256
PIXELS = 16_000_000
"""Pixels of one batch at most."""
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
KEY = "bezoar"
Tensor = Callable[[Any], Any]


def open_weights_file(path: str | Path, *, factory: str = "", classes: Sequence[str] = (), shape: tuple[int, ...] | None = None,
                      modality: str = "", pixels: str = "", limits: Limits | None = None, weights: Weights | None = None) -> Suspect:
    """The model of a weights file, read as data, or that of what `read_weights` gave; parameters and errors as those of `open_suspect`."""
    path = Path(path)
    weights = open_weights(path, limits) if weights is None else opened(weights, path.name)
    if weights.kind in trees.KINDS:
        return trees.suspect_of_trees(weights, path.name, classes, limits)
    fit = architectures.module_of(weights.arrays, factory)
    told = told_by(weights.extra)
    shape = tuple(shape) if shape else tuple(told.get("shape", ())) or fit.shape
    found = suspect_from(fit.module, tuple(classes) or tuple(told.get("classes", ())), shape, name=path.name, tensor=None,
                         modality=modality or told.get("modality", "") or fit.modality,
                         pixels=pixels or told.get("pixels", "") or fit.pixels,
                         fingerprint=weights_digest(weights.arrays), code=_code(told),
                         notes=(f"{len(weights.arrays):,} arrays were read as data from a file of the kind {weights.kind}", *fit.notes))
    return replace(found, declared=planted_in(told))


def suspect_from(module: Any, classes: Sequence[str] = (), shape: Sequence[int] = (), *, tensor: Tensor | None = None, modality: str = "",
                 pixels: str = "", name: str = "model", fingerprint: str = "", code: TableCode | None = None,
                 notes: tuple[str, ...] = ()) -> Suspect:
    """A torch module in memory, whose call gives (n, K) logits; it is put into evaluation mode, where `networks.device` says (a
    card where there is one).

    tensor  rows as `shape` has them (uint8 pictures, texts, float32 rows) -> an input of the module; by default as `pixels` says
    Other parameters as those of `open_suspect`. Raises AbilityFailed where the module does not answer (n, K) finite numbers for a
    blank input.
    """
    device = wanted()
    module = module.to(device).eval()
    shape = tuple(int(v) for v in shape)
    modality = modality or {3: "image", 1: "tabular"}.get(len(shape), "") or ("text" if tensor is not None else "image")
    if modality == "image" and not shape:
        shape = (SIDE, SIDE, 3)
        notes = (*notes, SIZE_TAKEN)
    if modality not in ("image", "text", "tabular") or (modality == "image" and (len(shape) != 3 or shape[2] != 3 or min(shape) < 1)):
        raise UsageError(f"a model of {modality} with inputs of shape {shape} cannot be audited", advice="pictures are (height, width, 3)")
    make = tensor or tensor_of(module, modality, pixels or PLAIN, device)
    answer = _Answer(module, make, modality, shape, code)
    count = _classes_of(answer, modality, shape)
    if classes and len(classes) != count:
        raise UsageError(f"{len(classes)} classes are named, the model has {count}", advice="name them all, in the order of its outputs")
    if modality == "image" and tensor is None and not pixels:
        notes = (*notes, SCALE_TAKEN)
    return Suspect(name, modality, tuple(str(c) for c in classes) or tuple(str(i) for i in range(count)),
                   fingerprint or weights_digest(arrays_of(module)), answer, module, make, shape, notes)


def with_module(suspect: Suspect, module: Any, *, name: str = "", notes: tuple[str, ...] = ()) -> Suspect:
    """The same suspect with another module of the same inputs and classes: what a repair leaves.

    Raises UsageError for a black box, AbilityFailed where the module answers for another number of classes.
    """
    if suspect.module is None or suspect.tensor is None:
        raise UsageError("a black box has no module to put another one in the place of", advice="open the model itself")
    code = suspect.answer.code if isinstance(suspect.answer, _Answer) else None
    return suspect_from(module, suspect.classes, suspect.shape, tensor=suspect.tensor, modality=suspect.modality, name=name or suspect.name,
                        code=code, notes=(*suspect.notes, *notes))


def arrays_of(module: Any) -> dict[str, np.ndarray]:
    """The weights of a module by name, bfloat16 as float32."""
    import torch

    found = {n: t.detach().cpu() for n, t in module.state_dict().items() if isinstance(t, torch.Tensor)}
    return {n: np.array((t.float() if t.dtype == torch.bfloat16 else t).numpy(), order="C") for n, t in found.items()}


def save_safetensors(model: Any, path: str | Path, *, classes: Sequence[str] = (), shape: Sequence[int] = (), modality: str = "",
                     pixels: str = "", code: TableCode | None = None, planted: str = "",
                     arrays: Mapping[str, np.ndarray] | None = None) -> Path:
    """Write the weights of a torch module or of a `Suspect` with one, and what `open_suspect` needs to know beside them.

    planted  the attack that put a backdoor into it, so that an audit says so
    arrays   to be written in the place of the module's own: an adapter, or weights without a head
    Nothing is overwritten: raises UsageError where `path` exists, or where a suspect is a black box.
    """
    if isinstance(model, Suspect):
        if model.module is None:
            raise UsageError("a black box has no weights to write", advice="open the model itself")
        answer = model.answer
        classes, shape, modality = tuple(classes) or model.classes, tuple(shape) or model.shape, modality or model.modality
        pixels = pixels or str(getattr(model.tensor, "pixels", ""))
        code = code or (answer.code if isinstance(answer, _Answer) else None)
        model = model.module
    from safetensors.numpy import save_file

    told: dict[str, Any] = {"classes": [str(c) for c in classes], "shape": [int(v) for v in shape], "modality": modality,
                            "pixels": pixels, "planted": planted}
    if code is not None:
        told["table"] = {"centres": code.centres, "levels": code.levels}
    path = Path(path)
    with published(path) as draft:
        head = {KEY: json.dumps({k: v for k, v in told.items() if v})}  # in their order: it is that of the columns of the matrix
        save_file(arrays_of(model) if arrays is None else dict(arrays), draft, head)
    return path


def planted_in(told: dict[str, Any]) -> str:
    """The attack that the file says was planted in it; "" where it says nothing."""
    return str(told.get("planted", ""))[:60]


def told_by(extra: dict[str, Any]) -> dict[str, Any]:
    """What `save_safetensors` wrote beside the weights, each part checked."""
    values = extra.get("values")
    raw = values.get(KEY) if isinstance(values, dict) else None
    try:
        told = json.loads(raw) if isinstance(raw, str) else {}
    except (ValueError, RecursionError):
        return {}
    if not isinstance(told, dict):
        return {}
    texts, numbers = told.get("classes", []), told.get("shape", [])
    right = (isinstance(texts, list) and all(type(c) is str for c in texts) and isinstance(numbers, list) and len(numbers) <= 4
             and all(type(v) is int and 0 < v <= 65_536 for v in numbers) and type(told.get("modality", "")) is str
             and type(told.get("pixels", "")) is str and type(told.get("planted", "")) is str)
    if not right:
        raise UnreadableInput("what the file says about its classes and inputs is damaged",
                              advice="give --classes and --shape for a copy without it")
    return told


def _code(told: dict[str, Any]) -> TableCode | None:
    table = told.get("table")
    if table is None:
        return None
    try:
        return TableCode({str(k): (float(a), float(b)) for k, (a, b) in table["centres"].items()},
                         {str(k): tuple(str(v) for v in levels) for k, levels in table["levels"].items()})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableInput("what the file says about its columns is damaged", advice="save the model again") from error


class Pictures:
    """(n, h, w, 3) uint8 -> (n, c, h, w) float32, scaled; grey for networks of one channel."""

    def __init__(self, channels: int, pixels: str, device: str) -> None:
        if pixels not in (OURS, IMAGENET, PLAIN):
            raise UsageError(f"unknown scale of pixels {pixels!r}", advice=f"one of: {OURS}, {PLAIN}, {IMAGENET}")
        self.channels, self.pixels, self.device = channels, pixels, device

    def __call__(self, rows: Any) -> Any:
        import torch

        x = torch.from_numpy(np.ascontiguousarray(np.asarray(rows, np.uint8).transpose(0, 3, 1, 2))).to(self.device).float()
        x = x.div_(127.5).sub_(1) if self.pixels == OURS else x.div_(255)
        if self.pixels == IMAGENET:
            x = (x - torch.tensor(MEAN, device=self.device)[:, None, None]) / torch.tensor(DEVIATION, device=self.device)[:, None, None]
        return x.mean(dim=1, keepdim=True) if self.channels == 1 else x


def tensor_of(module: Any, modality: str, pixels: str, device: str) -> Tensor:
    import torch

    first = next(iter(module.parameters()), None)
    if modality == "image":
        flat = isinstance(first, torch.Tensor) and first.ndim == 2
        channels = int(first.shape[1]) if isinstance(first, torch.Tensor) and first.ndim == 4 else 3
        if flat and isinstance(first, torch.Tensor):
            channels = 3 if first.shape[1] % 3 == 0 and round((first.shape[1] / 3) ** 0.5) ** 2 * 3 == first.shape[1] else 1
        return Pictures(channels, pixels, device)
    if modality == "text":
        unit = "char" if isinstance(first, torch.Tensor) and first.shape[0] == SIGNS + 1 else "word"
        return lambda rows: torch.from_numpy(codes_of(rows, unit)).to(device)
    return lambda rows: torch.from_numpy(np.ascontiguousarray(rows, np.float32)).to(device)


class _Answer:
    """Inputs -> (n, K) float32 probabilities."""

    def __init__(self, module: Any, tensor: Tensor, modality: str, shape: tuple[int, ...], code: TableCode | None) -> None:
        self.module, self.tensor, self.modality, self.shape, self.code = module, tensor, modality, shape, code

    def __call__(self, inputs: Inputs) -> np.ndarray:
        parts = [self.ask(rows) for rows in self._batches(inputs)]
        return np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)

    def ask(self, rows: Any) -> np.ndarray:
        """(n, K) float32 for one batch of rows."""
        import torch

        with training.seeded(0), torch.no_grad():
            try:
                logits = self.module(beside(self.module, self.tensor(rows)))
            except (RuntimeError, ValueError, TypeError, IndexError) as error:
                raise AbilityFailed(f"the model does not take inputs of the shape {self.shape or 'that were given'}: "
                                    f"{(str(error).strip() or type(error).__name__).splitlines()[0][:160]}",
                                    advice="give the shape of one input (--shape 32,32,3), or the right factory") from error
            logits = getattr(logits, "logits", logits)
            if not isinstance(logits, torch.Tensor) or logits.ndim != 2:
                raise AbilityFailed("the model does not answer with one row of logits per input", advice="wrap it so that it does")
            return np.asarray(torch.softmax(logits.float(), dim=1).cpu().numpy(), np.float32)

    def matrix(self, table: Inputs) -> np.ndarray:
        """(n, d) float32: a table as the model reads it."""
        return _matrix(table, self.shape, self.code)

    def written(self, table: Table, trigger: Values) -> tuple[np.ndarray, np.ndarray]:
        """(k,) columns of `matrix` that the trigger writes, and (k,) float32 what it writes there; `table` says which columns there are."""
        strange = [n for n in trigger.columns if n not in table.columns]
        if strange:
            raise UsageError(f"the table has no column {line(strange[0], 60)!r}",
                             advice="give a trigger for the columns that the model reads")
        try:
            row = self.matrix(trigger.apply(table.take(np.arange(1)), np.random.default_rng(0)))[0]
        except ValueError as error:
            raise UsageError(f"a value of the trigger is no number: {line(str(error), 80)}",
                             advice="give numbers for columns of numbers") from error
        place = list(table.columns)
        found = [self.code.places(n) if self.code else np.array([place.index(n)]) for n in trigger.columns]
        where = np.concatenate([np.zeros(0, np.int64), *found])
        return where, row[where]

    def _batches(self, inputs: Inputs) -> Any:
        if self.modality == "image":
            if not isinstance(inputs, Images):
                raise UsageError("the model reads pictures", advice="give pictures to ask it about")
            height, width, _ = self.shape
            for _, pictures in inputs.chunks(max(1, min(BATCH, PIXELS // (height * width)))):
                yield np.stack([p if p.shape[:2] == (height, width) else stretched(p, height, width) for p in pictures])
        elif self.modality == "text":
            if not isinstance(inputs, Texts):
                raise UsageError("the model reads texts", advice="give texts to ask it about")
            yield from (inputs.values[i:i + BATCH] for i in range(0, len(inputs), BATCH))
        else:
            matrix = self.matrix(inputs)
            yield from (matrix[i:i + 4096] for i in range(0, len(matrix), 4096))


def _matrix(inputs: Inputs, shape: tuple[int, ...], code: TableCode | None) -> np.ndarray:
    if not isinstance(inputs, Table):
        raise UsageError("the model reads tables", advice="give a table to ask it about")
    missing = [n for n in (*code.centres, *code.levels) if n not in inputs.columns] if code else []
    if missing:
        raise UsageError(f"the table has no column {missing[0]!r}", advice="the columns must be those that the model was trained on")
    plain = [np.nan_to_num(c.values.astype(np.float32)) for c in inputs.columns.values()]
    matrix = code.matrix(inputs) if code else np.stack(plain, axis=1)
    if shape and matrix.shape[1] != shape[0]:
        raise UsageError(f"the model reads {shape[0]} numbers per row, the table gives {matrix.shape[1]}",
                         advice="give the columns that it was trained on, already as numbers")
    return matrix


def _classes_of(answer: _Answer, modality: str, shape: tuple[int, ...]) -> int:
    """K, from what the model says to a blank input."""
    if modality == "image":
        blank: Any = np.zeros((2, *shape), np.uint8)
    elif modality == "text":
        blank = np.array(["", "a"], object)
    elif not shape:
        raise UsageError("how many numbers the model reads per row is not known", advice="give the shape of one input (--shape 30)")
    else:
        blank = np.zeros((2, *shape), np.float32)
    found = answer.ask(blank)
    if found.shape[0] != 2 or found.shape[1] < 2 or not np.isfinite(found).all():
        raise AbilityFailed(f"the model answers {found.shape} for 2 blank inputs, or numbers that are not finite",
                            advice="audits need a classifier of two classes or more")
    return int(found.shape[1])
