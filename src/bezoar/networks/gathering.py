"""The smallest patch that gathers clean pictures at one place of an encoder's feature space, whatever place that is.

Several searches side by side, each from a start of its own; a mask and a pattern through tanh, the mask made as small as it can be
while the features of all pictures still point one way. Needs neither labels nor a head. Torch is imported inside.
Fails for marks over the whole picture and for backdoors that scatter. Paper: Feng et al. 2023 (DECREE), arXiv 2303.15180.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bezoar.core.image_triggers import Patch

ARRIVES = 0.9
"""Share that a patch has to reach: of clean samples moved, or of the spread of clean features taken away."""
BLUNT = 0.1
"""Opacity under which a pixel of a mask counts as nothing, as a share of the mask's largest."""


@dataclass(frozen=True, eq=False)
class Gathered:
    """Of S searches: size (S,) of the mask in pixels, made larger where it reaches too little; share (S,) that is reached, in [0, 1];
    masks (S, h, w) float32 and patterns (S, 3, h, w) float32, both in [0, 1]."""

    size: np.ndarray
    share: np.ndarray
    masks: np.ndarray
    patterns: np.ndarray

    @property
    def best(self) -> int:
        return int(self.size.argmin())

    def trigger(self, k: int | None = None) -> Patch:
        """What search `k` found, or the best one."""
        k = self.best if k is None else k
        return patch(self.masks[k], self.patterns[k])


def spread(features: Any) -> Any:
    """1 - the squared length of the mean unit vector, over the axis before the last: 0 where all point one way."""
    unit = features / features.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    return (1 - unit.mean(dim=-2).square().sum(dim=-1)).clamp_min(0)


def gather(p: Any, x: Any, rng: np.random.Generator, *, starts: int = 4, steps: int = 120, batch: int = 16) -> Gathered:
    """Search on clean pictures `x` (n, 3, h, w) in [0, 1]; `p` is a `Pixels` whose module gives features. Inside `still`."""
    import torch

    with torch.no_grad():
        whole = float(spread(p.logits(x))) + 1e-6

    def judge(features: Any, rows: Any) -> tuple[Any, Any]:
        left = spread(features) / whole
        return torch.log(left + 0.02), (1 - left).clamp(0, 1)

    return searched(p, x, rng, judge, count=starts, steps=steps, batch=batch)


def searched(p: Any, x: Any, rng: np.random.Generator, judge: Callable[[Any, Any], tuple[Any, Any]], *, count: int, steps: int,
             batch: int, deal: Callable[[], np.ndarray] | None = None) -> Gathered:
    """`count` searches for the smallest mask whose `judge` still says that enough is reached.

    judge  what the module says of the stamped pictures (count, b, d), and their rows of `x` (1 or count, b) -> the loss (count,) and the
           share that is reached (count,), in [0, 1]
    deal   gives the rows (count, b) of each search's next step; None: the same `batch` rows for all, by chance
    The size of a mask that reaches less than `ARRIVES` is divided by the square of the part of it that it reaches.
    """
    import torch

    h, w, n = p.height, p.width, len(x)
    mask = torch.from_numpy(rng.normal(-0.3, 0.1, (count, 1, h, w)).astype(np.float32)).requires_grad_(True)
    pattern = torch.from_numpy(rng.normal(0, 0.3, (count, 3, h, w)).astype(np.float32)).requires_grad_(True)
    optimiser = torch.optim.Adam([mask, pattern], lr=0.15, betas=(0.5, 0.9))
    price = torch.full((count,), 0.02)
    best_size, best_share = np.full(count, np.inf), np.zeros(count)
    masks, patterns = np.zeros((count, h, w), np.float32), np.zeros((count, 3, h, w), np.float32)
    recent = torch.zeros(count)
    for step in range(steps):
        rows = torch.from_numpy(rng.choice(n, min(batch, n), replace=False)[None] if deal is None else deal())
        m, c = torch.tanh(mask) / 2 + 0.5, torch.tanh(pattern) / 2 + 0.5
        put = x[rows] * (1 - m[:, None]) + (m * c)[:, None]
        loss, reached = judge(p.logits(put.reshape(-1, 3, h, w)).view(count, rows.shape[1], -1), rows)
        area = m.flatten(1).sum(dim=1)
        optimiser.zero_grad(set_to_none=True)
        (loss + price * area).sum().backward()
        optimiser.step()
        with torch.no_grad():
            now = reached.detach()
            recent = now if step == 0 else 0.8 * recent + 0.2 * now
            price = torch.where(recent >= ARRIVES, price * 1.06, price / 1.06).clamp(1e-4, 2.0)
            size = (area / torch.clamp(recent / ARRIVES, 0.02, 1.0) ** 2).double().numpy()
            better = (size < best_size) & (step >= steps // 4)
            if better.any():
                best_size[better], best_share[better] = size[better], recent.double().numpy()[better]
                masks[better], patterns[better] = m[better, 0].numpy(), c[better].numpy()
    return Gathered(best_size, best_share, masks, patterns)


def patch(mask: np.ndarray, pattern: np.ndarray) -> Patch:
    """A mask (h, w) and a pattern (3, h, w) in [0, 1] as a trigger, cut to where the mask is more than a tenth of its largest."""
    rows, cols = (np.flatnonzero((mask > BLUNT * mask.max()).any(axis=axis)) for axis in (1, 0))
    part = (slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1)) if len(rows) else (slice(None), slice(None))
    pixels = np.rint(pattern.transpose(1, 2, 0) * 255).astype(np.uint8)
    return Patch(np.ascontiguousarray(pixels[part]), mask[part].astype(np.float32), float((part[0].start or 0) / mask.shape[0]),
                 float((part[1].start or 0) / mask.shape[1]))
