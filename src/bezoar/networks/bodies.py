"""Encoders: networks without a head, or what the head of a classifier reads. Torch is imported inside."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from bezoar.core.errors import Unavailable, UnreadableInput, UsageError
from bezoar.core.roles import listing
from bezoar.networks.architectures import Fit, bare, check_finite, filled, from_factory, infer
from bezoar.networks.device import beside
from bezoar.networks.families import Shapes
from bezoar.networks.pixels import head

HEADS = ("head", "fc", "linear", "classifier", "heads.head")
"""What the last linear layer is called in the families that are known."""
MOST_WIDTHS = 64


@contextmanager
def heard(module: Any) -> Iterator[list[Any]]:
    """A list whose last entry is what the last linear layer read, (n, d), after each call of `module` inside."""
    kept: list[Any] = []
    handle = head(module).register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0].flatten(1)))
    try:
        yield kept
    finally:
        handle.remove()


def body_of(module: Any) -> Any:
    """A module whose call gives (n, d), what the last linear layer of `module` reads; weights are shared. Or Unavailable."""
    from torch import nn

    class Body(nn.Module):  # type: ignore[misc]
        def __init__(self, inner: Any) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: Any) -> Any:
            with heard(self.inner) as kept:
                self.inner(x)
            if not kept:
                raise Unavailable("a last linear layer that is used")
            return kept[-1]

    head(module)
    return Body(module)


def flat(module: Any) -> Any:
    """A module whose call gives (n, d): the mean over places of what `module` returns, where that has places; weights are shared."""
    from torch import nn

    class Flat(nn.Module):  # type: ignore[misc]
        def __init__(self, inner: Any) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: Any) -> Any:
            out = self.inner(x)
            out = out[0] if isinstance(out, (tuple, list)) and out else out
            if getattr(out, "ndim", 0) < 2:
                raise UsageError("the encoder does not give one row of features per sample", advice="let its call return (n, d)")
            return out.flatten(2).mean(dim=2) if out.ndim > 2 else out

    return Flat(module)


def infer_headless(shapes: Shapes) -> tuple[Fit, str] | None:
    """The known network that has these parameters and a last linear layer besides, on torch's meta device, and the name of that layer.

    >>> infer_headless({"0.weight": (3,)}) is None
    True
    """
    widths = sorted({int(s[0]) for s in shapes.values() if s}, reverse=True)[:MOST_WIDTHS]
    for name in HEADS:
        if any(n.startswith(name + ".") for n in shapes):
            continue
        for width in widths:
            found = infer({**shapes, f"{name}.weight": (2, width), f"{name}.bias": (2,)})
            if found is not None:
                return found, name
    return None


def encoder_of(arrays: Mapping[str, np.ndarray], factory: str = "") -> tuple[Fit, str]:
    """The encoder in evaluation mode on the CPU, its call gives (n, d), and the name of the layer that the file has not; errors as those
    of `module_of`.

    factory  "package.module:function" of the user's own: what the module returns is taken for features. Otherwise the weights may be
             those of a known network with its head (what the head reads counts) or without
    """
    named, prefix = bare(arrays)
    check_finite(named)
    note = (f"all names began with {prefix!r}, which was left out",) if prefix else ()
    if factory:
        made = from_factory(factory)
        own = set(made.state_dict())
        module = filled(made, arrays if set(arrays) == own else named)
        said = (*note, "what the network returns are its features")
        return Fit(factory, flat(module).eval(), str(getattr(made, "modality", "")), notes=said), ""
    shapes = {n: a.shape for n, a in named.items()}
    whole = infer(shapes)
    if whole is not None:
        module = filled(whole.module.to_empty(device="cpu"), named)
        notes = (f"the weights are those of a {whole.family}", *note, *whole.notes, "what its last linear layer reads are its features")
        return replace(whole, module=body_of(module).eval(), notes=notes), ""
    found = infer_headless(shapes)
    if found is None:
        raise UsageError(f"no known network has these weights ({listing(sorted(named), 4)})",
                         advice="name a function of yours that makes the encoder: --model package.module:function")
    fit, name = found
    module = fit.module.to_empty(device="cpu")
    blank = {n: np.zeros(tuple(t.shape), np.float32) for n, t in module.state_dict().items() if n.startswith(name + ".")}
    notes = (f"the weights are those of a {fit.family} without its last layer", *note, *fit.notes)
    return replace(fit, module=body_of(filled(module, {**named, **blank})).eval(), notes=notes), name


def embedded(module: Any, x: np.ndarray, *, tensor: Callable[[Any], Any], batch: int = 256) -> np.ndarray:
    """(n, d) float32 features of rows by an encoder in evaluation mode. Raises UnreadableInput where they are not finite."""
    import torch

    parts = []
    with torch.no_grad():
        for start in range(0, len(x), batch):
            parts.append(module(beside(module, tensor(x[start:start + batch]))).float().cpu().numpy())
    out = np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)
    if not np.isfinite(out).all():
        raise UnreadableInput("the encoder answers with numbers that are not finite", advice="its weights are damaged; get another copy")
    return out
