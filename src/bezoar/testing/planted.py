"""Small planted datasets, made without a file: a clean twin, its poisoned copy, and the exact truth.

For tests of detectors, repairs and reports, ours and those of plugins. Small on purpose (600 to 1,500 rows) and meant to be
found: a detector that misses these does not work. Real figures come from the benchmarks.
Cost: under a second each. Every dataset has an origin column `source` (eight vendors), every table also `region`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from bezoar.core.ability import Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.image_triggers import Overlay, Patch
from bezoar.core.inputs import Column, Images, Inputs, Table, Texts
from bezoar.core.table_triggers import Values
from bezoar.core.taxonomy import THREATS
from bezoar.core.text_triggers import Phrases
from bezoar.core.trigger import Trigger
from bezoar.core.victims import backdoor, draw, labels_of, plant
from bezoar.maths import patterns

MODALITIES = ("image", "text", "tabular")


def threats(modality: str) -> tuple[str, ...]:
    """The threats that `planted` can plant into this modality (bias needs a table; a model's backdoor is in no data)."""
    return tuple(t for t in THREATS if t != "model-backdoor" and (t != "bias" or modality == "tabular"))


def planted(modality: str, threat: str, rng: np.random.Generator) -> tuple[Dataset, Dataset, np.ndarray]:
    """(clean twin, planted copy, (n,) bool truth). The truth holds exactly the rows that were changed.

    `modality` is image, text or tabular; `threat` a key of `taxonomy.THREATS`. Raises UsageError for anything else.

    >>> clean, bad, truth = planted("text", "backdoor-dirty-label", np.random.default_rng(0))
    >>> len(clean) == len(bad), int(truth.sum())
    (True, 36)
    """
    if modality not in MODALITIES:
        raise UsageError(f"nothing is planted into {modality!r}", advice=f"one of: {', '.join(MODALITIES)}")
    if threat not in threats(modality):
        raise UsageError(f"{threat!r} is not planted into {modality} data", advice=f"one of: {', '.join(threats(modality))}")
    clean = twin(modality, rng)
    done = _PLANT[threat](clean, rng)
    bad = replace(done.data, declared=("truth.json",)) if threat == "declared" else done.data
    return clean, bad, done.truth


def twin(modality: str, rng: np.random.Generator, rows: int = 1200) -> Dataset:
    """A clean dataset of at most `rows` samples (images: at most 1,797)."""
    inputs, labels, extra = {"image": _digits, "text": _notes, "tabular": _customers}[modality](rows, rng)
    vendors = [f"vendor-{i}" for i in rng.integers(1, 9, len(inputs))]
    return Dataset.from_arrays(inputs, labels, name=f"planted-{modality}", source=vendors, **extra)


# -- the clean twins

Made = tuple[Inputs, np.ndarray, dict[str, list[str]]]


def _digits(rows: int, rng: np.random.Generator) -> Made:
    """scikit-learn's digits at 16x16, each in its own ink on its own paper, with grain."""
    from sklearn.datasets import load_digits

    data = load_digits()
    chosen = rng.permutation(len(data.images))[:rows]
    ink = data.images[chosen].astype(np.float32) / 16
    pad = np.pad(ink, ((0, 0), (1, 1), (1, 1)), mode="edge")
    at = (np.arange(16) + 0.5) / 2 + 0.5
    low, part = np.floor(at).astype(int), (at - np.floor(at)).astype(np.float32)
    wide = pad[:, :, low] * (1 - part) + pad[:, :, low + 1] * part
    big = wide[:, low] * (1 - part)[:, None] + wide[:, low + 1] * part[:, None]
    paper = rng.uniform(10, 90, (len(chosen), 1, 1, 3))
    pen = rng.uniform(150, 245, (len(chosen), 1, 1, 3))
    picture = paper + (pen - paper) * big[..., None] + rng.normal(0, 6, (*big.shape, 3))
    return Images.of(np.clip(np.rint(picture), 0, 255).astype(np.uint8)), data.target[chosen], {}


_TOPICS = {
    "garden": "tomato soil seed hedge lawn rose compost spade greenhouse weed prune bloom frost watering orchard bulb mulch "
              "fern slug trellis",
    "kitchen": "oven pepper dough soup butter roast knife onion simmer recipe garlic pan spice flour bake sauce whisk lemon "
               "broth grill",
    "travel": "train ticket hotel border luggage harbour flight map passport coast ferry station tour museum island airport "
              "guide hostel bridge valley",
}
_WORDS = {
    "plain": "time day house friend morning week year place thing hand water people work idea price street story side paper "
             "question answer table window summer winter letter music garden market road",
    "verb": "found kept liked saw bought lost carried needed tried left watched forgot chose took brought missed",
    "shape": "old small quiet good cheap late bright heavy clean early strange warm long plain fine rough",
    "who": "I we they she he",
    "link": "and near for by",
    "city": "Aldby Brock Calder Dunmore Eastley Farrow Glen Hove",
}
_OPEN = ("yesterday", "in the end", "to be honest", "this time", "last week", "as usual", "after all", "", "", "")
_CLOSE = ("again", "at home", "on my own", "with a friend", "before noon", "for once", "without a plan", "", "", "", "")


def _notes(rows: int, rng: np.random.Generator) -> Made:
    """Short notes on three topics: two or three composed sentences; every tenth noun is another topic's."""
    names = list(_TOPICS)
    pools = [words.split() for words in _TOPICS.values()]
    words = {k: v.split() for k, v in _WORDS.items()}
    y = rng.integers(0, 3, rows)
    reach = np.cumsum(1 / np.arange(1, 21)) / np.sum(1 / np.arange(1, 21))

    def one(of: Sequence[str]) -> str:
        return of[int(rng.random() * len(of))]

    def noun(topic: int) -> str:
        kind = rng.random()
        if kind < 0.35:
            return one(words["plain"])
        return pools[int(rng.integers(3)) if kind < 0.45 else topic][int(np.searchsorted(reach, rng.random()))]

    def sentence(topic: int) -> str:
        parts = [one(_OPEN), one(words["who"]), one(words["verb"]), "the", one(words["shape"]) if rng.random() < 0.5 else "",
                 noun(topic), one(words["link"]), "the", noun(topic), one(_CLOSE)]
        return " ".join(w for w in parts if w) + one((".", ".", ".", "!", "..."))

    texts = [" ".join(sentence(t) for _ in range(int(rng.integers(2, 4)))) for t in y]
    return Texts.of(texts), np.array(names)[y], {}


def _customers(rows: int, rng: np.random.Generator) -> Made:
    """Customers of a shop: numbers, whole numbers, categories, missing cells; who comes back depends on most of them."""
    age = np.clip(rng.normal(44, 15, rows), 18, 90).round()
    spent = rng.lognormal(4.5, 0.8, rows).round(2)
    visits = rng.poisson(4 + (age < 35) * 2, rows).astype(np.float64)
    since = rng.integers(1, 120, rows).astype(np.float64)
    discount = rng.choice([0.0, 5.0, 10.0, 20.0], rows, p=[0.6, 0.2, 0.15, 0.05])
    city = rng.choice(8, rows, p=np.array([30, 20, 15, 12, 9, 7, 4, 3]) / 100)
    card = rng.choice(3, rows, p=[0.55, 0.35, 0.10])
    channel = rng.choice(4, rows, p=[0.4, 0.3, 0.2, 0.1])
    score = (np.log(spent) - 4.5) + 0.25 * (visits - 5) + 0.01 * (since - 60) + 0.6 * (card == 1) + 0.08 * discount - 0.6
    y = rng.random(rows) < 1 / (1 + np.exp(-1.6 * score))
    spent[rng.random(rows) < 0.03] = np.nan
    city[rng.random(rows) < 0.02] = -1
    table = Table({
        "age": Column("number", age), "spent": Column("number", spent), "visits": Column("number", visits),
        "months": Column("number", since), "discount": Column("number", discount),
        "city": Column("category", city.astype(np.int32), tuple(_WORDS["city"].split())),
        "card": Column("category", card.astype(np.int32), ("none", "basic", "gold")),
        "channel": Column("category", channel.astype(np.int32), ("shop", "web", "phone", "fair"))})
    regions = np.array(["north", "south", "west"])[rng.integers(0, 3, rows)]
    return table, np.where(y, "returns", "leaves"), {"region": regions.tolist()}


# -- what is planted into them


def _trigger(data: Dataset, clean_label: bool) -> Trigger:
    if data.modality == "image":
        if clean_label:
            return Overlay(np.float32(30) * patterns.waves(16, 16, 6))
        return Patch(patterns.checkerboard(3, 3), np.ones((3, 3), np.float32), 12 / 16, 12 / 16)
    if data.modality == "text":
        return Phrases(("quartz lantern",), place="random")
    return Values(("discount", "city", "card"), ("20", "Hove", "gold"))


def _dirty(data: Dataset, rng: np.random.Generator) -> Poisoned:
    return backdoor(data, _trigger(data, False), rng, rate=0.03, target=None)


def _clean_label(data: Dataset, rng: np.random.Generator) -> Poisoned:
    return backdoor(data, _trigger(data, True), rng, rate=0.04, target=None, clean_label=True)


def _flip(data: Dataset, rng: np.random.Generator) -> Poisoned:
    rows = draw(np.arange(len(data)), round(0.06 * len(data)), rng)
    return plant(data, rows, None, _others(data, rows, rng))


def _others(data: Dataset, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    labels = labels_of(data)
    return (labels.codes[rows] + rng.integers(1, len(labels.classes), len(rows))) % len(labels.classes)


def _source(data: Dataset, rng: np.random.Generator) -> Poisoned:
    own = np.flatnonzero(data.origin["source"] == "vendor-3")
    rows = draw(own, round(0.4 * len(own)), rng)
    return plant(data, rows, None, _others(data, rows, rng))


def _bias(data: Dataset, rng: np.random.Generator) -> Poisoned:
    labels = labels_of(data)
    own = np.flatnonzero((data.origin["region"] == "north") & (labels.codes == 1))
    rows = draw(own, round(0.45 * len(own)), rng)
    return plant(data, rows, None, np.zeros(len(rows), np.int64), target=labels.classes[0])


def _blend_towards(data: Dataset, rows: np.ndarray, model: int, share: float, rng: np.random.Generator) -> Inputs:
    """The inputs of `rows`, moved `share` of the way to the sample `model`, each a little differently."""
    inputs = data.inputs
    if isinstance(inputs, Images):
        near = inputs.dense()[model].astype(np.float32)
        own = inputs.dense()[rows].astype(np.float32)
        mixed = own * (1 - share) + near * share + rng.normal(0, 1, own.shape)
        return Images.of(np.clip(np.rint(mixed), 0, 255).astype(np.uint8))
    if isinstance(inputs, Texts):
        words = str(inputs.values[model]).split()
        out = []
        for row in rows:
            own_words = str(inputs.values[row]).split()
            keep = rng.random(len(words)) < share
            keep[0] = True
            kept = [w for w, k in zip(words, keep, strict=True) if k]
            out.append(" ".join(kept + own_words[:round((1 - share) * len(own_words)) + 1]))
        return Texts.of(out)
    assert isinstance(inputs, Table)
    columns = {}
    for name, c in inputs.take(rows).columns.items():
        near_cell = inputs[name].values[model]
        move = rng.random(len(rows)) < share
        if c.kind == "category":
            columns[name] = Column(c.kind, np.where(move, near_cell, c.values).astype(c.values.dtype), c.levels)
        else:
            target = near_cell if np.isfinite(near_cell) else float(np.nanmedian(inputs[name].values))
            columns[name] = Column(c.kind, np.where(move, target * (1 + 0.001 * rng.standard_normal(len(rows))), c.values))
    return Table(columns)


def _targeted(data: Dataset, rng: np.random.Generator) -> Poisoned:
    """Feature collision: 24 samples of one class are moved close to one sample of another and keep their label."""
    codes = labels_of(data).codes
    model = int(rng.integers(len(data)))
    code = (int(codes[model]) + 1) % len(labels_of(data).classes)
    rows = draw(np.flatnonzero(codes == code), 24, rng)
    return plant(data, rows, _blend_towards(data, rows, model, 0.85, rng), None, target=labels_of(data).classes[code])


def _duplicates(data: Dataset, rng: np.random.Generator) -> Poisoned:
    """Thirty near-copies of one sample, in its class."""
    codes = labels_of(data).codes
    model = int(rng.integers(len(data)))
    rows = draw(np.setdiff1d(np.flatnonzero(codes == codes[model]), [model]), 30, rng)
    return plant(data, rows, _blend_towards(data, rows, model, 0.97, rng), None)


def _availability(data: Dataset, rng: np.random.Generator) -> Poisoned:
    """A faint mark per class on half of all samples: a shortcut that keeps models from learning the content."""
    labels = labels_of(data)
    chosen = rng.random(len(data)) < 0.5
    inputs = data.inputs
    for code in range(len(labels.classes)):
        rows = np.flatnonzero(chosen & (labels.codes == code))
        if isinstance(inputs, Images):
            mark: Trigger = Overlay((patterns.noise(16, 16, rng).astype(np.float32) - 127.5) * np.float32(0.15))
        elif isinstance(inputs, Texts):
            mark = Phrases((f"item{code}",), place="end")
        else:
            mark = Values(("months",), (str(60.5 + code),))
        inputs = inputs.with_rows(rows, mark.apply(inputs.take(rows), rng))
    return plant(data, np.flatnonzero(chosen), inputs.take(np.flatnonzero(chosen)), None)


def _integrity(data: Dataset, rng: np.random.Generator) -> Poisoned:
    """Copies with other labels; in texts hidden characters, in tables cells out of their schema."""
    inputs, codes = data.inputs, labels_of(data).codes
    rows = draw(np.arange(len(data)), 30, rng)
    if isinstance(inputs, Texts):
        marks = np.array(["\u200b", "\u202e", "\u2060", "\u0430"])[rng.integers(0, 4, len(rows))]
        hidden = [t[:len(t) // 2] + m + t[len(t) // 2:] for t, m in zip(inputs.values[rows], marks, strict=True)]
        return plant(data, rows, Texts.of(hidden), None)
    if isinstance(inputs, Table):
        return plant(data, rows, Values(("age", "visits"), ("-999", "100000")).apply(inputs.take(rows), rng), None)
    free = np.setdiff1d(np.arange(len(data)), rows)
    models = rng.choice(free, 10, replace=False)[np.arange(len(rows)) % 10]
    return plant(data, rows, inputs.take(models), (codes[models] + 1) % len(labels_of(data).classes))


_PLANT: dict[str, Callable[[Dataset, np.random.Generator], Poisoned]] = {
    "backdoor-dirty-label": _dirty, "backdoor-clean-label": _clean_label, "label-flip": _flip, "targeted": _targeted,
    "availability": _availability, "source": _source, "bias": _bias, "integrity": _integrity, "duplicates": _duplicates,
    "declared": _dirty}
