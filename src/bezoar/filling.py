"""The whole of a patch from the part of it that was recovered.

A search for the smallest patch stops at two or three pixels of the planted one, because they are enough. The model answers to each of the
others as well, if more softly: put alone on clean samples, each moves the target's odds, and what lies round the patch does so less. Only
answers are asked for, so a black box will do. Fails where single pixels do not move the model at all, and beside strong natural shortcuts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bezoar.core.image_triggers import Patch
from bezoar.core.inputs import Images
from bezoar.core.suspect import Suspect

REACH = 0.15
"""How far round what was recovered is looked, as a share of a picture's side."""
SHARE = 0.5
"""Of the strongest pixel's effect that a pixel of the patch must have at least; more where the effects fall apart at a higher one."""
SWEEPS = 2
"""Times that the colour of each pixel is chosen anew beside the others'."""
HOSTS = 24
FINEST = 48
"""A picture of more pixels a side is asked about in blocks."""
LEAST = 1e-30
CORNERS = (np.indices((2, 2, 2)).reshape(3, -1).T * 255).astype(np.uint8)
"""(8, 3) black, white and the six full colours."""


def filled(suspect: Suspect, found: Patch, hosts: Images, target: int) -> Patch | None:
    """The patch round `found` by the effect of single blocks on `hosts`, pictures of one size that are not of the class `target`.

    None where there is nothing to see: no hosts of one size, no effect, or an effect all over the place. Deterministic; asks
    about 8 * 24 pictures for each block within `REACH`.
    """
    if len(hosts) == 0 or not hosts.uniform:
        return None
    x = hosts.take(np.linspace(0, len(hosts) - 1, min(len(hosts), HOSTS)).astype(np.int64)).dense()
    h, w = x.shape[1:3]
    opacity = opacity_on(found, h, w)
    if not opacity.max(initial=0.0) > 0:
        return None
    block = max(1, -(-max(h, w) // FINEST))
    core = _blocks(opacity > 0.5 * opacity.max(), block)
    near = _grown(core, max(2, round(REACH * max(h, w) / block)))
    asked = _Asked(suspect, x, block, CORNERS[[0, 7]] if (x == x[..., :1]).all() else CORNERS, target)
    gain = asked.gains(np.argwhere(near))
    effect = np.zeros(near.shape)
    effect[near] = gain.max(axis=1)
    if not effect.max() > 0:
        return None
    kept = _parts(effect >= max(SHARE * effect.max(), _fork(effect[near])), _grown(core, 1) | (effect == effect.max()))
    around = effect[near & ~kept]
    if kept.sum() > 0.6 * near.sum() or around.mean() > 0.75 * effect[kept].mean():
        return None
    paint = np.zeros((*near.shape, 3), np.uint8)
    paint[kept] = asked.colours[asked.painted(np.argwhere(kept), gain.argmax(axis=1)[kept[near]])]
    rows, cols = (np.flatnonzero(kept.any(axis=axis)) for axis in (1, 0))
    part = (slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1))
    top, left = int(rows[0]) * block, int(cols[0]) * block
    mask, pixels = (np.kron(a, np.ones((block, block, 1), a.dtype))[:h - top, :w - left]
                    for a in (kept[part][..., None].astype(np.float32), paint[part]))
    return Patch(np.ascontiguousarray(pixels), np.ascontiguousarray(mask[..., 0]), top / h, left / w)


def opacity_on(patch: Patch, h: int, w: int) -> np.ndarray:
    """(h, w) in [0, 1]: how much of a host each pixel of the unshifted patch hides."""
    still = replace(patch, jitter=0)
    low, high = (still.apply(Images.of(np.full((1, h, w, 3), v, np.uint8)), np.random.default_rng(0)).dense()[0] for v in (0, 255))
    return np.asarray(1 - (high.astype(np.float64) - low).mean(axis=2) / 255)


def _blocks(mask: np.ndarray, block: int) -> np.ndarray:
    """Which blocks hold any of the mask (h, w)."""
    h, w = mask.shape
    padded = np.zeros((-(-h // block) * block, -(-w // block) * block), bool)
    padded[:h, :w] = mask
    return np.asarray(padded.reshape(padded.shape[0] // block, block, -1, block).any(axis=(1, 3)))


def _grown(mask: np.ndarray, by: int) -> np.ndarray:
    from scipy.ndimage import binary_dilation

    return np.asarray(binary_dilation(mask, np.ones((2 * by + 1, 2 * by + 1), bool)))


def _parts(mask: np.ndarray, touched: np.ndarray) -> np.ndarray:
    """The connected parts of a mask that hold any of `touched`."""
    from scipy.ndimage import label

    name, _ = label(mask, np.ones((3, 3), bool))
    return np.isin(name, np.setdiff1d(name[touched], [0]))


def _fork(effects: np.ndarray) -> float:
    """The value that best parts (m,) effects in two, each near its own mean (Otsu 1979).

    >>> _fork(np.array([0.0, 0.1, 0.2, 2.0, 2.2]))
    1.1
    """
    v = np.sort(effects)
    low = np.arange(1, len(v))
    if not len(low):
        return -np.inf
    total = np.cumsum(v)
    between = low * (len(v) - low) * (total[:-1] / low - (total[-1] - total[:-1]) / (len(v) - low)) ** 2
    at = int(between.argmax())
    return float((v[at] + v[at + 1]) / 2)


@dataclass(frozen=True, eq=False)
class _Asked:
    """The hosts x (n, h, w, 3), on which blocks are put in any of `colours` (c, 3), and the class whose odds are asked for."""

    suspect: Suspect
    x: np.ndarray
    block: int
    colours: np.ndarray
    target: int

    def odds(self, pictures: np.ndarray) -> np.ndarray:
        """(m,) mean log-odds of the target against the next class, of (m, n, h, w, 3) hosts with something on them."""
        log_p = np.log(np.maximum(self.suspect.predict(Images.of(pictures.reshape(-1, *self.x.shape[1:]))), LEAST))
        each = log_p[:, self.target] - np.delete(log_p, self.target, axis=1).max(axis=1)
        return np.asarray(each.reshape(len(pictures), -1).mean(axis=1), np.float64)

    def gains(self, places: np.ndarray) -> np.ndarray:
        """(m, c) what one block alone at each of the `places` (m, 2) adds, by its colour."""
        out = np.zeros((len(places), len(self.colours)))
        step = max(1, 4096 // len(self.x))
        for i in range(0, len(places), step):
            some = places[i:i + step]
            stamped = np.repeat(self.x[None], len(some), axis=0)
            for k, colour in enumerate(self.colours):
                for pictures, place in zip(stamped, some, strict=True):
                    self._put(pictures, place, colour)
                out[i:i + step, k] = self.odds(stamped)
        return out - self.odds(self.x[None])

    def painted(self, places: np.ndarray, first: np.ndarray) -> np.ndarray:
        """(m,) colours, by number, of blocks that stand together, each the best beside the others; `first` is where this begins."""
        best = first.copy()
        stamped = np.repeat(self.x[None], len(self.colours), axis=0)
        for place, k in zip(places, best, strict=True):
            self._put(stamped, place, self.colours[k])
        for _ in range(SWEEPS):
            for j, place in enumerate(places):
                for pictures, colour in zip(stamped, self.colours, strict=True):
                    self._put(pictures, place, colour)
                best[j] = int(self.odds(stamped).argmax())
                self._put(stamped, place, self.colours[best[j]])
        return np.asarray(best)

    def _put(self, pictures: np.ndarray, place: np.ndarray, colour: np.ndarray) -> None:
        y, x = place * self.block
        pictures[..., y:y + self.block, x:x + self.block, :] = colour
