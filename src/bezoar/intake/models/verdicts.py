"""What opening a model file ends in: a verdict with reasons, and arrays where it is safe."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

SAFE, REFUSED, INCONCLUSIVE = "safe", "refused", "inconclusive"
CONVERT = "convert it to safetensors where it was made"


@dataclass(frozen=True, eq=False)
class Weights:
    """The named arrays of a model file.

    arrays   name -> read-only array; bfloat16 comes as float32. Empty unless `verdict` is "safe"
    kind     what the content is, whatever the name says: "torch", "torch legacy", "safetensors", "npz", "npy", "onnx", ...
    verdict  "safe": only numbers were read, and all of them; "refused": the file would run code or lies about itself;
             "inconclusive": damaged, beyond a limit, or of a kind that is not read
    reasons  sentences, the first one the most important
    extra    plain metadata: strings, numbers, lists of them
    """

    arrays: dict[str, np.ndarray]
    kind: str
    verdict: str
    reasons: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Inspection:
    """The static scan of a file or folder; as `Weights`, without arrays."""

    kind: str
    verdict: str
    reasons: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)


class Stopped(Exception):
    """Reading ended; the message is a reason. Never leaves this package."""

    verdict = INCONCLUSIVE


class Hostile(Stopped):
    """The file would run code, or says two different things about itself."""

    verdict = REFUSED


class Unknown(Stopped):
    """Damaged, or of a kind that is not read."""


class TooMuch(Stopped):
    """A limit was hit."""


def worst(verdicts: list[str]) -> str:
    """The verdict of several parts.

    >>> worst(["safe", "inconclusive"]), worst([])
    ('inconclusive', 'inconclusive')
    """
    return next((v for v in (REFUSED, INCONCLUSIVE, SAFE) if v in verdicts), INCONCLUSIVE)
