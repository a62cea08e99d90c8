"""Pictures: shapes and coarse colours as content, learned filters as details, small isolated patches as atoms, cosine
coefficients as signal.

All views are made on one canonical grid. Where all pictures have one size of at most 64x64 and the data are not huge, that is
their own pixels; else every picture is averaged down (or up) to 32x32. So a trigger of a few pixels on large
pictures is seen only as far as it survives that averaging; what is smaller than about 3% of the side is not.
Cost: about 1 s per 10,000 pictures of 32x32 for each view on one core.
"""

from __future__ import annotations

import re
import weakref
from functools import partial
from typing import Any

import numpy as np

from bezoar.core.ability import Info, Modality
from bezoar.core.atoms import Atoms
from bezoar.core.errors import Unavailable
from bezoar.core.evidence import Picture
from bezoar.core.image_triggers import Overlay, Patch
from bezoar.core.inputs import Images, Inputs
from bezoar.core.learned import Ask, Followed, Taught
from bezoar.core.trigger import Trigger
from bezoar.maths import filters, frequency, gradients, kernel, patches, residue
from bezoar.maths import grain as grains

NATIVE_SIDE = 64
CANONICAL_SIDE = 32
NATIVE_FLOATS = 150_000_000
"""Pictures keep their own grid up to so many coefficients in all (0.6 GB)."""
EMBED, CONTENT = 64, 128
COARSE = 8
"""Cells of a side that are left of a picture without its fine structure."""
THUMBNAIL = 256

BLURS = (0.7, 1.0)
"""Widths in pixels of the blur that softens."""
GRAIN_SIDE = 256
"""Of large pictures so many pixels a side are looked at for their grain, from the middle."""

KEPT = 100_000
"""Shapes and colours of up to so many pictures are kept for the views that share them (0.3 GB)."""

_grids: weakref.WeakKeyDictionary[Images, np.ndarray] = weakref.WeakKeyDictionary()
_looks: weakref.WeakKeyDictionary[Images, np.ndarray] = weakref.WeakKeyDictionary()


def canonical_shape(inputs: Images) -> tuple[int, int]:
    """(h, w) of the canonical grid; see the module's docstring.

    >>> canonical_shape(Images.of(np.zeros((2, 28, 23, 3), np.uint8)))
    (28, 23)
    """
    if inputs.uniform and len(inputs):
        h, w = (int(s) for s in inputs.sizes[0])
        if max(h, w) <= NATIVE_SIDE and len(inputs) * h * w * 3 <= NATIVE_FLOATS:
            return h, w
    return CANONICAL_SIDE, CANONICAL_SIDE


def canonical(inputs: Images) -> np.ndarray:
    """(n, h, w, 3) uint8 on the canonical grid; kept as long as `inputs` lives."""
    shape = canonical_shape(inputs)
    if inputs.uniform and len(inputs) and tuple(inputs.sizes[0]) == shape:
        return inputs.dense()
    if inputs not in _grids:
        from PIL import Image as Pillow

        out = np.empty((len(inputs), *shape, 3), np.uint8)
        for rows, pictures in inputs.chunks(256):
            for i, p in zip(rows, pictures, strict=True):
                out[i] = p if p.shape[:2] == shape else np.asarray(Pillow.fromarray(p).resize(shape[::-1], Pillow.Resampling.BOX))
        out.flags.writeable = False
        _grids[inputs] = out
    return _grids[inputs]


