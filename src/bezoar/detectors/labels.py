"""Labels that the content and the neighbours contradict: mislabelled rows and labels changed on purpose.

Two opinions that never saw the row's own label, a cross-fitted content model and the votes of its nearest neighbours, are
pooled; a noise model (a share replaced at random, single pairs of classes) is fitted to the observed labels by maximum
likelihood, so the noise rate is estimated and never asked for. Real data hold wrong labels too: the list moves the verdict
only when rows that both opinions are certain of are contradicted more often than real data show (`natural`), when the
likelihood puts the share of replaced labels above that, or when labels moved one way between two classes far beyond their
overlap. Labels replaced at random are listed for the best F1, but never so many that more than a share `spill` of all
right labels is expected among them. Labels changed where two classes meet look like classes that overlap, and stay
unlisted: nothing in one dataset tells the two apart. From standard effort on networks that did not see the row join the
content model (pictures). Fails when the label is right (clean-label poison), when the change follows the natural confusion
of classes, when the same trigger stands in every fold, and where no opinion knows the classes.
Cost: about 1 s per 20,000 samples beyond the views; the networks some minutes for 20,000 pictures.
Natarajan et al. 2013; Northcutt et al., arXiv 1911.00068.
"""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Detector, Group, Info, Scores
from bezoar.core.errors import Unavailable
from bezoar.core.evidence import Evidence, Facts
from bezoar.core.view import View
from bezoar.maths.confident import Noise, best_list, fit_noise, neighbour_votes, rate_excess, spared, sure_list
from bezoar.maths.kernel import fair_share, pooled

LARGEST = 300_000_000
"""Samples times classes that are held at once."""


def _opinion(view: View) -> np.ndarray:
    """(n, K) class probabilities by all that saw neither a row nor its label: content, details and, where there are some, networks,
    in the share that explains the labels best."""
    first = np.asarray(view.label_probabilities())
    try:
        second = view.network_probabilities()
    except Unavailable:
        return first
    return pooled(first, second, fair_share(first, second, view.labels))


