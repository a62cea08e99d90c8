"""The thing that flows: what an attack plants, a detector proposes, a confirmation transplants, a monitor sends.

One abstract type; the concrete kinds stand beside it (`image_triggers`, `text_triggers`, `table_triggers`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import fields
from typing import Any, ClassVar

import numpy as np

from bezoar.core.evidence import Evidence, pack, unpack
from bezoar.core.inputs import Inputs

_KINDS: dict[str, type[Trigger]] = {}


class Trigger(ABC):
    """A change to inputs that can be applied, shown, recognised and stored without code.

    Subclasses are frozen dataclasses whose fields are numbers, strings, booleans, tuples or arrays.
    """

    kind: ClassVar[str]
    modality: ClassVar[str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "kind" in cls.__dict__:
            _KINDS[cls.kind] = cls

    @abstractmethod
    def apply(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        """A triggered copy of `inputs`; the argument stays as it was."""

    @abstractmethod
    def match(self, inputs: Inputs) -> np.ndarray:
        """(n,) float32 in [0, 1]: how much of the trigger each input carries already."""

    @abstractmethod
    def describe(self) -> Evidence:
        """The trigger as people see it."""

    @abstractmethod
    def title(self) -> str:
        """A few plain words: "a 3x3 patch at the lower right", "the phrase 'cf wine'"."""

    def to_dict(self) -> dict[str, Any]:
        """JSON form: `kind` and the fields."""
        out: dict[str, Any] = {"kind": self.kind, "modality": self.modality}
        for f in fields(self):  # type: ignore[arg-type]
            value = getattr(self, f.name)
            out[f.name] = pack(value) if isinstance(value, np.ndarray) else value
        return out


def trigger_from_dict(data: dict[str, Any]) -> Trigger:
    """The inverse of `Trigger.to_dict`; unknown kinds and fields raise ValueError."""
    from bezoar.core import image_rewrites, image_triggers, table_triggers, text_rewrites, text_triggers  # noqa: F401 - they enter their kinds

    cls = _KINDS.get(str(data.get("kind")))
    if cls is None:
        raise ValueError(f"unknown trigger kind {data.get('kind')!r}")
    names = {f.name for f in fields(cls)}  # type: ignore[arg-type]
    extra = set(data) - names - {"kind", "modality"}
    if extra:
        raise ValueError(f"unknown fields {sorted(extra)}")
    values: dict[str, Any] = {}
    for key in names & set(data):
        value = data[key]
        if isinstance(value, dict) and "zlib" in value:
            value = unpack(value)
        elif isinstance(value, list):
            value = tuple(tuple(v) if isinstance(v, list) else v for v in value)
        values[key] = value
    return cls(**values)
