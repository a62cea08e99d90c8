"""`bezoar attack` as a function: a poisoned copy of a dataset on disk or in memory, with its exact truth."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bezoar import api, registry, store
from bezoar.core.ability import Attack, Poisoned, Reading
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.trigger import Trigger


@dataclass(frozen=True)
class Attacked:
    """Where a poisoned copy stands and what is true of it."""

    out: Path
    truth: dict[str, Any]


def poison(dataset: Dataset, name: str, seed: int = 0, **parameters: Any) -> Poisoned:
    """A poisoned copy in memory; raises UsageError for parameters the data cannot bear."""
    return on_data(name, parameters)(dataset, np.random.default_rng(seed))


def on_data(name: str, parameters: dict[str, Any] | None = None) -> Attack:
    """An attack on data, made; raises UsageError for one on models."""
    made = registry.make("attacks", name, parameters)
    if not isinstance(made, Attack):
        raise UsageError(f"{name} is an attack on a model, not on data", advice=f"bezoar attack {name} MODEL --data CLEAN --out DIR")
    return made


def attack(name: str, data: str | Path, out: str | Path, *, seed: int = 0, reading: Reading | None = None,
           **parameters: Any) -> Attacked:
    """A poisoned copy of `data` in the same format under `out`, with truth.json and trigger/. Nothing is written on an error."""
    out = Path(out)
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty", advice="give a new folder")
    path, reading = Path(data), reading or Reading()
    source = api.source_of(path)
    dataset = source.open(path, reading)
    ability = on_data(name, parameters)
    done = ability(dataset, np.random.default_rng(seed))
    held, rows, changed = done.data, np.arange(len(done.data)), done.truth
    if done.removed is not None:
        held, rows, changed = dataset, np.setdiff1d(np.arange(len(dataset)), done.removed), np.zeros(len(dataset), bool)
    ids = source.written_ids(path, held, rows, reading, changed=changed)
    truth = {"schema": "bezoar.truth/1", "attack": name, "seed": seed, "target": done.target,
             "parameters": {k: v.to_dict() if isinstance(v, Trigger) else v for k, v in ability.parameters().items()},
             "poisoned": [str(i) for i in ids[changed[rows]]],
             **({} if done.removed is None else {"removed": [str(i) for i in dataset.ids[done.removed]]})}
    source.write(path, held, rows, out / path.name, reading, changed=changed)
    if done.trigger is not None:
        store.write_file(out / "trigger" / "trigger.json", json.dumps(done.trigger.to_dict()).encode())
    store.write_file(out / "truth.json", (json.dumps(truth, indent=1) + "\n").encode())
    return Attacked(out / path.name, truth)
