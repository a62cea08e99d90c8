"""Small windows that stand out from what surrounds them, and where alike windows gather.

A planted patch repeats one window at one place; nature repeats windows over many places. So windows that stand out are
hashed into cells on several shifted grids, cells that are crowded at one place against all other places become
templates, and each template is matched softly (re-encoding moves grey levels) at every place again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bezoar.maths.lookalikes import different

SIDE = 3
FEATURES = 11
"""Nine grey levels of the window and two opponent colours of its mean."""
STAND_OUT = 30.0
"""Grey levels across a sharp side, in the mean over its pixels and channels."""
STEP = 64.0
"""Width of a hash cell, grey levels."""
LIGHT = np.array([0.299, 0.587, 0.114], np.float32)
TOLERANCE = 14.0
"""Root mean square grey levels within which a window matches a template."""
SHELL = 1.5
"""Nature fills the space round a template: where so many times the tolerance holds no more than a little more, it is no
nature. Its windows vary in at least three ways, so that the shell holds SHELL^3 - 1 times what the ball does."""

ENOUGH = (2.0, 0.5)
"""Times what nature gives that a template must have to be kept, by reach: of one that moves about, labels may tell more."""


@dataclass(frozen=True, eq=False)
class Windows:
    """w windows: `row` (w,) int32 of the picture, `at` (w,) int32 = place (y * columns + x), `values` (w, 11) float32."""

    row: np.ndarray
    at: np.ndarray
    values: np.ndarray
    shape: tuple[int, int]
    """Places: (h - 2, w - 2)."""


def standing_out(pictures: np.ndarray, contrast: float = STAND_OUT, chunk: int = 1024) -> Windows:
    """Windows of 3x3 in (n, h, w, 3) uint8 pictures that are cut off sharply from what surrounds them.

    A side is sharp when its three pixels differ from their outer neighbours by more than `contrast` grey levels in the mean
    over pixels and channels. All sides but one must be sharp; sides on the border of the picture do not count, and at
    a corner both inner sides must be sharp. Pictures under 5 pixels a side have none.
    """
    n, h, w = pictures.shape[:3]
    if n == 0 or min(h, w) < SIDE + 2:
        return Windows(np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros((0, FEATURES), np.float32), (0, 0))
    rows, places, values = [], [], []
    limit = contrast * 9
    need = np.full((h - 2, w - 2), 3, np.int8)
    need[[0, -1], :] -= 1
    need[:, [0, -1]] -= 1
    need[np.ix_([0, -1], [0, -1])] = 2
    for i in range(0, n, chunk):
        x = pictures[i:i + chunk].astype(np.int16)
        down = np.abs(np.diff(x, axis=1)).sum(axis=3, dtype=np.int16)
        across = np.abs(np.diff(x, axis=2)).sum(axis=3, dtype=np.int16)
        sharp_down = (down[:, :, :-2] + down[:, :, 1:-1] + down[:, :, 2:]) > limit  # (n, h - 1, w - 2)
        sharp_across = (across[:, :-2] + across[:, 1:-1] + across[:, 2:]) > limit  # (n, h - 2, w - 1)
        sides = np.zeros((len(x), h - 2, w - 2), np.int8)
        sides[:, 1:] += sharp_down[:, :-2]
        sides[:, :-1] += sharp_down[:, 2:]
        sides[:, :, 1:] += sharp_across[:, :, :-2]
        sides[:, :, :-1] += sharp_across[:, :, 2:]
        r, y, c = np.nonzero(sides >= need)
        rows.append((r + i).astype(np.int32))
        places.append((y * (w - 2) + c).astype(np.int32))
        values.append(features(pictures, r + i, y, c))
    return Windows(np.concatenate(rows), np.concatenate(places), np.concatenate(values), (h - 2, w - 2))


def features(pictures: np.ndarray, row: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """(w, 11) float32 of the windows with upper left corners (y, x): nine grey levels, two halved opponent colours."""
    light = np.empty((len(row), SIDE * SIDE), np.float32)
    colour = np.zeros((len(row), 3), np.float32)
    for k in range(SIDE * SIDE):
        pixel = pictures[row, y + k // SIDE, x + k % SIDE].astype(np.float32)
        light[:, k] = pixel @ LIGHT
        colour += pixel
    return np.column_stack([light, _opponents(colour / (SIDE * SIDE))])


def _opponents(colour: np.ndarray) -> np.ndarray:
    """(w, 2) halved red against blue, green against both."""
    red, green, blue = colour.T
    return np.column_stack([(red - blue) / 2, (green - (red + blue) / 2) / 2])


@dataclass(frozen=True, eq=False)
class Crowds:
    """c templates that gather at a place, label-free, most surprising first.

    values    (c, 11) the median window
    y, x      (c,) upper left corner of the place
    reach     (c,) pixels by which its place moves: 0 or 1
    row, of   (pairs) pictures and the templates that they hold
    faint     (3, pairs) pictures, the templates that they would hold were the window cut off sharply, and how many sides lack
    log_p     (c,) log probability of so many holders under counts at other places, not corrected for the search
    mean      (c,) holders expected there by nature
    looked    cells searched
    """

    values: np.ndarray
    y: np.ndarray
    x: np.ndarray
    reach: np.ndarray
    row: np.ndarray
    of: np.ndarray
    faint: np.ndarray
    log_p: np.ndarray
    mean: np.ndarray
    looked: float


def _cells(w: Windows, step: float, tile: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, int]:
    """Dense hash code of each window and its tile of places; codes and tiles have a random offset."""
    code = np.zeros(len(w.row), np.uint64)
    mix = rng.integers(1, 1 << 62, FEATURES, dtype=np.uint64) | np.uint64(1)
    offset = rng.uniform(0, step, FEATURES)
    for f in range(FEATURES):
        code += np.floor((w.values[:, f] + np.float32(offset[f] + 512)) / np.float32(step)).astype(np.uint64) * mix[f]
    code = np.unique(code, return_inverse=True)[1].astype(np.int64)
    y, x = np.divmod(w.at.astype(np.int64), w.shape[1])
    dy, dx = rng.integers(0, tile, 2)
    columns = (w.shape[1] + dx) // tile + 1
    return code, (y + dy) // tile * columns + (x + dx) // tile, int(((w.shape[0] + dy) // tile + 1) * columns)


def _candidates(looks: np.ndarray, w: Windows, tile: int, tables: int, least: int, keep: int,
                rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, float]:
    """(values, y, x, surprise) of crowded cells and how many cells were looked at."""
    parts, looked = [], 0.0
    for _ in range(tables):
        code, place, n_places = _cells(w, STEP, tile, rng)
        crowd = np.bincount(place, minlength=n_places) + 1.0
        crowd /= crowd.sum()
        key = code * n_places + place
        order = np.argsort(key, kind="stable")
        first = np.flatnonzero(np.r_[True, np.diff(key[order]) != 0])
        found = np.diff(np.r_[first, len(order)])
        looked += len(first)
        big = np.flatnonzero(found >= least)
        which, found = key[order[first[big]]], found[big]
        c, p = which // n_places, which % n_places
        total = np.bincount(code)[c]
        expected = (total - found) * crowd[p] / (1 - crowd[p]) + 0.05
        surprise = found * np.log(found / expected) - (found - expected)
        surprise[found < expected] = 0
        top = np.argsort(-surprise, kind="stable")[:6 * keep]
        for t in top[surprise[top] > 0]:
            held = order[first[big[t]]:first[big[t]] + found[t]]
            y, x = np.divmod(w.at[held], w.shape[1])
            covered = _covered(looks, w.shape, float(np.median(y)), float(np.median(x)))
            apart = different(looks, np.unique(w.row[held]), covered, by_chance=False)
            if apart < least:
                continue
            parts.append((np.median(w.values[held], axis=0), np.median(y), np.median(x), surprise[t] * apart / found[t]))
    if not parts:
        return np.zeros((0, FEATURES), np.float32), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), looked
    values, y, x, s = (np.array([part[k] for part in parts]) for k in range(4))
    order = np.argsort(-s, kind="stable")
    kept: list[int] = []
    for t in order:
        again = [k for k in kept if abs(y[k] - y[t]) < tile and abs(x[k] - x[t]) < tile
                 and np.mean((values[k] - values[t]) ** 2) < TOLERANCE**2]
        if not again:
            kept.append(int(t))
        if len(kept) == keep:
            break
    at = np.array(kept)
    return values[at].astype(np.float32), np.floor(y[at]).astype(np.int64), np.floor(x[at]).astype(np.int64), s[at], looked


def crowded(pictures: np.ndarray, looks: np.ndarray, w: Windows, *, tables: int = 3, least: int = 4, keep: int = 150,
            seed: int = 0) -> Crowds:
    """Templates that repeat at one place (or within a pixel of it) and not beside it or elsewhere.

    `looks` (n, d) are unit rows that say what a picture shows as a whole: pictures that look alike (frames of one film)
    count once. The null of a template is its own number of matches in the ring two or three pixels off and over all
    other places: what belongs to nature moves about; and the matches that are almost as near, because what belongs to
    nature varies. Fails for marks that nature puts at one exact place too (a printed frame).
    """
    rng = np.random.default_rng(seed)
    found = [(_candidates(looks, w, tile, tables, least, keep, rng), reach) for tile, reach in ((1, 0), (4, 1))] if len(w.row) else []
    values = np.concatenate([f[0] for f, _ in found]) if found else np.zeros((0, FEATURES), np.float32)
    y = np.concatenate([f[1] for f, _ in found]) if found else np.zeros(0, np.int64)
    x = np.concatenate([f[2] for f, _ in found]) if found else np.zeros(0, np.int64)
    reach = np.concatenate([np.full(len(f[1]), r) for f, r in found]) if found else np.zeros(0, np.int64)
    looked = float(sum(f[4] for f, _ in found))
    which, template, apart = matches(w, values, TOLERANCE * SHELL)
    height, width = w.shape
    n_places = max(height * width, 1)
    near = apart < TOLERANCE
    count = np.bincount((template * n_places + w.at[which])[near], minlength=len(values) * n_places).reshape(len(values), height, width)
    windows = np.bincount(w.at, minlength=n_places).reshape(max(height, 1), -1)
    light = _light(pictures) if len(values) else np.zeros((0, 0, 0), np.uint8)
    wy, wx = np.divmod(w.at[which].astype(np.int64), max(width, 1))
    rows, of, faint, log_p, mean = [], [], [], [], []
    kept: list[int] = []
    order = np.argsort(template, kind="stable")
    start = np.searchsorted(template[order], np.arange(len(values) + 1))
    for t in range(len(values)):
        if reach[t]:
            y[t], x[t] = _settled(count[t], y[t], x[t])
        nature = _natural(count[t], windows, int(y[t]), int(x[t]), int(reach[t]))
        mine = order[start[t]:start[t + 1]]
        mine = mine[np.maximum(np.abs(wy[mine] - y[t]), np.abs(wx[mine] - x[t])) <= reach[t]]
        sharp = np.unique(w.row[which[mine[near[mine]]]])
        shell = len(np.setdiff1d(w.row[which[mine]], sharp))
        nature = max(nature, shell / (SHELL**3 - 1))
        if len(sharp) < max(least, ENOUGH[reach[t]] * nature):
            continue
        unlike = different(looks, sharp, _covered(looks, w.shape, float(y[t]), float(x[t])))
        if unlike < max(least, ENOUGH[reach[t]] * nature):
            continue
        held, blunt, lacking = _blunt(pictures, light, values[t], y[t], x[t], int(reach[t]), sharp)
        rows.append(held)
        faint.append(np.stack([blunt, np.full(len(blunt), len(kept)), lacking]))
        of.append(np.full(len(rows[-1]), len(kept)))
        log_p.append(spread_tail(np.floor(unlike + 0.5), nature))
        mean.append(nature)
        kept.append(t)
    empty = [np.zeros(0, np.int64)]
    return Crowds(values[kept], y[kept], x[kept], reach[kept], np.concatenate(rows or empty), np.concatenate(of or empty),
                  np.concatenate(faint or [np.zeros((3, 0), np.int64)], axis=1), np.array(log_p), np.array(mean), looked)


def _covered(looks: np.ndarray, places: tuple[int, int], y: float, x: float) -> np.ndarray:
    """Columns of `looks` (n, c * c * 3), a c x c grid of colours, that a window at (y, x) touches."""
    cells = round((looks.shape[1] / 3) ** 0.5)
    down, across = ((np.arange(first - 1, first + SIDE + 1).clip(0, size + SIDE - 2) * cells // (size + SIDE - 1)).astype(np.int64)
                    for first, size in ((y, places[0]), (x, places[1])))
    grid = np.arange(looks.shape[1]).reshape(cells, cells, 3)
    return np.unique(grid[np.ix_(np.unique(down), np.unique(across))])


def _natural(count: np.ndarray, windows: np.ndarray, y: int, x: int, reach: int) -> float:
    """Matches that nature would give at a place: as many per cell as the rich cells of the ring beyond `reach`, or the mean of
    all others, or as large a share of all `windows` there as elsewhere (enlarged pixels stand out on a grid and nowhere else).
    Cells on the border, where less makes a window stand out, are compared with such, and others with others."""
    height, width = count.shape
    row, column = np.arange(height)[:, None], np.arange(width)[None, :]
    far = np.maximum(np.abs(row - y), np.abs(column - x))
    edge = np.zeros((height, width), bool)
    edge[[0, -1], :] = edge[:, [0, -1]] = True
    here = far <= reach
    out = 0.3
    for kind in (edge, ~edge):
        if not (here & kind).any():
            continue
        ring = count[(far > reach) & (far <= reach + 2 + edge[y, x]) & kind]
        rest = (far > reach) & kind
        beside = 0.0 if not ring.size else 1.5 * float(ring.mean()) if reach else float(np.quantile(ring, 0.9))
        per_place = max(beside, float(count[rest].mean()) if rest.any() else 0.0) * float((here & kind).sum())
        others = float((windows - count)[here & kind].sum())
        shares = [float(count[of].sum()) / max(float(windows[of].sum()), 1.0) for of in (rest, rest & (far <= reach + SIDE + 1))]
        out += max(per_place, others * max(shares))
    return out


def _settled(count: np.ndarray, y: int, x: int) -> tuple[int, int]:
    """The place within two pixels whose 3x3 neighbourhood holds most matches."""
    pad = np.pad(count, 1)
    box = sum(pad[dy:dy + count.shape[0], dx:dx + count.shape[1]] for dy in range(3) for dx in range(3))
    top, left = max(y - 2, 0), max(x - 2, 0)
    part = np.asarray(box)[top:y + 3, left:x + 3]
    dy, dx = np.unravel_index(int(part.argmax()), part.shape)
    return int(top + dy), int(left + dx)


def _light(pictures: np.ndarray) -> np.ndarray:
    """(h, w, n) uint8: rounded grey levels, one contiguous row per place."""
    n, h, w = pictures.shape[:3]
    out = np.empty((h, w, n), np.uint8)
    for i in range(0, n, 1024):
        out[:, :, i:i + 1024] = np.rint(pictures[i:i + 1024].astype(np.float32) @ LIGHT).transpose(1, 2, 0)
    return out


def _blunt(pictures: np.ndarray, light: np.ndarray, value: np.ndarray, y: int, x: int, reach: int,
           sharp: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`sharp` with the pictures that match although their window is not cut off sharply, where these are few; where they are
    many, they come apart, with the number of sharp sides that each lacks."""
    n, h, w = pictures.shape[:3]
    near, down, across = np.full(n, np.inf), np.zeros(n, np.int64), np.zeros(n, np.int64)
    most = TOLERANCE * FEATURES**0.5 + 1  # no grey level of a match is further off
    for r in range(max(y - reach, 0), min(y + reach, h - SIDE) + 1):
        for c in range(max(x - reach, 0), min(x + reach, w - SIDE) + 1):
            rows = np.arange(n)
            for k in (4, 0, 8, 2, 6):
                level = light[r + k // SIDE, c + k % SIDE][rows]
                rows = rows[(level >= value[k] - most) & (level <= value[k] + most)]
            far = ((features(pictures, rows, np.full(len(rows), r), np.full(len(rows), c)) - value) ** 2).mean(axis=1)
            closer = far < near[rows]
            at = rows[closer]
            near[at], down[at], across[at] = far[closer], r, c
    alike = np.flatnonzero(near < TOLERANCE**2)
    extra = np.setdiff1d(alike, sharp)
    if len(extra) <= max(2, 0.25 * len(sharp)):
        return np.union1d(sharp, extra), extra[:0], extra[:0]
    return sharp, extra, np.maximum(_lacking(pictures, extra, down[extra], across[extra]), 1)


def _lacking(pictures: np.ndarray, row: np.ndarray, y: np.ndarray, x: np.ndarray, contrast: float = STAND_OUT) -> np.ndarray:
    """(k,) int64: how many sharp sides the windows at (y, x) lack to stand out; see `standing_out`."""
    h, w = pictures.shape[1:3]
    line = np.arange(SIDE)
    sharp, sides = np.zeros(len(row), np.int64), np.zeros(len(row), np.int64)
    for step, first in ((-1, 0), (1, SIDE - 1)):
        inside = (y + first + step >= 0) & (y + first + step < h)
        at = (row[:, None], (y + first)[:, None], x[:, None] + line)
        beyond = (row[:, None], np.clip(y + first + step, 0, h - 1)[:, None], x[:, None] + line)
        sharp += inside & (np.abs(pictures[at].astype(np.int16) - pictures[beyond]).mean(axis=(1, 2)) > contrast)
        sides += inside
        inside = (x + first + step >= 0) & (x + first + step < w)
        at = (row[:, None], y[:, None] + line, (x + first)[:, None])
        beyond = (row[:, None], y[:, None] + line, np.clip(x + first + step, 0, w - 1)[:, None])
        sharp += inside & (np.abs(pictures[at].astype(np.int16) - pictures[beyond]).mean(axis=(1, 2)) > contrast)
        sides += inside
    return np.maximum(np.maximum(sides - 1, 2) - sharp, 0)


def spread_tail(found: float, mean: float, shape: float = 4.0) -> float:
    """log P(X >= found) of a negative binomial with that mean: a Poisson whose own mean varies by 1 / sqrt(shape).

    >>> round(spread_tail(10, 1.0), 1)
    -11.0
    """
    from scipy.stats import nbinom

    return float(max(nbinom.logsf(found - 1, shape, shape / (shape + mean)), -700.0)) if found > 0 else 0.0


def matching_mean(found: np.ndarray, log_p: np.ndarray) -> np.ndarray:
    """The Poisson mean under which `found` or more have the log probability `log_p`, by bisection; at most `found`.

    >>> round(float(matching_mean(np.array([10.0]), np.array([-16.0]))[0]), 1)
    1.0
    """
    from scipy.stats import poisson

    low, high = np.full(len(found), 1e-9), np.maximum(found.astype(np.float64), 1e-6)
    for _ in range(50):
        middle = np.sqrt(low * high)
        above = np.maximum(poisson.logsf(found - 1, middle), -700.0) > log_p
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return high


def matches(w: Windows, templates: np.ndarray, tolerance: float = TOLERANCE,
            chunk: int = 65536) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(pairs) windows, the templates (c, 11) that they match, and the root mean square distance in grey levels."""
    out_w, out_t, out_far = [], [], []
    square = (templates**2).sum(axis=1)
    limit = tolerance**2 * FEATURES
    for i in range(0, len(w.row), chunk):
        x = w.values[i:i + chunk]
        far = x @ (-2 * templates.T)
        far += (x**2).sum(axis=1)[:, None]
        far += square
        flat = np.flatnonzero(far < limit)
        a, b = np.divmod(flat, max(len(templates), 1))
        out_w.append(a + i)
        out_t.append(b)
        out_far.append(np.sqrt(np.maximum(far.ravel()[flat], 0) / FEATURES))
    if not out_w:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32)
    return np.concatenate(out_w), np.concatenate(out_t), np.concatenate(out_far)
