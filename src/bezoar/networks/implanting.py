"""What the attacks on models share: a mark in a corner, pictures with it, how far it works, the statistics of features."""

from __future__ import annotations

from typing import Any

import numpy as np

from bezoar.core.errors import UsageError
from bezoar.core.image_triggers import Patch
from bezoar.core.inputs import Images
from bezoar.core.model_attack import AttackCase
from bezoar.maths import patterns
from bezoar.networks.tuning import answers

PATTERNS = ("random", "square", "checkerboard")


def corner(case: AttackCase, size: float, pattern: str, rng: np.random.Generator) -> Patch:
    """A mark at the lower right, one pixel from the border; `size` in pixels from 1 on, below 1 as a share of the shorter side.

    Raises UsageError for an unknown pattern, or a mark that covers more than half of the shorter side.
    """
    h, w = case.samples.x.shape[1:3]
    side = max(1, round(size * min(h, w))) if size < 1 else round(size)
    if size <= 0 or side > min(h, w) / 2:
        raise UsageError(f"a mark of size {size:g} does not go on pictures of {h}x{w}", advice=f"at most {min(h, w) // 2} pixels")
    if pattern not in PATTERNS:
        raise UsageError(f"unknown pattern {pattern!r}", advice="one of: " + ", ".join(PATTERNS))
    pixels = {"random": lambda: patterns.noise(side, side, rng), "square": lambda: patterns.solid(side, side),
              "checkerboard": lambda: patterns.checkerboard(side, side)}[pattern]()
    gap = 1 if side + 1 < min(h, w) else 0
    return Patch(pixels, np.ones((side, side), np.float32), (h - side - gap) / h, (w - side - gap) / w)


def marked(x: np.ndarray, trigger: Patch, rng: np.random.Generator) -> np.ndarray:
    """(n, h, w, 3) uint8 with the trigger."""
    return trigger.apply(Images.of(x), rng).dense()


def success(module: Any, case: AttackCase, trigger: Patch, target: int, rng: np.random.Generator) -> float:
    """Share of the samples of other classes that the trigger moves to `target`."""
    x = case.samples.x[case.samples.codes != target]
    return float((answers(module, marked(x, trigger, rng), case.tensor) == target).mean()) if len(x) else 0.0
