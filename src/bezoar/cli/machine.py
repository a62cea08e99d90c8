"""The option that says where networks run; every command that trains or asks one shares it."""

from __future__ import annotations

from typing import Annotated

import typer


def _there(device: str) -> str:
    """A card that is asked for and missing is said before anything is read."""
    from bezoar import api

    api.place_of(device, networks=False)
    return device


Device = Annotated[str, typer.Option(help="Where networks run: auto (a graphics card where there is one), cpu or cuda.", callback=_there)]