class Labels(Detector):
    """Suspicion is the probability that the label is wrong; one group at most per cause."""

    info = Info(name="labels", summary="labels that content and neighbours contradict", channel="C3",
                threats=("label-flip", "backdoor-dirty-label"), needs=("labels",), cost="about 1 s per 20,000 samples",
                reference="Northcutt et al., arXiv 1911.00068; Natarajan et al., NeurIPS 2013", floor=0.8)

    def __init__(self, *, natural: float = 0.025, sure: float = 0.98, unanimous: float = 0.9, least_clusters: int = 8,
                 spill: float = 0.008) -> None:
        self.natural = natural
        self.sure = sure
        self.unanimous = unanimous
        self.least_clusters = least_clusters
        self.spill = spill

    def score(self, view: View, rng: np.random.Generator) -> Scores:
        codes, k = view.labels, len(view.classes)
        n = len(codes)
        suspicion = np.full(n, np.nan)
        if n * k > LARGEST:
            raise Unavailable(f"{n * k / 1e9:.1f} billion class probabilities", advice="scan with fewer classes or samples")
        rows, rare = self._judged(view)
        if k < 2 or len(np.unique(codes[rows])) < 2:
            return Scores(suspicion, notes=("labels need at least two classes with several independent samples each",))
        content = _opinion(view)
        near, _ = view.neighbours()
        if near.shape[1] == 0:
            return Scores(suspicion, notes=("too few samples for neighbours",))
        votes = neighbour_votes(near, codes, k)
        noise = fit_noise(np.asarray(content)[rows], votes[rows], codes[rows])
        suspicion[rows] = noise.doubt
        easy, against, tail = self._easy(noise, votes[rows], codes[rows])
        tail = min(tail, rate_excess(np.asarray(content)[rows], votes[rows], codes[rows], self.natural))
        groups = self._groups(view, noise, rows, codes, easy, against, tail)
        notes = []
        if rare:
            notes.append(f"{rare} samples of classes with fewer than {self.least_clusters} independent samples were not judged")
        if easy < 100:
            notes.append(f"only {easy} samples are clear enough to measure wrong labels by: random changes under about a tenth "
                         "of all labels raise no alarm here, single rows may still be listed")
        return Scores(suspicion, groups, tuple(notes), smallest=self._smallest(easy, n), overview=self._overview(view, noise))

    def _judged(self, view: View) -> tuple[np.ndarray, int]:
        """Rows with a label of a class that stands in enough clusters, and how many labelled rows are left out."""
        codes = view.labels
        known = np.flatnonzero(codes >= 0)
        if len(known) == 0:
            return known, 0
        pairs = np.unique(np.stack([codes[known], view.clusters()[known]]), axis=1)
        enough = np.bincount(pairs[0], minlength=len(view.classes)) >= self.least_clusters
        return known[enough[codes[known]]], int((~enough[codes[known]]).sum())

    def _easy(self, noise: Noise, votes: np.ndarray, codes: np.ndarray) -> tuple[int, int, float]:
        """How many rows both opinions are certain of, how many of those have another label, and the chance of that many."""
        from scipy.stats import binom

        best = noise.clean.argmax(axis=1)
        at = np.arange(len(best))
        clear = (noise.clean[at, best] >= self.sure) & (votes[at, best] >= self.unanimous - 0.02)
        easy, against = int(clear.sum()), int((clear & (best != codes)).sum())
        return easy, against, float(binom.sf(against - 1, easy, self.natural)) if against else 1.0

    def _groups(self, view: View, noise: Noise, rows: np.ndarray, codes: np.ndarray, easy: int, against: int,
                tail: float) -> tuple[Group, ...]:
        groups = []
        best = noise.clean.argmax(axis=1)
        own = codes[rows]
        left = noise.wrong.copy()
        k = len(view.classes)
        for pair in noise.pairs:
            p = min(1.0, 2 * pair.p_value)
            between = np.flatnonzero((own == pair.to) & (noise.clean[:, pair.origin] > 0.25) & (noise.wrong > 0))
            listed = between[best_list(noise.wrong[between])]
            if p > 0.01 or len(listed) == 0:
                continue
            left[between] = 0
            a, b = view.classes[pair.origin], view.classes[pair.to]
            groups.append(self._group(
                rows[listed], noise.wrong[listed], p, f"labels that moved from '{a}' to '{b}'", target=pair.to,
                because=f"About {pair.count:.0f} samples that look like '{a}' ({pair.share:.0%} of it) are labelled '{b}'; "
                        f"by nature about {pair.overlap:.0f} would be in doubt between the two, in both directions."))
        alarm = min(1.0, 4 * tail)
        if alarm <= 0.01:
            listed = np.sort(best_list(left))
            listed = listed[left[listed] >= spared(left, self.spill)]
            groups.append(self._group(
                rows[listed], left[listed], alarm, "labels that contradict content and neighbours",
                because=f"About {noise.rate * (k - 1) / k:.1%} of all labels look replaced at random, and {against} of the {easy} "
                        "samples that the content model and the neighbours are certain of carry another label; real data "
                        f"rarely exceed {self.natural:.1%}."))
        else:
            listed = np.sort(sure_list(left))
            if len(listed):
                groups.append(self._group(
                    rows[listed], left[listed], float(np.prod(1 - left[listed])), "labels that are probably wrong",
                    advisory=True, because="Content and neighbours agree on another class. As many wrong labels are found in "
                                           "honest data, so this does not count as poison.",
                    facts=self._facts(view, rows[listed], best[listed], left[listed])))
        return tuple(g for g in groups if len(g.members))

    def _group(self, members: np.ndarray, wrong: np.ndarray, p: float, title: str, *, because: str, target: int | None = None,
               advisory: bool = False, facts: tuple[Evidence, ...] = ()) -> Group:
        order = np.argsort(members)
        return Group(members[order], p, "label-flip", title, target=target, expected=float((1 - wrong).sum()),
                     sure=np.asarray(wrong[order], np.float64), kind="sample", liftable=False, advisory=advisory, because=because,
                     advice="Relabel or set aside the listed samples." if not advisory else "Worth a look by a person.",
                     evidence=facts)

    def _facts(self, view: View, rows: np.ndarray, best: np.ndarray, wrong: np.ndarray) -> tuple[Evidence, ...]:
        order = np.argsort(-wrong, kind="stable")[:12]
        cells = tuple((str(view.dataset.ids[rows[i]]), view.classes[view.labels[rows[i]]], view.classes[best[i]],
                       f"{wrong[i]:.2f}") for i in order)
        return (Facts(("sample", "its label", "looks like", "probability of error"), cells, "most doubtful labels"),)

    def _smallest(self, easy: int, n: int) -> dict[str, int]:
        """Random changes spread over all samples that the easy ones would betray."""
        from scipy.stats import binom

        if easy == 0:
            return {}
        need = int(binom.isf(0.005, easy, self.natural)) + 1
        return {"random label changes": int(np.ceil(need / easy * n))} if need < easy else {}

    def _overview(self, view: View, noise: Noise) -> tuple[Evidence, ...]:
        k = len(view.classes)
        rows = [("labels replaced at random (estimate)", f"{noise.rate * (k - 1) / k:.2%}")]
        rows += [(f"moved from '{view.classes[p.origin]}' to '{view.classes[p.to]}' (estimate)", f"{p.count:.0f}")
                 for p in noise.pairs[:5]]
        return (Facts(("what", "how many"), tuple(rows), "label noise"),)
