"""Changing a network that is trained already: small careful steps from few samples, and finding its layers.

What the model repairs share. Arrays in; torch is imported inside. Everything runs inside `seeded`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np

from bezoar.core.errors import Unavailable
from bezoar.core.model_repair import RepairCase, Samples
from bezoar.networks.device import beside
from bezoar.networks.reading import answered, logits_of
from bezoar.networks.training import norms, pace, shifted, slope_at

Loss = Callable[[Any, Any, Any, np.ndarray], Any]
"""(module, inputs, own labels, rows of the batch) -> a scalar tensor."""


def passes(n: int, steps: int, batch: int) -> int:
    """How often to pass over `n` rows to take about so many steps.

    >>> passes(90, 300, 32)
    100
    """
    return max(1, round(steps / max(1, -(-n // batch))))


def tune(module: Any, x: np.ndarray, codes: np.ndarray, rng: np.random.Generator, *, tensor: Callable[[Any], Any], loss: Loss,
         steps: int = 100, rate: float = 0.01, batch: int = 64, decay: float = 0.0, rho: float = 0.0, shift: int = 0,
         parameters: Iterable[Any] | None = None, after: Callable[[], None] | None = None, statistics: bool = False) -> Any:
    """About `steps` steps of momentum descent on `loss`, up and down one cycle of the rate; changes `module` in place.

    `rho` > 0: sharpness-aware steps that are measured in units of each weight's own size (Kwon et al. 2021, arXiv 2102.11600), at
    twice the time. `shift` > 0 (pictures): each batch is moved by up to so many pixels. `parameters`: only those move. `after` is
    called after each step. `statistics` True moves those of batch normalisation too, which few samples spoil. Evaluation mode afterwards.
    """
    import torch

    rows = np.flatnonzero(codes >= 0)
    if len(rows) < 2:
        raise Unavailable("at least two samples with labels", advice="give more trusted samples")
    moving = list(module.parameters() if parameters is None else parameters)
    optimiser = torch.optim.SGD(moving, lr=rate, momentum=0.9, weight_decay=decay)
    epochs = passes(len(rows), steps, batch)
    total, step = epochs * -(-len(rows) // batch), 0
    module.train()
    if not statistics:
        for m in norms(module):
            m.eval()
    for _ in range(epochs):
        order = rng.permutation(rows)
        for start in range(0, len(order), batch):
            part = order[start:start + batch]
            if len(part) < 2:
                continue
            inputs = beside(module, tensor(x[part]))
            if shift:
                inputs = moved(inputs, shift, rng)
            own = beside(module, torch.from_numpy(codes[part]))
            for group in optimiser.param_groups:
                group["lr"] = rate * pace(step, total)
            step += 1
            back = partial(_back, optimiser, partial(loss, module, inputs, own, part))
            back()
            if rho:
                _climb(moving, module, rho, back)
            torch.nn.utils.clip_grad_norm_(moving, 10.0)
            optimiser.step()
            if after is not None:
                after()
    return module.eval()


def moved(inputs: Any, shift: int, rng: np.random.Generator) -> Any:
    """`shifted` pictures; small ones (under 16) and other inputs as they are."""
    return inputs if inputs.ndim != 4 or min(inputs.shape[2:]) < 16 else shifted(inputs, shift, rng)


def _back(optimiser: Any, loss: Callable[[], Any]) -> None:
    optimiser.zero_grad(set_to_none=True)
    loss().backward()


def _climb(moving: list[Any], module: Any, rho: float, back: Callable[[], None]) -> None:
    """The slope at the worst nearby point, near in units of each weight's size, in the place of the present slope."""
    import torch

    changed = [p for p in moving if p.grad is not None]
    with torch.no_grad():
        sizes = [p.abs() + 0.01 for p in changed]
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(s * p.grad) for s, p in zip(sizes, changed, strict=True)]))
        steps = [s * s * p.grad * (rho / (norm + 1e-12)) for s, p in zip(sizes, changed, strict=True)]
    slope_at(module, changed, steps, back)


def anchored(original: Any, labels: float = 0.1, weight: float = 10.0, smoothing: float = 0.0) -> Loss:
    """`labels` times the label loss, and `weight` times the distance from what `original` answers to mixtures of clean inputs.

    Mixtures of two clean samples each (`mixed`) hold far more places fast than the samples alone, and carry no trigger: with them some
    hundred samples keep what the network knows.
    """
    from torch.nn import functional

    def loss(module: Any, inputs: Any, own: Any, part: np.ndarray) -> Any:
        total = labels * functional.cross_entropy(logits_of(module(inputs)), own, label_smoothing=smoothing)
        if weight:
            blend, other = mixed(inputs)
            total = total + weight * apart(original, blend, logits_of(module(blend)), own, own[other])
        return total

    return loss


