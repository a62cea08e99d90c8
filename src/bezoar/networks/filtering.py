"""Does this input carry a trigger? Two statistics of one input at a trained network, and ways to wash a trigger out of a picture.

`Filter` is calibrated on trusted samples and needs no pass more than answering does. Arrays in, arrays out; torch is imported inside.
Parameter scaling (IBD-PSC) was tried and left out: on small networks it ranks some triggers (warps, blends) below clean inputs.
Papers: Mo et al. 2024 (TED), arXiv 2312.02673; Gao et al. 2019 (STRIP), arXiv 1902.06531.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bezoar.core.errors import UsageError
from bezoar.core.model_repair import Samples
from bezoar.maths.conformal import conformal_p
from bezoar.networks.reading import Place, logits_of, places, shown_at
from bezoar.networks.training import seeded

LEAST = 20
"""Trusted samples that a filter needs."""
MOST = 3
"""Layers, the strangest ones, whose distances count."""


class Filter:
    """Statistics of inputs, high where they look triggered, as p-values against trusted samples.

    distance   how far the nearest trusted samples of the predicted class are, at the layers where that is strangest
    evolution  how late, in the order of distances at each layer, a trusted sample of the predicted class comes: a triggered input starts
               among its own class and ends among the target's
    mixing     (only with `mixes`) how often mixtures with trusted samples are still called the predicted class
    carrying   (only with `match`, rows -> (n,) numbers) how much of a known trigger an input carries

    The first two are read off the pass that answers. Half of the trusted samples are neighbours, half calibrate.
    Raises UsageError for fewer than 20.
    """

    def __init__(self, module: Any, tensor: Callable[[Any], Any], clean: Samples, rng: np.random.Generator, *, mixes: int = 0,
                 match: Callable[[np.ndarray], np.ndarray] | None = None) -> None:
        known = clean.take(rng.permutation(np.flatnonzero(clean.codes >= 0)))
        if len(known) < LEAST:
            raise UsageError(f"{len(known)} trusted samples cannot calibrate a filter; {LEAST} are needed", advice="give more")
        self.module, self.tensor, self.mixes, self._match = module.eval(), tensor, mixes, match
        self._seed = int(rng.integers(1 << 31))
        half = len(known) // 2
        self._bank = known.take(np.arange(half))
        with seeded(0):
            self._where = _listened(module, tensor(known.x[:5]))
            layers, _ = shown_at(module, self._bank.x, self._where, tensor=tensor)
        self._scales = [b.std(axis=0) + 1e-6 for b in layers]
        self._layers = [b / s for b, s in zip(layers, self._scales, strict=True)]
        self._usual = (np.zeros((len(layers), 1)), np.ones((len(layers), 1)))
        rest = known.take(np.arange(half, len(known)))
        with seeded(0):
            layers, logits = shown_at(module, rest.x, self._where, tensor=tensor)
        far = self._near(layers, logits.argmax(axis=1))[0]
        middle = np.median(far, axis=1, keepdims=True)
        self._usual = (middle, 1.4826 * np.median(np.abs(far - middle), axis=1, keepdims=True) + 1e-3)
        _, self._reference = self.statistics(rest.x)
        self._combined = _least(self._p(self._reference, own=True))

    def logits(self, x: np.ndarray) -> np.ndarray:
        """(n, K) float32, without looking for triggers."""
        return shown_at(self.module, x, (), tensor=self.tensor)[1]

    def statistics(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n, K) logits and (channels, n) statistics."""
        if not len(x):
            return np.zeros((0, 0), np.float32), np.zeros((2 + bool(self.mixes) + (self._match is not None), 0))
        with seeded(0):
            layers, logits = shown_at(self.module, x, self._where, tensor=self.tensor)
            codes = logits.argmax(axis=1)
            far, late = self._near(layers, codes)
            strange = np.sort((far - self._usual[0]) / self._usual[1], axis=0)[-MOST:].mean(axis=0)
            found = [strange, late.mean(axis=0), *([self._mixing(x, codes)] if self.mixes else [])]
            if self._match is not None:
                found.append(np.asarray(self._match(x), np.float64))
        return logits, np.stack(found)

    def p_values(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n, K) logits and (n,) conformal p-values that an input is like the trusted ones; small means triggered."""
        logits, found = self.statistics(x)
        return logits, conformal_p(-_least(self._p(found)), -self._combined)

    def _p(self, found: np.ndarray, own: bool = False) -> np.ndarray:
        """(channels, n) p-values of each channel; `own` for the calibrating samples themselves."""
        n = self._reference.shape[1]
        p = np.stack([conformal_p(s, r) for s, r in zip(found, self._reference, strict=True)])
        return (p * (n + 1) - 1) / n if own else p

    def _near(self, layers: tuple[np.ndarray, ...], codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(layers, n) log distance to the nearest two of the predicted class, and log rank of the nearest of them."""
        same = self._bank.codes == codes[:, None]
        same |= ~same.any(axis=1, keepdims=True)
        far, late = np.zeros((len(layers), len(codes))), np.zeros((len(layers), len(codes)))
        for k, (shown, bank, scale) in enumerate(zip(layers, self._layers, self._scales, strict=True)):
            rows = shown / scale
            apart = np.maximum((rows * rows).sum(axis=1)[:, None] + (bank * bank).sum(axis=1) - 2 * rows @ bank.T, 1e-9)
            among = np.where(same, apart, np.inf)
            two = np.partition(among, min(1, among.shape[1] - 1), axis=1)[:, :2]
            far[k] = 0.5 * np.log(np.where(np.isfinite(two), two, two[:, :1]).mean(axis=1))
            late[k] = np.log1p((apart < two[:, :1]).sum(axis=1))
        return far, late

    def _mixing(self, x: np.ndarray, codes: np.ndarray) -> np.ndarray:
        import torch

        stays, rng = np.zeros(len(x)), np.random.default_rng(self._seed)
        with torch.inference_mode():
            for _ in range(self.mixes):
                others = self._bank.x[rng.integers(0, len(self._bank), len(x))]
                for s in range(0, len(x), 512):
                    rows = self.tensor(x[s:s + 512])
                    mixed = rows.lerp(self.tensor(others[s:s + 512]), 0.5)
                    p = torch.softmax(logits_of(self.module(mixed)).float(), dim=1).numpy()
                    stays[s:s + 512] += p[np.arange(len(p)), codes[s:s + 512]]
        return stays / self.mixes


def _least(p: np.ndarray) -> np.ndarray:
    """(n,) least p-value of the channels, the others as the smaller part that orders ties."""
    return np.asarray(p.min(axis=0) + 1e-3 * np.exp(np.log(p).mean(axis=0)))


def _listened(module: Any, batch: Any) -> tuple[Place, ...]:
    """The output of every batch normalisation, and the places that `places` finds."""
    from torch import nn

    layers = [Place(name, last=isinstance(m, nn.BatchNorm1d)) for name, m in module.named_modules()
              if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    return tuple(dict.fromkeys([*layers, *places(module, batch)]))


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
