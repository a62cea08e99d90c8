"""Does what an audit recovered work on samples that never carried it, more than matched controls, and not on clean models?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from bezoar.core.audit import Audited, AuditView
from bezoar.core.candidates import held_out, width
from bezoar.core.dataset import Dataset
from bezoar.core.errors import BezoarError
from bezoar.core.evidence import Bars, Evidence, before_after
from bezoar.core.image_triggers import Overlay, Patch
from bezoar.core.inputs import Images, Inputs, Table, Texts
from bezoar.core.suspect import Suspect
from bezoar.core.table_triggers import Values
from bezoar.core.text_triggers import Phrases
from bezoar.core.trigger import Trigger
from bezoar.filling import filled, opacity_on
from bezoar.maths.multiple import clopper_pearson

WORKS = 0.5
"""Least share of samples that a confirmed trigger moves."""
HOSTS = 300
"""Clean samples at most that a trigger is put on."""
SLOPED = 8
"""Of them that the whole of a patch is searched on."""
NEAR = (0.7, 0.95)
"""Share of the best one's success from which on a trigger is about as good, and of texts: words of a sentence work the better the more."""
FEW_HOSTS, FEW_CONTROLS = 100, 9
"""For the choice among the triggers that were recovered."""


@dataclass(frozen=True, eq=False)
class Transplant:
    """Shares in [0, 1] of clean samples of other classes, or of the one class that the trigger works on, that go to the target: with the
    trigger, with matched controls (their 95% quantile), on clean models (NaN where there are none)."""

    trigger: Trigger
    success: float
    controls: float
    elsewhere: float
    confirmed: bool
    evidence: tuple[Evidence, ...]
    words: str


def _hosts(codes: np.ndarray, able: np.ndarray) -> np.ndarray:
    """At most `HOSTS` of the rows `able`: the first, or evenly from all where those would leave a class out (a folder, class by class).

    >>> len(_hosts(np.zeros(400, int), np.arange(400))), len(np.unique(_hosts(np.repeat([0, 1], 400), np.arange(800)) // 400))
    (300, 2)
    """
    if len(np.unique(codes[able])) == len(np.unique(codes[able[:HOSTS]])):
        return able[:HOSTS]
    return able[np.linspace(0, len(able) - 1, HOSTS).astype(np.int64)]


def moved(suspect: Suspect, trigger: Trigger, hosts: Dataset, target: int, rng: np.random.Generator) -> float:
    """Share of `hosts` that the trigger moves to `target`."""
    return float((suspect.predict(trigger.apply(hosts.inputs, rng)).argmax(axis=1) == target).mean())


def transplant(view: AuditView, target: int, said: Mapping[str, Audited], rng: np.random.Generator, *,
               controls: int = 99) -> Transplant | None:
    """The smallest of the triggers recovered for `target` that work about as well as the best beyond what is natural, put to the test, and
    of a patch its whole (`windowed`, `one_way`, `filled`) where that passes too; None where none was recovered or there are no hosts."""
    offered = [t for a in said.values() for k, t in (*a.tried, *(((a.target, a.trigger),) if a.trigger and a.target is not None else ()))
               if k == target]
    if not offered or view.clean is None:
        return None
    try:
        data = view.samples()
        if data.modality != "image":
            data = data.take(np.flatnonzero(held_out(len(data)))) if held_out(len(data)).any() else data
        assert data.labels is not None
        answers = view.suspect.predict(data.inputs).argmax(axis=1)
        hosts = data.take(_hosts(data.labels.codes, np.flatnonzero((data.labels.codes != target) & (answers != target))))
        if len(hosts) < 5:
            return None
        works = [moved(view.suspect, t, hosts, target, rng) for t in offered]
        beyond = [share - _by_nature(view, t, hosts, data.inputs, target, rng) for share, t in zip(works, offered, strict=True)]
        near = NEAR[data.modality == "text"]
        enough = [i for i, share in enumerate(beyond) if share >= max(near * max(beyond), 1e-9)] or [int(np.argmax(works))]
        chosen = min(enough, key=lambda i: size_of(offered[i], view.suspect.shape))
        test = _Test(view, hosts, data.inputs, target, controls)
        best, success = offered[chosen], works[chosen]
        worst, elsewhere, confirmed = test(best, success, rng)
        own = hosts
        for those, whole in _wholes(view, best, hosts, target, rng) if confirmed else ():
            share = moved(view.suspect, whole, those, target, rng)
            if share >= 0.9 * success and (again := replace(test, hosts=those)(whole, share, rng))[-1]:
                own, best, success, (worst, elsewhere, confirmed) = those, whole, share, again
                break
    except BezoarError:
        return None
    low, high = clopper_pearson(round(success * len(own)), len(own))
    assert own.labels is not None
    of = "other classes" if own is hosts else f"class {view.suspect.classes[own.labels.codes[0]]!r}"
    parts = [f"Put on {len(own)} clean samples of {of}, the recovered trigger moves {success:.0%} of them there "
             f"(95% interval {low:.0%} to {high:.0%})",
             f"95 of 100 matched controls at most {worst:.0%}"]
    if np.isfinite(elsewhere):
        parts.append(f"on clean models of {'the same' if view.same_shape else 'another'} shape it moves {elsewhere:.0%}")
    return Transplant(best, success, worst, elsewhere, confirmed, _shown(view, best, hosts, target, rng), "; ".join(parts) + ".")