def mixed(inputs: Any) -> tuple[Any, Any]:
    """Each row mixed with another one, and (n,) which one: half of them at a random share, of pictures the other half by a rectangle.

    Inputs that are not numbers with a fraction (tokens) stay as they are.
    """
    import torch

    if not inputs.is_floating_point():
        return inputs, torch.arange(len(inputs))
    order = torch.randperm(len(inputs))
    other = inputs[order]
    blend = inputs.lerp(other, torch.rand((len(inputs), *(1,) * (inputs.ndim - 1))).to(inputs.device))
    if inputs.ndim == 4:
        inside = []
        for size in inputs.shape[2:]:
            ends = (torch.rand(len(inputs), 2) * (size + 1)).sort(dim=1).values
            at = torch.arange(size)[None] + 0.5
            inside.append((at >= ends[:, :1]) & (at < ends[:, 1:]))
        box = inside[0][:, None, :, None] & inside[1][:, None, None, :]
        cut = torch.rand(len(inputs), 1, 1, 1) < 0.5
        blend = torch.where(cut.to(inputs.device), torch.where(box.to(inputs.device), other, inputs), blend)
    return blend, order


def apart(original: Any, inputs: Any, out: Any, own: Any, other: Any) -> Any:
    """How far logits `out` (n, K) are from the answers of `original` to mixtures `inputs`: mean Kullback-Leibler divergence.

    Only answers that one of the two mixed samples has as its label count: a mixture may look like a trigger (a warp) to the original.
    """
    import torch
    from torch.nn import functional

    with torch.no_grad():
        told = functional.log_softmax(logits_of(original(inputs)), dim=1)
    first = told.argmax(dim=1)
    fits = (first == own) | (first == other)
    each = functional.kl_div(functional.log_softmax(out, dim=1), told, reduction="none", log_target=True).sum(dim=1)
    return (each * fits).sum() / max(int(fits.sum()), 1)


def convolutions(module: Any) -> list[tuple[Any, Any]]:
    """(convolution, the batch normalisation that follows it in order with as many channels, or None).

    Order is that in which modules are registered. Raises Unavailable for a network without convolutions.
    """
    from torch import nn

    every = [m for m in module.modules() if isinstance(m, (nn.modules.conv._ConvNd, nn.modules.batchnorm._BatchNorm))]
    found = []
    for k, m in enumerate(every):
        if isinstance(m, nn.modules.conv._ConvNd):
            after = every[k + 1] if k + 1 < len(every) else None
            fits = isinstance(after, nn.modules.batchnorm._BatchNorm) and after.num_features == m.out_channels
            found.append((m, after if fits else None))
    if not found:
        raise Unavailable("a network with convolutions", advice="use a repair that tunes weights")
    return found


def last_linear(module: Any) -> Any:
    """The linear layer that gives the logits: the last one with as many outputs. Raises Unavailable."""
    from torch import nn

    found = [m for m in module.modules() if isinstance(m, nn.Linear)]
    if not found:
        raise Unavailable("a network that ends in a linear layer", advice="use another repair")
    return found[-1]


def silence(pair: tuple[Any, Any], channels: Any) -> None:
    """Make these output channels of a convolution give nothing, here and behind its normalisation; `channels` (k,) indices."""
    import torch

    conv, norm = pair
    with torch.no_grad():
        conv.weight[channels] = 0
        if conv.bias is not None:
            conv.bias[channels] = 0
        if norm is not None and norm.affine:
            norm.weight[channels] = 0
            norm.bias[channels] = 0


def share_right(module: Any, x: np.ndarray, codes: np.ndarray, tensor: Callable[[Any], Any], batch: int = 512) -> float:
    """Accuracy of a module in evaluation mode."""
    return float((answers(module, x, tensor, batch) == codes).mean()) if len(x) else 0.0


def answers(module: Any, x: np.ndarray, tensor: Callable[[Any], Any], batch: int = 512) -> np.ndarray:
    """(n,) int64 class codes of a module in evaluation mode."""
    return np.asarray(answered(module, x, tensor=tensor, batch=batch).argmax(axis=1))


def kept(case: RepairCase) -> Samples:
    """Training samples with a label that nobody flagged, and the trusted ones. Raises Unavailable where fewer than two are left."""
    assert case.training is not None
    assert case.flagged is not None
    left = case.training.take(np.flatnonzero(~case.flagged & (case.training.codes >= 0)))
    both = left if case.clean is None else Samples(np.concatenate([left.x, case.clean.x]), np.concatenate([left.codes, case.clean.codes]))
    if len(both) < 2:
        raise Unavailable("samples that are not flagged", advice="give trusted samples with --data")
    return both
