"""What a group of pictures has in common that others have not: a patch at a place, or a pattern over everything."""

from __future__ import annotations

import numpy as np

CLOSE = 20.0
"""Grey levels within which two pixels agree."""


def _agreement(group: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """(h, w) share of the pictures (n, h, w, 3) that lie within `CLOSE` of `middle` (h, w, 3) in every channel."""
    return (np.abs(group.astype(np.float32) - middle) <= CLOSE).all(axis=3).mean(axis=0)


def shifted(pictures: np.ndarray, down: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Pictures (n, h, w, 3) moved by -down, -across pixels each; edges are repeated."""
    n, h, w = pictures.shape[:3]
    rows = np.clip(np.arange(h)[None, :] + down[:, None], 0, h - 1)
    cols = np.clip(np.arange(w)[None, :] + across[:, None], 0, w - 1)
    return pictures[np.arange(n)[:, None, None], rows[:, :, None], cols[:, None, :]]


def common_patch(inside: np.ndarray, outside: np.ndarray, window: tuple[int, int] | None = None, *, reach: int = 1,
                 largest: float = 0.3) -> tuple[int, int, np.ndarray, np.ndarray, int] | None:
    """Where the pictures `inside` (m, h, w, 3) agree with each other and those `outside` (k, h, w, 3) do not.

    Returns (top, left, pixels (a, b, 3) uint8, mask (a, b) float32, jitter in pixels), or None where no compact place of
    at most `largest` of the picture agrees. `window` is a hint: the (row, column) near which to look first; with it, members
    are also tried `reach` pixels off.

    >>> x = np.random.default_rng(0).integers(0, 255, (60, 9, 9, 3)).astype(np.uint8)
    >>> x[:20, 5:8, 4:7] = 255
    >>> common_patch(x[:20], x[20:])[:2]
    (5, 4)
    """
    best = _box(inside, outside, window, largest)
    if window is not None and len(inside) >= 5:
        moved, spread = _aligned(inside, window, reach)
        other = _box(moved, outside, window, largest)
        if other is not None and (best is None or other[3].sum() > 1.5 * best[3].sum()):
            return *other, spread
    return None if best is None else (*best, 0)


def _box(inside: np.ndarray, outside: np.ndarray, window: tuple[int, int] | None,
         largest: float) -> tuple[int, int, np.ndarray, np.ndarray] | None:
    middle = np.median(inside, axis=0)
    excess = _agreement(inside, middle) - _agreement(outside, middle)
    hit = excess > max(0.5, 0.75 * float(excess.max()))
    if not hit.any():
        return None
    h, w = hit.shape
    peak = np.unravel_index(int(np.argmax(excess)), hit.shape)
    if window is not None:
        r, c = window
        near = np.zeros_like(excess)
        near[max(r - 2, 0):r + 5, max(c - 2, 0):c + 5] = excess[max(r - 2, 0):r + 5, max(c - 2, 0):c + 5]
        if near.max() > 0.5:
            peak = np.unravel_index(int(np.argmax(near)), hit.shape)
    if hit.sum() > largest * h * w:
        return None
    from scipy.ndimage import label

    blobs, _ = label(hit, np.ones((3, 3)))
    blob = blobs == blobs[peak] if hit[peak] else hit
    rows, cols = np.flatnonzero(blob.any(axis=1)), np.flatnonzero(blob.any(axis=0))
    top, left, bottom, right = rows[0], cols[0], rows[-1] + 1, cols[-1] + 1
    if (bottom - top) * (right - left) > largest * h * w:
        return None
    pixels = np.rint(middle[top:bottom, left:right]).astype(np.uint8)
    return int(top), int(left), pixels, blob[top:bottom, left:right].astype(np.float32)


def _aligned(inside: np.ndarray, window: tuple[int, int], reach: int) -> tuple[np.ndarray, int]:
    """Members moved so that their windows of 5x5 round the place agree best with each other."""
    h, w = inside.shape[1:3]
    r, c = min(max(window[0] - 1, 0), max(h - 5, 0)), min(max(window[1] - 1, 0), max(w - 5, 0))
    steps = [(dy, dx) for dy in range(-reach, reach + 1) for dx in range(-reach, reach + 1)]
    wide = np.stack([shifted(inside, np.full(len(inside), dy), np.full(len(inside), dx))[:, r:r + 5, c:c + 5] for dy, dx in steps])
    wide = wide.astype(np.float32)
    still = steps.index((0, 0))
    own = np.full(len(inside), still)
    middle = np.median(wide[still], axis=0)
    for _ in range(6):
        # the pixels that vary least weigh most: the patch is what repeats
        chosen = wide[own, np.arange(len(inside))]
        weight = 1 / (np.abs(chosen - middle).mean(axis=(0, 3)) + 8.0) ** 2
        far = (np.minimum(np.abs(wide - middle), 64).mean(axis=4) * weight).sum(axis=(2, 3))
        new = far.argmin(axis=0)
        if (new == own).all():
            break
        own = new
        middle = np.median(wide[own, np.arange(len(inside))], axis=0)
    move = np.array(steps)[own]
    spread = int(np.abs(move - np.median(move, axis=0)).max()) if len(move) else 0
    return shifted(inside, move[:, 0], move[:, 1]), min(spread, reach)


def common_overlay(inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """(3, h, w) coefficients that `inside` (m, 3, h, w) have in excess of `outside`, shrunk where they could be chance.

    A weighted mean: pictures that are quiet at a frequency say more about it. Shrinkage is James-Stein's positive part per
    coefficient. Fails (returns zeros) where the residue is weaker than the pictures' own spread over the root of m.
    """
    typical = np.median(np.abs(outside - np.median(outside, axis=0)), axis=0) * 1.4826 + 1.0
    centre = np.median(outside, axis=0)
    rest = (inside - centre) / typical
    level = np.median(np.abs(rest.reshape(len(rest), -1)), axis=1)[:, None, None, None] * 1.4826 + 0.2
    weight = 1 / level**2
    mean = (np.clip(rest, -6 * level, 6 * level) * weight).sum(axis=0) / weight.sum(axis=0)
    noise = 1 / weight.sum(axis=0)
    keep = np.maximum(1 - 3 * noise / np.maximum(mean**2, 1e-12), 0)
    return (mean * keep * typical).astype(np.float32)
