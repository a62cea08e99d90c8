"""One way to train a small network, the same bytes for the same seed on a CPU; predictions in batches.

Arrays in, arrays out; torch is imported inside. Sums over several threads may differ in the last bit, so victims train and answer
on one (`seeded`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from bezoar.networks import device
from bezoar.networks.varying import varied

_ONE_AT_A_TIME = threading.RLock()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """A torch stream of its own, on one thread; the caller's stream and thread count come back afterwards.

    Torch has one stream and one thread count for the whole process, so that threads wait for each other here.
    """
    import torch

    with _ONE_AT_A_TIME, torch.random.fork_rng(devices=range(torch.cuda.device_count()) if device.current() == "cuda" else []):
        threads = torch.get_num_threads()
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def pictures(batch: Any) -> Any:
    """(n, 3, h, w) float32 tensor, about zero mean and unit size, of (n, h, w, 3) uint8 pictures (an array, or a tensor on its device)."""
    import torch

    if torch.is_tensor(batch):
        return batch.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
    return torch.from_numpy(np.ascontiguousarray(batch.transpose(0, 3, 1, 2))).float().div_(127.5).sub_(1)


def fast(module: Any) -> Any:
    """The module in the memory layout (channels last) in which convolutions are about a quarter faster on a processor."""
    import torch

    return module.to(memory_format=torch.channels_last)


def pictures_fast(batch: Any) -> Any:
    """`pictures`, in the layout of `fast`."""
    import torch

    return pictures(batch).contiguous(memory_format=torch.channels_last)


def pace(step: int, steps: int) -> float:
    """Share of the largest learning rate at a step: up over the first fifth, then down to nearly nothing.

    >>> [round(pace(i, 10), 2) for i in (0, 1, 5, 9)]
    [0.29, 0.71, 0.59, 0.03]
    """
    up = max(1.0, 0.2 * steps)
    return min((step + 0.7) / (up + 0.4), 1.0) * float(0.5 + 0.5 * np.cos(np.pi * max(0.0, step - up + 1) / max(steps - up + 1, 1.0)))


def fit(module: Any, x: np.ndarray, codes: np.ndarray, rng: np.random.Generator, *, tensor: Callable[[np.ndarray], Any], epochs: int = 10,
        rate: float = 0.01, batch: int = 128, weights_decay: float = 5e-4, shift: int = 0, vary: float = 0.0,
        rho: float = 0.0, loss: Callable[[Any, Any, Any], Any] | None = None, after: Callable[[int], None] | None = None,
        on: str = "cpu") -> Any:
    """Train `module` in place with AdamW and one cycle of the learning rate (`pace`); `tensor` turns rows of `x` into its input.

    `shift` > 0 (pictures): each step moves its pictures by up to so many pixels, all by the same. Rows with code -1 are left out.
    `vary` > 0 (pictures): each picture is turned, stretched and moved by itself, by so much of the usual amount (`varying`).
    `loss` of the module, inputs and own codes; None: the cross entropy.
    `rho` > 0: sharpness-aware steps (`_climb`), at twice the time. `after` is called with the number of each epoch that ends.
    `on` is where the module is brought to, and stays: 'cpu' or 'cuda'. Where memory runs out, steps are made of two half batches.
    Returns the module in evaluation mode. Raises LimitExceeded where that is too much as well.
    """
    import torch

    module = module if on == "cpu" else module.to(on)
    x, memory = device.kept(x, on), device.Memory()
    rows = np.flatnonzero(codes >= 0)
    steps = max(1, epochs * -(-len(rows) // batch))
    optimiser = torch.optim.AdamW(module.parameters(), lr=rate, weight_decay=weights_decay)
    step = 0
    module.train()
    for epoch in range(epochs):
        order = rng.permutation(rows)
        for start in range(0, len(order), batch):
            part = order[start:start + batch]
            if len(part) < 2:
                continue
            inputs = device.beside(module, tensor(x[part]))
            if shift:
                inputs = shifted(inputs, shift, rng)
            inputs = varied(inputs, vary, rng)
            own = device.beside(module, torch.from_numpy(codes[part]))
            back = partial(_back, module, inputs, own, optimiser, on, loss or _cross_entropy)
            for group in optimiser.param_groups:
                group["lr"] = rate * pace(step, steps)
            step += 1
            memory.within(back)
            if rho:
                _climb(module, rho, partial(memory.within, back))
            optimiser.step()
        if after is not None:
            after(epoch)
    return module.eval()


def shifted(inputs: Any, shift: int, rng: np.random.Generator) -> Any:
    """(n, c, h, w) pictures, all moved by the same up to `shift` pixels, at least 1; what leaves at one edge is not seen at the other."""
    import torch
    from torch.nn import functional

    down, right = (int(v) for v in rng.integers(-shift, shift + 1, 2))
    wide = functional.pad(inputs, (shift,) * 4, mode="replicate")
    return torch.roll(wide, (down, right), (2, 3))[..., shift:-shift, shift:-shift]


def norms(module: Any) -> list[Any]:
    """Batch normalisations, in order."""
    from torch import nn

    return [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]


def _cross_entropy(module: Any, inputs: Any, own: Any) -> Any:
    from torch.nn import functional

    return functional.cross_entropy(module(inputs).float(), own)


def _back(module: Any, inputs: Any, own: Any, optimiser: Any, on: str, loss: Callable[[Any, Any, Any], Any], pieces: int) -> None:
    """The slope of the mean loss, the rows taken in so many pieces."""
    optimiser.zero_grad(set_to_none=True)
    pieces = pieces if len(own) >= 4 else 1
    for some, codes in zip(inputs.chunk(pieces), own.chunk(pieces), strict=True):
        with device.precision(on):
            lost = loss(module, some, codes)
        (lost if pieces == 1 else lost * (len(codes) / len(own))).backward()


def _climb(module: Any, rho: float, back: Callable[[], Any]) -> None:
    """Put the slope at the worst nearby point, `rho` up the present slope, in the place of the present slope.

    Foret et al. 2021, arXiv 2010.01412.
    """
    import torch

    moved = [p for p in module.parameters() if p.grad is not None]
    with torch.no_grad():
        size = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(p.grad) for p in moved]))
        steps = [p.grad * (rho / (size + 1e-12)) for p in moved]
    slope_at(module, moved, steps, back)


def slope_at(module: Any, moved: list[Any], steps: list[Any], back: Callable[[], Any]) -> None:
    """Put the slope where the parameters `moved` are `steps` away in the place of the present slope; they come back.

    `back` makes slopes from nothing. Statistics of batch normalisation are kept still meanwhile.
    """
    import torch

    with torch.no_grad():
        torch._foreach_add_(moved, steps)
    still = [(m, m.momentum) for m in norms(module)]
    for m, _ in still:
        m.momentum = 0.0
    back()
    for m, momentum in still:
        m.momentum = momentum
    with torch.no_grad():
        torch._foreach_sub_(moved, steps)


def probabilities(module: Any, x: np.ndarray, *, tensor: Callable[[np.ndarray], Any], batch: int = 512) -> np.ndarray:
    """(n, K) float32 of a module in evaluation mode."""
    import torch

    parts = []
    with torch.no_grad():
        for start in range(0, len(x), batch):
            parts.append(torch.softmax(module(device.beside(module, tensor(x[start:start + batch]))), dim=1).cpu().numpy())
    return np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)
