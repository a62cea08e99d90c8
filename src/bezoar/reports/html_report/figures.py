"""Evidence -> HTML: thumbnails as data URIs, excerpts with marked spans, small tables, bars, plots.

Nothing here trusts a shape, a length or a span: reports are read back from files that anybody can write.
"""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass, field
from html import escape
from io import BytesIO

import numpy as np

from bezoar.core.escape import html_block
from bezoar.core.evidence import LABELLED, Bars, Evidence, Excerpt, Facts, Picture, Plot, Scatter
from bezoar.core.wording import PUT_TO_THE_TEST, many
from bezoar.reports.html_report.charts import bar, place, plot, scatter, text

MOST_PICTURE = 9_000
"""Bytes of one picture in the page."""
MOST_PICTURES = 1_200_000
"""Bytes of all pictures in the page."""
CONTEXT = 180
"""Characters of an excerpt on each side of what is marked."""
MOST_ROWS = 30
MOST_CELL = 160
MOST_COLUMNS = 12
BROAD = 4
"""Columns from which a table takes the whole width."""


@dataclass
class Album:
    """Pictures as data URIs, until the page is full."""

    left: int = MOST_PICTURES
    _seen: dict[bytes, str] = field(default_factory=dict)

    def uri(self, pixels: np.ndarray, side: int) -> tuple[str, int, int] | None:
        """(data URI, width, height) at no more than `side` pixels; None when it is no picture or the page is full."""
        from PIL import Image

        pixels = np.asarray(pixels)
        if pixels.ndim != 3 or pixels.shape[2] not in (3, 4) or 0 in pixels.shape or pixels.dtype.kind not in "uif":
            return None
        if pixels.dtype != np.uint8:
            pixels = np.clip(np.nan_to_num(pixels), 0, 255).astype(np.uint8)
        step = max(1, max(pixels.shape[:2]) // (4 * side))
        image = Image.fromarray(np.ascontiguousarray(pixels[::step, ::step]))
        data = b""
        for most in (side, side * 3 // 4, side // 2):
            small = image.copy()
            if max(small.size) > most:
                small.thumbnail((most, most), Image.Resampling.LANCZOS)
            data = _bytes(small)
            if len(data) <= MOST_PICTURE:
                break
        if len(data) > self.left:
            return None
        self.left -= len(data)
        mime = "png" if data[:4] == b"\x89PNG" else "jpeg"
        return f"data:image/{mime};base64,{base64.b64encode(data).decode()}", small.width, small.height


def _bytes(image: object) -> bytes:
    """PNG, or JPEG where that is much smaller (photographs)."""
    png, jpeg = BytesIO(), BytesIO()
    image.save(png, "PNG", optimize=False)  # type: ignore[attr-defined]
    if png.tell() > MOST_PICTURE // 2:
        image.convert("RGB").save(jpeg, "JPEG", quality=88)  # type: ignore[attr-defined]
        if jpeg.tell() < png.tell() // 2:
            return jpeg.getvalue()
    return png.getvalue()


def picture(p: Picture, album: Album, *, side: int = 96, shown: int = 0, alt: str = "") -> str:
    """An `img`; small pictures keep hard pixels. `shown` enlarges the longest side to at least that many CSS pixels."""
    made = album.uri(p.pixels, side)
    if made is None:
        return '<span class="nopic">not shown here</span>'
    uri, width, height = made
    grow = max(1.0, shown / max(width, height)) if shown else 1.0
    grow = float(math.ceil(grow)) if grow > 1 else 1.0
    hard = ' class="px"' if max(width, height) < 128 else ""
    return f'<img{hard} src="{uri}" width="{round(width * grow)}" height="{round(height * grow)}" alt="{text(alt or p.caption, 160)}">'


def _spans(e: Excerpt) -> list[tuple[int, int]]:
    """Marked spans in order, without overlap, inside the text; at most 24."""
    out: list[tuple[int, int]] = []
    for span in sorted(tuple(m) for m in e.marks)[:24]:
        start, stop = max(int(span[0]), out[-1][1] if out else 0), min(int(span[1]), len(e.text))
        if stop > start:
            out.append((start, stop))
    return out


def excerpt(e: Excerpt) -> str:
    """What is marked and the text around it, hidden characters made visible; long stretches are cut in the middle."""
    spans = _spans(e)
    parts, at = [], 0
    for k, (start, stop) in enumerate(spans):
        parts += [_cut(e.text[at:start], head=CONTEXT if k else 0), "<mark>", _cut(e.text[start:stop]), "</mark>"]
        at = stop
    end = 2 * CONTEXT if spans else 5 * CONTEXT
    rest = len(e.text) - at - end
    parts.append(_plain(e.text[at:at + end]) + (f"… ({many(rest, 'more character')})" if rest > 0 else ""))
    return f'<blockquote class="text" dir="auto">{"".join(parts)}</blockquote>'


def _cut(value: str, head: int = CONTEXT) -> str:
    """At most `head` characters from the start and `CONTEXT` from the end, escaped."""
    if len(value) <= head + CONTEXT:
        return _plain(value)
    return f"{_plain(value[:head])} … {_plain(value[-CONTEXT:])}"


def _plain(value: str) -> str:
    return escape(html_block(value, 4000), quote=True)


def facts(f: Facts) -> str:
    """A small table; the first column heads its row."""
    width = max([len(f.header), *(len(r) for r in f.rows[:MOST_ROWS])], default=0)
    if width == 0:
        return '<p class="none">nothing to show</p>'
    head = "".join(f'<th scope="col">{text(h, MOST_CELL)}</th>' for h in (*f.header, *[""] * (width - len(f.header))))
    body = "".join("<tr>" + "".join(f"<td>{text(c, MOST_CELL)}</td>" for c in (*r, *[""] * (width - len(r)))) + "</tr>"
                   for r in f.rows[:MOST_ROWS])
    more = f'<p class="more">and {many(len(f.rows) - MOST_ROWS, "more row")}</p>' if len(f.rows) > MOST_ROWS else ""
    return f'<div class="scroll"><table class="facts"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{more}'


def number(value: float) -> str:
    """A bar's value.

    >>> number(97.0), number(0.0485), number(12345.0)
    ('97', '0.0485', '12,345')
    """
    if not math.isfinite(value):
        return "unknown"
    return f"{value:,.0f}" if value == int(value) else f"{value:.3g}"


def bars(b: Bars, most: int = 16, full: float | None = None) -> str:
    """Named bars as a table, so that phones and screen readers read it; `full` is the value of a full bar."""
    pairs = list(zip(b.names, (float(v) if v is not None else math.nan for v in b.values), strict=False))
    top = max((v for _, v in pairs if math.isfinite(v)), default=0.0)
    known = [v for _, v in pairs if math.isfinite(v)]
    shares = full == 1.0 or (bool(known) and min(known) >= 0 and max(known) <= 1 + 1e-6
                             and (b.caption.startswith("share ") or any(0 < v < 1 for v in known)))
    scale = full or (1.0 if shares and top > 0.2 else top) or 1.0
    stressed = set(b.highlight)
    body = "".join(f'<tr><th scope="row">{text(name)}</th><td class="track">{bar(v / scale, name in stressed)}</td>'
                   f'<td class="num">{f"{100 * v:.3g}%" if shares and math.isfinite(v) else number(v)}</td></tr>'
                   for name, v in pairs[:most])
    more = f'<p class="more">and {len(pairs) - most:,} more</p>' if len(pairs) > most else ""
    return f'<table class="bars"><tbody>{body}</tbody></table>{more}'


def figure(e: Evidence, album: Album) -> str:
    """Any evidence as a `figure` with its caption."""
    if isinstance(e, Picture):
        inner = picture(e, album, side=640, shown=min(max(e.enlarge, 1) * max(np.shape(e.pixels)[:1] or (1,)), 240))
    elif isinstance(e, Excerpt):
        inner = excerpt(e)
    elif isinstance(e, Facts):
        inner = facts(e)
    elif isinstance(e, Bars):
        inner = bars(e)
    elif isinstance(e, Plot):
        inner = plot(e)
    elif isinstance(e, Scatter):
        inner = scatter(e)
    else:
        inner = '<p class="none">this kind of evidence cannot be drawn</p>'
    kind = text(e.kind) + (" broad" if isinstance(e, Facts) and len(e.header) >= BROAD else "")
    kind += " steps" if isinstance(e, Facts) and e.caption == PUT_TO_THE_TEST else ""
    return f'<figure class="fig {kind}"><figcaption>{text(e.caption, 300)}</figcaption>{inner}</figure>'


def member(e: Evidence, album: Album) -> str:
    """One member of a campaign as a list item: the sample itself and its id."""
    sample = getattr(e, "sample", "")
    if isinstance(e, Picture):
        inner = picture(e, album, side=96, shown=88, alt=f"sample {sample}")
    elif isinstance(e, Excerpt):
        inner = excerpt(e)
    elif isinstance(e, Facts):
        inner = facts(e)
    else:
        inner = ""
    name = sample.rstrip("/").rsplit("/", 1)[-1] or sample
    pair = " pair" if isinstance(e, Picture) and np.ndim(e.pixels) == 3 and e.pixels.shape[1] > 1.5 * e.pixels.shape[0] else ""
    return (f'<li class="{text(e.kind)}{pair}">{inner}<span class="id" title="{text(sample, 400)}">{text(name, 120)}</span>'
            f'<span class="cls">{text(e.caption if e.caption != sample else "", 80)}</span></li>')


def rows(members: list[Facts], stress: tuple[str, ...] = ()) -> str | None:
    """Members of a table as one table, a row each, so that eyes can run down a column; None where they do not line up.

    `stress` names the columns that the trigger writes; at most `MOST_COLUMNS` are shown.
    """
    names = [r[0] for r in members[0].rows] if members and all(len(r) == 2 for r in members[0].rows) else []
    if not names or any(len(m.header) != 2 or [r[:1] for r in m.rows] != [(n,) for n in names] for m in members):
        return None
    own = [m.caption.removeprefix(LABELLED) if m.caption.startswith(LABELLED) else None for m in members]
    told = any(o is not None for o in own)
    head = '<th scope="col">label</th>' * told + "".join(f'<th scope="col">{text(n, 60)}</th>' for n in names[:MOST_COLUMNS])
    body = ""
    for m, label in zip(members, own, strict=True):
        cells = (f"<mark>{text(v, 80)}</mark>" if n in stress else text(v, 80) for n, v in m.rows[:MOST_COLUMNS])
        body += f'<tr><th scope="row" class="id">{text(m.sample, 80)}</th>'
        body += f"<td>{text(label or '', 80)}</td>" * told + "".join(f"<td>{c}</td>" for c in cells) + "</tr>"
    more = f'<p class="more">and {many(len(names) - MOST_COLUMNS, "more column")}</p>' if len(names) > MOST_COLUMNS else ""
    return (f'<div class="scroll" tabindex="0" role="region" aria-label="members"><table class="facts rows"><thead><tr>'
            f'<th scope="col">sample</th>{head}</tr></thead><tbody>{body}</tbody></table></div>{more}')


def cropped(p: Picture, mask: np.ndarray | None) -> Picture:
    """The part of a trigger picture that the mask covers, with one pixel around it, so that it can be enlarged."""
    if mask is None or mask.shape != np.shape(p.pixels)[:2]:
        return p
    down, across = np.nonzero(mask > 0.05)
    if len(down) == 0:
        return p
    pad = 0 if down.min() == 0 and across.min() == 0 else 1
    box = (slice(max(down.min() - pad, 0), down.max() + 1 + pad), slice(max(across.min() - pad, 0), across.max() + 1 + pad))
    pixels = p.pixels[box]
    if pixels.shape[2:] == (3,) and mask[box].min() <= 0.05:  # what is no part of it is seen through
        pixels = np.dstack([pixels, np.where(mask[box] > 0.05, 255, 0).astype(pixels.dtype)])
    return Picture(pixels, p.caption, p.sample, p.enlarge)


def where(top: float, left: float, mask: np.ndarray, host: tuple[int, int], scale: float) -> str:
    """The place of a patch in a host of (height, width) pixels."""
    inside = np.nonzero(np.asarray(mask) > 0.05)
    if len(inside) != 2 or len(inside[0]) == 0:
        return ""
    h, w = mask.shape
    unit = (scale / h, scale / h * host[0] / host[1]) if scale else (1 / host[0], 1 / host[1])
    down, across = min(top, max(0.0, 1 - h * unit[0])), min(left, max(0.0, 1 - w * unit[1]))
    return place(down + inside[0].min() * unit[0], across + inside[1].min() * unit[1],
                 (np.ptp(inside[0]) + 1) * unit[0], (np.ptp(inside[1]) + 1) * unit[1])
