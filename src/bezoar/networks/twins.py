"""Clean twins: networks of the suspect's own architecture, trained anew on data that are trusted. Torch is imported inside.

They say what is natural for such a network on such data: how large a margin, how small a shift, how strong a row. Pictures are varied
while they learn, each twin by another amount, and drawn anew for each with repetition (Breiman 1996), so that what hangs on the draw shows
as spread among the twins. Fails where the architecture has parameters that cannot be drawn anew, and where there are too few samples to
train on: twins of pictures are asked about samples that they did not see, and refused where they are right on much less of them than the
suspect.
Cost: one training each; the same data and seed give the same twins.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from bezoar.core.audit import AuditView
from bezoar.core.errors import Unavailable
from bezoar.core.inputs import Images, Table, Texts
from bezoar.core.suspect import Suspect, weights_digest
from bezoar.networks import device, training
from bezoar.networks.image_victim import brought

LEAST = 20
"""Samples per class from which on twins are trained. Ten pictures of each were tried: all twins share what is odd about these few, and a
quarter of clean networks stood out."""
STEPS, BATCH = 300, 64
"""Steps, and samples in each, that a twin is trained for; at least 10 passes."""
AMOUNTS = (1.0, 0.25, 1.0, 0.0)
"""By how much one twin after the other sees pictures varied: nobody knows how the suspect was trained, so they differ in it too."""
OUT = 5
"""Every twin leaves one of so many parts of the samples out, another one each; on these its accuracy is measured."""
AS_GOOD = 0.6
"""Twins know what is natural where they are right on so large a part of what the suspect is right on."""


def suspect_of(module: Any, classes: tuple[str, ...], side: int, name: str = "model") -> Suspect:
    """A network over square pictures that bezoar trained itself, as a suspect."""
    module.eval()
    weights = {k: v.detach().cpu().numpy() for k, v in module.state_dict().items()}

    def answer(inputs: Any) -> np.ndarray:
        with training.seeded(0):
            return training.probabilities(module, brought(inputs, side), tensor=training.pictures)

    return Suspect(name, "image", classes, weights_digest(weights), answer, module, training.pictures, (side, side, 3))


def anew(module: Any) -> Any:
    """A copy whose every parameter is drawn anew, inside `training.seeded`. Raises Unavailable where that cannot be done."""
    fresh = copy.deepcopy(module)
    drawn: set[int] = set()
    for part in fresh.modules():
        if hasattr(part, "reset_parameters"):
            part.reset_parameters()
            drawn |= {id(p) for p in part.parameters(recurse=False)}
    if any(id(p) not in drawn for p in fresh.parameters()):
        raise Unavailable("layers whose weights can be drawn anew")
    for p in fresh.parameters():
        p.requires_grad_(True)
    return fresh


def twins(view: AuditView, count: int, seed: int, cache: Path | None = None) -> tuple[Suspect, ...]:
    """`count` clean twins, trained on the view's clean samples where the suspect stands; with `cache`, a folder, those of the same
    architecture, samples and seed are read instead of trained (NPZ of numbers).

    Raises Unavailable where the samples are too few, cannot be read into an array, or do not teach such a network enough.
    """
    suspect, data = view.suspect, view.samples()
    module = view.module()
    assert data.labels is not None
    sizes = np.bincount(data.labels.codes, minlength=len(suspect.classes))
    pictures = isinstance(data.inputs, Images)
    if sizes.min() < LEAST:
        raise Unavailable(f"{LEAST} clean samples of each class (the least has {sizes.min()})")
    x, tensor, how = _material(suspect, data.inputs)
    codes, part = data.labels.codes, _parts(data.labels.codes)
    shapes = {k: tuple(v.shape) for k, v in module.state_dict().items()}
    stands = device.of(module)
    where = "" if stands == "cpu" else f"\0{stands}"  # its last digits differ
    kind = hashlib.sha256(f"bezoar.twin/3\0{module!r}\0{shapes}\0{data.fingerprint}\0{suspect.shape}\0{seed}\0{STEPS}{where}".encode())
    right = suspect.predict(data.inputs).argmax(axis=1) == codes if pictures else codes >= 0
    out, checked = [], []
    for i in range(count):
        place = None if cache is None else cache / f"{kind.hexdigest()[:32]}-{i}.npz"
        left = pictures & (part == i % OUT)
        more = {"vary": AMOUNTS[i % len(AMOUNTS)]} if pictures else {}
        rng = np.random.default_rng([seed, i])
        rows = _drawn(codes, ~left, rng) if pictures else np.arange(len(codes))
        twin = _kept(module, place) or _trained(suspect, x[rows], codes[rows], rng, place, tensor, how | more)
        out.append(_like(suspect, twin, f"twin {i}"))
        if left.any():
            held = np.flatnonzero(left)
            checked.append([right[held], out[-1].predict(data.inputs.take(held)).argmax(axis=1) == codes[held]])
        if len(checked) >= min(count, 2):  # the first two are the best
            own, theirs = np.concatenate(checked, axis=1).mean(axis=1)
            if theirs < AS_GOOD * own:
                raise Unavailable(f"more clean samples: networks trained on these {len(codes):,} are right on {theirs:.0%} of others, the "
                                  f"model on {own:.0%}, so they do not know what is natural")
    return tuple(out)


def _drawn(codes: np.ndarray, there: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rows that are `there`, with repetition: as many of each class as it has."""
    groups = [np.flatnonzero((codes == code) & there) for code in np.unique(codes)]
    return np.concatenate([rng.choice(rows, len(rows)) for rows in groups])


