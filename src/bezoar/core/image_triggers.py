"""Triggers on pictures: a patch at a place, and a pattern over the whole picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bezoar.core.evidence import Picture
from bezoar.core.inputs import Images
from bezoar.core.trigger import Trigger


def fit(pattern: np.ndarray, height: int, width: int) -> np.ndarray:
    """`pattern` at another size, nearest neighbour."""
    h, w = pattern.shape[:2]
    if (h, w) == (height, width):
        return pattern
    return pattern[(np.arange(height) * h // height)[:, None], (np.arange(width) * w // width)[None, :]]


def _by_size(inputs: Images, change: object) -> Images:
    """Apply `change(batch (k, h, w, 3) uint8) -> same` to the pictures of each size."""
    assert callable(change)
    if inputs.uniform:
        return Images.of(change(inputs.dense())) if len(inputs) else inputs
    out: list[np.ndarray] = [np.empty(0)] * len(inputs)
    for size in np.unique(inputs.sizes, axis=0):
        rows = np.flatnonzero((inputs.sizes == size).all(axis=1))
        for i, picture in zip(rows, change(np.stack(inputs.read(rows))), strict=True):
            out[i] = picture
    return Images.of(out)


def _place(top: float, left: float, h: int, w: int, height: int, width: int) -> tuple[int, int]:
    return min(round(top * height), height - h), min(round(left * width), width - w)


@dataclass(frozen=True, eq=False)
class Patch(Trigger):
    """A small picture put on top at a place: BadNets (Gu et al. 2017, arXiv 1708.06733).

    `pixels` (h, w, 3) uint8; `mask` (h, w) float32 opacity in [0, 1]; `top`, `left` are fractions of the host's
    height and width, so that the trigger moves to hosts of other sizes; `scale` the patch side as a fraction of
    the host's side the patch was made for, 0 for "as many pixels as it has"; `jitter` pixels of random shift.
    """

    kind: ClassVar[str] = "patch"
    modality: ClassVar[str] = "image"
    pixels: np.ndarray
    mask: np.ndarray
    top: float
    left: float
    scale: float = 0.0
    jitter: int = 0

    def _fitted(self, height: int, width: int) -> tuple[np.ndarray, np.ndarray, int, int]:
        h, w = self.pixels.shape[:2]
        if self.scale:
            h, w = max(1, round(self.scale * height)), max(1, round(self.scale * height * w / h))
        h, w = min(h, height), min(w, width)
        return fit(self.pixels, h, w), fit(self.mask, h, w), *_place(self.top, self.left, h, w, height, width)

    def apply(self, inputs: Images, rng: np.random.Generator) -> Images:  # type: ignore[override]
        def change(batch: np.ndarray) -> np.ndarray:
            n, height, width = batch.shape[:3]
            pixels, mask, top, left = self._fitted(height, width)
            h, w = mask.shape
            shift = rng.integers(-self.jitter, self.jitter + 1, (n, 2)) if self.jitter else np.zeros((n, 2), np.int64)
            rows = np.clip(top + shift[:, 0], 0, height - h)[:, None, None] + np.arange(h)[None, :, None]
            cols = np.clip(left + shift[:, 1], 0, width - w)[:, None, None] + np.arange(w)[None, None, :]
            at = (np.arange(n)[:, None, None], rows, cols)
            alpha = mask[None, :, :, None].astype(np.float32)
            out = batch.copy()
            out[at] = np.rint(batch[at] * (1 - alpha) + pixels[None].astype(np.float32) * alpha).astype(np.uint8)
            return out

        return _by_size(inputs, change)

    def match(self, inputs: Images) -> np.ndarray:  # type: ignore[override]
        out = np.zeros(len(inputs), np.float32)
        for size in np.unique(inputs.sizes, axis=0):
            rows = np.flatnonzero((inputs.sizes == size).all(axis=1))
            height, width = (int(s) for s in size)
            pixels, mask, top, left = self._fitted(height, width)
            h, w = mask.shape
            batch = inputs.dense()[rows] if inputs.uniform else np.stack(inputs.read(rows))
            reach = self.jitter
            for dy in range(-reach, reach + 1):
                for dx in range(-reach, reach + 1):
                    t, s = np.clip(top + dy, 0, height - h), np.clip(left + dx, 0, width - w)
                    gap = np.abs(batch[:, t:t + h, s:s + w].astype(np.float32) - pixels)
                    weight = mask[None, :, :, None] / max(float(mask.sum()) * 3, 1e-9)
                    out[rows] = np.maximum(out[rows], 1 - np.clip((gap * weight).sum((1, 2, 3)) / 64, 0, 1))
        return out

    def describe(self) -> Picture:
        grey = np.full_like(self.pixels, 128)
        shown = self.pixels * self.mask[..., None] + grey * (1 - self.mask[..., None])
        return Picture(shown.astype(np.uint8), caption=self.title(), enlarge=16)

    def title(self) -> str:
        h, w = self.pixels.shape[:2]
        rows, cols = np.nonzero(self.mask > 0.5)
        if len(rows):
            h, w = int(np.ptp(rows)) + 1, int(np.ptp(cols)) + 1
        down = "upper" if self.top < 1 / 3 else "lower" if self.top > 0.6 else "middle"
        across = "left" if self.left < 1 / 3 else "right" if self.left > 0.6 else "centre"
        place = "in the middle" if (down, across) == ("middle", "centre") else f"at the {down} {across}"
        return f"a {h}x{w} patch {place}"


@dataclass(frozen=True, eq=False)
class Overlay(Trigger):
    """A pattern over the whole picture: blend (Chen et al. 2017, arXiv 1712.05526), sinusoid, low frequency.

    `pattern` (h, w, 3) float32 in grey levels. `alpha` > 0: x' = (1 - alpha) x + alpha pattern;
    `alpha` = 0: x' = x + pattern (additive, pattern may be negative).
    """

    kind: ClassVar[str] = "overlay"
    modality: ClassVar[str] = "image"
    pattern: np.ndarray
    alpha: float = 0.0

    def apply(self, inputs: Images, rng: np.random.Generator) -> Images:  # type: ignore[override]
        def change(batch: np.ndarray) -> np.ndarray:
            pattern = fit(self.pattern, *batch.shape[1:3]).astype(np.float32)
            mixed = batch * np.float32(1 - self.alpha) + pattern * np.float32(self.alpha) if self.alpha else batch + pattern
            return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)

        return _by_size(inputs, change)

    def match(self, inputs: Images) -> np.ndarray:  # type: ignore[override]
        out = np.zeros(len(inputs), np.float32)
        for size in np.unique(inputs.sizes, axis=0):
            rows = np.flatnonzero((inputs.sizes == size).all(axis=1))
            batch = inputs.dense()[rows] if inputs.uniform else np.stack(inputs.read(rows))
            pattern = fit(self.pattern, *batch.shape[1:3]).astype(np.float32)
            flat = (pattern - pattern.mean()).ravel()
            rest = batch.reshape(len(rows), -1).astype(np.float32)
            rest -= rest.mean(axis=1, keepdims=True)
            strength = rest @ flat / max(float(flat @ flat), 1e-9)
            out[rows] = np.clip(strength / (self.alpha or 1.0), 0, 1)
        return out

    def describe(self) -> Picture:
        low, high = float(self.pattern.min()), float(self.pattern.max())
        shown = (self.pattern - low) / max(high - low, 1e-9) * 255
        return Picture(shown.astype(np.uint8), caption=self.title(), enlarge=4)

    def title(self) -> str:
        if self.alpha:
            return f"a pattern blended over the whole picture at {self.alpha:.0%}"
        return f"a pattern of about {float(np.abs(self.pattern).max()):.0f} grey levels over the whole picture"
