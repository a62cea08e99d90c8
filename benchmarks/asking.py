"""What every benchmark of cells and seeds can be asked on the command line, and which cells a pattern names."""

from __future__ import annotations

import argparse
import fnmatch
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol, TypeVar


class Named(Protocol):
    @property
    def name(self) -> str: ...


C = TypeVar("C", bound=Named)


def parser(doc: str | None, out: Path, between: str = "commas") -> argparse.ArgumentParser:
    """--cells, --seeds, --minutes, --out and --list; `between` says what parts several patterns of cells."""
    asked = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--cells", default="*", help=f"pattern of cell names (several with {between})")
    asked.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], help="100 and above are for development")
    asked.add_argument("--minutes", type=float, default=math.inf, help="start nothing after so many minutes")
    asked.add_argument("--out", type=Path, default=out)
    asked.add_argument("--list", action="store_true")
    return asked


def picked(cells: Iterable[C], patterns: list[str]) -> list[C]:
    """The cells whose name fits any of the patterns, in their order."""
    return [c for c in cells if any(fnmatch.fnmatch(c.name, p) for p in patterns)]


def asked(parser: argparse.ArgumentParser, cells: Iterable[C], between: str = ",") -> tuple[argparse.Namespace, list[C]]:
    """What the command line says and the cells that it names; with --list their names are printed and the program ends."""
    given = parser.parse_args()
    chosen = picked(cells, given.cells.split(between))
    if given.list:
        print("\n".join(c.name for c in chosen))
        raise SystemExit(0)
    return given, chosen