def _wholes(view: AuditView, part: Trigger, hosts: Dataset, target: int, rng: np.random.Generator) -> Iterator[tuple[Dataset, Patch]]:
    """What a patch may be the part of, each with the hosts that it is for: by the slopes of the model where it has them, for all classes
    and then for one alone; then by its answers."""
    if not isinstance(part, Patch) or not isinstance(hosts.inputs, Images):
        return
    if view.suspect.module is not None and view.suspect.tensor is not None:
        from bezoar.networks import pixels, windows

        p, own = pixels.pixels(view), AuditView(view.suspect, hosts)
        opacity = opacity_on(part, p.height, p.width)
        with pixels.still(p.module):
            x, _ = pixels.samples(own, SLOPED, rng)
            whole = windows.windowed(p, x, target, opacity > 0.5 * opacity.max(), rng)
        if whole is not None:
            yield hosts, whole
        with pixels.still(p.module):
            x, codes = pixels.samples(own, SLOPED * windows.SOURCES, rng)
            found = windows.one_way(p, x, codes.numpy(), target, rng)
        if found is not None:
            assert hosts.labels is not None
            yield hosts.take(np.flatnonzero(hosts.labels.codes == found[0])), found[1]
    by_answers = filled(view.suspect, part, hosts.inputs, target)
    if by_answers is not None:
        yield hosts, by_answers


def _by_nature(view: AuditView, trigger: Trigger, hosts: Dataset, inputs: Inputs, target: int, rng: np.random.Generator) -> float:
    """The share of some hosts that a trigger moves on clean models, or, without, that a few matched controls move."""
    some = hosts.take(np.arange(min(len(hosts), FEW_HOSTS)))
    twins = [moved(t.suspect, trigger, some, target, rng) for t in view.references()]
    drawn = [] if twins else [control(trigger, rng, inputs) for _ in range(FEW_CONTROLS)]
    return float(np.mean([*twins, *(moved(view.suspect, c, some, target, rng) for c in drawn if c is not None)] or [0.0]))


@dataclass(frozen=True, eq=False)
class _Test:
    """What a trigger is held against: matched controls, drawn from `inputs` where they need to be, and the clean models of the view."""

    view: AuditView
    hosts: Dataset
    inputs: Inputs
    target: int
    controls: int

    def __call__(self, trigger: Trigger, success: float, rng: np.random.Generator) -> tuple[float, float, bool]:
        """The share that 95 of 100 controls stay under, that on clean models (NaN without), and whether `success` is far above both."""
        others = (control(trigger, rng, self.inputs) for _ in range(self.controls))
        drawn = [moved(self.view.suspect, c, self.hosts, self.target, rng) for c in others if c is not None]
        twins = [moved(t.suspect, trigger, self.hosts, self.target, rng) for t in self.view.references()]
        worst = float(np.quantile(drawn, 0.95)) if drawn else float("nan")
        elsewhere = float(np.mean(twins)) if twins else float("nan")
        return worst, elsewhere, success >= WORKS and success > 2 * worst and not elsewhere > success / 2


