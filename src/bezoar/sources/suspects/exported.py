"""Archives of `torch.export` -> a `Suspect` with a module: the program is read as data and followed by bezoar itself.

Before anything of it is computed here, a child process that can open no file and reach no network answers a blank input with the same
program, within limits of memory and time; the two answers have to agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bezoar.core.errors import AbilityFailed, Refused, Unavailable, UnreadableInput, UsageError
from bezoar.core.inputs import Inputs, Texts
from bezoar.core.limits import Limits
from bezoar.core.suspect import Suspect, weights_digest
from bezoar.intake.models import SAFE, Weights, opened, read_weights
from bezoar.intake.models.exported_module import module_of
from bezoar.networks.architectures import PLAIN
from bezoar.networks.device import wanted
from bezoar.sources.suspects.black_boxes import started
from bezoar.sources.suspects.modules import Pictures, suspect_from
from bezoar.sources.suspects.taken import SCALE_TAKEN, SIDE, SIZE_TAKEN

AGREE = 1e-3
"""Largest difference between the two answers, by the size of the answer."""


def open_exported(path: str | Path, *, classes: Sequence[str] = (), shape: Sequence[int] = (), modality: str = "", pixels: str = "",
                  like: Inputs | None = None, limits: Limits | None = None, weights: Weights | None = None) -> Suspect:
    """A classifier of `torch.export`, with a module that can be looked into; a black box where it insists on its batch.

    Parameters and errors as those of `open_suspect`.

    weights  what `read_weights` gave, where the file was read already
    Raises Refused or UnreadableInput for programs that lie or hold operators that are not followed, Unavailable where there is no torch
    or no filter of system calls, UsageError for texts, LimitExceeded where it takes too long or too much.
    """
    path = Path(path)
    weights = read_weights(path, limits) if weights is None else weights
    if weights.kind != "exported" or weights.verdict != SAFE or not weights.arrays:
        opened(weights, path.name)
        raise UnreadableInput(f"{path.name} is no program of torch.export", advice="save it with torch.export.save")
    if isinstance(like, Texts) or modality == "text":
        raise UsageError("a program of torch.export does not say how texts become numbers",
                         advice="audit it as a Python callable, or as ONNX")
    try:
        import torch
    except ImportError:
        raise Unavailable("torch", advice="pip install 'bezoar[torch]'") from None
    odd = [n for n, a in weights.arrays.items() if a.dtype.kind == "f" and not np.isfinite(a).all()]
    if odd:
        raise Refused(f"{path.name} holds numbers that are not finite ({odd[0][:60]!r})", advice="it is damaged; get another copy")
    module = module_of(weights.extra.get("program"), weights.arrays)
    dims = module.program.shape
    size = _size(path.name, dims, shape)
    blank = np.zeros((dims[0] or 2, *((size[2] if dims[1] == 3 else 1, *size[:2]) if len(size) == 3 else size)), np.float32)
    runner, _ = started(path, "exported")
    try:
        apart = runner.ask(blank)
    finally:
        runner.close()
    with torch.no_grad():
        here = module(torch.from_numpy(blank)).float().numpy()
    apart = [o for o in apart if o.shape == here.shape]
    if not apart or not np.abs(apart[0] - here).max(initial=0) <= AGREE * (1 + np.abs(here).max(initial=0)):
        raise AbilityFailed(f"{path.name} answers differently when it is asked again", advice="export it again")
    free = module.fixed is None or _any_batch(module, blank.shape[1:])
    notes = (f"{len(weights.arrays):,} arrays and a program of {len(module.program.steps):,} steps were read as data, and are followed "
             "by bezoar", *_guesses(dims, shape, pixels),
             *([] if free else [f"it insists on a batch of {dims[0]}: it was only asked"]))
    tensor = Pictures(int(dims[1] or 3), pixels or PLAIN, wanted()) if len(size) == 3 else None
    digest = weights_digest({**weights.arrays, "program": np.frombuffer(module.digest.encode(), np.uint8)})
    found = suspect_from(module, classes, size, tensor=tensor, modality="image" if len(size) == 3 else "tabular", name=path.name,
                         fingerprint=digest, notes=notes)
    return found if free else replace(found, module=None, tensor=None)


def _any_batch(module: Any, shape: Sequence[int]) -> bool:
    """Whether a program that was exported for one batch answers the same in another; from then on it is followed in any."""
    import torch

    x = torch.from_numpy(np.random.default_rng(0).normal(size=(module.fixed + 1, *shape)).astype(np.float32))
    with torch.no_grad():
        whole = module(x)
        try:
            other = module.follow(x)
        except (RuntimeError, ValueError, TypeError, IndexError):
            return False
    if other.shape != whole.shape or not torch.allclose(other, whole, rtol=AGREE, atol=AGREE):
        return False
    module.fixed = None
    return True


def _size(name: str, dims: Sequence[int | None], shape: Sequence[int]) -> tuple[int, ...]:
    """(h, w, 3) of a picture, or (d,) of a row."""
    if len(dims) == 4 and dims[1] in (1, 3):
        given = tuple(shape[:2]) if len(shape) == 3 else (SIDE, SIDE)
        return (int(dims[2] or given[0]), int(dims[3] or given[1]), 3)
    if len(dims) == 2 and (dims[1] or len(shape) == 1):
        return (int(dims[1] or shape[0]),)
    said = " x ".join("n" if d is None else str(d) for d in dims)
    raise UnreadableInput(f"{name} reads inputs of {said}", advice="pictures (n, 3, h, w) and rows (n, d) are audited")


def _guesses(dims: Sequence[int | None], shape: Sequence[int], pixels: str) -> list[str]:
    if len(dims) != 4:
        return []
    return [*([] if pixels else [SCALE_TAKEN]),
            *(["it reads grey pictures"] if dims[1] == 1 else []),
            *([] if (dims[2] and dims[3]) or len(shape) == 3 else
              [SIZE_TAKEN])]
