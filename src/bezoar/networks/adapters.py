"""Adapters of low rank over a network's layers (LoRA): trained, written by their usual names, read back, merged. Torch is imported inside.

An adapter of a layer with weights W (out, in, ...) is A (r, in, ...) and B (out, r, ...); the layer then has W + scale * B A.
Paper: Hu et al. 2022, arXiv 2106.09685.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bezoar.core.errors import Refused, Unavailable, UnreadableInput
from bezoar.core.roles import listing

NAME = re.compile(r"(?:base_model\.model\.)?(.+?)\.lora_([AB])(?:\.default)?(?:\.weight)?\Z")
WRITTEN = "base_model.model."


@dataclass(frozen=True, eq=False)
class Pair:
    """`a` (r, in, ...) and `b` (out, r, ...) float arrays of one layer."""

    a: np.ndarray
    b: np.ndarray

    @property
    def rank(self) -> int:
        return int(self.a.shape[0])

    def flat(self) -> tuple[np.ndarray, np.ndarray]:
        """A (r, inputs) and B (outputs, r) as float64 matrices."""
        return self.a.reshape(len(self.a), -1).astype(np.float64), self.b.reshape(len(self.b), -1).astype(np.float64)


def is_adapter(names: Any) -> bool:
    """Whether array names are those of an adapter.

    >>> is_adapter(["base_model.model.q.lora_A.weight", "base_model.model.q.lora_B.weight"]), is_adapter(["fc.weight"]), is_adapter([])
    (True, False, False)
    """
    names = list(names)
    known = [bool(NAME.match(n)) for n in names]
    return any(known) and all(k or ".lora_" in n or "modules_to_save" in n for k, n in zip(known, names, strict=True))


def pairs_of(arrays: Mapping[str, np.ndarray]) -> dict[str, Pair]:
    """Layer name to its pair, in sorted order. Raises UnreadableInput where a half is missing or the two do not fit, Refused for
    numbers that are not finite."""
    halves: dict[str, dict[str, np.ndarray]] = {}
    for name, array in arrays.items():
        found = NAME.match(name)
        if found:
            halves.setdefault(found[1], {})[found[2]] = array
    lonely = [k for k, v in halves.items() if len(v) != 2]
    if lonely or not halves:
        what = f"the adapter has only one half for {listing(sorted(lonely), 3)}" if lonely else "there is no adapter in the file"
        raise UnreadableInput(what, advice="get another copy")
    out = {}
    for name in sorted(halves):
        a, b = halves[name]["A"], halves[name]["B"]
        if a.ndim < 2 or b.ndim < 2 or a.shape[0] != b.shape[1] or any(n != 1 for n in b.shape[2:]) or not a.size or not b.size:
            raise UnreadableInput(f"the halves {a.shape} and {b.shape} of the adapter at {name[:80]!r} do not fit",
                                  advice="get another copy")
        if not (np.isfinite(a).all() and np.isfinite(b).all()):
            raise Refused(f"the adapter at {name[:80]!r} holds numbers that are not finite", advice="it is damaged; get another copy")
        out[name] = Pair(a, b)
    return out


def arrays_of_pairs(pairs: Mapping[str, Pair]) -> dict[str, np.ndarray]:
    """The arrays by their usual names, float32."""
    return {f"{WRITTEN}{k}.lora_{half}.weight": np.ascontiguousarray(m, np.float32)
            for k, p in pairs.items() for half, m in (("A", p.a), ("B", p.b))}


def layers_of(module: Any) -> dict[str, Any]:
    """Linear layers and convolutions that are not grouped, by name: what adapters go on. Raises Unavailable where there are none."""
    from torch import nn

    found = {n: m for n, m in module.named_modules()
             if isinstance(m, nn.Linear) or (isinstance(m, nn.modules.conv._ConvNd) and m.groups == 1 and not m.transposed)}
    if not found:
        raise Unavailable("linear layers or convolutions", advice="this network takes no adapter of low rank")
    return found


def merged(module: Any, pairs: Mapping[str, Pair], scale: float = 1.0) -> Any:
    """A copy of `module` with the adapter added to its weights. Raises UnreadableInput where it is made for another network."""
    import torch

    out = copy.deepcopy(module)
    layers = layers_of(out)
    for name, pair in pairs.items():
        layer = layers.get(name)
        a, b = pair.flat()
        if layer is None or layer.weight.shape[0] != len(b) or layer.weight[0].numel() != a.shape[1]:
            raise UnreadableInput(f"the adapter does not fit the network at {name[:80]!r}", advice="give the base that it was made for")
        with torch.no_grad():
            layer.weight += torch.from_numpy((scale * (b @ a)).astype(np.float32)).view_as(layer.weight).to(layer.weight.device)
    return out


def trained(module: Any, x: np.ndarray, codes: np.ndarray, rng: np.random.Generator, *, tensor: Callable[[Any], Any],
            loss: Callable[[Any, Any, Any, np.ndarray], Any], rank: int = 4, steps: int = 200, rate: float = 0.02,
            batch: int = 64) -> dict[str, Pair]:
    """An adapter for all layers that take one, found by Adam on `loss(call, inputs, own labels, rows)`; the network stays as it was.

    `call` is the network with the adapter. Inside `training.seeded`. B starts at zero, A at random.
    """
    import torch
    from torch.func import functional_call

    from bezoar.networks.training import pace

    layers = layers_of(module.eval())
    halves: dict[str, tuple[Any, Any]] = {}
    for name, layer in layers.items():
        out, inputs = layer.weight.shape[0], layer.weight[0].numel()
        r = min(rank, out, inputs)
        a = torch.from_numpy(rng.standard_normal((r, inputs)).astype(np.float32)) / inputs**0.5
        halves[name] = (a.requires_grad_(True), torch.zeros(out, r).requires_grad_(True))
    frozen = {n: p.detach() for n, p in module.named_parameters()}

    def call(given: Any) -> Any:
        weights = {f"{n}.weight": frozen[f"{n}.weight"] + (b @ a).view_as(frozen[f"{n}.weight"]) for n, (a, b) in halves.items()}
        return functional_call(module, weights, (given,))

    optimiser = torch.optim.Adam([h for pair in halves.values() for h in pair], lr=rate)
    pool = np.flatnonzero(codes >= 0)
    for step in range(steps):
        rows = rng.choice(pool, min(batch, len(pool)), replace=False)
        for group in optimiser.param_groups:
            group["lr"] = rate * pace(step, steps)
        optimiser.zero_grad(set_to_none=True)
        loss(call, tensor(x[rows]), torch.from_numpy(codes[rows]), rows).backward()
        optimiser.step()
    done = {}
    for name, (a, b) in halves.items():
        shape = layers[name].weight.shape
        done[name] = Pair(a.detach().numpy().reshape(len(a), *shape[1:]), b.detach().numpy().reshape(*b.shape, *([1] * (len(shape) - 2))))
    return done
