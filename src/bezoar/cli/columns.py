"""The options that say how to read data; every command that reads shares them."""

from __future__ import annotations

from typing import Annotated

import typer

from bezoar.core.ability import Reading

Modality = Annotated[str, typer.Option(help="image, text or tabular; inferred when left out.")]
Label = Annotated[str, typer.Option(help="Name of the label column.")]
Text = Annotated[str, typer.Option(help="Name of the text column.")]
Id = Annotated[str, typer.Option("--id", help="Name of the id column.")]
SourceColumn = Annotated[str, typer.Option("--source", help="Column that names where a sample came from.")]
Contributor = Annotated[str, typer.Option(help="Column that names who made or labelled a sample.")]
Time = Annotated[str, typer.Option(help="Column with the time of a sample.")]


def reading(modality: str, label: str, text: str, id_column: str, source: str, contributor: str, time: str) -> Reading:
    """The options as one value."""
    return Reading(modality=modality, label=label, text=text, id=id_column, source=source, contributor=contributor, time=time)