def _parts(codes: np.ndarray) -> np.ndarray:
    """(n,) one of `OUT` parts of every sample, as many of each class in each."""
    part = np.zeros(len(codes), np.int64)
    for code in np.unique(codes):
        rows = np.flatnonzero(codes == code)
        part[rows] = np.arange(len(rows)) % OUT
    return part


def _material(suspect: Suspect, inputs: Any) -> tuple[np.ndarray, Callable[[Any], Any], dict[str, Any]]:
    """Rows to train on, what makes them an input of the network, and how such networks are trained."""
    import torch

    make = suspect.tensor
    assert make is not None
    if isinstance(inputs, Images) and len(suspect.shape) == 3:
        return brought(inputs, *suspect.shape[:2]), lambda rows: make(rows).cpu(), {}
    seen = make(_read(suspect, inputs))
    if not isinstance(seen, torch.Tensor) or len(seen) != len(inputs):
        raise Unavailable("samples that become one tensor, to train twins on")
    return seen.cpu().numpy(), torch.from_numpy, {"rate": 0.005}


def _read(suspect: Suspect, inputs: Any) -> np.ndarray:
    """(n, ...) rows as the suspect's `tensor` takes them."""
    if isinstance(inputs, Images) and len(suspect.shape) == 3:
        return brought(inputs, *suspect.shape[:2])
    if isinstance(inputs, Texts):
        return inputs.values
    matrix = getattr(suspect.answer, "matrix", None)
    if not isinstance(inputs, Table) or matrix is None:
        raise Unavailable("pictures, texts, or a table whose columns are known, to train twins on")
    return np.asarray(matrix(inputs))


def _trained(suspect: Suspect, x: np.ndarray, codes: np.ndarray, rng: np.random.Generator, place: Path | None,
             tensor: Callable[[Any], Any], how: dict[str, Any]) -> Any:
    import torch

    epochs = max(10, -(-STEPS * BATCH // len(x)))
    with training.seeded(int(rng.integers(1 << 31))):
        fresh = training.fit(anew(suspect.module), x, codes, rng, tensor=tensor, epochs=epochs, batch=BATCH, **how)
    if place is not None:
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_suffix(".part")
        with open(part, "wb") as file:
            np.savez(file, **{k: v.cpu().numpy() for k, v in fresh.state_dict().items() if isinstance(v, torch.Tensor)})
        part.replace(place)
    return fresh


def _kept(module: Any, place: Path | None) -> Any:
    """What was kept there, or None; a file that does not fit is trained again."""
    import torch

    if place is None or not place.exists():
        return None
    fresh = copy.deepcopy(module)
    try:
        with np.load(place, allow_pickle=False) as kept:
            fresh.load_state_dict({k: torch.from_numpy(np.array(kept[k])) for k in kept.files})
    except (OSError, ValueError, RuntimeError, KeyError, EOFError, BadZipFile):
        return None
    return fresh.eval()


def _like(suspect: Suspect, module: Any, name: str) -> Suspect:
    assert suspect.tensor is not None
    tensor = suspect.tensor
    weights = {k: v.detach().cpu().numpy() for k, v in module.state_dict().items()}

    def answer(inputs: Any) -> np.ndarray:
        with training.seeded(0):
            return training.probabilities(module, _read(suspect, inputs), tensor=tensor)

    return replace(suspect, name=name, fingerprint=weights_digest(weights), answer=answer, module=module, notes=())
