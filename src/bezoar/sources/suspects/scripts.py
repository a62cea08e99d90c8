"""TorchScript archives -> a `Suspect` without a module; the program runs in a child that can open no file and reach no network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bezoar.core.errors import AbilityFailed, Refused, Unavailable, UnreadableInput, UsageError
from bezoar.core.inputs import Inputs, Table, Texts
from bezoar.core.limits import Limits
from bezoar.core.suspect import Suspect
from bezoar.intake.models import read_weights
from bezoar.sources.suspects.black_boxes import asked, pictures_as, started
from bezoar.sources.suspects.taken import SIDE, SIZE_TAKEN


def open_script(path: str | Path, *, classes: Sequence[str] = (), shape: Sequence[int] = (), modality: str = "", pixels: str = "0..1",
                like: Inputs | None = None, limits: Limits | None = None) -> Suspect:
    """A TorchScript classifier as a black box; it runs in a child process (`intake.models.asked_apart`).

    The file does not say what it reads: rows where `like` is a table, `modality` is "tabular" or `shape` has one number, else pictures of
    three channels, or of one where it does not take three.
    Raises Refused or UnreadableInput for files that the static look does not let pass, Unavailable where there is no filter of system
    calls, or no torch, UsageError for texts, AbilityFailed where it does not answer, LimitExceeded where it takes too long or too much.
    """
    path = Path(path)
    seen = read_weights(path, limits)
    if seen.kind != "torchscript" or seen.extra.get("opens as") != "black box":
        reason = seen.reasons[0] if seen.reasons else "it is no TorchScript archive"
        kind = Refused if seen.verdict == "refused" else UnreadableInput
        raise kind(f"{path.name} cannot be used: {reason}", advice="export it to ONNX")
    if isinstance(like, Texts) or modality == "text":
        raise UsageError("a TorchScript model does not say how texts become numbers", advice="audit it as a Python callable, or as ONNX")
    try:
        import torch  # noqa: F401
    except ImportError:
        raise Unavailable("torch", advice="pip install 'bezoar[torch]'") from None
    width = shape[0] if len(shape) == 1 else len(like.names) if isinstance(like, Table) else 0
    runner, digest = started(path, "torchscript")
    if width or modality == "tabular":
        return asked(runner, path.name, lambda rows: np.asarray(rows, np.float32), digest, "tabular", (width,), classes)
    size = (int(shape[0]), int(shape[1]), 3) if len(shape) == 3 else (SIDE, SIDE, 3)
    notes = () if len(shape) == 3 else (SIZE_TAKEN,)
    try:
        return asked(runner, path.name, pictures_as("<f4", False, False, pixels), digest, "image", size, classes, notes=notes)
    except AbilityFailed as error:
        try:
            return asked(runner, path.name, pictures_as("<f4", False, True, pixels), digest, "image", size, classes,
                         notes=(*notes, "it reads grey pictures"))
        except AbilityFailed:
            raise error from None
