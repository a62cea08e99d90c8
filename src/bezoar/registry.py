"""Finds and makes what stands on the shelves: our files in sorted order, then the entry points of group ``bezoar``.

The only place that loads shelves by name; nothing else imports them.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from bezoar.core.ability import Ability
from bezoar.core.errors import UsageError

SHELVES = ("modalities", "sources", "detectors", "attacks", "victims", "auditors", "repairs", "reports")


def _own(module: Any) -> list[type[Ability]]:
    return [c for _, c in sorted(vars(module).items())
            if inspect.isclass(c) and issubclass(c, Ability) and c.__module__ == module.__name__
            and not inspect.isabstract(c) and "info" in vars(c)]


@cache
def shelf(name: str) -> dict[str, type[Ability]]:
    """Ability classes of one shelf by their names, sorted. Raises UsageError on two of one name."""
    if name not in SHELVES:
        raise UsageError(f"no shelf {name!r}", advice="shelves are: " + ", ".join(SHELVES))
    package = importlib.import_module(f"bezoar.{name}")
    found: list[type[Ability]] = []
    for entry in sorted(pkgutil.iter_modules(package.__path__), key=lambda m: m.name):
        found += _own(importlib.import_module(f"bezoar.{name}.{entry.name}"))
    for point in sorted(entry_points(group="bezoar"), key=lambda p: p.name):
        loaded = point.load()
        if inspect.isclass(loaded) and issubclass(loaded, Ability) and loaded.shelf == name:
            found.append(loaded)
    out: dict[str, type[Ability]] = {}
    for cls in found:
        if cls.info.name in out:
            raise UsageError(f"two abilities are called {cls.info.name!r}: {out[cls.info.name].__module__} and {cls.__module__}",
                             advice="rename or uninstall one")
        out[cls.info.name] = cls
    return dict(sorted(out.items()))


def abilities() -> list[type[Ability]]:
    """Everything on every shelf, shelf by shelf."""
    return [cls for name in SHELVES for cls in shelf(name).values()]


def get(shelf_name: str, name: str) -> type[Ability]:
    """The class called `name`; raises UsageError that says what there is."""
    there = shelf(shelf_name)
    if name not in there:
        raise UsageError(f"no {shelf_name} ability called {name!r}", advice="there are: " + ", ".join(there))
    return there[name]


def make(shelf_name: str, name: str, parameters: dict[str, Any] | None = None) -> Any:
    """An ability with parameters; unknown ones raise UsageError that lists the known ones."""
    cls = get(shelf_name, name)
    given = parameters or {}
    known = cls.signature()
    for key in given:
        if key not in known:
            raise UsageError(f"{name} has no parameter {key!r}",
                             advice="it has: " + (", ".join(known) or "none"))
    return cls(**given)


def find(name: str) -> list[type[Ability]]:
    """All abilities of that name, on whatever shelf."""
    return [cls for cls in abilities() if cls.info.name == name]
