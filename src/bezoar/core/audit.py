"""What auditors see of a model under audit, what they say, and the base that checks it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar, final

import numpy as np

from bezoar.core.ability import Ability
from bezoar.core.dataset import Dataset
from bezoar.core.errors import AbilityFailed, BezoarError, Unavailable
from bezoar.core.evidence import Evidence
from bezoar.core.inputs import Images
from bezoar.core.suspect import Suspect
from bezoar.core.trigger import Trigger

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Asked:
    """Clean pictures, and (n, K) bool: which classes each could be moved to, as it is neither of the class nor taken for it."""

    inputs: Images
    can: np.ndarray

    @property
    def of(self) -> np.ndarray:
        """(K,) how many could be moved to each class."""
        return np.asarray(self.can.sum(axis=0))

    def moved(self, answers: np.ndarray) -> np.ndarray:
        """(K,) how many are moved to each class, by the (n, K) answers to a changed copy."""
        return np.asarray((self.can & (answers.argmax(axis=1)[:, None] == np.arange(self.can.shape[1]))).sum(axis=0))


class AuditView:
    """A suspect and what there is to look at it with; everything computed on the way is computed once.

    suspect   the model
    clean     samples that are trusted, labels in the order of the suspect's classes; None in data-free mode
    training  the data it was trained on, where they are at hand; None
    same_shape  whether the reference models are of the suspect's own architecture
    """

    def __init__(self, suspect: Suspect, clean: Dataset | None = None, training: Dataset | None = None, *,
                 references: Callable[[], Sequence[Suspect]] | None = None, same_shape: bool = True) -> None:
        self.suspect = suspect
        self.same_shape = same_shape
        self.clean = clean
        self.training = training
        self._references = references
        self._peers: tuple[AuditView, ...] | None = None
        self._kept: dict[str, Any] = {}

    @property
    def n_classes(self) -> int:
        return len(self.suspect.classes)

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What `make` gives, computed when it is first asked for under this name."""
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]

    def samples(self) -> Dataset:
        """The clean samples that have a label; raises Unavailable in data-free mode."""
        if self.clean is None or self.clean.labels is None:
            raise Unavailable("clean samples", advice="give some with --data")
        codes = self.clean.labels.codes
        data = self.clean
        return self.once("samples", lambda: data.take(np.flatnonzero(codes >= 0)))

    def pictures(self, most: int, rng: np.random.Generator, change: Callable[[Images], Images] = lambda x: x) -> Asked:
        """At most so many of the clean pictures, changed, as samples that may be moved; raises Unavailable where there are none."""
        data, k = self.samples(), np.arange(self.n_classes)
        if not isinstance(data.inputs, Images) or len(data) < 2 or data.labels is None:
            raise Unavailable("pictures as clean samples")
        rows = np.sort(rng.permutation(len(data))[:most])
        some = change(data.inputs.take(rows))
        said = self.suspect.predict(some).argmax(axis=1)
        return Asked(some, (data.labels.codes[rows][:, None] != k) & (said[:, None] != k))

    def module(self) -> Any:
        """The torch module in evaluation mode; raises Unavailable for a black box."""
        if self.suspect.module is None or self.suspect.tensor is None:
            raise Unavailable("a torch module", advice="a black box only answers; audit the file instead")
        return self.suspect.module

    def references(self) -> tuple[AuditView, ...]:
        """Views of clean models of the same shape, with the same samples; none where there were no data to make them from."""
        make = self._references
        if make is None:
            return ()
        return self.once("references", lambda: _together([AuditView(s, self.clean) for s in make()]))

    def beside(self, suspect: Suspect) -> AuditView:
        """A view of another model of the same classes, with the same samples and the same reference models."""
        view = AuditView(suspect, self.clean, self.training, references=tuple, same_shape=self.same_shape)
        view._kept["references"] = self.references()
        return view

    @property
    def is_reference(self) -> bool:
        """Whether this is the view of a reference model."""
        return self._peers is not None

    def peers(self) -> tuple[AuditView, ...]:
        """Views of clean models to hold this one against: the references, and for one of these the others."""
        return self.references() if self._peers is None else self._peers


def _together(views: Sequence[AuditView]) -> tuple[AuditView, ...]:
    for i, view in enumerate(views):
        view._peers = tuple(v for j, v in enumerate(views) if j != i)
    return tuple(views)


@dataclass(frozen=True, eq=False)
class Whole:
    """What a channel says of all classes together, where no single one need stand out: the chance that a clean model looks so, by a null of
    the channel's own, a title, why, and what to look at."""

    p_value: float
    title: str
    because: str
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, eq=False)
class Audited:
    """What an auditor says of a model.

    statistic  (K,) float, per class: higher = more like the target of a backdoor, NaN = could not say. On a scale on which
               differences mean the same everywhere (norms and other positive sizes as logarithms)
    target     class code that stands out most, or None
    trigger    the recovered trigger, or None; `success` the share of clean samples of other classes that it moves to `target`
    tried      triggers by class code, where more than one was recovered
    evidence   pictures and plots for the report
    p_alone    (K,) where the channel has a null of its own (ordinary words): that the class's best candidate is one of these by chance;
               NaN = could not say
    whole      what the channel says of all classes together, or None
    ways       (K, K) float, by target and source, on a scale as above: how much it looks as if a backdoor led from the one class to the
               other, NaN where there is no way; said where clean models are at hand, in the place of `statistic`
    """

    statistic: np.ndarray
    target: int | None = None
    trigger: Trigger | None = None
    success: float | None = None
    tried: tuple[tuple[int, Trigger], ...] = ()
    notes: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    p_alone: np.ndarray | None = None
    whole: Whole | None = None
    ways: np.ndarray | None = None

    @property
    def told(self) -> np.ndarray:
        """`ways` where there are any, otherwise `statistic`."""
        return self.statistic if self.ways is None else self.ways


class Auditor(Ability, ABC):
    """A model -> a statistic per class. Authors write `audit`.

    `weight` is how much it counts beside the others, from what it was worth on models made for development; `relative`: what it says of
    single classes counts beside clean models only, as nature makes as much of it.
    """

    shelf = "auditors"
    weight: ClassVar[float] = 1.0
    relative: ClassVar[bool] = False

    @abstractmethod
    def audit(self, view: AuditView, rng: np.random.Generator) -> Audited:
        """Statistic per class. Leaves the model as it was; the same view and rng give the same answer on a CPU."""

    @final
    def __call__(self, view: AuditView, rng: np.random.Generator) -> Audited:
        """The checked call. Raises Unavailable where something is missing, AbilityFailed on anything foreign."""
        try:
            done = self.audit(view, rng)
        except BezoarError:
            raise
        except Exception as error:
            raise AbilityFailed(f"{self.info.name} failed: {type(error).__name__}: {error}") from error
        k = view.n_classes
        statistic = np.asarray(done.statistic, np.float64)
        if statistic.shape != (k,):
            raise AbilityFailed(f"{self.info.name} returned {statistic.shape} numbers for {k} classes")
        if done.ways is not None and np.shape(done.ways) != (k, k):
            raise AbilityFailed(f"{self.info.name} returned ways {np.shape(done.ways)} between {k} classes")
        if np.isinf(statistic).any() or (done.ways is not None and np.isinf(done.ways).any()):
            raise AbilityFailed(f"{self.info.name} returned a statistic that is not finite")
        if done.target is not None and not 0 <= done.target < k:
            raise AbilityFailed(f"{self.info.name} named a class that does not exist")
        return done
