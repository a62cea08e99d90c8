"""Whether two bodies show the same thing although their bytes differ: a picture re-encoded, resized or stripped of its metadata.

For pictures a 64-bit perceptual hash (signs of the lowest frequencies of a cosine transform) and a colour thumbnail of 16 x 16 cells:
both must agree, and no single cell may differ much, so that a patch on an otherwise equal picture is a change. Text is the same when its
words are. All else is the same only byte for byte. "Re-encoded" never means "may be used": the digest differs, and a trigger finer than a
cell would not be seen here. Paper for the hash: Zauner 2010, "Implementation and benchmarking of perceptual image hash functions".
"""

from __future__ import annotations

import base64
import io
import re
import warnings
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any

import numpy as np

from bezoar.core.limits import Limits

CELLS = 16
HASH_BITS, MEAN_CELL, WORST_CELL = 12, 7.0, 36.0
"""How far apart two re-encodings may be: bits of 64, grey levels on average, grey levels in one cell."""
_TAGS = re.compile(rb"<[^<>]*>")


@dataclass(frozen=True)
class Likeness:
    """`kind`: picture, text or bytes. `value`: base64 of hash and thumbnail, or a digest of the words; empty for bytes."""

    kind: str
    value: str = ""


@cache
def _cosines() -> np.ndarray:
    k, x = np.arange(8)[:, None], np.arange(32)[None, :]
    return np.cos(np.pi * k * (2 * x + 1) / 64)


def _picture(body: bytes) -> Likeness | None:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(body), formats=("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"))
            if image.width * image.height > Limits().max_pixels:
                return None
            image.draft("RGB", (256, 256))
            picture = image.convert("RGBA")
            flat = Image.new("RGB", picture.size, (127, 127, 127))
            flat.paste(picture, mask=picture.getchannel("A"))
            grey = np.asarray(flat.convert("L").resize((32, 32), Image.Resampling.BOX), np.float64)
            small = np.asarray(flat.resize((CELLS, CELLS), Image.Resampling.BOX), np.uint8)
    except Exception:  # noqa: BLE001 - a decoder fed with hostile bytes may raise anything; then it is no picture
        return None
    low = (_cosines() @ grey @ _cosines().T).ravel()[1:]
    bits = np.packbits(np.concatenate([[0], low > np.median(low)]).astype(np.uint8))
    return Likeness("picture", base64.b64encode(bits.tobytes() + small.tobytes()).decode())


def likeness(body: bytes, kind: str) -> Likeness:
    """What a body looks like. `kind`: its media type, which is a hint only.

    >>> likeness(b"a  b", "text/plain") == likeness(b"a b\\n", "text/plain")
    True
    """
    found = _picture(body)
    if found is not None:
        return found
    if kind.startswith("text/") or kind in ("application/json", "application/xhtml+xml", "application/xml"):
        plain = _TAGS.sub(b" ", body) if "html" in kind else body
        return Likeness("text", sha256(b" ".join(plain.split())).hexdigest())
    return Likeness("bytes")


def alike(a: Likeness, b: Likeness) -> bool:
    """Whether one may be a re-encoding of the other."""
    if a.kind != b.kind or a.kind == "bytes":
        return False
    if a.kind == "text":
        return a.value == b.value
    try:
        (bits_a, cells_a), (bits_b, cells_b) = (_parts(x.value) for x in (a, b))
    except ValueError:
        return False
    apart = np.abs(cells_a - cells_b)
    flat = max(np.ptp(cells_a), np.ptp(cells_b)) < 2 * WORST_CELL  # of a picture without content the hash is noise
    near = bool(np.unpackbits(bits_a ^ bits_b).sum() <= HASH_BITS) or flat
    return bool(near and apart.mean() <= MEAN_CELL and apart.max() <= WORST_CELL)


def _parts(text: str) -> tuple[np.ndarray, Any]:
    raw = np.frombuffer(base64.b64decode(text, validate=True), np.uint8)
    if len(raw) != 8 + CELLS * CELLS * 3:
        raise ValueError
    return raw[:8], raw[8:].astype(np.int16)
