"""Does this input carry a trigger? Two statistics of one input at a trained network, and ways to wash a trigger out of a picture.

`Filter` is calibrated on trusted samples and costs one pass more than answering does. Arrays in, arrays out; torch is imported inside.
Papers: Mo et al. 2024 (TED), arXiv 2312.02673; Hou et al. 2024 (IBD-PSC), arXiv 2405.09786; Gao et al. 2019 (STRIP), arXiv 1902.06531.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from bezoar.core.errors import UsageError
from bezoar.core.model_repair import Samples
from bezoar.maths.conformal import conformal_p
from bezoar.networks.reading import logits_of, places, shown_at
from bezoar.networks.training import seeded
from bezoar.networks.tuning import norms

LEAST = 20
"""Trusted samples that a filter needs."""
GAIN = 1.5
"""How much a layer is amplified."""
LOST = 0.6
"""Share of trusted samples that the amplified network should get wrong."""


class Filter:
    """Statistics of inputs, high where they look triggered, as p-values against trusted samples.

    evolution  how far, in the order of distances at each layer, the nearest trusted sample of the predicted class is: a triggered input
               starts among its own class and ends among the target's
    scaling    probability that an amplified network, which gets most clean inputs wrong, still gives to the predicted class
    mixing     (only with `mixes`) how often mixtures with trusted samples are still called the predicted class

    Half of the trusted samples are neighbours, half calibrate. Raises UsageError for fewer than 20.
    """

    def __init__(self, module: Any, tensor: Callable[[Any], Any], clean: Samples, rng: np.random.Generator, *, mixes: int = 0) -> None:
        known = clean.take(rng.permutation(np.flatnonzero(clean.codes >= 0)))
        if len(known) < LEAST:
            raise UsageError(f"{len(known)} trusted samples cannot calibrate a filter; {LEAST} are needed", advice="give more")
        self.module, self.tensor, self.mixes, self.rng = module.eval(), tensor, mixes, rng
        half = len(known) // 2
        self._bank = known.take(np.arange(half))
        with seeded(0):
            self._where = places(module, tensor(known.x[:5]))
            self._layers, _ = shown_at(module, self._bank.x, self._where, tensor=tensor)
            self._amplified = _amplified(module, known, tensor)
        rest = known.take(np.arange(half, len(known)))
        _, self._reference = self.statistics(rest.x)
        self._combined = _least(self._p(self._reference, own=True))

    def statistics(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n, K) logits and (channels, n) statistics."""
        if not len(x):
            return np.zeros((0, 0), np.float32), np.zeros((2 + bool(self.mixes), 0))
        with seeded(0):
            layers, logits = shown_at(self.module, x, self._where, tensor=self.tensor)
            codes = logits.argmax(axis=1)
            found = [self._evolution(layers, codes), _held(self._amplified, x, codes, self.tensor)]
            if self.mixes:
                found.append(self._mixing(x, codes))
        return logits, np.stack(found)

    def logits(self, x: np.ndarray) -> np.ndarray:
        """(n, K) float32, without looking for triggers."""
        return shown_at(self.module, x, (), tensor=self.tensor)[1]

    def p_values(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n, K) logits and (n,) conformal p-values that an input is like the trusted ones; small means triggered."""
        logits, found = self.statistics(x)
        return logits, conformal_p(-_least(self._p(found)), -self._combined)

    def _p(self, found: np.ndarray, own: bool = False) -> np.ndarray:
        """(channels, n) p-values of each channel; `own` for the calibrating samples themselves."""
        n = self._reference.shape[1]
        p = np.stack([conformal_p(s, r) for s, r in zip(found, self._reference, strict=True)])
        return (p * (n + 1) - 1) / n if own else p

    def _evolution(self, layers: tuple[np.ndarray, ...], codes: np.ndarray) -> np.ndarray:
        total = np.zeros(len(codes))
        for shown, bank in zip(layers, self._layers, strict=True):
            apart = (bank * bank).sum(axis=1) - 2 * shown @ bank.T
            order = np.argsort(apart, axis=1)
            rank = (self._bank.codes[order] == codes[:, None]).argmax(axis=1)
            total += np.log1p(rank)
        return total / len(layers)

    def _mixing(self, x: np.ndarray, codes: np.ndarray) -> np.ndarray:
        import torch

        stays = np.zeros(len(x))
        with torch.inference_mode():
            for _ in range(self.mixes):
                others = self._bank.x[self.rng.integers(0, len(self._bank), len(x))]
                for s in range(0, len(x), 512):
                    rows = self.tensor(x[s:s + 512])
                    mixed = rows.lerp(self.tensor(others[s:s + 512]), 0.5)
                    p = torch.softmax(logits_of(self.module(mixed)).float(), dim=1).numpy()
                    stays[s:s + 512] += p[np.arange(len(p)), codes[s:s + 512]]
        return stays / self.mixes


def _least(p: np.ndarray) -> np.ndarray:
    """(n,) least p-value of the channels, the others as the smaller part that orders ties."""
    return np.asarray(p.min(axis=0) + 1e-3 * np.exp(np.log(p).mean(axis=0)))


def _held(module: Any, x: np.ndarray, codes: np.ndarray, tensor: Callable[[Any], Any], batch: int = 512) -> np.ndarray:
    """(n,) probability that `module` gives to `codes`."""
    import torch

    parts = []
    with torch.inference_mode():
        for s in range(0, len(x), batch):
            p = torch.softmax(logits_of(module(tensor(x[s:s + batch]))).float(), dim=1).numpy()
            parts.append(p[np.arange(len(p)), codes[s:s + batch]])
    return np.concatenate(parts)


def _amplified(module: Any, clean: Samples, tensor: Callable[[Any], Any]) -> Any:
    """A copy whose last normalisations (or convolutions, where there are none) magnify, so many that most clean samples go wrong."""
    import torch
    from torch import nn

    made = copy.deepcopy(module).eval()
    layers = [m for m in norms(made) if m.affine] or [m for m in made.modules() if isinstance(m, (nn.modules.conv._ConvNd, nn.Linear))][:-1]
    _, logits = shown_at(module, clean.x, (), tensor=tensor)
    own = logits.argmax(axis=1)
    for layer in [*reversed(layers), *reversed(layers)]:
        with torch.no_grad():
            layer.weight.mul_(GAIN)
            if layer.bias is not None:
                layer.bias.mul_(GAIN)
        _, logits = shown_at(made, clean.x, (), tensor=tensor)
        if (logits.argmax(axis=1) != own).mean() >= LOST:
            break
    return made


def blurred(x: np.ndarray, size: int = 3) -> np.ndarray:
    """(n, h, w, 3) uint8 pictures, each pixel the mean of the size x size around it."""
    from scipy.ndimage import uniform_filter

    return np.asarray(uniform_filter(x.astype(np.float32), (0, size, size, 0), mode="nearest").round().clip(0, 255).astype(np.uint8))


def recoded(x: np.ndarray, quality: int = 50) -> np.ndarray:
    """(n, h, w, 3) uint8 pictures through JPEG."""
    import io

    from PIL import Image

    out = np.empty_like(x)
    for i, picture in enumerate(x):
        held = io.BytesIO()
        Image.fromarray(picture).save(held, "JPEG", quality=quality)
        out[i] = np.asarray(Image.open(held))
    return out


def masked(module: Any, x: np.ndarray, codes: np.ndarray, tensor: Callable[[Any], Any], share: float = 0.25) -> np.ndarray:
    """(n, h, w, 3) uint8 pictures whose deciding square is covered with the blurred picture.

    The square, `share` of the shorter side wide, is where the slope of the answer's logit by the input is largest in sum.
    """
    import torch
    from torch.nn import functional

    height, width = x.shape[1:3]
    side = max(2, round(share * min(height, width)))
    out, soft = x.copy(), blurred(x, 2 * side + 1)
    with seeded(0):
        for s in range(0, len(x), 256):
            rows = tensor(x[s:s + 256]).requires_grad_(True)
            own = torch.from_numpy(codes[s:s + 256])[:, None]
            (slope,) = torch.autograd.grad(logits_of(module(rows)).gather(1, own).sum(), rows)
            moving = (slope * rows.detach()).abs().sum(dim=1, keepdim=True)
            heat = functional.avg_pool2d(moving, side, stride=1).flatten(1).argmax(dim=1).numpy()
            top, left = heat // (width - side + 1), heat % (width - side + 1)
            at = (np.arange(s, s + len(heat))[:, None, None], (top[:, None] + np.arange(side))[:, :, None],
                  (left[:, None] + np.arange(side))[:, None, :])
            out[at] = soft[at]
    return out
