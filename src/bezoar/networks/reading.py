"""What any network shows of its inputs: activations at places found by listening to it, their slopes, logits and losses.

Works on every `torch.nn.Module` whose call gives (n, K) logits, the small ones trained here and a user's own alike. Nothing
needs to be named: a trial run tells which submodules give float tensors with one row per sample. Blind to what is computed outside
submodules (functional code), where it takes the nearest submodule after it. Cost: one pass forward and one backward.
Slopes: AGPD (gradients of the label's logit with respect to activations).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from bezoar.core.errors import UsageError
from bezoar.core.learned import Learned
from bezoar.networks.device import beside

DEPTHS = 4
"""Places that are read at most, beside the input of the last linear layer."""
_PLACES_LAST = ("Conv1d", "BatchNorm1d", "InstanceNorm1d", "MaxPool1d", "AvgPool1d", "AdaptiveAvgPool1d", "AdaptiveMaxPool1d",
                "ConvTranspose1d")
_TOKENS_FIRST = ("Linear", "Embedding", "LayerNorm", "RMSNorm", "MultiheadAttention", "TransformerEncoderLayer")


@dataclass(frozen=True)
class Place:
    """The output of the submodule `name`, or its first input; `last` where the places of a 3-D tensor stand on the last axis."""

    name: str
    input: bool = False
    last: bool = False


def places(module: Any, batch: Any) -> tuple[Place, ...]:
    """Where to listen, first to last, ending with the input of the last linear layer (or the last place before the logits).

    `batch` is an input of a few rows. A place gives float tensors whose first axis is the row, for two sizes of batch; of
    those that show the same numbers one is left. Blocks are preferred to single layers where there are at least three.
    """
    import torch

    everywhere = [Place(name, input=side) for name, _ in module.named_modules() if name for side in (False, True)]
    runs = []
    for rows in dict.fromkeys((len(batch), max(len(batch) - 1, 1))):
        with torch.no_grad(), _quiet(module), _heard(module, everywhere) as heard:
            out = logits_of(module(beside(module, batch[:rows])))
        runs.append((rows, dict(heard), out))
    _, heard, out = runs[0]
    parts = dict(module.named_modules())
    fit = [p for p in heard if all(_rowwise(run.get(p), k) for k, run, _ in runs)]
    linear = [p for p in fit if p.input and isinstance(parts[p.name], torch.nn.Linear)]
    end = list(heard).index(linear[-1]) if linear else len(heard)
    before = list(heard)[:end]
    found: list[tuple[Place, np.ndarray]] = []
    last = False
    for p in (p for p in heard if not p.input):
        kind = type(parts[p.name]).__name__
        last = kind in _PLACES_LAST or (last and kind not in _TOKENS_FIRST)
        if p not in fit or p not in before or heard[p] is out:
            continue
        shown = _pooled(heard[p], last).numpy()
        if not any(shown.shape == s.shape and np.array_equal(shown, s) for _, s in found):
            found.append((Place(p.name, last=last), shown))
    blocks = [f for f in found if next(parts[f[0].name].children(), None) is not None]
    chosen = blocks if len(blocks) >= 3 else found
    if len(chosen) > DEPTHS:
        chosen = [chosen[i] for i in np.rint(np.linspace(0, len(chosen) - 1, DEPTHS)).astype(int)]
    if linear:
        shown = _pooled(heard[linear[-1]], False).numpy()
        chosen = [c for c in chosen if c[1].shape != shown.shape or not np.array_equal(c[1], shown)] + [(linear[-1], shown)]
    if not chosen:
        raise UsageError("this network has no inner layer with one row per sample", advice="give a torch module made of submodules")
    return tuple(p for p, _ in chosen)


def read(module: Any, x: Any, codes: np.ndarray, *, tensor: Callable[[Any], Any], batch: int = 256,
         where: tuple[Place, ...] | None = None) -> Learned:
    """Activations, slopes, logits and losses of the rows `x` with label `codes` (n,), -1 for none; a trained network has one epoch.

    `tensor` turns some rows of `x` into an input. The module is left as it was; it is read in evaluation mode.
    Raises UsageError for a network that gives no (n, K) logits.
    """
    import torch

    n = x.shape[0]
    where = where or places(module, tensor(x[:min(5, n)]))
    parts: list[tuple[np.ndarray, ...]] = []
    with _quiet(module), _trainable(module), torch.enable_grad():
        for start in range(0, n, batch):
            inputs = beside(module, tensor(x[start:start + batch]))
            with _heard(module, where) as heard:
                logits = logits_of(module(inputs))
            own = torch.from_numpy(np.maximum(codes[start:start + batch], 0))[:, None].to(logits.device)
            known = torch.from_numpy(codes[start:start + batch] >= 0).to(logits.device)
            tensors = [heard[p] for p in where]
            open_ones = [t for t in tensors if t.requires_grad]
            total = (logits.gather(1, own)[:, 0] * known).sum()
            got = iter(torch.autograd.grad(total, open_ones, allow_unused=True) if open_ones else ())
            slopes = [next(got) if t.requires_grad else None for t in tensors]
            loss = torch.nn.functional.cross_entropy(logits, own[:, 0], reduction="none").masked_fill(~known, torch.nan)
            parts.append((logits.detach().float().cpu().numpy(), loss.detach().float().cpu().numpy()[:, None],
                          *(_pooled(t.detach(), p.last).numpy() for t, p in zip(tensors, where, strict=True)),
                          *(_pooled(torch.zeros_like(t) if s is None else s, p.last, total=True).numpy()
                            for s, t, p in zip(slopes, tensors, where, strict=True))))
    every = [np.concatenate(column) for column in zip(*parts, strict=True)]
    layers = tuple(every[2:2 + len(where)])
    return Learned(layers, tuple(every[2 + len(where):]), every[0], every[1], layers[-1])


def shown(module: Any, x: Any, place: Place, *, tensor: Callable[[Any], Any], batch: int = 512) -> tuple[np.ndarray, np.ndarray]:
    """(n, d) float32 what one place shows, and (n, K) logits, without slopes."""
    (layer,), logits = shown_at(module, x, (place,), tensor=tensor, batch=batch)
    return layer, logits


def answered(module: Any, x: Any, *, tensor: Callable[[Any], Any], batch: int = 512) -> np.ndarray:
    """(n, K) float32 logits of the rows `x`, in evaluation mode."""
    import torch

    parts = []
    with _quiet(module), torch.no_grad():
        for start in range(0, x.shape[0], batch):
            parts.append(logits_of(module(beside(module, tensor(x[start:start + batch])))).float().cpu().numpy())
    return np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)


def shown_at(module: Any, x: Any, where: tuple[Place, ...], *, tensor: Callable[[Any], Any],
             batch: int = 512) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """What every place of `where` shows, (n, d) float32 each, and (n, K) logits, in one pass forward."""
    import torch

    parts = []
    with _quiet(module), torch.inference_mode():
        for start in range(0, x.shape[0], batch):
            with _heard(module, where) as heard:
                logits = logits_of(module(beside(module, tensor(x[start:start + batch]))))
            parts.append((logits.float().cpu().numpy(), *(_pooled(heard[p], p.last).numpy() for p in where)))
    every = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return tuple(every[1:]), every[0]


def logits_of(out: Any) -> Any:
    """The logits among what a network returned: the tensor itself, its `.logits`, or the first of several."""
    out = getattr(out, "logits", out)
    out = out[0] if isinstance(out, (tuple, list)) and out else out
    if getattr(out, "ndim", 0) != 2:
        raise UsageError("this network does not answer with one row of logits per sample",
                         advice="wrap it so that a call gives (n, classes)")
    return out


def _rowwise(t: Any, rows: int) -> bool:
    return t is not None and t.is_floating_point() and t.ndim >= 2 and t.shape[0] == rows


def _pooled(t: Any, last: bool, total: bool = False) -> Any:
    """(n, d): over places (4-D and more), over tokens (3-D), or as it is."""
    if t.ndim > 2:
        axes = tuple(range(2, t.ndim)) if t.ndim > 3 or last else (1,)
        t = t.sum(dim=axes) if total else t.mean(dim=axes)
    return t.float().cpu()


@contextmanager
def _heard(module: Any, where: Any) -> Iterator[dict[Place, Any]]:
    """What stands at each place during a pass, in the order of the pass; a module that is called twice counts the last time."""
    heard: dict[Place, Any] = {}
    wanted: dict[str, list[Place]] = {}
    for p in where:
        wanted.setdefault(p.name, []).append(p)

    def keep(place: Place, value: Any) -> None:
        value = value[0] if isinstance(value, (tuple, list)) and value else value
        heard.pop(place, None)
        if hasattr(value, "is_floating_point"):
            heard[place] = value

    def listener(place: Place) -> Callable[..., None]:
        return (lambda _, given: keep(place, given)) if place.input else (lambda _, given, out: keep(place, out))

    parts = dict(module.named_modules())
    hooks = [parts[p.name].register_forward_pre_hook(listener(p)) if p.input else parts[p.name].register_forward_hook(listener(p))
             for ps in wanted.values() for p in ps]
    try:
        yield heard
    finally:
        for h in hooks:
            h.remove()


@contextmanager
def _quiet(module: Any) -> Iterator[None]:
    """Evaluation mode; every submodule's mode comes back afterwards."""
    modes = [(m, m.training) for m in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for m, training in modes:
            m.training = training


@contextmanager
def _trainable(module: Any) -> Iterator[None]:
    """Slopes reach every layer, also where weights are frozen."""
    closed = [p for p in module.parameters() if not p.requires_grad]
    for p in closed:
        p.requires_grad_(True)
    try:
        yield
    finally:
        for p in closed:
            p.requires_grad_(False)
