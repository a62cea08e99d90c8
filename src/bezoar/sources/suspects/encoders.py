"""A weights file, or a module in memory -> an `Encoder`; a file of low-rank adapters -> its pairs of matrices."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bezoar.core.errors import AbilityFailed, UnreadableInput, UsageError
from bezoar.core.image_triggers import fit as stretched
from bezoar.core.inputs import Images, Inputs
from bezoar.core.limits import MIB, Limits
from bezoar.core.suspect import Encoder, weights_digest
from bezoar.intake.models import open_weights
from bezoar.networks import adapters, training
from bezoar.networks.architectures import PLAIN
from bezoar.networks.bodies import embedded, encoder_of, flat
from bezoar.networks.device import wanted
from bezoar.sources.suspects.modules import arrays_of, planted_in, save_safetensors, tensor_of, told_by
from bezoar.sources.suspects.taken import SIDE, SIZE_TAKEN

MOST_HEADER = 4 * MIB


@dataclass(frozen=True, eq=False)
class Adapter:
    """A file of low-rank matrices: by layer, and what the file says of itself (`declared` as of a `Suspect`)."""

    name: str
    fingerprint: str
    pairs: dict[str, adapters.Pair]
    declared: str = ""
    notes: tuple[str, ...] = field(default=())


def open_encoder(path: str | Path, *, factory: str = "", shape: Sequence[int] = (), pixels: str = "",
                 limits: Limits | None = None) -> Encoder:
    """The encoder of a weights file, with its head (what that reads are the features) or without; parameters as those of `open_suspect`.

    Raises UsageError for a kind of data that is not pictures; other errors as those of `open_suspect`.
    """
    path = Path(path)
    weights = open_weights(path, limits)
    fit, blank = encoder_of(weights.arrays, factory)
    told = told_by(weights.extra)
    notes = (f"{len(weights.arrays):,} arrays were read as data from a file of the kind {weights.kind}", *fit.notes)
    made = _made(fit.module, tuple(shape) or tuple(told.get("shape", ())) or fit.shape, path.name,
                 pixels or told.get("pixels", "") or fit.pixels, weights_digest(weights.arrays),
                 told.get("modality", "") or fit.modality or "image", notes)
    return replace(made, declared=planted_in(told), blank=blank)


def encoder_from(module: Any, shape: Sequence[int] = (), *, tensor: Callable[[Any], Any] | None = None, pixels: str = "",
                 name: str = "encoder") -> Encoder:
    """A torch module in memory whose call gives (n, d) features, or (n, d, ...) whose mean over places is taken."""
    return _made(flat(module), tuple(shape), name, pixels, weights_digest(arrays_of(module)), "image", (), tensor)


def _made(module: Any, shape: Sequence[int], name: str, pixels: str, fingerprint: str, modality: str,
          notes: tuple[str, ...], tensor: Callable[[Any], Any] | None = None) -> Encoder:
    if modality != "image":
        raise UsageError(f"an encoder of {modality} is not audited", advice="encoders of pictures are; audit the whole model instead")
    size = tuple(int(v) for v in shape)
    if not size:
        size = (SIDE, SIDE, 3)
        notes = (*notes, SIZE_TAKEN)
    if len(size) != 3 or size[2] != 3 or min(size) < 1:
        raise UsageError(f"an encoder of inputs of shape {size} cannot be audited", advice="pictures are (height, width, 3)")
    place = wanted()
    module = module.to(place).eval()
    make = tensor or tensor_of(module, "image", pixels or PLAIN, place)

    def embed(inputs: Inputs) -> np.ndarray:
        with training.seeded(0):
            return embedded(module, rows_of(inputs, size), tensor=make)

    try:
        with training.seeded(0):
            blank = embedded(module, np.zeros((2, *size), np.uint8), tensor=make)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise AbilityFailed(f"the encoder does not take inputs of the shape {size}: "
                            f"{(str(error).strip() or type(error).__name__).splitlines()[0][:160]}",
                            advice="give the shape of one input (--shape 32x32), or the right factory") from error
    if blank.shape[0] != 2 or blank.shape[1] < 2:
        raise AbilityFailed(f"the encoder answers {blank.shape} for 2 blank inputs", advice="it has to give two features or more per input")
    return Encoder(name, "image", int(blank.shape[1]), fingerprint, embed, module, make, size, module.inner, notes=notes)


def rows_of(inputs: Inputs, shape: tuple[int, ...]) -> np.ndarray:
    """(n, h, w, 3) uint8 as a network of pictures reads them. Raises UsageError for another kind of data."""
    if not isinstance(inputs, Images):
        raise UsageError("the model reads pictures", advice="give pictures to ask it about")
    h, w = shape[:2]
    if inputs.uniform and len(inputs) and tuple(inputs.sizes[0]) == (h, w):
        return inputs.dense()
    out = np.zeros((len(inputs), h, w, 3), np.uint8)
    for some, batch in inputs.chunks():
        out[some] = np.stack([stretched(p, h, w) for p in batch])
    return out


def weights_of(encoder: Encoder, network: Any = None) -> dict[str, np.ndarray]:
    """The weights of an encoder, or of another `network` in its place, as its file has them."""
    arrays = arrays_of(encoder.network if network is None else network)
    return {n: a for n, a in arrays.items() if not encoder.blank or not n.startswith(encoder.blank + ".")}


def open_adapter(path: str | Path, limits: Limits | None = None) -> Adapter | None:
    """The adapter of a weights file, or None where its arrays are not those of one. Raises Refused, UnreadableInput, LimitExceeded."""
    weights = open_weights(path, limits)
    if not adapters.is_adapter(weights.arrays):
        return None
    other = sorted(n for n in weights.arrays if not adapters.NAME.match(n))
    notes = (f"{len(other)} arrays are not matrices of the adapter and were not looked at, such as {other[0][:60]!r}",) if other else ()
    return Adapter(Path(path).name, weights_digest(weights.arrays), adapters.pairs_of(weights.arrays),
                   planted_in(told_by(weights.extra)), notes)


def looks_like_adapter(path: str | Path) -> bool:
    """Whether a safetensors file is an adapter's, by the names in its header alone; False for what cannot be read so."""
    if Path(path).suffix.lower() != ".safetensors" or not Path(path).is_file():
        return False
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            names = json.loads(file.read(length)) if 2 <= length <= MOST_HEADER else {}
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(names, dict) and adapters.is_adapter(k for k in names if k != "__metadata__")


def save_adapter(arrays: Mapping[str, np.ndarray], path: str | Path, planted: str = "") -> Path:
    """Write an adapter's arrays as safetensors; nothing is overwritten. Raises UnreadableInput for arrays that are none."""
    if not adapters.is_adapter(arrays):
        raise UnreadableInput("these arrays are not those of an adapter", advice="names end in lora_A.weight and lora_B.weight")
    return save_safetensors(None, path, planted=planted, arrays=arrays)
