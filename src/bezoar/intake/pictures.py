"""Decoding picture files under limits, with Pillow: header first, pixels only when the header is acceptable.

What a trainer's default loader sees is what we see: the first frame, alpha dropped, EXIF orientation not applied.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from bezoar.core.limits import Limits

FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF", "PPM")
SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")


MARK = "bezoar-poison"
"""Key of the text chunk in a PNG, of the schema's metadata in an Arrow or Parquet file, start of the comment in a JPEG or NPZ, that an
attack of ours wrote."""
MARKED = "planted by bezoar attack; see truth.json"


class Undecodable(ValueError):
    """This file is no picture that we are willing or able to decode; the message says why."""


@contextmanager
def strict_decoding() -> Iterator[None]:
    """Inside, Pillow's size warning is an error and its chatter about metadata is not shown. Not for concurrent entry."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def decode(raw: bytes, limits: Limits) -> tuple[np.ndarray, str]:
    """(h, w, 3) uint8 and a remark ('' or 'alpha', 'frames', '16-bit', 'planted'). Raises Undecodable."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(raw), formats=FORMATS) as picture:
            width, height = picture.size
            if width * height > limits.max_pixels:
                raise Undecodable(f"an image of {width:,} x {height:,} pixels, the limit is {limits.max_pixels:,}")
            if width * height == 0:
                raise Undecodable("an image without pixels")
            planted = MARK in picture.info or _said(picture.info.get("comment")).startswith(MARK)
            if picture.mode == "RGB":
                return np.array(picture), "planted" if planted else ""
            pixels, remark = _to_rgb(picture)
            return pixels, "planted" if planted else remark
    except Undecodable:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Undecodable(f"an image bomb: {error}") from error
    except UnidentifiedImageError as error:
        raise Undecodable("not an image, or damaged at its start") from error
    except (OSError, ValueError, SyntaxError, IndexError, KeyError, TypeError, EOFError, OverflowError, MemoryError,
            struct.error, zlib.error, AttributeError, RuntimeError) as error:
        raise Undecodable(f"damaged: {str(error) or type(error).__name__}") from error


def _said(comment: Any) -> str:
    return comment.decode("latin-1") if isinstance(comment, bytes) else str(comment or "")


def marked(raw: bytes) -> bytes:
    """A PNG or JPEG file that says that it was planted, with the same pixels; files of other formats as they are."""
    if raw.startswith(b"\x89PNG\r\n\x1a\n") and raw[12:16] == b"IHDR":
        body = b"tEXt" + f"{MARK}\0{MARKED}".encode()
        return raw[:33] + struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) + raw[33:]
    if raw.startswith(b"\xff\xd8\xff"):
        at = 2
        while raw[at:at + 1] == b"\xff" and raw[at + 1:at + 2] and 0xE0 <= raw[at + 1] <= 0xEF:
            at += 2 + int.from_bytes(raw[at + 2:at + 4], "big")
        comment = f"{MARK}: {MARKED}".encode()
        return raw[:at] + b"\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment + raw[at:]
    return raw


def _to_rgb(picture: Any) -> tuple[np.ndarray, str]:
    mode = picture.mode
    frames = getattr(picture, "n_frames", 1)
    if mode.startswith("I;16") or mode in ("I", "F"):
        return np.repeat(_eight_bits(np.asarray(picture))[..., None], 3, axis=-1), "16-bit"
    if mode == "L":
        return np.repeat(np.asarray(picture)[..., None], 3, axis=-1), "frames" if frames > 1 else ""
    if mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        return np.ascontiguousarray(np.asarray(picture.convert("RGBA"))[..., :3]), "frames" if frames > 1 else "alpha"
    return np.array(picture.convert("RGB")), "frames" if frames > 1 else ""


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """Grey values of any depth as uint8: 16 bits by their upper byte, floats in [0, 1] or [0, 255] scaled."""
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            raise Undecodable("pixels that are NaN or infinite")
        top = float(values.max(initial=0.0))
        return np.clip(np.rint(values * (255.0 if top <= 1 else 1.0 if top <= 255 else 255.0 / 65535.0)), 0, 255).astype(np.uint8)
    wide = values.astype(np.int64)
    return (wide if values.dtype.itemsize > 2 and wide.max(initial=0) <= 255 else np.clip(wide, 0, 65535) >> 8).astype(np.uint8)


def png_bytes(pixels: np.ndarray, planted: bool = False) -> bytes:
    """(h, w, 3) uint8 as PNG, grey where all channels agree; `planted` marks it as the work of an attack."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    buffer, said = io.BytesIO(), PngInfo()
    if planted:
        said.add_text(MARK, MARKED)
    grey = bool((pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all())
    Image.fromarray(np.ascontiguousarray(pixels[..., 0] if grey else pixels)).save(buffer, "PNG", pnginfo=said)
    return buffer.getvalue()
