"""The whole of a patch, by the smallest square window that does all that a window there can do.

A search for the smallest mask stops at two or three pixels of a patch, or at some others that do as well. Here the mask is given and only
the pattern is searched: for every square window round the place that was found, the pattern that raises the target's margin most. How far
the best window of a size stands above windows of that size elsewhere in the picture grows until the window holds the whole patch, and
hardly after. Where windows beside each other work alike, their middle is taken: training on shifted pictures spreads a patch.
Needs slopes. Fails for patches far from square, and where the place is not known within a few pixels. Torch is imported inside.
The windows are ours; a fixed square as the mask: Gu et al. 2017, arXiv 1708.06733.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bezoar.core.image_triggers import Patch

REACH = 3
"""How many units round what was found windows may lie. A unit is a pixel, or more in pictures of more than `FINEST` a side."""
FINEST = 24
ALMOST = 0.85
"""A window holds the whole where it stands out so far, as a share of how far the best of the next size does."""
SHARP = 4
"""Power of what windows stand out by, for their middle: so that only those that work about alike count."""
ELSEWHERE = 16
"""Windows in the rest of the picture that say what any window of a size can do."""
STEPS, LAST = 12, 40
"""Steps for every window, and for the one that is taken."""
SOURCES = 16
"""Classes at most of which each is looked at alone."""
EACH = 5
"""Samples of each class on which windows are tried for it alone."""
AT_ONCE = 1024


def windowed(p: Any, x: Any, target: int, core: np.ndarray, rng: np.random.Generator) -> Patch | None:
    """The square patch round `core` (h, w) bool that leads pictures `x` (n, 3, h, w) in [0, 1] of other classes to `target`.

    `p` is a `Pixels`; inside `still`. None where `core` is empty or no window stands out.
    """
    h, w = core.shape
    if not core.any() or not len(x):
        return None
    unit = -(-max(h, w) // FINEST)
    low, high = _round(core, REACH * unit)
    best: tuple[float, np.ndarray] | None = None
    for size in range(unit, min(h, w) // 2 + 1, unit):
        near = places(low, np.minimum(high, (h, w)), size, unit)
        if not len(near):
            break
        rest = places(np.zeros(2, np.int64), np.array((h, w)), size, unit)
        rest = rest[rng.permutation(len(rest))[:ELSEWHERE]]
        gained, _ = painted(p, x, target, squares(np.concatenate([near, rest]), size, (h, w)), STEPS)
        above = gained[:len(near)] - np.median(gained[len(near):])
        if best is not None and best[0] >= ALMOST * above.max():
            break
        best = float(above.max()), np.array([*middle(near, above, size), size])
    if best is None or best[0] <= 0:
        return None
    top, left, size = best[1]
    _, pattern = painted(p, x, target, squares(best[1][None, :2], size, (h, w)), LAST)
    pixels = np.rint(pattern[0, :, top:top + size, left:left + size].transpose(1, 2, 0) * 255).astype(np.uint8)
    return Patch(np.ascontiguousarray(pixels), np.ones((size, size), np.float32), float(top) / h, float(left) / w)


def one_way(p: Any, x: Any, codes: np.ndarray, target: int, rng: np.random.Generator) -> tuple[int, Patch] | None:
    """The one class of `x` that a patch leads to `target` most easily, and that patch, where a backdoor works on one class only.

    `codes` (n,) are the classes of `x` (n, 3, h, w). Windows of a fifth of a side are tried all over the picture on `EACH` samples of each
    class; at the best one the patch is searched as by `windowed`. None for more than `SOURCES` classes, where no class has `EACH` samples,
    and where nothing stands out.
    """
    if len(np.unique(codes)) > SOURCES:
        return None
    shape = p.height, p.width
    size = max(2, round(min(shape) / 5))
    corners = places(np.zeros(2, np.int64), np.array(shape), size, -(-size // 2))
    masks, tried = squares(corners, size, shape), []
    for code in np.unique(codes):
        rows = np.flatnonzero(codes == code)
        if len(rows) >= EACH:
            gained, _ = painted(p, x[rows[:EACH]], target, masks, STEPS // 2)
            tried.append((float(gained.max()), int(code), int(gained.argmax())))
    if not tried:
        return None
    _, code, at = max(tried)
    patch = windowed(p, x[np.flatnonzero(codes == code)], target, masks[at], rng)
    return None if patch is None else (code, patch)


def _round(core: np.ndarray, by: int) -> tuple[np.ndarray, np.ndarray]:
    """The box round what a mask holds, `by` larger on each side: its low corner and its high one, (2,) each."""
    held = np.argwhere(core)
    return np.maximum(held.min(axis=0) - by, 0), np.minimum(held.max(axis=0) + 1 + by, core.shape)


def places(low: np.ndarray, high: np.ndarray, size: int, unit: int) -> np.ndarray:
    """(m, 2) upper left corners of the squares of that size between two corners, at steps of `unit`.

    >>> places(np.array([0, 2]), np.array([3, 4]), 2, 1).tolist()
    [[0, 2], [1, 2]]
    """
    ends = np.maximum(high - size + 1, low)
    return np.stack(np.meshgrid(*(np.arange(a, b, unit) for a, b in zip(low, ends, strict=True)), indexing="ij"), axis=-1).reshape(-1, 2)


def squares(corners: np.ndarray, size: int, shape: tuple[int, int]) -> np.ndarray:
    """(m, h, w) bool masks of squares with those upper left corners (m, 2).

    >>> squares(np.array([[0, 1]]), 1, (2, 2)).astype(int).tolist()
    [[[0, 1], [0, 0]]]
    """
    rows, cols = (np.arange(side) - corners[:, k:k + 1] for k, side in enumerate(shape))
    inside = [(at >= 0) & (at < size) for at in (rows, cols)]
    return np.asarray(inside[0][:, :, None] & inside[1][:, None])


def middle(corners: np.ndarray, above: np.ndarray, size: int) -> np.ndarray:
    """(2,) where squares of that size at `corners` (m, 2) stand out most by `above` (m,); between those that touch the best and do alike.

    >>> middle(np.array([[0, 0], [0, 2], [9, 9]]), np.array([3.0, 3.0, 3.0]), 2).tolist()
    [0, 1]
    """
    touching = np.abs(corners - corners[int(above.argmax())]).max(axis=1) <= size
    share = np.where(touching, np.maximum(above, 0), 0) / max(float(above.max()), 1e-12)
    return np.asarray(np.rint(np.average(corners, axis=0, weights=np.maximum(share, 1e-12) ** SHARP)), np.int64)


def painted(p: Any, x: Any, target: int, masks: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """For each of the `masks` (m, h, w), the pattern (m, 3, h, w) in [0, 1] that raises the target's mean margin on `x` most, and that
    margin (m,)."""
    import torch

    margins, patterns = [], []
    step = max(1, AT_ONCE // len(x))
    for at in range(0, len(masks), step):
        m = torch.from_numpy(masks[at:at + step].astype(np.float32))[:, None]
        free = torch.zeros(len(m), 3, *m.shape[2:]).requires_grad_(True)
        optimiser = torch.optim.Adam([free], lr=0.3, betas=(0.5, 0.9))
        for turn in range(steps + 1):
            put = (x[None] * (1 - m[:, None]) + (m * torch.sigmoid(free))[:, None]).reshape(-1, *x.shape[1:])
            margin = _margin(p.logits(put), target).view(len(m), -1).mean(dim=1)
            if turn == steps:
                break
            optimiser.zero_grad(set_to_none=True)
            (-margin).sum().backward()
            optimiser.step()
        margins.append(margin.detach().double().numpy())
        patterns.append(torch.sigmoid(free).detach().numpy())
    return np.concatenate(margins), np.concatenate(patterns)


def _margin(logits: Any, target: int) -> Any:
    """(n,) how far the target's logit stands above all others together, of (n, K)."""
    import torch

    others = torch.cat([logits[:, :target], logits[:, target + 1:]], dim=1)
    return logits[:, target] - others.logsumexp(dim=1)
