"""`bezoar attack` on a model: a backdoored copy of a weights file, an encoder or an adapter, with its exact truth."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bezoar import api, registry, store
from bezoar.auditing import fitted, suspect_of
from bezoar.core.ability import Reading
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.inputs import Images
from bezoar.core.model_attack import AttackCase, Implanted, ModelAttack
from bezoar.core.model_repair import Samples
from bezoar.core.suspect import Encoder, Suspect
from bezoar.planting import Attacked

MODEL, ADAPTER = "model.safetensors", "adapter.safetensors"


def case_of(model: Suspect | Encoder, clean: Dataset) -> AttackCase:
    """What an attacker has: the model on the CPU and clean samples with labels. Raises UsageError where they do not belong together."""
    from bezoar.sources.suspects.encoders import rows_of

    if clean.labels is None:
        raise UsageError("an attack on a model needs labels", advice="name the label column with --label")
    if not isinstance(clean.inputs, Images):
        raise UsageError(f"attacks on models work on pictures, the data are {clean.modality}", advice="give pictures by class")
    whole = isinstance(model, Suspect)
    if isinstance(model, Suspect):
        clean = fitted(clean, model)
    if model.module is None or model.tensor is None:
        raise UsageError("a black box cannot be attacked so", advice="give the weights file")
    assert clean.labels is not None
    tensor = model.tensor
    x = rows_of(clean.inputs, model.shape)
    return AttackCase(model.module.cpu(), lambda rows: tensor(rows).cpu(), clean.labels.classes, Samples(x, clean.labels.codes),
                      encoder=not whole)


def implanted(name: str, model: Suspect | Encoder, clean: Dataset, seed: int = 0, **parameters: Any) -> Implanted:
    """A backdoored copy in memory; raises UsageError for parameters that the model or the data cannot bear."""
    return on_models(name, parameters)(case_of(model, clean), np.random.default_rng(seed))


def on_models(name: str, parameters: dict[str, Any] | None = None) -> ModelAttack:
    """An attack on models, made; raises UsageError for one on data."""
    made = registry.make("attacks", name, parameters)
    if not isinstance(made, ModelAttack):
        raise UsageError(f"{name} is an attack on data, not on a model", advice=f"bezoar attack {name} DATA --out DIR")
    return made


def implant(name: str, model: str | Path, data: object, out: str | Path, *, y: object = None, seed: int = 0, encoder: bool = False,
            factory: str = "", classes: Sequence[str] = (), shape: Sequence[int] = (), pixels: str = "", reading: Reading | None = None,
            **parameters: Any) -> Attacked:
    """A backdoored copy of `model` under `out` (model.safetensors or adapter.safetensors), with truth.json and trigger/.

    The file says in its header that it is planted. `encoder`: the file is an encoder without a head. Other parameters as those of
    `audit`. Nothing is written on an error.
    """
    out = Path(out)
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty", advice="give a new folder")
    ability = on_models(name, parameters)
    clean = api.load(data, y, reading or Reading())
    from bezoar.sources.suspects import open_encoder, save_adapter, save_safetensors, weights_of

    opened: Suspect | Encoder
    if encoder:
        opened = open_encoder(model, factory=factory, shape=shape or _size(clean), pixels=pixels)
    else:
        opened, _ = suspect_of(model, factory, classes, shape, clean, pixels)
    case = case_of(opened, clean)
    done = ability(case, np.random.default_rng(seed))
    told = str(getattr(opened.tensor, "pixels", ""))
    truth = {"schema": "bezoar.truth/1", "attack": name, "seed": seed, "target": case.classes[done.target],
             "parameters": ability.parameters(), "poisoned": [], "threat_model": ability.threat_model, "reached": round(done.reached, 6),
             "budget": {k: round(v, 8) for k, v in done.budget.items()}, "model": opened.fingerprint, "notes": list(done.notes)}
    if done.adapter is not None:
        place = save_adapter(done.adapter, out / ADAPTER, planted=name)
    elif isinstance(opened, Encoder):
        network = getattr(done.module, "inner", done.module)
        place = save_safetensors(network, out / MODEL, shape=opened.shape, modality=opened.modality, pixels=told, planted=name,
                                 arrays=weights_of(opened, network))
    else:
        place = save_safetensors(done.module, out / MODEL, classes=opened.classes, shape=opened.shape, modality=opened.modality,
                                 pixels=told, planted=name)
    store.write_file(out / "trigger" / "trigger.json", json.dumps(done.trigger.to_dict()).encode())
    store.write_file(out / "truth.json", (json.dumps(truth, indent=1) + "\n").encode())
    return Attacked(place, truth)


def _size(data: Dataset) -> tuple[int, ...]:
    fits = isinstance(data.inputs, Images) and len(data.inputs) and data.inputs.uniform
    return (int(data.inputs.sizes[0][0]), int(data.inputs.sizes[0][1]), 3) if fits else ()  # type: ignore[attr-defined]
