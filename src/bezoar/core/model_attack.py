"""A clean network -> a backdoored one: what attacks on models are given, what they leave, and the base of those on the shelf.

Arrays and callables only; torch stays inside the attacks.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, final

import numpy as np

from bezoar.core.ability import Ability
from bezoar.core.errors import AbilityFailed, BezoarError, Unavailable, UsageError
from bezoar.core.model_repair import Samples
from bezoar.core.trigger import Trigger


@dataclass(frozen=True, eq=False)
class AttackCase:
    """What an attacker has.

    module   torch module whose call gives (n, classes) logits, or (n, d) features where it is an encoder; a copy of its own for every
             attack, free to change
    tensor   rows of `Samples.x` -> an input of `module`
    classes  names, in the order of the logits; of an encoder those of the samples
    samples  clean ones, labels into `classes`
    encoder  whether the module ends in features
    """

    module: Any
    tensor: Callable[[Any], Any]
    classes: tuple[str, ...]
    samples: Samples
    modality: str = "image"
    encoder: bool = False


@dataclass(frozen=True, eq=False)
class Implanted:
    """What an attack on a model leaves.

    module   the backdoored network; of an adapter the given network with the adapter merged into it
    trigger  what sets the backdoor off, and the class code `target` it leads to
    adapter  where only an adapter is handed on: arrays by their usual names (`<layer>.lora_A.weight`), else None
    place    (d,) where in feature space triggered inputs go, for encoders, else None
    reached  share of the attacker's samples of other classes that the trigger moves, in [0, 1]; of an encoder the mean cosine to `place`
    """

    module: Any
    trigger: Trigger
    target: int
    reached: float
    adapter: Mapping[str, np.ndarray] | None = None
    place: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    budget: dict[str, float] = field(default_factory=dict)
    """What was changed, filled in by the base: "arrays" and "numbers" changed, "share" of all numbers, "norm" of the change by that of the
    weights before; of an adapter also its own "rank" and "numbers"."""


class ModelAttack(Ability, ABC):
    """A network -> one with a backdoor, whose trigger and target are known. Authors write `plant`.

    `threat_model` says in a sentence what the attacker has and can do. `heads` and `bodies`: whether it works on classifiers and on
    encoders without a head.
    """

    shelf = "attacks"
    threat_model: ClassVar[str] = ""
    heads: ClassVar[bool] = True
    bodies: ClassVar[bool] = False

    @abstractmethod
    def plant(self, case: AttackCase, rng: np.random.Generator) -> Implanted:
        """The backdoored network; `case.module` may be changed in place and given back."""

    @final
    def __call__(self, case: AttackCase, rng: np.random.Generator) -> Implanted:
        """The checked call, on a copy; the module of `case` stays as it was. The answer is in evaluation mode.

        Raises UsageError for a kind of model or of data that it does not work on, for fewer than two classes among the samples, or a
        target that is none of them; AbilityFailed on anything foreign or weights that are not finite.
        """
        if not self.supports(case.modality):
            raise UsageError(f"{self.info.name} works on {', '.join(self.info.modalities)}, not on {case.modality}",
                             advice="bezoar list --shelf attacks shows what fits")
        if not (self.bodies if case.encoder else self.heads):
            raise UsageError(f"{self.info.name} works on {'a classifier' if case.encoder else 'an encoder'}, which this is not",
                             advice="give a model file of that kind")
        if len(np.unique(case.samples.codes[case.samples.codes >= 0])) < 2:
            raise UsageError("an attack on a model needs samples of two classes or more", advice="give clean samples with labels")
        before = _arrays(case.module)
        own = copy.deepcopy(case.module)
        for p in own.parameters():
            p.requires_grad_(p.is_floating_point())
        try:
            done = self.plant(AttackCase(own, case.tensor, case.classes, case.samples, case.modality, case.encoder), rng)
        except BezoarError:
            raise
        except Exception as error:
            raise AbilityFailed(f"{self.info.name} failed: {type(error).__name__}: {error}") from error
        after = _arrays(done.module)
        if not all(np.isfinite(a).all() for a in after.values() if a.dtype.kind == "f"):
            raise AbilityFailed(f"{self.info.name} left weights that are not finite", advice="try a lower rate")
        done.module.zero_grad(set_to_none=True)
        done.module.eval()
        return Implanted(done.module, done.trigger, done.target, done.reached, done.adapter, done.place, done.notes,
                         {**_changed(before, after), **done.budget})

    def target_of(self, case: AttackCase, name: str | None, rng: np.random.Generator) -> int:
        """The class code of `name`, or one drawn from the classes of the samples. Raises UsageError for a name that does not exist."""
        if name is None:
            return int(rng.choice(np.unique(case.samples.codes[case.samples.codes >= 0])))
        if name not in case.classes:
            raise UsageError(f"the model has no class {name[:60]!r}", advice="it has: " + ", ".join(case.classes[:20]))
        code = case.classes.index(name)
        if not (case.samples.codes == code).any():
            raise Unavailable(f"clean samples of class {name[:60]!r}", advice="give some with --data")
        return code


def _arrays(module: Any) -> dict[str, np.ndarray]:
    return {k: np.array(v.detach().cpu().float().numpy()) for k, v in module.state_dict().items() if v.is_floating_point()}


def _changed(before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray]) -> dict[str, float]:
    """What differs between two sets of weights of the same names."""
    moved = [k for k in before if k in after and not np.array_equal(before[k], after[k])]
    numbers = sum(int((before[k] != after[k]).sum()) for k in moved)
    gap = sum(float(((after[k].astype(np.float64) - before[k]) ** 2).sum()) for k in moved)
    whole = sum(float((a.astype(np.float64) ** 2).sum()) for a in before.values())
    return {"arrays": float(len(moved)), "numbers": float(numbers), "share": numbers / max(1, sum(a.size for a in before.values())),
            "norm": float(np.sqrt(gap / max(whole, 1e-30)))}
