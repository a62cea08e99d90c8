"""Neural Cleanse as published (Wang et al. 2019, IEEE S&P), written anew for comparison: class after class, one mask and pattern each.

Adam at 0.1, the price of the mask raised by 1.5 when the trigger works on 99% for five checks in a row and lowered when it does not;
the anomaly index is the distance of the smallest mask from the median, in deviations (MAD). No detector of bezoar is used here.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def anomaly(p: Any, x: Any, codes: Any, classes: int, rng: np.random.Generator, *, steps: int = 200, batch: int = 32) -> tuple[float, int]:
    """(anomaly index, class of the smallest mask) from clean samples x (n, 3, h, w) in [0, 1]."""
    sizes = np.array([_smallest(p, x[codes != c], c, rng, steps, batch) for c in range(classes)])
    middle = np.median(sizes)
    mad = 1.4826 * np.median(np.abs(sizes - middle))
    least = int(sizes.argmin())
    return float((middle - sizes[least]) / max(mad, 1e-9)), least


def _smallest(p: Any, x: Any, target: int, rng: np.random.Generator, steps: int, batch: int) -> float:
    import torch
    from torch.nn import functional

    h, w = x.shape[2:]
    mask = torch.from_numpy(rng.standard_normal((1, 1, h, w)).astype(np.float32)).requires_grad_(True)
    pattern = torch.from_numpy(rng.standard_normal((1, 3, h, w)).astype(np.float32)).requires_grad_(True)
    optimiser = torch.optim.Adam([mask, pattern], lr=0.1, betas=(0.5, 0.9))
    price, up, down, best = 1e-3, 0, 0, float(h * w)
    arrived: list[float] = []
    for step in range(steps):
        hosts = x[torch.from_numpy(rng.choice(len(x), min(batch, len(x)), replace=False))]
        m, c = torch.tanh(mask) / 2 + 0.5, torch.tanh(pattern) / 2 + 0.5
        logits = p.logits(hosts * (1 - m) + m * c)
        aim = torch.full((len(hosts),), target)
        size = m.abs().sum()
        optimiser.zero_grad(set_to_none=True)
        (functional.cross_entropy(logits, aim) + price * size).backward()
        optimiser.step()
        arrived.append(float((logits.argmax(dim=1) == aim).float().mean()))
        if step % 5 == 4:
            works = np.mean(arrived[-5:]) >= 0.99
            if works and float(size.detach()) < best:
                best = float(size.detach())
            up, down = (up + 1, 0) if works else (0, down + 1)
            if up >= 5:
                price, up = price * 1.5, 0
            elif down >= 5:
                price, down = price / 1.5**1.5, 0
    return best
