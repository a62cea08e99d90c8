"""Comparison with a trusted clean set: samples unlike their class there, and samples more like another class.

Data and reference are embedded together; each sample gets two conformal p-values against the reference samples of its class
(distance to its class; distance to its class less that to the nearest other one). The number of small p-values per class is
tested exactly (beta-binomial), near-duplicates counting once; members come from Benjamini-Hochberg. Honest differences between
the two sets (another camera, year or rule of labelling) count as well, so the reference must come from where the data should
come from. Fails below the size that the notes state, and on poison that looks like its class (small patches, clean labels).
Cost: about 2 s per 10,000 samples. Bates et al., arXiv 2104.08279.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bezoar.core.ability import Detector, Group, Info, Scores
from bezoar.core.view import View
from bezoar.maths.multiple import benjamini_hochberg
from bezoar.maths.neighbours import top_columns, unit_rows

LEVELS = (0.01, 0.03, 0.1)


@dataclass(frozen=True, eq=False)
class _Test:
    """p-values of one score: `p` (n,), NaN where the class has no reference; `alarm` family-wise; per-class p."""

    p: np.ndarray
    alarm: float
    by_class: np.ndarray


class Reference(Detector):
    """Suspicion is 1 minus the smaller of the two conformal p-values; NaN where the reference lacks the class."""

    info = Info(name="reference", summary="samples unlike their class in a trusted clean set", channel="C4",
                threats=("label-flip", "backdoor-dirty-label", "source"), needs=("labels", "reference"),
                cost="about 2 s per 10,000 samples", reference="Bates et al., arXiv 2104.08279")

    def __init__(self, *, k: int = 5, fdr: float = 0.05, alpha: float = 0.01, least: int = 20) -> None:
        self.k = k
        self.fdr = fdr
        self.alpha = alpha
        self.least = least

    def score(self, view: View, rng: np.random.Generator) -> Scores:
        trusted = view.reference
        n, m = len(view), len(trusted)
        codes = view.labels
        suspicion = np.full(n, np.nan)
        place = {name: i for i, name in enumerate(view.classes)}
        translate = np.array([place.get(name, -1) for name in trusted.classes], np.int64)
        known = np.where(trusted.labels >= 0, translate[np.maximum(trusted.labels, 0)], -1)
        size = np.bincount(known[known >= 0], minlength=len(view.classes))
        judged = [c for c in range(len(view.classes)) if size[c] >= self.least]
        missing = [view.classes[c] for c in range(len(view.classes)) if size[c] < self.least and (codes == c).any()]
        notes = [f"the reference has fewer than {self.least} samples of {', '.join(missing[:5])}"
                 f"{' and others' if len(missing) > 5 else ''}: not judged"] if missing else []
        if not judged or n == 0:
            return Scores(suspicion, notes=(*notes, "no class can be compared"))
        both = view.dataset.inputs.take(np.r_[np.arange(n), np.zeros(m, np.int64)]).with_rows(
            np.arange(n, n + m), trusted.dataset.inputs)
        unit = unit_rows(view.modality.embed(both))
        distance = self._distances(unit, known, n, judged)
        tests = [self._test(view, distance, codes, known, judged, margin) for margin in (False, True)]
        p = np.fmin(tests[0].p, tests[1].p)
        suspicion = np.where(np.isnan(p), np.nan, 1 - p)
        groups = [g for t, margin in zip(tests, (False, True), strict=True) for g in self._group(view, t, margin, distance[:n], judged)]
        least = self._smallest(view, codes, size, judged)
        notes.append(f"cannot see below {min(least)} poisoned samples in the best covered class and {max(least)} in the worst; "
                     f"single samples need p-values down to {self.fdr / max(n, 1):.1g}, the reference gives "
                     f"{1 / (size.max() + 1):.1g}")
        return Scores(suspicion, tuple(groups), tuple(notes), smallest={"unlike the reference": int(min(least))})

    def _distances(self, unit: np.ndarray, known: np.ndarray, n: int, judged: list[int]) -> np.ndarray:
        """(n + m, len(judged)) mean cosine distance to the k nearest reference rows of each class, the row itself left out."""
        out = np.empty((len(unit), len(judged)), np.float32)
        for j, c in enumerate(judged):
            rows = np.flatnonzero(known == c)
            block = unit[n + rows]
            k = min(self.k, len(rows) - 1)
            chunk = max(64, int(2e7 // len(rows)))
            for i in range(0, len(unit), chunk):
                similarity = unit[i:i + chunk] @ block.T
                own = np.flatnonzero((n + rows >= i) & (n + rows < i + chunk))
                similarity[n + rows[own] - i, own] = -np.inf
                out[i:i + chunk, j] = 1 - top_columns(similarity, k)[1].mean(axis=1)
        return out

    def _test(self, view: View, distance: np.ndarray, codes: np.ndarray, known: np.ndarray, judged: list[int],
              margin: bool) -> _Test:
        from scipy.stats import betabinom

        n = len(codes)
        p, by_class = np.full(n, np.nan), np.ones(len(view.classes))
        cluster = view.clusters()
        if margin and len(judged) < 2:
            return _Test(p, 1.0, by_class)
        for j, c in enumerate(judged):
            rows = np.flatnonzero(codes == c)
            against = n + np.flatnonzero(known == c)
            if len(rows) == 0:
                continue
            own, calm = distance[rows, j], distance[against, j]
            if margin:
                own = own - np.delete(distance[rows], j, axis=1).min(axis=1)
                calm = calm - np.delete(distance[against], j, axis=1).min(axis=1)
            calm = np.sort(calm)
            m = len(calm)
            p[rows] = (1 + m - np.searchsorted(calm, own, side="left")) / (m + 1)
            single = rows[np.unique(cluster[rows], return_index=True)[1]]
            tails = []
            for level in LEVELS:
                rank = int(np.floor(level * (m + 1)))
                if rank >= 1:
                    hits = int((p[single] <= rank / (m + 1) + 1e-12).sum())
                    tails.append(float(betabinom.sf(hits - 1, len(single), rank, m + 1 - rank)))
            by_class[c] = min([1.0, *(t * len(LEVELS) for t in tails)])
        return _Test(p, float(min(1.0, by_class.min() * 2 * len(judged))), by_class)

    def _group(self, view: View, test: _Test, margin: bool, distance: np.ndarray, judged: list[int]) -> list[Group]:
        if test.alarm > self.alpha:
            return []
        seen = np.flatnonzero(~np.isnan(test.p))
        q = benjamini_hochberg(test.p[seen])
        bad = np.flatnonzero(test.by_class * 2 * len(judged) <= self.alpha)
        rows = seen[q <= self.fdr]
        which = f"at a false discovery rate of {self.fdr:.0%}"
        if len(rows) == 0:
            rows = seen[(test.p[seen] <= 0.03) & np.isin(view.labels[seen], bad)]
            which = "the most unlike of the classes that stand out; single ones are not certain"
        own = np.isin(np.array(judged), view.labels[rows]) if len(rows) else np.zeros(len(judged), bool)
        n_bad = np.bincount(np.searchsorted(judged, view.labels[rows]), minlength=len(judged)) if len(rows) else own
        size = np.bincount(view.labels[seen], minlength=len(view.classes))[judged]
        sure = 1 - np.minimum(1.0, test.p[rows] * size[np.searchsorted(judged, view.labels[rows])]
                              / np.maximum(n_bad[np.searchsorted(judged, view.labels[rows])], 1)) if len(rows) else np.zeros(0)
        names = ", ".join(f"'{view.classes[c]}'" for c in bad[:5])
        title = "samples closer to another class of the reference than to their own" if margin else \
            "samples unlike their class in the reference"
        return [Group(rows, test.alarm, "label-flip" if margin else "source", title, kind="sample", liftable=False,
                      target=int(bad[0]) if len(bad) == 1 else None, expected=float((1 - sure).sum()), sure=sure,
                      because=f"The classes {names} hold more samples unlike the reference than chance allows; listed {which}.",
                      doubt="Another camera, year or rule of labelling than the reference's looks alike.")] if len(rows) else []

    def _smallest(self, view: View, codes: np.ndarray, size: np.ndarray, judged: list[int]) -> list[int]:
        """For each judged class, the number of completely strange samples that the count test would call."""
        from scipy.stats import betabinom

        out = []
        for c in judged:
            rows, m, best = int((codes == c).sum()), int(size[c]), 10**9
            for level in LEVELS:
                rank = int(np.floor(level * (m + 1)))
                if rank >= 1 and rows:
                    hits = np.arange(rows + 2)
                    p = betabinom.sf(hits - 1, rows, rank, m + 1 - rank) * len(LEVELS) * 2 * len(judged)
                    ok = np.flatnonzero(p <= self.alpha)
                    best = min(best, int(ok[0]) if len(ok) else rows + 1)
            out.append(best if best < 10**9 else rows + 1)
        return out
