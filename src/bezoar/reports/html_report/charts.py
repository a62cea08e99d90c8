"""Inline SVG: lines, steps, points, a map, a place. Geometry as attributes and colours as classes, because the page's
content policy allows no style attribute. Text is escaped here; widths scale with the page.
"""

from __future__ import annotations

import math
from html import escape

import numpy as np

from bezoar.core.escape import html_line
from bezoar.core.evidence import LOG_COUNT, LOG_SUSPICION, Plot, Scatter

WIDTH, HEIGHT = 400, 240
"""Drawing units of a plot; one unit is one pixel on a phone."""
LEFT, RIGHT, TOP, BOTTOM = 54, 10, 10, 44
COLOURS = 8
MOST_X = 800
"""Points of a series that are drawn."""
MOST_DOTS = 3000
"""Points of a map that are drawn."""


def text(value: object, limit: int = 60) -> str:
    """Foreign text as HTML text or attribute value.

    >>> text("<b>\\u202e")
    '&lt;b&gt;⟨U+202E⟩'
    """
    return escape(html_line(value, limit), quote=True)


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers that cover [low, high].

    >>> ticks(0.0, 9.3)
    [0.0, 2.0, 4.0, 6.0, 8.0]
    """
    span = high - low
    if not math.isfinite(span) or span <= 0:
        return [low]
    step: float = 10.0 ** math.floor(math.log10(span / most))
    step *= next(m for m in (1, 2, 2.5, 5, 10, 20) if span / (step * m) <= most)
    first = math.ceil(low / step - 1e-9)
    return [round((first + i) * step, 12) for i in range(int((high - first * step) / step + 1e-9) + 1)]


def short(value: float) -> str:
    """A tick label.

    >>> short(12000.0), short(0.25), short(3.0)
    ('12k', '0.25', '3')
    """
    size = abs(value)
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= unit * 10 or (size >= unit and value % unit == 0):
            return f"{value / unit:.4g}{name}"
    return f"{value:.3g}"


def _counts(top: float) -> list[tuple[float, str]]:
    """Ticks of an axis of log10(1 + count): (place, count).

    >>> [word for _, word in _counts(2.6)]
    ['0', '1', '10', '100']
    """
    return [(math.log10(1 + n), short(n)) for n in (0, *(10.0 ** k for k in range(int(max(top, 0.0)) + 1))) if math.log10(1 + n) <= top]


def _nines(at: float) -> str:
    """A tick of an axis of -log10(1 - s), as s.

    >>> _nines(0.0), _nines(0.5), _nines(1.0), _nines(3.0)
    ('0', '0.68', '0.9', '0.999')
    """
    return f"{1 - 10.0 ** -at:.{math.floor(at + 1e-9) + (at % 1 > 1e-9) + (at < 1)}f}".rstrip("0").rstrip(".") or "0"


def _range(values: list[np.ndarray]) -> tuple[float, float]:
    known = [v[np.isfinite(v)] for v in values]
    known = [v for v in known if len(v)]
    if not known:
        return 0.0, 1.0
    low, high = min(float(v.min()) for v in known), max(float(v.max()) for v in known)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _vector(value: object) -> np.ndarray:
    return np.asarray(value, np.float64).reshape(-1)


def plot(p: Plot) -> str:
    """A `Plot` as SVG with axes; series in the order given, colours by class."""
    x = _vector(p.x)
    series = [(name, _vector(v)) for name, v in p.series.items()]
    keep = slice(None) if len(x) <= MOST_X else np.unique(np.linspace(0, len(x) - 1, MOST_X).astype(int))
    usable = [(i, v[keep]) for i, (_, v) in enumerate(series) if len(v) == len(x)]
    x = x[keep]
    x0, x1 = _range([x])
    if p.style == "step" and len(x) > 1:
        half = (x1 - x0) / (len(x) - 1) / 2
        x0, x1 = x0 - half, x1 + half
    y0, y1 = _range([v for _, v in usable])
    if 0 <= y0 < 0.5 * y1:
        y0 = 0.0
    y1 += (y1 - y0) * 0.05
    sx, sy = (WIDTH - LEFT - RIGHT) / (x1 - x0), (HEIGHT - TOP - BOTTOM) / (y1 - y0)

    def at(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.column_stack([LEFT + (a - x0) * sx, HEIGHT - BOTTOM - (b - y0) * sy]).round(1)

    out = [f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{text(p.caption or "plot", 160)}">']
    counted, strength = p.y_label == LOG_COUNT and y0 == 0, p.x_label == LOG_SUSPICION and x0 > -1
    across, up = "suspicion" if strength else text(p.x_label), "samples" if counted else text(p.y_label)
    for t, word in _counts(y1) if counted else [(t, short(t)) for t in ticks(y0, y1)]:
        y = HEIGHT - BOTTOM - (t - y0) * sy
        out.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
                   f'<text class="tick end" x="{LEFT - 5}" y="{y + 4.5:.1f}">{word}</text>')
    for t in ticks(x0, x1, 6):
        px = LEFT + (t - x0) * sx
        out.append(f'<text class="tick mid" x="{px:.1f}" y="{HEIGHT - BOTTOM + 17}">{_nines(t) if strength else short(t)}</text>')
    out.append(f'<path class="axis" d="M{LEFT} {HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>')
    for i, values in usable:
        ok = np.isfinite(x) & np.isfinite(values)
        if not ok.any():
            continue
        out.append(_series(at(x[ok], values[ok]), p.style, i % COLOURS))
    middle = (HEIGHT - BOTTOM + TOP) / 2
    out.append(f'<text class="label mid" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 5}">{across}</text>'
               f'<text class="label mid" transform="translate(12 {middle}) rotate(-90)">{up}</text></svg>')
    if len(series) > 1:
        names = "".join(f'<li><span class="key c{i % COLOURS}"></span>{text(name)}</li>' for i, (name, _) in enumerate(series[:12]))
        out.append(f'<ul class="legend">{names}</ul>')
    return "".join(out)


def _series(points: np.ndarray, style: str, colour: int) -> str:
    if style == "points":
        return f'<path class="dots c{colour}" d="{"".join(f"M{a:g} {b:g}h0" for a, b in points)}"/>'
    if style == "step" and len(points) > 1:
        half = float(np.ptp(points[:, 0])) / (len(points) - 1) / 2
        floor = HEIGHT - BOTTOM
        d = f"M{points[0, 0] - half:.1f} {floor}" + "".join(f"V{b:g}H{a + half:.1f}" for a, b in points) + f"V{floor}"
        return f'<path class="area c{colour}" d="{d}"/><path class="line c{colour}" d="{d}"/>'
    return f'<path class="line c{colour}" d="M{"L".join(f"{a:g} {b:g}" for a, b in points)}"/>'


def scatter(s: Scatter) -> str:
    """A map: the classes in faint colours, marked points on top."""
    points = np.asarray(s.points, np.float64)
    if points.ndim != 2 or points.shape[1] < 2 or len(points) == 0:
        return '<p class="none">no points</p>'
    marked = np.resize(np.asarray(s.marked, bool).reshape(-1), len(points)) if np.size(s.marked) else np.zeros(len(points), bool)
    group = np.resize(np.asarray(s.group).reshape(-1), len(points)) if np.size(s.group) else np.zeros(len(points), int)
    ok = np.isfinite(points[:, :2]).all(axis=1)
    points, marked, group = points[ok, :2], marked[ok], np.nan_to_num(group[ok]).astype(np.int64)
    side, edge = 360, 12
    low, high = (np.percentile(points, [0.5, 99.5], axis=0) if len(points) else (np.zeros(2), np.ones(2)))
    if marked.any():
        low, high = np.minimum(low, points[marked].min(axis=0)), np.maximum(high, points[marked].max(axis=0))
    span = float(max((high - low).max(), 1e-9))
    spot = np.clip((points - (low + high) / 2) / span * (side - 2 * edge) + side / 2, edge / 2, side - edge / 2).round(1)
    spot[:, 1] = side - spot[:, 1]
    out = [f'<svg class="map" viewBox="0 0 {side} {side}" role="img" aria-label="{text(s.caption or "map", 160)}">'
           f'<rect class="frame" x="0.5" y="0.5" width="{side - 1}" height="{side - 1}" rx="8"/>']
    rest, hits = np.flatnonzero(~marked), np.flatnonzero(marked)
    kept = np.ones(len(spot), bool)
    for rows, most in ((rest, MOST_DOTS), (hits, MOST_DOTS // 3)):
        if len(rows) > most:
            kept[rows] = False
            kept[rows[np.unique(np.linspace(0, len(rows) - 1, most).astype(int))]] = True
    for colour in range(COLOURS):
        rows = np.flatnonzero(~marked & kept & (group % COLOURS == colour))
        if len(rows):
            out.append(f'<path class="dots faint c{colour}" d="{_dots(spot[rows])}"/>')
    if (marked & kept).any():
        d = _dots(spot[marked & kept])
        out.append(f'<path class="halo" d="{d}"/><path class="hit" d="{d}"/>')
    out.append('</svg><ul class="legend"><li><span class="key hitkey"></span>flagged</li>'
               '<li><span class="key c0"></span><span class="key c1"></span><span class="key c2"></span>others, by class</li></ul>')
    return "".join(out)


def _dots(points: np.ndarray) -> str:
    return "".join(f"M{a:g} {b:g}h0" for a, b in points)


def bar(share: float, stressed: bool = False) -> str:
    """One horizontal bar, `share` of the full width."""
    width = min(max(share, 0.0), 1.0) * 100 if math.isfinite(share) else 0.0
    return (f'<svg class="bar{" stress" if stressed else ""}" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
            f'<rect class="track" width="100" height="10"/><rect class="fill" width="{width:.2f}" height="10"/></svg>')


def place(top: float, left: float, height: float, width: float) -> str:
    """Where a patch sits in its host, all in fractions of the host."""
    top, left, height, width = (min(max(float(v), 0.0), 1.0) if math.isfinite(v) else 0.0 for v in (top, left, height, width))
    wide, high = max(width * 100, 6), max(height * 100, 6)
    return ('<svg class="place" viewBox="0 0 100 100" role="img" aria-label="where the patch sits in the picture">'
            '<rect class="frame" x="1" y="1" width="98" height="98" rx="3"/>'
            f'<rect class="spot" x="{min(left * 100, 100 - wide):.1f}" y="{min(top * 100, 100 - high):.1f}" width="{wide:.1f}" '
            f'height="{high:.1f}"/></svg>')
