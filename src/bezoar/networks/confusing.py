"""Confusion training: a copy of a trained network unlearns what some rows show, and goes on learning all the others.

On the rows of the base every class is to be as likely as any other; on all other rows the label stays. What only content foretells is
lost on both, since the base has content too; a trigger that no row of the base carries keeps its link to its label. The weight of the
base rises slowly, so that links which survive are held all the while; even answers are asked for, not random labels anew in each step:
their mean is the same and they are less noisy.
Paper      Qi et al. 2023, "Towards a proactive ML approach for detecting backdoor poison samples" (arXiv 2205.13616), in one round from
           a network that is there, with a base of a few hundred rows.
Fails      where the base holds poison: the link is unlearned too.
Cost       `STEPS` steps of 96 rows, and three passes forward over all (`passes`).
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np

from bezoar.networks import device, training

STEPS = 200
"""Steps taken in all; the network is read after the last of them and at two before."""
READ = (120, 160, 200)
WEIGHT = 6.0
"""Weight of the base against all other rows, once it has risen."""
RISING = 0.4
"""Share of the steps over which it rises."""
FROM_BASE, FROM_OTHERS = 32, 64
"""Rows per step."""
RATE = 0.001


def passes(rows: int) -> float:
    """How often, in effect, one call passes forth and back over so many rows: its steps, and a third for each time that all are asked.

    >>> round(passes(4_000), 1)
    5.8
    """
    return STEPS * (FROM_BASE + FROM_OTHERS) / max(rows, 1) + len(READ) / 3


def confused(module: Any, x: Any, codes: np.ndarray, base: Any, seed: int, *, tensor: Callable[[Any], Any], shift: int = 0,
             asked: Any = None) -> np.ndarray:
    """(m, K) float32 logarithms of the probabilities, in the mean of a few states of a copy of `module`, for the rows `asked` (m, ...).

    x      (n, ...) rows that keep their labels `codes` (n,), -1 for rows that are not learned; none of them in the base
    base   (b, ...) rows that are to say nothing, b > 0
    asked  rows to ask about, `x` where None
    tensor some rows -> an input of the network; `module` itself is left as it was
    The same arguments give the same bytes on one thread.
    """
    import torch
    from torch.nn import functional

    rows = np.flatnonzero(codes >= 0)
    few, many = min(FROM_BASE, base.shape[0]), min(FROM_OTHERS, len(rows))
    asked = x if asked is None else asked
    rng = np.random.default_rng(seed)
    out: list[np.ndarray] = []
    with training.seeded(seed):
        module = deepcopy(module)
        for p in module.parameters():
            p.requires_grad_(True)
        module.train()
        optimiser = torch.optim.AdamW(module.parameters(), lr=RATE, weight_decay=5e-4)
        for step in range(STEPS):
            weight = WEIGHT * min(1.0, (step + 1) / (RISING * STEPS))
            some = rng.choice(base.shape[0], few, replace=False)
            others = rng.choice(rows, many, replace=False)
            inputs = device.beside(module, torch.cat([tensor(base[some]), tensor(x[others])]))
            if shift:
                inputs = training.shifted(inputs, shift, rng)
            said = functional.log_softmax(module(inputs), dim=1)
            even = -said[:few].mean()
            own = functional.nll_loss(said[few:], device.beside(module, torch.from_numpy(codes[others])))
            loss = (weight * even + own) / (1 + weight)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            if step + 1 in READ:
                module.eval()
                out.append(np.log(np.maximum(training.probabilities(module, asked, tensor=tensor), 1e-6)))
                module.train()
    return np.asarray(np.mean(out, axis=0), np.float32)
