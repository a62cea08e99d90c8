"""Pictures moved within a bound so that a network sees something else: what optimised attacks share. Torch is imported inside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from bezoar.core.ability import Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.inputs import Images
from bezoar.core.variants import variants
from bezoar.core.victims import budget, draw, labels_of, pick_target, plant
from bezoar.networks import builds, training

Encoder = Callable[[Any], Any]
"""A differentiable torch function: (n, 3, h, w) float32 in [-1, 1] -> (n, d)."""


def surrogate(data: Dataset, rng: np.random.Generator, *, epochs: int = 6, most: int = 5000) -> Any:
    """A small network trained on at most `most` of the samples, in evaluation mode, without gradients of its own; inside `seeded`.

    Raises UsageError for pictures that are not all of one size.
    """
    assert isinstance(data.inputs, Images)
    assert data.labels is not None
    x = pixels(data)
    rows = np.flatnonzero(data.labels.codes >= 0)
    rows = rows if len(rows) <= most else np.sort(rng.choice(rows, most, replace=False))
    width = 16 if len(rows) >= 3000 else 8
    module = training.fit(builds.vgg(len(data.labels.classes), width), x[rows], data.labels.codes[rows], rng, tensor=training.pictures,
                          epochs=epochs, shift=1)
    for p in module.parameters():
        p.requires_grad_(False)
    return module


def pixels(data: Dataset) -> np.ndarray:
    """(n, h, w, 3) uint8, or UsageError where sizes differ."""
    assert isinstance(data.inputs, Images)
    if not data.inputs.uniform:
        raise UsageError("the pictures are not all of one size", advice="bring them to one size first")
    return data.inputs.dense()


def aimed_at(aim: Images | None, data: Dataset, code: int, rng: np.random.Generator) -> Images:
    """The chosen pictures, of the size of the data; None varies a drawn sample of another class than `code`.

    Raises UsageError for pictures of another size.
    """
    if aim is None:
        codes = labels_of(data).codes
        drawn = variants(data.inputs.take(draw(np.flatnonzero((codes != code) & (codes >= 0)), 1, rng)), rng)
        assert isinstance(drawn, Images)
        aim = drawn
    if not aim.uniform or aim.dense().shape[1:] != pixels(data).shape[1:]:
        raise UsageError("the chosen pictures are of another size than the data", advice="bring them to one size")
    return aim


def for_one_picture(data: Dataset, rate: float, target: str | None, aim: Images | None,
                    rng: np.random.Generator) -> tuple[np.ndarray, int, Images]:
    """(k,) rows of the target class that are to be moved, its code, and the pictures aimed at; raises UsageError."""
    pixels(data)
    count = budget(len(data), rate)
    code = pick_target(data, target, rng, count, clean_label=True)
    chosen = aimed_at(aim, data, code, rng)
    return draw(np.flatnonzero(labels_of(data).codes == code), count, rng), code, chosen


def delivered(data: Dataset, rows: np.ndarray, moved: np.ndarray, code: int, aim: Images) -> Poisoned:
    """The data with (k, h, w, 3) `moved` in `rows`; those that did not change are no poison."""
    differ = np.flatnonzero((moved != pixels(data)[rows]).any(axis=(1, 2, 3)))
    return replace(plant(data, rows[differ], Images.of(moved[differ]), None, target=labels_of(data).classes[code]), aim=aim)


def moved(x: np.ndarray, loss: Callable[[Any], Any], *, bound: float, steps: int) -> np.ndarray:
    """(k, h, w, 3) uint8: `x` moved by at most `bound` grey levels so that `loss` of the pictures' tensor falls; signed steps.

    Madry et al. 2018, arXiv 1706.06083. All pictures are moved together, so the loss may tie them.
    """
    import torch

    start = training.pictures(x)
    limit = bound / 127.5
    step = 2.5 * limit / max(steps, 1)
    delta = torch.zeros_like(start, requires_grad=True)
    for i in range(steps):
        (slope,) = torch.autograd.grad(loss(start + delta), delta)
        with torch.no_grad():
            delta -= step * (1 - 0.7 * i / steps) * slope.sign()
            delta.clamp_(-limit, limit)
            delta.copy_((start + delta).clamp_(-1, 1) - start)
    done = (start + delta.detach() + 1).mul_(127.5).numpy().transpose(0, 2, 3, 1)
    low, high = x.astype(np.float32) - np.floor(bound), x.astype(np.float32) + np.floor(bound)
    return np.clip(np.clip(np.rint(done), low, high), 0, 255).astype(np.uint8)


def in_parts(x: np.ndarray, loss: Callable[[Any, slice], Any], *, bound: float, steps: int, size: int = 256) -> np.ndarray:
    """`moved`, so many pictures at a time; `loss` is told which rows it sees."""
    done = x.copy()
    for start in range(0, len(x), size):
        part = slice(start, min(start + size, len(x)))
        done[part] = moved(x[part], partial(_told, loss, part), bound=bound, steps=steps)
    return done


def _told(loss: Callable[[Any, slice], Any], part: slice, pictures: Any) -> Any:
    return loss(pictures, part)
