"""From pixels in [0, 1] to what a suspect reads, differentiably; its parts under a hook. Torch is imported inside.

A suspect says how uint8 pictures become its input (`Suspect.tensor`). Nearly always that is a layout and a scale per channel; this
is read off by asking, and checked. Anything else is Unavailable: then inputs cannot be searched by their slopes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from bezoar.core.audit import AuditView
from bezoar.core.errors import Unavailable
from bezoar.core.inputs import Images
from bezoar.networks.image_victim import brought
from bezoar.networks.synthetic import synthetic


class Pixels:
    """Pictures (n, 3, h, w) float in [0, 1] -> logits (n, K) of a frozen module.

    `clean` (n, 3, h, w) tensor and `codes` (n,) tensor are the clean samples, where there are any.
    """

    def __init__(self, module: Any, tensor: Callable[[Any], Any], shape: tuple[int, ...]) -> None:
        import torch

        if len(shape) != 3 or shape[2] != 3:
            raise Unavailable("pictures as input", advice="this check reads models of pictures")
        h, w, _ = shape
        self.height, self.width, self.module = h, w, module
        probe = np.zeros((5, h, w, 3), np.uint8)
        for channel in range(3):
            probe[1 + channel, ..., channel] = 255
        probe[4] = np.random.default_rng(0).integers(0, 256, (h, w, 3), np.uint8)
        told = tensor(probe).detach()
        self.device, seen = told.device, told.cpu().float()
        if seen.ndim != 4 or seen.shape[2:] != (h, w):
            raise Unavailable("an input of one number per pixel and channel")
        self._low = seen[0]
        self._mix = (seen[1:4] - seen[:1]).mean(dim=(2, 3)).T.contiguous()
        plain = torch.from_numpy(probe[4:].transpose(0, 3, 1, 2).astype(np.float32) / 255)
        if not torch.allclose(self.encoded(plain), seen[4:], atol=1e-3 * float(seen.abs().max() + 1)):
            raise Unavailable("an input that is a plain rescaling of pixels")

    def encoded(self, x: Any) -> Any:
        """(n, c, h, w) as the module reads it."""
        import torch

        return torch.einsum("oc,nchw->nohw", self._mix, x) + self._low

    def logits(self, x: Any) -> Any:
        """(n, K) on the CPU, wherever the module stands."""
        out = self.module(self.encoded(x).to(self.device))
        return getattr(out, "logits", out).cpu()


def pixels(view: AuditView) -> Pixels:
    """The suspect's pixels; parameters are frozen meanwhile by `still`. Raises Unavailable."""
    module, suspect = view.module(), view.suspect
    assert suspect.tensor is not None
    tensor = suspect.tensor
    return view.once("pixels", lambda: Pixels(module, tensor, suspect.shape))


def samples(view: AuditView, most: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """(n, 3, h, w) float32 in [0, 1] and (n,) int64 codes of at most `most` clean samples, as even over classes as they are.

    Without clean samples, pictures that the network itself takes for its classes stand in for them.
    """
    import torch

    if view.clean is None:
        x, own = view.once("synthetic", lambda: _synthetic(view))
        if len(torch.unique(own)) < 2:
            raise Unavailable("clean samples", advice="the network answers one class whatever it is shown; give some with --data")
        rows = torch.from_numpy(np.sort(rng.permutation(len(x))[:most]))
        return x[rows], own[rows]
    data = view.samples()
    if not isinstance(data.inputs, Images) or data.labels is None:
        raise Unavailable("pictures as clean samples")
    codes = data.labels.codes
    if not len(codes):
        raise Unavailable("clean samples", advice="give some with --data")
    order = rng.permutation(len(codes))
    turn = np.zeros(len(codes), np.int64)
    for code in np.unique(codes):
        mine = order[codes[order] == code]
        turn[mine] = np.arange(len(mine))
    rows = np.sort(order[np.argsort(turn[order], kind="stable")][:most])
    h, w = view.suspect.shape[:2]
    x = np.stack([_to(p, h, w) for p in data.inputs.read(rows)]) if h != w else brought(data.inputs.take(rows), h)
    return torch.from_numpy(x.transpose(0, 3, 1, 2).astype(np.float32) / 255), torch.from_numpy(codes[rows].astype(np.int64))


def _synthetic(view: AuditView) -> tuple[Any, Any]:
    p = pixels(view)
    with still(p.module):
        return synthetic(p, view.n_classes, np.random.default_rng(11))


def _to(picture: np.ndarray, h: int, w: int) -> np.ndarray:
    from bezoar.core.image_triggers import fit

    return fit(picture, h, w)


@contextmanager
def still(module: Any, seed: int = 0) -> Iterator[None]:
    """Evaluation mode, no slopes of its own weights, one thread, a torch stream of its own; all comes back afterwards.

    Numbers too small to matter count as zero meanwhile: slopes of samples that have arrived would cost twice the time.
    """
    import torch

    from bezoar.networks.training import seeded

    wanted = [p.requires_grad for p in module.parameters()]
    training = module.training
    for p in module.parameters():
        p.requires_grad_(False)
    module.eval()
    torch.set_flush_denormal(True)
    try:
        with seeded(seed):
            yield
    finally:
        torch.set_flush_denormal(False)
        for p, want in zip(module.parameters(), wanted, strict=True):
            p.requires_grad_(want)
        module.train(training)


def head(module: Any) -> Any:
    """The last linear layer; raises Unavailable where there is none."""
    from torch import nn

    found = [m for m in module.modules() if isinstance(m, nn.Linear)]
    if not found:
        raise Unavailable("a linear layer at the end")
    return found[-1]


def features(module: Any, run: Callable[[], Any]) -> tuple[Any, Any]:
    """What the last linear layer reads, (n, d), and what `run` returns, while `run` calls the module."""
    kept: list[Any] = []
    handle = head(module).register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0]))
    try:
        out = run()
    finally:
        handle.remove()
    if not kept:
        raise Unavailable("a last linear layer that is used")
    return kept[-1].flatten(1).cpu(), out
