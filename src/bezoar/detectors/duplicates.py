"""Copies, near-copies, cliques and hubs in the label-free embedding.

Exact copies are equal records; near-copies are clusters far closer than neighbours usually are. A clique is a large cluster
with one label, as a flood of paraphrases or re-encoded pictures makes; it is an alarm only when it is far larger than the
tail of all other cluster sizes leads to expect. Hubs are nearest neighbours of very many others. Honest data are full of
copies, so the rest is shown and never counted. Fails where poison forms no cluster. Cost: under 1 s per 10,000 samples beyond
the views. Paper: Radovanovic et al. 2010 for hubs.
"""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Detector, Group, Info, Scores
from bezoar.core.evidence import Evidence, Facts
from bezoar.core.view import View


class Duplicates(Detector):
    """Suspicion grows with the size of the cluster of near-copies, and where its labels disagree."""

    info = Info(fuses=False, name="duplicates", summary="copies, near-copies with different labels, floods of near-copies, hubs",
                channel="C2", threats=("duplicates",), cost="under 1 s per 10,000 samples",
                reference="Radovanovic et al., JMLR 2010")

    def __init__(self, *, flood: int = 30, share: float = 0.004, ratio: float = 4.0, hub: float = 25.0) -> None:
        self.flood = flood
        self.share = share
        self.ratio = ratio
        self.hub = hub

    def score(self, view: View, rng: np.random.Generator) -> Scores:
        n = len(view)
        if n < 2:
            return Scores(np.zeros(n))
        cluster = np.unique(view.clusters(), return_inverse=True)[1]
        size = np.bincount(cluster)
        exact = self._exact(view)
        copies = np.bincount(exact)[exact]
        mixed = self._mixed(view, cluster)
        near, _ = view.neighbours()
        degree = np.bincount(near.ravel(), minlength=n)
        suspicion = 0.6 * (1 - 1 / np.sqrt(size[cluster])) + 0.3 * mixed
        suspicion += 0.1 * np.clip(degree / max(self.hub * max(near.shape[1], 1), 1), 0, 1)
        groups = [*self._floods(view, cluster, size), *self._facts(view, cluster, exact, copies, mixed)]
        hubs = np.flatnonzero(degree > self.hub * max(near.shape[1], 1))
        notes = [f"{int((copies > 1).sum())} samples have an exact copy, {int((size[cluster] > 1).sum())} a near-copy; the largest "
                 f"cluster holds {int(size.max())}; {len(hubs)} hubs; floods under {self._least(n)} near-copies raise no alarm"]
        top = np.argsort(-degree, kind="stable")[:5]
        overview: list[Evidence] = [Facts(("sample", "is among the nearest of"), tuple(
            (str(view.dataset.ids[i]), f"{degree[i]} others") for i in top), "samples that are near most others (hubs)")]
        return Scores(np.clip(suspicion, 0, 1), tuple(groups), tuple(notes), smallest={"near-copies": self._least(n)},
                      overview=tuple(overview))

    def _least(self, n: int) -> int:
        return max(self.flood, int(np.ceil(self.share * n)))

    def _exact(self, view: View) -> np.ndarray:
        """(n,) number of the set of equal records of each row."""
        keys = view.dataset.inputs.row_keys()
        if keys.dtype == object:
            place: dict[object, int] = {}
            return np.fromiter((place.setdefault(k, len(place)) for k in keys), np.int64, len(keys))
        return np.asarray(np.unique(keys, return_inverse=True)[1], np.int64).ravel()

    def _mixed(self, view: View, cluster: np.ndarray) -> np.ndarray:
        """(n,) bool: the cluster holds more than one label."""
        if view.dataset.labels is None:
            return np.zeros(len(cluster), bool)
        kinds = np.unique(np.stack([cluster, view.labels], axis=1), axis=0)[:, 0]
        return np.asarray(np.bincount(kinds, minlength=cluster.max() + 1)[cluster] > 1)

    def _floods(self, view: View, cluster: np.ndarray, size: np.ndarray) -> list[Group]:
        """Clusters far beyond the tail of the others, with one label where there are labels."""
        n, out = len(cluster), []
        order = np.argsort(-size, kind="stable")
        large = order[size[order] >= self._least(n)][:20]
        for c in large:
            others = np.delete(size, large[size[large] >= size[c]])
            p = tail_p(int(size[c]), others)
            rest = int(others.max(initial=1))
            crowded = size[(size >= 10) & (size < size[c])].sum() / n
            rows = np.flatnonzero(cluster == c)
            target, pure = None, 1.0
            if view.dataset.labels is not None:
                counts = np.bincount(np.maximum(view.labels[rows], 0))
                target, pure = int(counts.argmax()), float(counts.max() / len(rows))
            if p > 0.01 or size[c] < self.ratio * rest or crowded > 0.05 or pure < 0.9:
                continue
            out.append(Group(
                rows, p, "duplicates", "near-copies of one another", target=target, expected=float(rest), liftable=False,
                because=f"{len(rows)} samples are near-copies of one another; the next largest cluster holds {rest}.",
                advice="Keep one of them unless the repetition is meant.",
                doubt="A burst of one camera, a template or a mailing looks alike."))
        return out

    def _facts(self, view: View, cluster: np.ndarray, exact: np.ndarray, copies: np.ndarray, mixed: np.ndarray) -> list[Group]:
        out = []
        first = np.zeros(len(exact), bool)
        first[np.unique(exact, return_index=True)[1]] = True
        again = np.flatnonzero((copies > 1) & ~first)
        if len(again):
            out.append(Group(again, 0.0, "duplicates", "exact copies of other samples", kind="record", liftable=False, advisory=True,
                             because="Each of them repeats another sample exactly.",
                             advice="Keep one of each unless the repetition is meant, and all copies on one side of a split."))
        crossed = np.flatnonzero(mixed & (np.bincount(cluster)[cluster] <= 200))
        if len(crossed):
            out.append(Group(crossed, 0.0, "duplicates", "near-copies with different labels", kind="record", liftable=False,
                             advisory=True,
                             because="They stand in clusters of near-copies whose labels differ; members that another finding lists "
                                     "already are left out here.",
                             advice="Compare each with its near-copies, and correct the label that is wrong.",
                             doubt="The difference may be real and too fine for the embedding."))
        return out


def tail_p(size: int, others: np.ndarray) -> float:
    """Chance that one of the clusters reaches `size` if the tail of the other sizes goes on as a power law (Hill).

    The exponent is taken one standard error lower than estimated, and at most 3.

    >>> tail_p(200, np.array([1] * 500 + [2] * 20 + [3])) < 0.01, tail_p(200, np.array([90, 60, 40, 30, 20])) > 0.01
    (True, True)
    """
    repeated = np.sort(others[others >= 2])[::-1][:100].astype(np.float64)
    start = 1.5 if len(repeated) == 0 else float(repeated[-1]) - 0.5
    hill = float(np.log(np.maximum(repeated, start) / start).sum())
    count = len(repeated)
    exponent = 3.0 if count < 3 else min(3.0, count / max(hill, 1e-9) * (1 - 1 / np.sqrt(count)))
    return float(min(1.0, max(count, 1) * (size / start) ** -exponent))
