"""A backdoored model -> a better one: what every model repair is given, and the base of those on the shelf.

Arrays and callables only; torch stays inside the repairs.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from bezoar.core.ability import Ability
from bezoar.core.errors import AbilityFailed, BezoarError, Unavailable, UsageError
from bezoar.core.inputs import Images, Inputs, Texts
from bezoar.core.trigger import Trigger


@dataclass(frozen=True, eq=False)
class Samples:
    """Rows as a model reads them, and their labels.

    x      (n, ...) as `Suspect.shape` has them: (n, h, w, 3) uint8 for pictures, (n,) object for texts
    codes  (n,) int64 into the model's classes; -1 for none
    """

    x: np.ndarray
    codes: np.ndarray

    def __post_init__(self) -> None:
        if len(self.x) != len(self.codes):
            raise UsageError(f"{len(self.codes)} labels for {len(self.x)} samples", advice="give one per sample")

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: np.ndarray) -> Samples:
        """Those rows, in that order."""
        return Samples(self.x[rows], self.codes[rows])


Writer = Callable[[np.ndarray, Trigger], np.ndarray]


@dataclass(frozen=True, eq=False)
class RepairCase:
    """What a repair may use; what is not known is None.

    module    torch module whose call gives (n, classes) logits; a copy of its own for every repair, free to change
    tensor    rows of `Samples.x` -> an input of `module`
    classes   how many
    modality  "image", "text", ...
    clean     trusted samples
    training  what the model was trained on, poison included; `flagged` (n,) bool says which rows are held for poison
    trigger   what an audit or a scan recovered, and the class code `target` it leads to (None: not one class)
    drop      accuracy that a repair may cost, as a share; repairs with a strength to choose go no further on `clean`
    written   tables: rows and a trigger -> those rows with it, since rows of numbers do not show their columns any more
    """

    module: Any
    tensor: Callable[[Any], Any]
    classes: int
    modality: str = "image"
    clean: Samples | None = None
    training: Samples | None = None
    flagged: np.ndarray | None = None
    trigger: Trigger | None = None
    target: int | None = None
    drop: float = 0.015
    written: Writer | None = None

    def __post_init__(self) -> None:
        if self.flagged is not None and (self.training is None or self.flagged.shape != (len(self.training),)):
            raise UsageError("flagged rows without the training data that they are rows of", advice="give both, one entry per row")

    @property
    def has(self) -> frozenset[str]:
        """Which needs it meets: "clean", "training", "flagged", "trigger"."""
        flagged = self.flagged is not None and bool(self.flagged.any())
        there = {"clean": self.clean is not None and len(self.clean) > 0, "flagged": flagged, "trigger": self.trigger is not None,
                 "training": self.training is not None and len(self.training) > 0}
        return frozenset(k for k, v in there.items() if v)

    def stamped(self, x: np.ndarray, rng: np.random.Generator, trigger: Trigger | None = None) -> np.ndarray:
        """(n, ...) `x` with the trigger (the recovered one where none is named). Raises Unavailable without one."""
        trigger = trigger or self.trigger
        if trigger is None:
            raise Unavailable("trigger", advice="give the report of an audit")
        if self.written is not None and trigger.modality == self.modality:
            return self.written(x, trigger)
        return stamped(x, trigger, self.modality, rng)


def stamped(x: np.ndarray, trigger: Trigger, modality: str, rng: np.random.Generator) -> np.ndarray:
    """A triggered copy of rows; raises UsageError where the trigger is for another kind of data."""
    if trigger.modality != modality or modality not in ("image", "text"):
        raise UsageError(f"a trigger for {trigger.modality} cannot be put on {modality} rows", advice="give one for the model's data")
    inputs: Inputs = Images.of(x) if modality == "image" else Texts(x)
    done = trigger.apply(inputs, rng)
    if isinstance(done, Images):
        return done.dense()
    assert isinstance(done, Texts)
    return done.values


class ModelRepair(Ability, ABC):
    """A backdoored network -> a better one. Authors write `mend`; `Info.needs` are words of `RepairCase.has`."""

    shelf = "repairs"

    @abstractmethod
    def mend(self, case: RepairCase, rng: np.random.Generator) -> Any:
        """The better module; `case.module` may be changed in place and given back."""

    @final
    def __call__(self, case: RepairCase, rng: np.random.Generator) -> Any:
        """The checked call, on a copy: the module of `case` stays as it was. The answer is in evaluation mode.

        Raises Unavailable where something it needs is not there, AbilityFailed on anything foreign or weights that are not finite.
        """
        for need in self.info.needs:
            if need not in case.has:
                raise Unavailable(need, advice=NEEDS.get(need, ""))
        own = copy.deepcopy(case.module)
        for p in own.parameters():
            p.requires_grad_(p.is_floating_point())
        try:
            done = self.mend(replace(case, module=own), rng)
        except BezoarError:
            raise
        except Exception as error:
            raise AbilityFailed(f"{self.info.name} failed: {type(error).__name__}: {error}") from error
        if not all(bool(p.isfinite().all()) for p in done.parameters()):
            raise AbilityFailed(f"{self.info.name} left weights that are not finite", advice="try a lower rate")
        done.zero_grad(set_to_none=True)
        return done.eval()


NEEDS = {"clean": "give trusted samples with --data", "training": "give the data that it was trained on with --training",
         "flagged": "give the training data with --training and the report of their scan with --report",
         "trigger": "give the report of an audit with --report, or a trigger with --trigger"}
"""What to do where a need is not met."""
