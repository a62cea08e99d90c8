"""One bad source: parts of the data (by source, contributor, time, or any origin column) whose labels contradict the content
more often than elsewhere, and parts whose inputs differ.

Each row's doubt (the probability that its label is wrong, by a content model and neighbours that never saw it) is compared
with what it would be under the pooled model at that very content, so hard content is no reproach; each part's mean is compared
with the rest, near-duplicates counting once and the natural spread between parts taken out. It is an alarm from an excess of
`effect` wrong labels on, with at least five samples that can be named; smaller excesses, and inputs that merely differ, are
reported and never counted as poison. Fails when poison is spread evenly over the parts, when all parts are bad, when labels
are right (clean-label), and for parts of fewer than `least` rows. Cost: seconds beyond the views.
Levine and Feizi, arXiv 2006.14768.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bezoar.core.ability import Detector, Group, Info, Scores
from bezoar.core.errors import Unavailable
from bezoar.core.evidence import Bars, Evidence
from bezoar.core.view import View
from bezoar.maths.confident import fit_noise, local_rate, neighbour_votes, noise_score
from bezoar.maths.multiple import holm
from bezoar.maths.parts import part_codes, part_z, shift_p, time_windows

LEFT_OUT = ("url", "licence")


@dataclass(frozen=True, eq=False)
class _Split:
    """One origin column: (n,) part codes and the names of the parts."""

    column: str
    part: np.ndarray
    names: list[str]

    def title(self, j: int) -> str:
        return f"{self.column} {'window ' if self.column == 'time' else ''}'{self.names[j]}'"


class Partition(Detector):
    """Suspicion is the doubt of rows in parts that stand out, and the part's rank elsewhere."""

    info = Info(name="partition", summary="one source, contributor or period whose labels or inputs differ from the rest",
                channel="C8", threats=("source", "label-flip", "backdoor-dirty-label"), needs=("origin",),
                cost="seconds", reference="Levine and Feizi, arXiv 2006.14768", floor=0.6)

    def __init__(self, *, least: int = 20, windows: int = 10, effect: float = 0.03, alpha: float = 0.01) -> None:
        self.least = least
        self.windows = windows
        self.effect = effect
        self.alpha = alpha

    def score(self, view: View, rng: np.random.Generator) -> Scores:
        splits, notes = self._splits(view)
        if not splits:
            raise Unavailable("origin", advice="; ".join(["name a source, contributor or time column", *notes]))
        n = len(view)
        suspicion = np.full(n, np.nan)
        groups: list[Group] = []
        overview: list[Evidence] = []
        if view.dataset.labels is not None and len(view.classes) > 1:
            groups, suspicion, overview = self._labels(view, splits)
        groups += self._shifts(view, splits)
        notes += [f"{s.column}: {len(s.names)} parts compared, {(s.part < 0).sum()} samples in none or in parts under "
                  f"{self.least}" for s in splits]
        return Scores(suspicion, tuple(groups), tuple(notes), overview=tuple(overview))

    def _splits(self, view: View) -> tuple[list[_Split], list[str]]:
        found, notes = [], []
        for column, values in sorted(view.origins.items()):
            if column in LEFT_OUT or len(values) == 0:
                continue
            windows = time_windows(values, self.windows) if column == "time" else None
            part, names = windows if windows is not None else part_codes(values, self.least)
            if len(names) >= 2:
                found.append(_Split(column, part, names))
            else:
                notes.append(f"{column} has fewer than two parts of {self.least} samples")
        return found, notes

    def _labels(self, view: View, splits: list[_Split]) -> tuple[list[Group], np.ndarray, list[Evidence]]:
        from scipy.stats import norm

        codes, k = view.labels, len(view.classes)
        suspicion = np.full(len(codes), np.nan)
        known = np.flatnonzero(codes >= 0)
        near, _ = view.neighbours()
        if near.shape[1] == 0 or len(np.unique(codes[known])) < 2:
            return [], suspicion, []
        own = codes[known]
        noise = fit_noise(np.asarray(view.content_probabilities())[known], neighbour_votes(near, codes, k)[known], own)
        excess = noise_score(noise.clean, own, 0.02)
        cluster = view.clusters()[known]
        tests: list[tuple[int, int, float, float]] = []  # split, part, difference, p
        overview: list[Evidence] = []
        suspicion[known] = 0.5 * noise.doubt
        for i, split in enumerate(splits):
            part, m = split.part[known], len(split.names)
            difference, z = part_z(excess, part, cluster, m)
            p = np.where(np.isfinite(z), norm.sf(z), 1.0)
            by_class = self._by_class(noise.doubt, own, part, cluster, m, k)
            p = np.minimum(1.0, 2 * np.minimum(p, by_class))
            tests += [(i, j, float(d), float(q)) for j, (d, q) in enumerate(zip(np.nan_to_num(difference), p, strict=True))]
            share = np.bincount(part[part >= 0], weights=noise.doubt[part >= 0], minlength=m) / np.maximum(
                np.bincount(part[part >= 0], minlength=m), 1)
            top = np.argsort(-share, kind="stable")[:20]
            overview.append(Bars(tuple(split.names[j] for j in top), tuple(float(share[j]) for j in top),
                                 tuple(split.names[j] for j in top if p[j] * m <= self.alpha),
                                 f"mean probability of a wrong label by {split.column}"))
        adjusted = holm(np.array([t[3] for t in tests]))
        groups = []
        for (i, j, more, _), level in sorted(zip(tests, adjusted, strict=True), key=lambda t: t[1]):
            split = splits[i]
            inside = np.flatnonzero(split.part[known] == j)
            outside = np.flatnonzero((split.part[known] >= 0) & (split.part[known] != j))
            if level > self.alpha or more <= 0:
                continue
            rate, wrong = local_rate(noise.clean[inside], own[inside])
            elsewhere, _ = local_rate(noise.clean[outside], own[outside])
            suspicion[known[inside]] = np.maximum(suspicion[known[inside]], wrong)
            if rate - elsewhere < 0.3 * self.effect:
                continue
            groups.append(self._group(view, split, j, known[inside], wrong, float(level), rate, elsewhere))
        return groups, suspicion, overview

    def _by_class(self, doubt: np.ndarray, own: np.ndarray, part: np.ndarray, cluster: np.ndarray, m: int, k: int) -> np.ndarray:
        """(m,) p of the worst class of each part, paid for all classes: doubt among the rows of one label, part against rest."""
        from scipy.stats import norm

        best = np.ones(m)
        classes = [c for c in range(k) if (own == c).sum() >= 4 * self.least] if k <= 200 else []
        for c in classes:
            rows = own == c
            held = np.bincount(part[rows & (part >= 0)], minlength=m)
            _, z = part_z(doubt[rows], part[rows], cluster[rows], m)
            p = np.where(np.isfinite(z) & (held >= 10), norm.sf(np.nan_to_num(z)), 1.0)
            best = np.minimum(best, p)
        return np.minimum(1.0, best * max(len(classes), 1))

    def _group(self, view: View, split: _Split, j: int, rows: np.ndarray, wrong: np.ndarray, p: float, rate: float,
               elsewhere: float) -> Group:
        suspects = np.flatnonzero(wrong >= 0.5)
        which = "the members are its samples whose label is more likely wrong than right"
        alarm = rate - elsewhere >= self.effect and len(suspects) >= 5
        if len(suspects) < 5:
            suspects, which = np.arange(len(rows)), "no single samples can be named: the members are all of its samples"
        labels = np.bincount(view.labels[rows[suspects]], minlength=len(view.classes))
        target = int(labels.argmax()) if labels.max() >= 0.8 * len(suspects) and len(view.classes) > 2 else None
        return Group(
            rows[suspects], p, "source", split.title(j), target=target, expected=float((1 - wrong[suspects]).sum()),
            sure=wrong[suspects], kind="source", liftable=False, advisory=not alarm,
            because=f"About {rate:.1%} of the labels of {split.title(j)} ({len(rows):,} samples) contradict content and "
                    f"neighbours, elsewhere {elsewhere:.1%}; {which}.",
            advice=f"Hold back what comes from {split.title(j)} until somebody has looked at the members.",
            doubt="A source with harder samples or another rule of labelling looks alike.",
            place={split.column: split.names[j]})

    def _shifts(self, view: View, splits: list[_Split]) -> list[Group]:
        """Parts whose inputs differ from the rest within the classes: said, never counted."""
        x: np.ndarray = np.asarray(view.embed(), np.float32)
        norm = np.linalg.norm(x, axis=1, keepdims=True)
        x = self._main(x / np.where(norm > 0, norm, 1))
        if view.dataset.labels is not None:
            codes = np.maximum(view.labels, 0)
            count = np.maximum(np.bincount(codes), 1)
            mean = np.stack([np.bincount(codes, weights=x[:, j]) / count for j in range(x.shape[1])], axis=1)
            x = x - mean[codes]
        out: list[tuple[_Split, int, float, float]] = []
        for split in splits:
            length, p = shift_p(x, split.part, view.clusters(), len(split.names))
            out += [(split, j, float(length[j]), float(p[j])) for j in range(len(split.names))]
        adjusted = holm(np.array([t[3] for t in out]))
        keep = sorted(((s, j, length, float(p)) for (s, j, length, _), p in zip(out, adjusted, strict=True)
                       if p <= self.alpha and length >= 0.75), key=lambda t: -t[2])[:3]
        return [Group(np.flatnonzero(s.part == j), p, "source", f"inputs of {s.title(j)} that differ from the rest", kind="source",
                      liftable=False, advisory=True,
                      because=f"Within the classes the inputs of {s.title(j)} lie {length:.1f} standard deviations from the rest.",
                      advice="Make sure that the difference is meant (another season, camera, region).",
                      place={s.column: s.names[j]}) for s, j, length, p in keep]

    def _main(self, x: np.ndarray, width: int = 16) -> np.ndarray:
        """(n, <= width) main directions."""
        centred = x - x.mean(axis=0)
        _, vectors = np.linalg.eigh((centred.T @ centred).astype(np.float64))
        return np.asarray(centred @ vectors[:, ::-1][:, :width].astype(np.float32), np.float64)
