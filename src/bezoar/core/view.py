"""Lazy, shared, read-only views of a dataset; each is computed once per run whoever asks first."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from bezoar.core.atoms import Atoms
from bezoar.core.dataset import Dataset
from bezoar.core.errors import Unavailable
from bezoar.core.evidence import Evidence
from bezoar.core.inputs import frozen
from bezoar.core.learned import Learned, Taught
from bezoar.core.trigger import Trigger

if TYPE_CHECKING:
    from bezoar.core.ability import Modality

T = TypeVar("T")


class View:
    """The dataset as detectors see it.

    `groups` are the origin columns whose outcomes are to be compared (`--group`). `reference` is the view of a
    trusted clean set, or None; `network` reads a model of the user's own in the place of one trained here.
    `networks` says whether views that other checks could do without may train networks (from standard effort on), `probes` how many
    networks, of other seeds and architectures, checks read that can read several (3 at deep effort).
    A view that is missing raises Unavailable; it is never None.
    """

    def __init__(self, dataset: Dataset, modality: Modality, *, seed: int = 0, reference: View | None = None,
                 groups: tuple[str, ...] = (), encoder: Callable[[Any], np.ndarray] | None = None,
                 network: Callable[[View], Taught] | None = None, networks: bool = False, probes: int = 1) -> None:
        self.dataset = dataset
        self.modality = modality
        self.seed = seed
        self.group_columns = groups
        self._reference = reference
        self._encoder = encoder
        self._network = network
        self.networks = networks
        self.probes = probes
        self._kept: dict[str, Any] = {}
        self._gate = threading.Lock()
        self._locks: dict[str, threading.RLock] = {}

    def _once(self, key: str, compute: Callable[[], T]) -> T:
        with self._gate:
            lock = self._locks.setdefault(key, threading.RLock())
        with lock:
            if key not in self._kept:
                value = compute()
                self._kept[key] = frozen(value) if isinstance(value, np.ndarray) else value
            return self._kept[key]

    def __len__(self) -> int:
        return len(self.dataset)

    # -- what the dataset holds

    @property
    def labels(self) -> np.ndarray:
        """(n,) int64 codes; every sample has one."""
        if self.dataset.labels is None:
            raise Unavailable("labels", advice="name the label column with --label")
        return self.dataset.labels.codes

    @property
    def classes(self) -> tuple[str, ...]:
        if self.dataset.labels is None:
            raise Unavailable("labels")
        return self.dataset.labels.classes

    def origin(self, column: str) -> np.ndarray:
        """(n,) object array of strings."""
        if column not in self.dataset.origin:
            raise Unavailable(f"origin column {column!r}")
        return self.dataset.origin[column]

    @property
    def origins(self) -> Mapping[str, np.ndarray]:
        return self.dataset.origin

    @property
    def reference(self) -> View:
        if self._reference is None:
            raise Unavailable("reference", advice="give a trusted clean set with --reference")
        return self._reference

    # -- what the modality supplies

    def embed(self) -> np.ndarray:
        """(n, d) float32 label-free embedding (the user's encoder where one was given)."""
        compute = self._encoder or self.modality.embed
        return self._once("embed", lambda: _never_empty(np.asarray(compute(self.dataset.inputs), np.float32)))

    def content(self) -> Any:
        """(n, d) dense or CSR content features that cannot see the atoms."""
        return self._once("content", lambda: _never_empty(self.modality.content(self.dataset.inputs)))

    def atoms(self) -> Atoms:
        return self._once("atoms", lambda: self.modality.atoms(self.dataset.inputs))

    def signal(self) -> np.ndarray:
        """(n, p) float32."""
        return self._once("signal", lambda: self.modality.signal(self.dataset.inputs))

    def grain(self) -> np.ndarray:
        """(n, 3, 3) float32 strength of the finest structure, see `Modality.grain`."""
        return self._once("grain", lambda: self.modality.grain(self.dataset.inputs))

    def features(self) -> Any:
        """(n, p) features of the linear probe."""
        return self._once("features", lambda: self.modality.features(self.dataset.inputs))

    def learned(self) -> Learned:
        """What a network shows of each sample: the user's own where one was given, else a small one trained on these very
        samples; the costliest view."""
        return self._once("learned", lambda: self.taught().learned)

    def several(self) -> tuple[Learned, ...]:
        """`learned`, and what `probes` - 1 other networks show that were trained on the same samples; a network of the user's own is alone.

        What one network learns late or not at all, another may learn at once.
        """
        def more() -> tuple[Learned, ...]:
            return tuple(self.modality.probe(self.dataset.inputs, self.labels, len(self.classes), self.seed + i, i).learned
                         for i in range(1, self.probes))
        return (self.learned(), *(self._once("several", more) if self._network is None else ()))

    def taught(self) -> Taught:
        """The network of `learned`, to ask it about other inputs."""
        def compute() -> Taught:
            if self._network is not None:
                return self._network(self)
            return self.modality.probe(self.dataset.inputs, self.labels, len(self.classes), self.seed)
        return self._once("taught", compute)

    def softened(self) -> np.ndarray:
        """(s, n, K) float32 logits of the network of `taught` for s copies of the samples with less and less of their finest structure."""
        return self._once("softened", lambda: np.stack([self.taught().ask(x) for x in self.modality.softened(self.dataset.inputs)]))

    def lift(self, members: np.ndarray, background: np.ndarray, place: dict[str, Any]) -> Trigger:
        return self.modality.lift(self.dataset.inputs, members, background, place)

    def show(self, row: int, trigger: Trigger | None = None) -> Evidence:
        return self.modality.show(self.dataset.inputs, row, str(self.dataset.ids[row]), trigger)

    # -- what follows from those

    def clusters(self) -> np.ndarray:
        """(n,) int64: near-duplicates share a number; made from the embedding, without labels."""
        def compute() -> np.ndarray:
            from bezoar.maths.neighbours import near_duplicate_clusters

            return near_duplicate_clusters(self.embed(), self.neighbours())
        return self._once("clusters", compute)

    def neighbours(self) -> tuple[np.ndarray, np.ndarray]:
        """(n, k) int32 nearest rows and (n, k) float32 cosine distances in the embedding, self excluded, k <= 20."""
        def compute() -> tuple[np.ndarray, np.ndarray]:
            from bezoar.maths.neighbours import nearest

            return nearest(self.embed(), k=20)
        return self._once("neighbours", compute)

    def content_probabilities(self) -> np.ndarray:
        """(n, K) float32: class probabilities of each sample by a content model that saw neither it nor its near-duplicates."""
        def compute() -> np.ndarray:
            from bezoar.maths.crossfit import crossfit_probabilities
            from bezoar.maths.kernel import crossfit_kernel

            fit = crossfit_kernel if self.modality.bent else crossfit_probabilities
            return fit(self.content(), self.labels, len(self.classes), groups=self.clusters(), seed=self.seed)
        return self._once("content_probabilities", compute)

    def doubt(self) -> np.ndarray:
        """(n,) float64 in [0, 1]: doubt of the own label by two opinions that never saw it, the content model's and the neighbours'."""
        return self._once("doubt", lambda: _doubt(self.labels, self.content_probabilities(), self.neighbours()[0]))

    def doubts(self) -> tuple[np.ndarray, ...]:
        """`doubt`, and where the modality has a coarse look, (n,) that of a model and of neighbours that see nothing else.

        A trigger in the fine structure of the whole sample may stand in the content, which then vouches for it; it is not in the coarse.
        """
        return tuple(own for own, _ in self._opinions())

    def doubts_of_strangers(self) -> tuple[np.ndarray, ...]:
        """For each of `doubts` (K,): the mean doubt of every label, had the samples of all other classes got it; NaN where none are."""
        return tuple(strangers for _, strangers in self._opinions())

    def _opinions(self) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        def compute() -> tuple[tuple[np.ndarray, np.ndarray], ...]:
            from bezoar.maths.kernel import crossfit_kernel
            from bezoar.maths.neighbours import nearest

            codes, content, near = self.labels, self.content_probabilities(), self.neighbours()[0]
            first = self.doubt(), frozen(_strangers(codes, content, near))
            coarse = self.modality.coarse(self.dataset.inputs)
            if coarse is None:
                return (first,)
            told, near = crossfit_kernel(coarse, codes, len(self.classes), groups=self.clusters(), seed=self.seed), nearest(coarse, k=20)[0]
            return first, (frozen(_doubt(codes, told, near)), frozen(_strangers(codes, told, near)))
        return self._once("opinions", compute)

    def label_probabilities(self) -> np.ndarray:
        """(n, K) float32: the best guess at each sample's class by models that saw neither it nor its near-duplicates.

        Content and details are pooled where there are details. Better than content alone at labels that are wrong, worse at
        triggers: details show them, so the model learns what they stand for.
        """
        def compute() -> np.ndarray:
            from bezoar.maths.kernel import crossfit_kernel, pooled

            content, details = self.content_probabilities(), self.modality.details(self.dataset.inputs)
            if details is None:
                return content
            return pooled(content, crossfit_kernel(details, self.labels, len(self.classes), groups=self.clusters(), seed=self.seed))
        return self._once("label_probabilities", compute)

    def network_probabilities(self) -> np.ndarray:
        """(n, K) float32: class probabilities of each sample by networks that saw neither it nor its near-duplicates.

        The best at labels that are wrong where content is hard to read; blind to a trigger that stands in every fold.
        Unavailable without `networks`, and for kinds of data that have none.
        """
        if not self.networks:
            raise Unavailable("networks trained on parts of the data", advice="scan with --effort standard")
        return self._once("network_probabilities", lambda: self.modality.held_out(
            self.dataset.inputs, self.labels, len(self.classes), self.clusters(), self.seed))


def _doubt(codes: np.ndarray, probabilities: np.ndarray, near: np.ndarray) -> np.ndarray:
    own = probabilities[np.arange(len(codes)), np.maximum(codes, 0)]
    return np.asarray(1 - (own + (codes[near] == codes[:, None]).mean(axis=1)) / 2)


def _strangers(codes: np.ndarray, probabilities: np.ndarray, near: np.ndarray) -> np.ndarray:
    """(K,) what `_doubt` of each label comes to in the mean of the labelled rows of all other classes."""
    k = probabilities.shape[1]
    known = codes >= 0
    own, theirs, told = codes[known], codes[near[known]], probabilities[known]
    others = known.sum() - np.bincount(own, minlength=k)
    said = told.sum(axis=0, dtype=np.float64) - np.bincount(own, told[np.arange(len(own)), own], minlength=k)
    voted = np.bincount(theirs[(theirs != own[:, None]) & (theirs >= 0)], minlength=k) / max(near.shape[1], 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(1 - (said + voted) / 2 / others)


def _never_empty(features: Any) -> Any:
    """(n, 0) becomes one column of zeros: inputs that are all alike have no directions, and the sums downstream want one."""
    return features if features.shape[1] else np.zeros((features.shape[0], 1), np.float32)
