"""Where networks run: one switch for everything that trains or asks one, and what a graphics card needs otherwise.

On a card: 16-bit sums where they are safe (bfloat16), pictures kept on the card, the channels-last layout as on a processor, and a larger
network at deep effort. Results differ in the last digits from those of a processor, so the report says where networks ran.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np

from bezoar.core.errors import LimitExceeded, UsageError

DEVICES = ("auto", "cpu", "cuda")
LARGE = 20_000
"""At deep effort a card gets a ResNet-18 for so many pictures or more."""

_now: list[tuple[str, bool]] = [("cpu", False)]
P = ParamSpec("P")
R = TypeVar("R")


@contextmanager
def using(name: str = "auto", deep: bool = False) -> Iterator[str]:
    """Networks made inside run on 'cpu' or 'cuda'; 'auto' takes a card where there is one. Gives the name that was chosen.

    The switch is one for the whole process. Raises UsageError for another name, and for 'cuda' where there is no card.

    >>> with using("cpu") as chosen:
    ...     chosen, current()
    ('cpu', 'cpu')
    """
    chosen = resolved(name)
    _now.append((chosen, deep))
    try:
        yield chosen
    finally:
        _now.pop()


def switched(verb: Callable[P, R]) -> Callable[P, R]:
    """The verb runs inside `using` what it is given as its keyword `device`, 'auto' where it is not; raises UsageError as `using` does.

    >>> @switched
    ... def where(*, device: str = "auto") -> str:
    ...     return current()
    >>> where(device="cpu")
    'cpu'
    """
    @wraps(verb)
    def run(*given: P.args, **named: P.kwargs) -> R:
        with using(str(named.get("device", "auto"))):
            return verb(*given, **named)

    return run


def resolved(name: str) -> str:
    """'cpu' or 'cuda'. Raises UsageError."""
    if name not in DEVICES:
        raise UsageError(f"no device {name!r}", advice="devices are: " + ", ".join(DEVICES))
    there = name != "cpu" and _card()
    if name == "cuda" and not there:
        raise UsageError("there is no graphics card that torch can use here", advice="--device cpu, or a build of torch with CUDA")
    return "cuda" if there else "cpu"


def _card() -> bool:
    try:
        import torch
    except ImportError:
        return False
    return bool(torch.cuda.is_available())


def current() -> str:
    """'cpu' or 'cuda', as the innermost `using` says; 'cpu' outside."""
    return _now[-1][0]


def wanted() -> str:
    """As `current`; outside of any `using` a card where there is one."""
    return _now[-1][0] if len(_now) > 1 else resolved("auto")


def of(module: Any) -> str:
    """'cpu' or 'cuda': where the parameters of a network stand; 'cpu' for None, a black box."""
    first = None if module is None else next(iter(module.parameters()), None)
    return "cpu" if first is None else str(first.device.type)


def large(rows: int) -> bool:
    """Whether so many pictures get the larger network."""
    name, deep = _now[-1]
    return name == "cuda" and deep and rows >= LARGE


def beside(module: Any, inputs: Any) -> Any:
    """A tensor, brought to where the parameters of `module` are; anything else as it is."""
    first = next(iter(module.parameters()), None)
    if first is None or getattr(inputs, "device", first.device) == first.device:
        return inputs
    return inputs.to(first.device, non_blocking=True)


def kept(x: Any, place: str) -> Any:
    """Pictures (n, h, w, 3) as one uint8 tensor on the card; anything else, and everything on a processor, as it is."""
    import torch

    if place == "cpu" or not isinstance(x, np.ndarray) or x.dtype != np.uint8 or x.ndim != 4:
        return x
    return torch.from_numpy(np.ascontiguousarray(x)).to(place)


def precision(place: str) -> Any:
    """The context in which a pass forward runs."""
    import torch

    return nullcontext() if place == "cpu" else torch.autocast(place, dtype=torch.bfloat16)


class Memory:
    """A batch is taken in one piece until memory runs out once, then in two.

    >>> memory = Memory()
    >>> memory.within(lambda pieces: pieces)
    1
    """

    def __init__(self) -> None:
        self.pieces = 1

    def within(self, work: Callable[[int], Any]) -> Any:
        """`work(pieces)`; raises LimitExceeded where half a batch is too much as well."""
        import torch

        try:
            return work(self.pieces)
        except torch.OutOfMemoryError:
            if self.pieces > 1:
                raise _full() from None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self.pieces = 2
        try:
            return work(2)
        except torch.OutOfMemoryError:
            raise _full() from None


def _full() -> LimitExceeded:
    return LimitExceeded("the memory of the graphics card is full, with half a batch too", advice="--device cpu, or free the card")