class Image(Modality):
    """Views of pictures."""

    info = Info(name="image", summary="pictures of any size", modalities=("image",),
                cost="about 8 s per 10,000 pictures of 32x32 for all views",
                reference="Dalal and Triggs 2005 (content); Coates, Lee and Ng 2011 (details)")
    bent = True
    held_networks = 2.0

    def embed(self, inputs: Inputs) -> np.ndarray:
        """(n, 64) float32: principal axes of shapes and coarse colours."""
        return gradients.principal(self._looks(inputs), EMBED)

    def pass_seconds(self, inputs: Inputs) -> float:
        """By the pixels and the width of the network."""
        from bezoar.networks.probe import seconds_for

        assert isinstance(inputs, Images)
        return seconds_for(inputs, CANONICAL_SIDE)

    def content(self, inputs: Inputs) -> np.ndarray:
        """(n, 128) float32: the same features, more axes; a patch of a few pixels hardly moves them."""
        return gradients.principal(self._looks(inputs), CONTENT)

    def details(self, inputs: Inputs) -> np.ndarray:
        """(n, d) float32, d at most 1,920: answers of small filters learned from these pictures, beside shapes and colours.

        They tell classes apart far better than the content does and show patches and patterns too. They follow the whole
        set of pictures, not its order.
        """
        assert isinstance(inputs, Images)
        looks = self._looks(inputs)
        if len(looks) == 0:
            return looks
        x = self._small(inputs)
        if (x[..., 1:] == x[..., :1]).all():
            x = x[..., :1]
        return kernel.even_columns(np.hstack([filters.filter_responses(x, filters.learn_filters(x)), looks]))

    def coarse(self, inputs: Inputs) -> np.ndarray:
        """(n, d) float32, d at most 192: means of light and colour over a grid of 8x8, less what all pictures share."""
        assert isinstance(inputs, Images)
        x = gradients.cell_means(canonical(inputs), COARSE)
        x = x.reshape(len(x), x[:1].size)
        return np.asarray((x - x.mean(axis=0)) / max(float(x.std()), 1e-6), np.float32) if len(x) else x

    def _looks(self, inputs: Inputs) -> np.ndarray:
        assert isinstance(inputs, Images)
        kept = _looks.get(inputs)
        if kept is not None:
            return kept
        x = canonical(inputs)
        if len(x) == 0:
            return np.zeros((0, 1), np.float32)
        shapes = gradients.oriented(x.mean(axis=3, dtype=np.float32))
        colours = gradients.cell_means(x).reshape(len(x), -1) / 255
        found = np.hstack([shapes, 1.5 * colours])
        if len(x) <= KEPT:
            found.flags.writeable = False
            _looks[inputs] = found
        return found

    def atoms(self, inputs: Inputs) -> Atoms:
        """3x3 windows that repeat at one place (family "patch") or within a pixel of it ("moving patch").

        Chosen without labels, so labels may be tested against them with no price but their number. `expected` holds the
        price of the search: it is the Poisson mean under which the holders are as likely as they are by the counts of the same
        window at other places, times the number of places and windows looked at.
        """
        from scipy.sparse import csc_array

        assert isinstance(inputs, Images)
        x = canonical(inputs)
        found = patches.crowded(x, gradients.thumbnails(x), patches.standing_out(x))
        held = np.bincount(found.of, minlength=len(found.y)).astype(np.float64)
        log_p = np.minimum(found.log_p + np.log(max(found.looked / max(len(found.y), 1), 1.0)), 0.0)
        shape = (len(x), len(found.y))
        matrix = csc_array((np.ones(len(found.row), np.uint8), (found.row, found.of)), shape=shape)
        faint = csc_array((found.faint[2].astype(np.uint8), tuple(found.faint[:2])), shape=shape)

        def name(j: int) -> str:
            by = ", moving by a pixel" if found.reach[j] else ""
            return f"a 3x3 patch at row {found.y[j]}, column {found.x[j]}{by}"

        return Atoms(matrix, ("patch", "moving patch"), found.reach.astype(np.int16),
                     np.maximum(patches.matching_mean(held, log_p), found.mean),
                     np.array([max((found.reach == r).sum(), 1) for r in (0, 1)], np.float64), name,
                     natural=found.mean, faint=faint)

    def signal(self, inputs: Inputs) -> np.ndarray:
        """(n, 3hw) float32 orthonormal cosine coefficients of light and two opponent colours on the canonical grid."""
        assert isinstance(inputs, Images)
        x = canonical(inputs)
        out = np.empty((len(x), x[0].size if len(x) else 0), np.float32)
        for i in range(0, len(x), 2048):
            out[i:i + 2048] = frequency.forward(x[i:i + 2048]).reshape(-1, out.shape[1])
        return out

    def grain(self, inputs: Inputs) -> np.ndarray:
        """(n, 3, 3) float32, in grey levels, of the pictures' own pixels: what is averaged has no grain."""
        assert isinstance(inputs, Images)
        out = np.empty((len(inputs), 3, 3), np.float32)
        for rows, pictures in inputs.chunks(256):
            middles = [_middle(p) for p in pictures]
            if len({p.shape for p in middles}) == 1:
                out[rows] = grains.grain(np.stack(middles))
            else:
                out[rows] = np.concatenate([grains.grain(p[None]) for p in middles])
        return out

    def softened(self, inputs: Inputs) -> tuple[Inputs, ...]:
        """Blurred a little and a little more, when they are read."""
        assert isinstance(inputs, Images)
        return tuple(Images(inputs.sizes, partial(_blurred, inputs, width)) for width in BLURS)

    def features(self, inputs: Inputs) -> np.ndarray:
        """(n, p) float32, p at most 3072: cosine coefficients, flattened so that a small patch or a faint overlay weighs
        as much as the content does, softly clipped."""
        assert isinstance(inputs, Images)
        x = self._small(inputs)
        gain = frequency.flattening(*x.shape[1:3])
        out = np.empty((len(x), gain.size), np.float32)
        for i in range(0, len(x), 2048):
            out[i:i + 2048] = np.arcsinh(frequency.forward(x[i:i + 2048]) * gain).reshape(-1, gain.size)
        return out

    def _small(self, inputs: Images) -> np.ndarray:
        """The canonical grid, at most 32 pixels a side (stateless: a picture's values depend on its own pixels)."""
        x = canonical(inputs)
        if len(x) and max(x.shape[1:3]) > CANONICAL_SIDE:
            return gradients.cell_means(x, CANONICAL_SIDE)
        return x

    def probe(self, inputs: Inputs, codes: np.ndarray, classes: int, seed: int, number: int = 0) -> Taught:
        """A narrow residual network on at most 32 pixels a side; by `number`, one without shortcuts or one of patches."""
        from bezoar.networks.probe import of_pictures

        assert isinstance(inputs, Images)
        return of_pictures(inputs, codes, classes, seed, CANONICAL_SIDE, number)

    def retrained(self, inputs: Inputs, codes: np.ndarray, classes: int, seed: int) -> Ask:
        from bezoar.networks.probe import again_pictures

        assert isinstance(inputs, Images)
        return again_pictures(inputs, codes, classes, seed, CANONICAL_SIDE)

    def follow(self, inputs: Inputs, codes: np.ndarray, classes: int, others: Inputs, seed: int) -> Followed:
        from bezoar.networks.following import follow_pictures

        assert isinstance(inputs, Images)
        return follow_pictures(inputs, codes, classes, others, seed, CANONICAL_SIDE)

    def held_out(self, inputs: Inputs, codes: np.ndarray, classes: int, groups: np.ndarray, seed: int) -> np.ndarray:
        """Three narrow residual networks, each on two thirds of the pictures."""
        from bezoar.networks.held_out import held_out

        assert isinstance(inputs, Images)
        return held_out(inputs, codes, classes, groups, seed, CANONICAL_SIDE)

    def lift(self, inputs: Inputs, members: np.ndarray, background: np.ndarray, place: dict[str, Any]) -> Trigger:
        """A `Patch` where pixels agree among the members and not in the background, else an additive `Overlay`."""
        assert isinstance(inputs, Images)
        if len(members) < 3 or len(background) < 3:
            raise Unavailable("at least 3 members and 3 others to lift a trigger from")
        x = canonical(inputs)
        some = _spread(members, 500)
        others = _spread(background, 1500)
        inside, outside = x[some], x[others]
        window = _window(place)
        found = residue.common_patch(inside, outside, window)
        h, w = x.shape[1:3]
        own = inputs.uniform and tuple(inputs.sizes[0]) == (h, w)
        if found is not None:
            top, left, pixels, mask, jitter = found
            return Patch(pixels, mask, top / h, left / w, scale=0.0 if own else mask.shape[0] / h, jitter=jitter)
        pattern = residue.common_overlay(frequency.forward(inside), frequency.forward(outside))
        if not np.abs(pattern).max() > 0.25:
            raise Unavailable("a common residue; the members share none")
        return Overlay(frequency.inverse(pattern[None])[0])

    def control(self, trigger: Trigger, inputs: Inputs, rng: np.random.Generator) -> Trigger:
        """Patch: the same window filled from a random picture at a random place; overlay: its spectrum with random signs."""
        assert isinstance(inputs, Images)
        if isinstance(trigger, Patch):
            host = inputs.read(np.array([rng.integers(len(inputs))]))[0]
            h, w = trigger.mask.shape
            top = int(rng.integers(max(host.shape[0] - h, 0) + 1))
            left = int(rng.integers(max(host.shape[1] - w, 0) + 1))
            pixels = np.resize(host[top:top + h, left:left + w], (h, w, 3)).astype(np.uint8)
            return Patch(pixels, trigger.mask, trigger.top, trigger.left, trigger.scale, trigger.jitter)
        assert isinstance(trigger, Overlay)
        spectrum = frequency.forward(trigger.pattern[None])
        mixed = frequency.inverse(spectrum * rng.choice(np.array([-1, 1], np.float32), spectrum.shape))[0]
        return Overlay(mixed, trigger.alpha)

    def show(self, inputs: Inputs, row: int, sample: str, trigger: Trigger | None = None) -> Picture:
        """The picture, at most 256 pixels a side; a patch's window is outlined."""
        assert isinstance(inputs, Images)
        pixels = inputs.read(np.array([row]))[0]
        height, width = pixels.shape[:2]
        if max(height, width) > THUMBNAIL:
            from PIL import Image as Pillow

            share = THUMBNAIL / max(height, width)
            size = (max(1, round(width * share)), max(1, round(height * share)))
            pixels = np.asarray(Pillow.fromarray(pixels).resize(size, Pillow.Resampling.BOX))
        enlarge = max(1, 96 // max(pixels.shape[:2]))
        if isinstance(trigger, Patch):
            pixels = np.repeat(np.repeat(pixels, enlarge, axis=0), enlarge, axis=1).copy()
            h, w = trigger.mask.shape
            if trigger.scale:
                h, w = max(1, round(trigger.scale * height)), max(1, round(trigger.scale * height * w / h))
            down, across = pixels.shape[0] / height, pixels.shape[1] / width
            box = (trigger.top * height - trigger.jitter, trigger.top * height + h + trigger.jitter,
                   trigger.left * width - trigger.jitter, trigger.left * width + w + trigger.jitter)
            _outline(pixels, round(box[0] * down) - 1, round(box[1] * down), round(box[2] * across) - 1, round(box[3] * across))
            enlarge = 1
        return Picture(pixels, caption=sample, sample=sample, enlarge=enlarge)


def _blurred(inputs: Images, width: float, rows: np.ndarray) -> list[np.ndarray]:
    from scipy.ndimage import gaussian_filter

    return [np.rint(gaussian_filter(p.astype(np.float32), (width, width, 0))).astype(np.uint8) for p in inputs.read(rows)]


def _middle(picture: np.ndarray) -> np.ndarray:
    top, left = (max(side - GRAIN_SIDE, 0) // 2 for side in picture.shape[:2])
    return picture[top:top + GRAIN_SIDE, left:left + GRAIN_SIDE]


def _spread(rows: np.ndarray, most: int) -> np.ndarray:
    """At most `most` of `rows`, evenly."""
    rows = np.sort(np.asarray(rows, np.int64))
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]


def _window(place: dict[str, Any]) -> tuple[int, int] | None:
    """(row, column) that the names of the group's atoms speak of, in canonical pixels."""
    found = [re.search(r"row (\d+), column (\d+)", str(a)) for a in place.get("atoms", ())]
    at = [(int(m[1]), int(m[2])) for m in found if m]
    if not at:
        return None
    return int(np.median([r for r, _ in at])), int(np.median([c for _, c in at]))


def _outline(pixels: np.ndarray, top: int, bottom: int, left: int, right: int) -> None:
    """A red frame just outside the window, in place."""
    h, w = pixels.shape[:2]
    top, left, bottom, right = max(top, 0), max(left, 0), min(bottom, h - 1), min(right, w - 1)
    for line in (np.s_[top, left:right + 1], np.s_[bottom, left:right + 1], np.s_[top:bottom + 1, left], np.s_[top:bottom + 1, right]):
        pixels[line] = (255, 0, 60)
