"""How little it takes to push clean samples to each class at once, within growing bounds: what several auditors share.

One push per class, the same for all samples, found by slopes for all classes side by side; the share of samples that arrive is
measured at each bound. Torch is imported inside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Path:
    """reached (R, P) share of samples of other classes that each of P pushes (one per class, mostly) moves to its class, within each
    bound; pushes one tensor (P, ...) per bound; bounds (R,)."""

    reached: np.ndarray
    pushes: tuple[Any, ...]
    bounds: np.ndarray

    def ease(self) -> np.ndarray:
        """(P,) in [0, 1]: mean share that arrives, over the bounds."""
        return np.asarray(self.reached.mean(axis=0))

    def statistic(self) -> np.ndarray:
        """(P,) log-odds of `ease`: differences mean the same near 0 and near 1."""
        e = np.clip(self.ease(), 0.01, 0.99)
        return np.asarray(np.log(e / (1 - e)))

    def first(self, k: int, share: float = 0.8) -> int:
        """The first bound within which the push of class `k` moves that share, or the last."""
        enough = np.flatnonzero(self.reached[:, k] >= share)
        return int(enough[0]) if len(enough) else len(self.bounds) - 1


def push(forward: Callable[[Any], Any], shape: Sequence[int], classes: int, codes: Any, bounds: np.ndarray, *, steps: int,
         rng: np.random.Generator, goals: Any = None) -> Path:
    """Follow each push through growing L2 `bounds`, `steps` steps each.

    forward   (P, *shape) -> (P, n, K) logits of the n samples under each push
    codes     (n,) own classes of the samples, or (P, n) where each push has its own; those of the pushed-to class do not count
    goals     (P,) class that each push leads to; None: one push per class
    """
    import torch
    from torch.nn import functional

    goal = torch.arange(classes) if goals is None else goals
    pushed, n = len(goal), codes.shape[-1]
    counts = (codes.view(-1, n) != goal[:, None]).float()
    weight = counts / counts.sum(dim=1, keepdim=True).clamp_min(1)
    aim = goal[:, None].expand(pushed, n).reshape(-1)
    delta = torch.from_numpy(rng.standard_normal((pushed, *shape)).astype(np.float32))
    delta *= 1e-3 * float(bounds[0]) / _size(delta)
    reached, pushes = [], []
    for bound in bounds:
        speed = torch.zeros_like(delta)
        for step in range(steps):
            delta.requires_grad_(True)
            logits = forward(delta)
            loss = (functional.cross_entropy(logits.reshape(pushed * n, classes), aim, reduction="none").view(pushed, n) * weight).sum()
            (slope,) = torch.autograd.grad(loss, delta)
            with torch.no_grad():
                speed = 0.7 * speed + slope / _size(slope)
                delta = delta - float(bound) * 0.35 * (1 - step / steps) * speed / _size(speed)
                delta = delta * (float(bound) / _size(delta)).clamp_max(1)
        with torch.no_grad():
            arrived = (forward(delta).argmax(dim=2) == goal[:, None]).float()
            reached.append((arrived * weight).sum(dim=1).clamp_max(1).double().numpy())
            pushes.append(delta.clone())
    return Path(np.stack(reached), tuple(pushes), np.asarray(bounds, np.float64))


def _size(x: Any) -> Any:
    return x.flatten(1).norm(dim=1).clamp_min(1e-12).view(-1, *([1] * (x.ndim - 1)))
