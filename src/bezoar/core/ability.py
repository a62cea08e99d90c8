"""What stands on the shelves: one base per kind, small verbs for authors, final calls for everybody else."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np

from bezoar.core.atoms import Atoms
from bezoar.core.dataset import Dataset
from bezoar.core.errors import AbilityFailed, BezoarError, Unavailable, UsageError
from bezoar.core.evidence import Evidence
from bezoar.core.finding import Finding
from bezoar.core.inputs import Inputs
from bezoar.core.learned import Ask, Followed, Taught
from bezoar.core.limits import Limits
from bezoar.core.report import Report
from bezoar.core.trigger import Trigger

if TYPE_CHECKING:
    from bezoar.core.view import View


@dataclass(frozen=True)
class Info:
    """The card of an ability; everything that faces show is derived from it.

    name        unique, lower case with dashes
    summary     one line
    threats     keys of `taxonomy.THREATS` it looks for, plants or cures
    modalities  names, or ("any",)
    needs       views it cannot do without: "labels", "signal", "atoms", "origin", "reference", ...
    extras      optional installs it imports inside its verb
    cost        in plain words: "seconds", "about 1 s per 10,000 samples"
    reference   the paper
    channel     "C1".."C9" for detectors
    floor       least AUROC that the contract suite asserts on the first of `threats`, planted
    effort      least effort at which a detector runs without being named: "quick" | "standard" | "deep"
    fuses       whether its suspicion counts in the fused score; False for mere rankings of the unusual
    """

    name: str
    summary: str
    threats: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ("any",)
    needs: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    cost: str = "seconds"
    reference: str = ""
    channel: str = ""
    floor: float = 0.0
    fuses: bool = True
    effort: str = "quick"


class Ability:
    """Parameters are exactly the keyword-only arguments of the constructor, kept under the same names."""

    info: ClassVar[Info]
    shelf: ClassVar[str] = ""

    @classmethod
    def signature(cls) -> dict[str, inspect.Parameter]:
        """Constructor parameters by name."""
        if cls.__init__ is object.__init__:
            return {}
        return {k: p for k, p in inspect.signature(cls.__init__).parameters.items() if k != "self"}

    def parameters(self) -> dict[str, Any]:
        """Name to value, enough to make the same ability again."""
        return {k: getattr(self, k) for k in self.signature()}

    def __repr__(self) -> str:
        inner = ", ".join(f"{k}={v!r}" for k, v in self.parameters().items())
        return f"{type(self).__name__}({inner})"

    def supports(self, modality: str) -> bool:
        return "any" in self.info.modalities or modality in self.info.modalities


@dataclass(frozen=True, eq=False)
class Group:
    """Samples that a detector says share a cause.

    members   (k,) sorted row numbers
    p_value   family-wise inside the detector: already paid for everything this detector searched
    expected  how many such members nature would give (for the lower bound)
    target    the label code they are pushed to, or None
    threat    key of `taxonomy.THREATS`
    title     plain words for what they share, a noun phrase: "the phrase 'cf wine'"
    sure      (k,) float in [0, 1]: probability that this member belongs (1 - local false discovery rate)
    liftable  whether a trigger can be lifted from the members
    advisory  never moves the verdict (natural label noise, honest duplicates)
    place     where to look, for `lift`: atom names, a window, columns (the modality's own words)
    """

    members: np.ndarray
    p_value: float
    threat: str
    title: str
    target: int | None = None
    expected: float = 0.0
    sure: np.ndarray | None = None
    kind: str = "group"
    liftable: bool = True
    advisory: bool = False
    because: str = ""
    doubt: str = ""
    advice: str = ""
    evidence: tuple[Evidence, ...] = ()
    place: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Scores:
    """What a detector returns: (n,) suspicion in [0, 1] (higher is worse, NaN = could not say), groups, and words.

    `smallest` is the least number of poisoned samples this run could have called, where the detector can tell, by family. `kin` are
    groups that nothing accuses, but that surely stand together: they complete a campaign of another detector that lies in them.
    """

    suspicion: np.ndarray
    groups: tuple[Group, ...] = ()
    notes: tuple[str, ...] = ()
    smallest: dict[str, int] = field(default_factory=dict)
    overview: tuple[Evidence, ...] = ()
    kin: tuple[Group, ...] = ()


class Detector(Ability, ABC):
    """Views of a dataset -> scores and groups. Authors write `score`."""

    shelf = "detectors"

    @abstractmethod
    def score(self, view: View, rng: np.random.Generator) -> Scores:
        """Suspicion per sample and candidate groups. Never edits what it is given."""

    def passes(self, rows: int) -> float:
        """How often, in effect, what this check trains by itself, beside the shared network, passes forth and back over so many rows."""
        return 0.0

    @final
    def __call__(self, view: View, rng: np.random.Generator) -> Scores:
        """Validated scores. Raises Unavailable where a view is missing, AbilityFailed on anything foreign."""
        try:
            scores = self.score(view, rng)
        except BezoarError:
            raise
        except Exception as error:
            raise AbilityFailed(f"{self.info.name} failed: {type(error).__name__}: {error}") from error
        n = len(view.dataset)
        suspicion = np.asarray(scores.suspicion, np.float64)
        if suspicion.shape != (n,):
            raise AbilityFailed(f"{self.info.name} returned {suspicion.shape} scores for {n} samples")
        if np.nanmin(suspicion, initial=0.0) < 0 or np.nanmax(suspicion, initial=0.0) > 1:
            raise AbilityFailed(f"{self.info.name} returned suspicion outside [0, 1]")
        for g in scores.groups:
            if len(g.members) and (g.members.min() < 0 or g.members.max() >= n):
                raise AbilityFailed(f"{self.info.name} named rows that do not exist")
        return scores


class Modality(Ability, ABC):
    """What a kind of data is: the views that detectors read. A view it has not raises Unavailable."""

    shelf = "modalities"
    cost_seconds: ClassVar[tuple[float, float]] = (5.0, 1.0)
    """A quick scan on 2 cores takes about (fixed, per 1,000 samples) seconds."""
    cost_megabytes: ClassVar[tuple[float, float]] = (300.0, 50.0)
    """...and (fixed, per 1,000 samples) MB."""
    held_networks: ClassVar[float] = 0.0
    """So many times over all samples the networks of `held_out` together pass in each epoch; 0 where there are none."""
    bent: ClassVar[bool] = False
    """Whether classes bend in the content (dense rows), so that a kernel machine reads it better than a linear model."""

    @abstractmethod
    def embed(self, inputs: Inputs) -> np.ndarray:
        """(n, d) float32, label-free, deterministic."""

    def pass_seconds(self, inputs: Inputs) -> float:
        """The network of `probe` passes forth and back over 1,000 of such inputs in about so many seconds on one core; nothing is run."""
        return 0.08

    def content(self, inputs: Inputs) -> Any:
        """(n, d) dense or CSR features of the content that cannot see the atoms; the default is the embedding."""
        return self.embed(inputs)

    def details(self, inputs: Inputs) -> np.ndarray | None:
        """(n, d) float32 all that tells classes apart, small marks and faint patterns too; None where content has it all."""
        return None

    def coarse(self, inputs: Inputs) -> np.ndarray | None:
        """(n, d) float32: what is left of each sample without its fine structure; None where that means nothing."""
        return None

    def grain(self, inputs: Inputs) -> np.ndarray:
        """(n, 3, 3) float32: quartiles of the finest structure of light, of colour and of colour at half the resolution; or Unavailable."""
        raise Unavailable("a grain")

    def softened(self, inputs: Inputs) -> tuple[Inputs, ...]:
        """Copies with less and less of their finest structure, or Unavailable."""
        raise Unavailable("samples without their finest structure")

    @abstractmethod
    def atoms(self, inputs: Inputs) -> Atoms:
        """Small parts with names; see `Atoms`."""

    def signal(self, inputs: Inputs) -> np.ndarray:
        """(n, p) float32 raw signal in an orthonormal basis, or Unavailable."""
        raise Unavailable("signal")

    @abstractmethod
    def features(self, inputs: Inputs) -> Any:
        """(n, p) stateless features (dense float32 or CSR) in which a linear probe can learn a trigger."""

    def probe(self, inputs: Inputs, codes: np.ndarray, classes: int, seed: int, number: int = 0) -> Taught:
        """What a small network, built in one of several ways by `number`, shows of `inputs` after training on labels `codes` (-1: none)."""
        raise Unavailable(f"a network for {self.info.name} data")

    def retrained(self, inputs: Inputs, codes: np.ndarray, classes: int, seed: int) -> Ask:
        """Such a network after a shorter training, only to be asked; rows of code -1 are left out. Or Unavailable."""
        raise Unavailable(f"a network for {self.info.name} data")

    def follow(self, inputs: Inputs, codes: np.ndarray, classes: int, others: Inputs, seed: int) -> Followed:
        """The shorter training, watched at a few checkpoints, with answers to `others`; or Unavailable."""
        raise Unavailable(f"a network for {self.info.name} data")

    def held_out(self, inputs: Inputs, codes: np.ndarray, classes: int, groups: np.ndarray, seed: int) -> np.ndarray:
        """(n, K) float32 class probabilities of each sample by networks that saw neither it nor its group, or Unavailable."""
        raise Unavailable(f"networks for parts of {self.info.name} data")

    @abstractmethod
    def lift(self, inputs: Inputs, members: np.ndarray, background: np.ndarray, place: dict[str, Any]) -> Trigger:
        """The common residue of `members` against `background` as a trigger; Unavailable where there is none."""

    @abstractmethod
    def control(self, trigger: Trigger, inputs: Inputs, rng: np.random.Generator) -> Trigger:
        """A trigger of the same size and strength that nobody planted, drawn from `inputs`."""

    def hosts(self, inputs: Inputs) -> int:
        """On how many samples a trigger is put for its confirmation; fewer where samples are large."""
        return 100

    @abstractmethod
    def show(self, inputs: Inputs, row: int, sample: str, trigger: Trigger | None = None) -> Evidence:
        """The sample as people see it, with the trigger marked where that makes sense."""


@dataclass(frozen=True, eq=False)
class Poisoned:
    """What an attack leaves: the data, (n,) bool truth, the trigger (if any), the target class (if any).

    `victims` are the classes on which the trigger works (none named: all but the target); `aim` the very inputs, unseen
    in training, that a targeted attack wants called `target`; `removed` the row numbers of the clean data that are gone.
    """

    data: Dataset
    truth: np.ndarray
    trigger: Trigger | None = None
    target: str | None = None
    victims: tuple[str, ...] = ()
    aim: Inputs | None = None
    removed: np.ndarray | None = None


class Attack(Ability, ABC):
    """Clean data and an rng -> poisoned data and its truth. Authors write `poison`.

    `clean_label` attacks never touch labels. Every attack has a `rate` parameter: the share of all samples. One that
    `adds_rows` puts new samples, with new ids, behind the old ones, of which it touches none; one that `removes_rows` only takes away.
    """

    shelf = "attacks"
    clean_label: bool = False
    adds_rows: ClassVar[bool] = False
    removes_rows: ClassVar[bool] = False

    @abstractmethod
    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        """A poisoned copy; rows outside the truth are left byte-identical."""

    @final
    def __call__(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        """The checked call. Raises UsageError for a rate or a target that the data cannot bear."""
        rate = getattr(self, "rate", None)
        if rate is not None and not 0 < rate <= 1:
            raise UsageError(f"rate {rate} is not above 0 and at most 1", advice="give a share of all samples, such as 0.01")
        if not self.supports(data.modality):
            raise UsageError(f"{self.info.name} works on {', '.join(self.info.modalities)}, not on {data.modality}",
                             advice="bezoar list --shelf attacks shows what fits")
        if "labels" in self.info.needs and data.labels is None:
            raise UsageError(f"{self.info.name} needs labels", advice="name the label column with --label")
        try:
            done = self.poison(data, rng)
        except BezoarError:
            raise
        except Exception as error:
            raise AbilityFailed(f"{self.info.name} failed: {type(error).__name__}: {error}") from error
        if done.truth.shape != (len(done.data),) or done.truth.dtype != bool:
            raise AbilityFailed(f"{self.info.name} returned a truth that does not fit its data")
        return done


@dataclass(frozen=True)
class Change:
    """One reversible step of a repair: what was done to which sample, because of which finding."""

    sample: str
    action: str  # quarantined
    finding: str


@dataclass(frozen=True, eq=False)
class Repaired:
    """What a repair leaves: which rows are kept, (n,) bool, and the list of changes, in order."""

    keep: np.ndarray
    changes: tuple[Change, ...]
    notes: tuple[str, ...] = ()


class Repair(Ability, ABC):
    """A finding -> a better dataset. Authors write `repair`; no findings, no change."""

    shelf = "repairs"

    @abstractmethod
    def repair(self, data: Dataset, findings: tuple[Finding, ...]) -> Repaired:
        """Which rows stay, and why the others go."""


@dataclass(frozen=True)
class Reading:
    """How a source should read: columns that the user named ('' = infer), more to carry in `Dataset.origin` (`--group`), and limits."""

    modality: str = ""
    label: str = ""
    text: str = ""
    id: str = ""
    source: str = ""
    contributor: str = ""
    time: str = ""
    keep_columns: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)

    def filled(self, told: object) -> Reading:
        """This one, and what it leaves open as `told` has it, the reading in the plan of a report.

        >>> Reading(text="body").filled({"label": "verdict", "text": "subject"}).label
        'verdict'
        """
        if not isinstance(told, dict):
            return self
        return replace(self, **{k: told[k] for k in READING_OPTIONS if isinstance(told.get(k), str) and not getattr(self, k)})


READING_OPTIONS = ("modality", "label", "text", "id", "source", "contributor", "time")
"""What of a `Reading` is an option of its own on the command line."""


class Source(Ability, ABC):
    """Where datasets come from and go to. `claims` is cheap; `open` reads; `write` puts a subset or a changed copy."""

    shelf = "sources"

    @abstractmethod
    def claims(self, path: Path) -> bool:
        """Whether this source knows how to read what stands at `path`."""

    @abstractmethod
    def open(self, path: Path, reading: Reading) -> Dataset:
        """The dataset; raises UnreadableInput or Refused with cause and fix."""

    @abstractmethod
    def write(self, original: Path, data: Dataset, rows: np.ndarray, out: Path, reading: Reading,
              changed: np.ndarray | None = None) -> None:
        """Write `rows` (row numbers of `data`) to `out` in the format of `original`: those not in `changed` byte for byte (files) or cell
        for cell (tables), those in `changed` (bool, (n,)) with inputs and labels of `data`."""

    def written_ids(self, original: Path, data: Dataset, rows: np.ndarray, reading: Reading,
                    changed: np.ndarray | None = None) -> np.ndarray:
        """(k,) ids that `rows` carry in what `write` writes; a source whose ids follow from the content overrides it. Tables without
        an id column number the rows anew, so a copy of all rows, in order, keeps its ids."""
        return data.ids[rows]


class Renderer(Ability, ABC):
    """Report -> one file. Authors write `render`."""

    shelf = "reports"
    filename: ClassVar[str] = ""

    @abstractmethod
    def render(self, report: Report) -> bytes:
        """The bytes of `filename`; everything from outside is escaped for this sink."""
