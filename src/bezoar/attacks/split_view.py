"""Split view: a list of addresses was reviewed once and is downloaded later; behind domains that lapsed stands other content.

Labels (captions) come with the list and stay; what is fetched under them is a sample of another class, with `trigger` one that
carries it. The origin column `url` tells the story: the poison lies behind few domains, all other addresses serve what they did.
Threat model: the attacker buys lapsed domains and serves what he likes there; he can edit neither the list nor other domains.
Budget: `rate` of all samples. Fails where the list carries a hash of each sample (`bezoar pin` and `bezoar recheck`).
Cost: milliseconds. Paper: Carlini et al. 2023, arXiv 2302.10149 (0.01% of LAION-400M for 60 dollars).
"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

import numpy as np

from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.inputs import frozen
from bezoar.core.trigger import Trigger
from bezoar.core.victims import budget, class_code, draw, labels_of, plant


class SplitView(Attack):
    """Other content behind bought domains.

    rate     share of all samples whose content changes, above 0 and at most 1
    domains  how many ('site-01.example', ...) the rows are dealt to where the data has no origin column `url`, 2 or more
    target   class whose samples change, so that other content gets its label; None: any class, and with a trigger one is drawn
    trigger  a Trigger that the new content carries; None for none

    Raises UsageError for fewer than 2 domains, an unknown target, one class only, too few samples.
    """

    info = Info(name="split-view", summary="content behind lapsed domains is swapped after the review; labels stay",
                threats=("source", "targeted"), modalities=("image", "text", "tabular"), needs=("labels",),
                reference="Carlini et al. 2023, arXiv 2302.10149")
    clean_label = True

    def __init__(self, *, rate: float = 0.01, domains: int = 50, target: str | None = None, trigger: Trigger | None = None) -> None:
        self.rate = rate
        self.domains = domains
        self.target = target
        self.trigger = trigger

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        labels = labels_of(data)
        count = budget(len(data), self.rate)
        sizes = np.bincount(labels.codes[labels.codes >= 0], minlength=len(labels.classes))
        if (sizes > 0).sum() < 2:
            raise UsageError("content can only be swapped where there are two classes", advice="check the label column")
        code = None if self.target is None else class_code(data, self.target)
        if code is None and self.trigger is not None:
            able = np.flatnonzero(sizes >= count)
            if not len(able):
                raise UsageError(f"{count} samples are to be swapped and no class has so many", advice="lower the rate")
            code = int(rng.choice(able))
        data = self._addressed(data, rng)
        eligible = np.flatnonzero(labels.codes >= 0 if code is None else labels.codes == code)
        rows = _bought(data.origin["url"], eligible, count, rng)
        donors = _donors(labels.codes, rows, rng)
        for _ in range(20):
            new = data.inputs.take(donors)
            if self.trigger is not None:
                new = self.trigger.apply(new, rng)
            same = np.array([a == b for a, b in zip(new.row_keys(), data.inputs.take(rows).row_keys(), strict=True)])
            if not same.any():
                return plant(data, rows, new, None, trigger=self.trigger, target=None if code is None else labels.classes[code])
            donors[same] = _donors(labels.codes, rows[same], rng)
        raise UsageError("samples of different classes hold the same content, so nothing can be swapped", advice="check the labels")

    def _addressed(self, data: Dataset, rng: np.random.Generator) -> Dataset:
        if "url" in data.origin:
            return data
        if self.domains < 2:
            raise UsageError("there must be two domains at least", advice="fifty are usual")
        share = 1 / np.arange(1, self.domains + 1)
        site = rng.choice(self.domains, len(data), p=share / share.sum())
        wide = len(str(self.domains))
        urls = np.array([f"https://site-{s + 1:0{wide}d}.example/{i:06d}" for i, s in enumerate(site.tolist())], object)
        return replace(data, origin={**data.origin, "url": frozen(urls)})


def _bought(urls: np.ndarray, eligible: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` rows of `eligible` behind few domains: they are bought in random order until there are enough."""
    names, place = np.unique(np.array([_domain(u) for u in urls.tolist()], object).astype(str), return_inverse=True)
    usable = eligible[names[place[eligible]] != ""]
    order = np.argsort(rng.permutation(len(names)))[place[usable]]
    line = np.sort(order)
    if len(line) < count:
        raise UsageError(f"{count} samples are to be swapped and only {len(line)} can be", advice="lower the rate")
    return draw(usable[order <= line[count - 1]], count, rng)


def _domain(url: str) -> str:
    try:
        return urlsplit(url if "//" in url else f"//{url}").netloc.lower()
    except ValueError:
        return ""


def _donors(codes: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For each of `rows` a row of another class."""
    out = np.empty(len(rows), np.int64)
    for c in np.unique(codes[rows]):
        mine = codes[rows] == c
        out[mine] = rng.choice(np.flatnonzero((codes >= 0) & (codes != c)), int(mine.sum()))
    return out
