"""The options that say how to read data; every command that reads shares them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from bezoar.core.ability import Reading
from bezoar.core.errors import UsageError


def _named(data: str) -> str:
    """An empty DATA, as from a variable that is not set, would otherwise mean the folder one stands in."""
    if not data.strip():
        raise UsageError("DATA is empty", advice="name a file or a folder; '.' is the folder you stand in")
    return data


def data(help: str) -> Any:
    """The argument DATA."""
    return typer.Argument(help=help, callback=_named)


Modality = Annotated[str, typer.Option(help="image, text or tabular; inferred when left out.")]
Label = Annotated[str, typer.Option(help="Name of the label column.")]
Text = Annotated[str, typer.Option(help="Name of the text column.")]
Id = Annotated[str, typer.Option("--id", help="Name of the id column.")]
SourceColumn = Annotated[str, typer.Option("--source", help="Column that names where a sample came from.")]
Contributor = Annotated[str, typer.Option(help="Column that names who made or labelled a sample.")]
Time = Annotated[str, typer.Option(help="Column with the time of a sample.")]


def reading(modality: str, label: str, text: str, id_column: str, source: str, contributor: str, time: str) -> Reading:
    """The options as one value. Raises UsageError for a kind of data that bezoar does not know."""
    if modality:
        from bezoar import registry

        known = registry.shelf("modalities")
        if modality not in known:
            raise UsageError(f"no modality {modality!r}", advice="modalities are: " + ", ".join(known))
    return Reading(modality=modality, label=label, text=text, id=id_column, source=source, contributor=contributor, time=time)
