"""Comparison with a trusted clean set: samples unlike their class there, and samples more like another class.

Data and reference are embedded together; each sample gets two conformal p-values against the reference samples of its class
(distance to its class; distance to its class less that to the nearest other one). The number of small p-values is tested
exactly (beta-binomial) for each class and for all together, near-duplicates counting once on both sides; members come from
Benjamini-Hochberg. Honest differences between the two sets (another camera, year or rule of labelling) count as well, so the
reference must come from where the data should come from. Fails below the size that the notes state, and on poison that looks
like its class (small patches, clean labels). Of each class at most `most` reference samples are searched.
Cost: about 2 s per 10,000 samples. Bates et al., arXiv 2104.08279.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bezoar.core.ability import Detector, Group, Info, Scores
from bezoar.core.view import View
from bezoar.maths.conformal import conformal_p
from bezoar.maths.crossfit import row_position
from bezoar.maths.multiple import benjamini_hochberg
from bezoar.maths.neighbours import top_columns, unit_rows
from bezoar.maths.smallp import hit_pmf, together, upper_tail

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

    def __init__(self, *, k: int = 5, fdr: float = 0.05, alpha: float = 0.01, least: int = 20, most: int = 5000) -> None:
        self.k = k
        self.fdr = fdr
        self.alpha = alpha
        self.least = least
        self.most = most

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
            if len(rows) > self.most:
                along = np.argsort(row_position(unit[n + rows]), kind="stable")
                rows = np.sort(rows[along[np.linspace(0, len(rows) - 1, self.most).astype(np.int64)]])
            block = unit[n + rows]
            k = min(self.k, len(rows) - 1)
            chunk = max(64, int(4e6 // len(rows)))
            for i in range(0, len(unit), chunk):
                similarity = unit[i:i + chunk] @ block.T
                own = np.flatnonzero((n + rows >= i) & (n + rows < i + chunk))
                similarity[n + rows[own] - i, own] = -np.inf
                out[i:i + chunk, j] = 1 - top_columns(similarity, k)[1].mean(axis=1)
        return out

    def _test(self, view: View, distance: np.ndarray, codes: np.ndarray, known: np.ndarray, judged: list[int],
              margin: bool) -> _Test:
        n = len(codes)
        p, by_class = np.full(n, np.nan), np.ones(len(view.classes))
        cluster, trusted_cluster = view.clusters(), view.reference.clusters()
        if margin and len(judged) < 2:
            return _Test(p, 1.0, by_class)
        pooled: dict[float, list[tuple[int, np.ndarray]]] = {level: [] for level in LEVELS}
        for j, c in enumerate(judged):
            rows = np.flatnonzero(codes == c)
            against = n + np.flatnonzero(known == c)
            if len(rows) == 0:
                continue
            own, calm = distance[rows, j], distance[against, j]
            if margin:
                own = own - np.delete(distance[rows], j, axis=1).min(axis=1)
                calm = calm - np.delete(distance[against], j, axis=1).min(axis=1)
            # one per cluster on both sides, or copies would count against whoever has fewer of them
            calm = calm[np.unique(trusted_cluster[against - n], return_index=True)[1]]
            m = len(calm)
            p[rows] = conformal_p(own, calm)
            single = rows[np.unique(cluster[rows], return_index=True)[1]]
            tails = []
            for level in LEVELS:
                rank = int(np.floor(level * (m + 1)))
                if rank >= 1:
                    pmf = hit_pmf(len(single), m, rank)
                    hits = int((p[single] <= rank / (m + 1) + 1e-12).sum())
                    pooled[level].append((hits, pmf))
                    tails.append(float(upper_tail(pmf)[hits]))
            by_class[c] = min([1.0, *(t * len(LEVELS) for t in tails)])
        # families: two scores, single classes or all together
        alarm = by_class.min() * 4 * len(judged)
        for counts in pooled.values():
            if counts:
                total = sum(h for h, _ in counts)
                below = together([pmf for _, pmf in counts], max(total - 1, 0)).sum() if total else 0.0
                alarm = min(alarm, max(1.0 - float(below), 1e-12) * 4 * len(LEVELS))
        return _Test(p, float(min(1.0, alarm)), by_class)

    def _group(self, view: View, test: _Test, margin: bool, distance: np.ndarray, judged: list[int]) -> list[Group]:
        if test.alarm > self.alpha:
            return []
        seen = np.flatnonzero(~np.isnan(test.p))
        q = benjamini_hochberg(test.p[seen])
        bad = np.flatnonzero(test.by_class * 4 * len(judged) <= self.alpha)
        rows = seen[q <= self.fdr]
        which = f"at a false discovery rate of {self.fdr:.0%}"
        if len(rows) == 0:
            within = np.isin(view.labels[seen], bad) if len(bad) else np.ones(len(seen), bool)
            rows = seen[(test.p[seen] <= LEVELS[0]) & within]
            which = "the most unlike ones; single ones are not certain"
        rank = np.searchsorted(np.sort(test.p[seen]), test.p[rows], side="right")
        sure = 1 - np.minimum(1.0, test.p[rows] * len(seen) / np.maximum(rank, 1))
        names = ", ".join(f"'{view.classes[c]}'" for c in bad[:5])
        title = "samples closer to another class of the reference than to their own" if margin else \
            "samples unlike their class in the reference"
        return [Group(rows, test.alarm, "label-flip" if margin else "source", title, kind="sample", liftable=False,
                      target=int(bad[0]) if len(bad) == 1 else None, expected=float((1 - sure).sum()), sure=sure,
                      because=f"{'The classes ' + names if names else 'All classes together'} hold more samples unlike the "
                              f"reference than chance allows; listed are {which}.",
                      doubt="Another camera, year or rule of labelling than the reference's looks alike.")] if len(rows) else []

    def _smallest(self, view: View, codes: np.ndarray, size: np.ndarray, judged: list[int]) -> list[int]:
        """For each judged class, the number of completely strange samples that the count test would call."""
        out = []
        for c in judged:
            rows, m, best = int((codes == c).sum()), int(size[c]), 10**9
            for level in LEVELS:
                rank = int(np.floor(level * (m + 1)))
                if rank >= 1 and rows:
                    ok = np.flatnonzero(upper_tail(hit_pmf(rows, m, rank)) * len(LEVELS) * 4 * len(judged) <= self.alpha)
                    best = min(best, int(ok[0]) if len(ok) else rows + 1)
            out.append(best if best < 10**9 else rows + 1)
        return out
