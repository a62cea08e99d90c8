"""A model that the user gives for the activations: a file, a torch module or a `Suspect`, matched with the data before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.inputs import Images
from bezoar.core.learned import Taught
from bezoar.core.limits import Limits
from bezoar.core.suspect import Suspect

if TYPE_CHECKING:
    from bezoar.core.view import View

LOOKED = 8
"""Samples that the model is asked about before the run."""


def own_model(model: object, dataset: Dataset, factory: str = "", limits: Limits | None = None) -> Suspect:
    """`model` as a Suspect that fits the data.

    model    a path (safetensors, torch state dict, npz; read as data), an `nn.Module` whose call gives (n, K) logits, or a Suspect
    factory  "package.module:function" that builds the network of a weights file; code of the user's own
    Raises UsageError where torch is missing, where the data have no labels, or where classes or kind differ; Refused for a file that
    would run code; AbilityFailed where the model does not answer these samples with finite numbers.
    """
    if dataset.labels is None:
        raise UsageError("a model is compared with labels, and these data have none", advice="name the label column with --label")
    try:
        import torch
    except ImportError:
        raise UsageError("a model needs torch", advice="pip install 'bezoar[torch]'") from None
    from bezoar.networks.own import columns
    from bezoar.sources import suspects

    shape = (*(int(s) for s in dataset.inputs.sizes[0]), 3) if isinstance(dataset.inputs, Images) and dataset.inputs.uniform else ()
    if isinstance(model, Suspect):
        found = model
    elif isinstance(model, torch.nn.Module):
        if factory:
            raise UsageError("a factory builds the network of a file; this model is a module already", advice="leave the factory out")
        found = suspects.suspect_from(model, shape=shape, modality=dataset.modality)
    elif isinstance(model, (str, Path)):
        found = suspects.open_suspect(model, factory=factory, modality=dataset.modality, limits=limits)
    else:
        raise UsageError(f"a model is a path, a torch module or a Suspect, not {type(model).__name__}", advice="give one of these")
    if found.modality != dataset.modality:
        raise UsageError(f"the model reads {found.modality} data, the data are {dataset.modality}",
                         advice="give the model that goes with these data")
    order = columns(found, dataset.labels.classes)
    found.predict(dataset.inputs.take(np.arange(min(LOOKED, len(dataset)))))
    if len(order) and tuple(np.array(found.classes)[order]) != dataset.labels.classes:
        found = replace(found, notes=(*found.notes, "the model names no classes: they were taken in the order of the data's"))
    return found


def reader(suspect: Suspect | None) -> Callable[[View], Taught] | None:
    """What a View reads in the place of a network trained on the data."""
    if suspect is None:
        return None

    def read(view: View) -> Taught:
        from bezoar.networks.own import taught

        return taught(suspect, view.dataset.inputs, view.labels, view.classes)

    return read


def told(suspect: Suspect | None) -> dict[str, Any] | None:
    """What the plan of a report says of the model."""
    return None if suspect is None else {"name": suspect.name, "fingerprint": suspect.fingerprint, "notes": _strings(suspect.notes)}


def _strings(notes: Sequence[str]) -> list[str]:
    return [str(n) for n in notes]