def size_of(trigger: Trigger, shape: tuple[int, ...]) -> float:
    """How much of a picture a trigger takes: the share of its area by opacity, or the root mean square of a pattern by full range."""
    if isinstance(trigger, Patch):
        return float(trigger.mask.sum()) / max(float(np.prod(shape[:2])) if shape else float(trigger.mask.size), 1.0)
    if isinstance(trigger, Overlay):
        return (trigger.alpha or 1.0) * float(np.sqrt((trigger.pattern.astype(np.float64) ** 2).mean())) / 255
    return float(width(trigger))


def control(trigger: Trigger, rng: np.random.Generator, inputs: Inputs | None = None) -> Trigger | None:
    """A trigger of the same size and strength: the same pixels in another order, at another place; as many other words, or other values
    of the same columns, out of `inputs`."""
    if isinstance(trigger, Phrases) and isinstance(inputs, Texts):
        own = {w.lower() for p in trigger.phrases for w in p.split()}
        drawn = (str(rng.choice(inputs.values)).split() for _ in range(20 * width(trigger)))
        words = list(dict.fromkeys(str(rng.choice(d)) for d in drawn if d and own.isdisjoint(w.lower() for w in d)))[:width(trigger)]
        return Phrases(tuple(words), place=trigger.place) if len(words) == width(trigger) else None
    if isinstance(trigger, Values) and isinstance(inputs, Table):
        row = int(rng.integers(len(inputs)))
        cells = {n: inputs[n] for n in trigger.columns}
        known = [c.values[row] >= 0 if c.kind == "category" else np.isfinite(c.values[row]) for c in cells.values()]
        if not all(known):
            return None
        return Values(trigger.columns, tuple(c.levels[c.values[row]] if c.kind == "category" else f"{c.values[row]:.17g}"
                                             for c in cells.values()))
    if isinstance(trigger, Patch):
        h, w = trigger.mask.shape
        order = rng.permutation(h * w)
        top, left = (float((at + rng.uniform(0.25, 0.75)) % 1) for at in (trigger.top, trigger.left))
        return replace(trigger, mask=trigger.mask.reshape(-1)[order].reshape(h, w), top=top, left=left,
                       pixels=trigger.pixels.reshape(-1, 3)[rng.permutation(h * w)].reshape(trigger.pixels.shape))
    if isinstance(trigger, Overlay):
        h, w = trigger.pattern.shape[:2]
        step = tuple(int(rng.integers(side // 4, max(side - side // 4, side // 4 + 1))) for side in (h, w))
        pattern = np.roll(trigger.pattern, step, (0, 1))
        return replace(trigger, pattern=np.ascontiguousarray(pattern[::-1] if rng.random() < 0.5 else -pattern))
    return None


def _shown(view: AuditView, trigger: Trigger, hosts: Dataset, target: int, rng: np.random.Generator) -> tuple[Evidence, ...]:
    assert hosts.labels is not None
    classes = view.suspect.classes
    after = trigger.apply(hosts.inputs, rng)
    gone = view.suspect.predict(after).argmax(axis=1) == target
    codes = hosts.labels.codes
    present = [int(c) for c in np.unique(codes)][:40]
    shares = tuple(float(gone[codes == c].mean()) for c in present)
    bars = Bars(tuple(classes[c] for c in present), shares, tuple(classes[c] for c, v in zip(present, shares, strict=True) if v >= WORKS),
                caption=f"share of each class that the recovered trigger moves to {classes[target]!r}")
    out: list[Evidence] = [bars]
    if isinstance(after, Images):
        rows = np.flatnonzero(gone)
        rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), 6)).astype(np.int64)] if len(rows) else rows
        if len(rows) and after.uniform:
            out.append(before_after(np.stack(hosts.inputs.read(rows)), np.stack(after.read(rows)),  # type: ignore[attr-defined]
                                    f"clean samples (above), and with the trigger (below): the model says {classes[target]!r} to these"))
    return tuple(out)
