"""`bezoar redteam` as a function: makes the plan from names, runs it with bezoar's own filter beside the user's, writes the scoreboard."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bezoar import api, planting, registry, scoreboard, store
from bezoar.core.ability import Attack, Reading
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UnreadableInput, UsageError
from bezoar.core.events import Listener, Note, deaf
from bezoar.core.victim import Given, TrainingFunction, Victim
from bezoar.trials import BASELINES, Filter, Plan, Row
from bezoar.trials import redteam as run

DEFAULT_VICTIM = {"image": "image-linear", "text": "text-ngrams", "tabular": "table-boosting"}
DEFAULT_ATTACKS = {"image": ("badnets", "blend", "sinusoid", "label-flip"), "text": ("text-word", "text-phrase", "label-flip"),
                   "tabular": ("table-out-of-bounds", "table-in-bounds", "label-flip")}


@dataclass(frozen=True)
class OwnFilter:
    """bezoar as a defence: keep what a scan does not flag."""

    seed: int = 0
    effort: str = "quick"
    workers: int = field(default=2, repr=False)
    device: str = field(default="cpu", repr=False)

    def __call__(self, data: Dataset) -> np.ndarray:
        """(n,) bool, True = keep."""
        report = api.scan(data, effort=self.effort, seed=self.seed, workers=self.workers, device=self.device)
        assert report.scores is not None
        return np.asarray(~report.scores.flagged)


def read_plan(path: str | Path) -> dict[str, Any]:
    """A TOML plan: `rates`, `seeds`, `victim`, and [[attack]] tables of a name and its parameters. Raises UnreadableInput."""
    try:
        data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableInput(f"no plan at {path}: {type(error).__name__}", advice="give a TOML file") from None
    except tomllib.TOMLDecodeError as error:
        raise UnreadableInput(f"{path} is not TOML: {error}", advice="see docs/how-to/red-team.md") from None
    unknown = set(data) - {"rates", "seeds", "victim", "attack", "held_out"}
    if unknown:
        raise UsageError(f"{path} has unknown keys {sorted(unknown)}", advice="known: rates, seeds, victim, held_out, [[attack]]")
    for key, (fits, kind) in _PLAN.items():
        if key in data and not fits(data[key]):
            raise UsageError(f"{path}: {key!r} is not {kind}", advice="see docs/how-to/red-team.md")
    return data


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


_PLAN: dict[str, tuple[Callable[[Any], bool], str]] = {
    "rates": (lambda v: isinstance(v, list) and bool(v) and all(map(_number, v)), "a list of numbers, such as [0.01, 0.03]"),
    "seeds": (lambda v: (_count(v) and v > 0) or (isinstance(v, list) and bool(v) and all(map(_count, v))),
              "a number of seeds or a list of seeds from 0 on"),
    "victim": (lambda v: isinstance(v, str), "the name of a model"),
    "held_out": (lambda v: _number(v) and 0 < v < 1, "a share between 0 and 1"),
    "attack": (lambda v: isinstance(v, list) and all(isinstance(a, (str, dict)) for a in v), "a list of [[attack]] tables or names"),
}
"""Key of a plan to whether a value fits, and what would."""


def _attacks(wanted: Sequence[str | Mapping[str, Any] | Attack], modality: str) -> list[Attack]:
    made: list[Attack] = []
    for item in wanted:
        if isinstance(item, Attack):
            made.append(item)
        elif isinstance(item, str):
            made.append(planting.on_data(item))
        else:
            parameters = {k: v for k, v in item.items() if k != "name"}
            if "name" not in item:
                raise UsageError("an [[attack]] of the plan has no name", advice="see `bezoar list --shelf attacks`")
            made.append(planting.on_data(str(item["name"]), parameters))
    for attack in made:
        if not attack.supports(modality):
            raise UsageError(f"{attack.info.name} is for {', '.join(attack.info.modalities)}, not for {modality}",
                             advice="see `bezoar list --shelf attacks`")
    return made


def redteam(data: object, y: object = None, *, attacks: Sequence[str | Mapping[str, Any] | Attack] = (),
            rates: Sequence[float] | None = None, seeds: int | Sequence[int] | None = None, defences: Mapping[str, Filter] | None = None,
            victim: str | TrainingFunction | Victim = "", plan: str | Path | None = None, out: str | Path | None = None,
            reading: Reading | None = None, effort: str = "quick", workers: int = 1, device: str = "auto",
            listener: Listener = deaf) -> dict[str, Any]:
    """What would an attacker get away with here? Returns the scoreboard; with `out` writes scoreboard.json, .html and .md there.

    attacks   names, {"name": ..., parameters} records or made attacks; default: the common ones of the data's kind
    rates     shares of the training part, default 0.01; `seeds` a number of seeds (default 3) or the seeds
    defences  name -> function of a Dataset giving (n,) bool, True = keep; bezoar's own filter runs first, as 'bezoar'
    victim    a name of the victims shelf, or your own function (dataset, rng) -> model with predict(inputs) -> (n, K)
    plan      a TOML file with the same; arguments that are given win
    workers   processes, each on one core; above 1 your own functions must stand at the top of a module, and a script needs its
              `if __name__ == "__main__":`

    device    where networks are trained and asked: 'auto' (a graphics card where torch has one) | 'cpu' | 'cuda'; attacks that train one
              stay on the processor

    An interrupted run resumes from `out`. Raises UsageError for names that do not exist, data without labels, and an attack that these
    data cannot bear at any rate; then nothing is written.
    """
    api.check_effort(effort)
    dataset = api.load(data, y, reading)
    told = read_plan(plan) if plan is not None else {}
    chosen = list(attacks) or told.get("attack") or DEFAULT_ATTACKS[dataset.modality]
    rates = tuple(rates if rates is not None else told.get("rates", (0.01,)))
    seeds = seeds if seeds is not None else told.get("seeds", 3)
    numbers = tuple(range(seeds)) if isinstance(seeds, int) else tuple(int(s) for s in seeds)
    if workers < 1:
        raise UsageError(f"{workers} workers cannot work", advice="give 1 or more")
    for rate in rates:
        if not 0 < rate <= 1:
            raise UsageError(f"rate {rate} is not above 0 and at most 1", advice="give a share of all samples, such as 0.01")
    taken = set(defences or ()) & {"bezoar", *BASELINES}
    if taken:
        raise UsageError(f"a defence cannot be called {sorted(taken)[0]!r}", advice="that name is taken")
    target = _victim(victim or told.get("victim", "") or DEFAULT_VICTIM[dataset.modality], dataset.modality)
    place = api.place_of(device, effort != "quick" or "torch" in target.info.extras)
    todo = Plan(_attacks(chosen, dataset.modality), rates, numbers,
                {"bezoar": OwnFilter(effort=effort, workers=2 if workers == 1 else 1, device=place), **(defences or {})},
                float(told.get("held_out", 0.25)), place)
    folder = None if out is None else Path(out) / ".resume"
    listener(Note(f"a scan of these data takes about {api.plan(dataset, effort=effort)['seconds']:.0f} s on 2 cores"))
    rows = run(dataset, todo, target, listener, workers=workers, recall=_recall(folder), keep=_keep(folder))
    made = scoreboard.board(rows, {"name": dataset.name, "modality": dataset.modality, "samples": len(dataset),
                                   "classes": len(dataset.labels.classes) if dataset.labels else 0, "fingerprint": dataset.fingerprint},
                            repr(target), {"attacks": [repr(a) for a in todo.attacks], "rates": list(rates), "seeds": list(numbers),
                                           "defences": list(todo.defences), "effort": effort, "held_out": todo.held_out,
                                           "device": place})
    if out is not None:
        for name, render in (("scoreboard.json", scoreboard.to_json), ("scoreboard.html", scoreboard.to_html),
                             ("scoreboard.md", scoreboard.to_markdown)):
            store.write_file(Path(out) / name, render(made))
        _forget(folder)
    return made


def markdown(made: dict[str, Any]) -> str:
    """The scoreboard as a Markdown table."""
    return scoreboard.to_markdown(made).decode()


def _victim(wanted: str | TrainingFunction | Victim, modality: str) -> Victim:
    if isinstance(wanted, Victim):
        return wanted
    if callable(wanted):
        return Given(train=wanted)
    made = registry.make("victims", wanted)
    assert isinstance(made, Victim)
    if not made.supports(modality):
        raise UsageError(f"victim {wanted} reads {', '.join(made.info.modalities)}, not {modality}",
                         advice="see `bezoar list --shelf victims`")
    return made


def _recall(folder: Path | None) -> Callable[[str], list[dict[str, Any]] | None]:
    def recall(key: str) -> list[dict[str, Any]] | None:
        path = None if folder is None else folder / f"{key}.json"
        if path is None or not path.is_file():
            return None
        rows = store.read_json(path, "resume note")
        try:
            return [Row(**r).to_dict() for r in rows]
        except TypeError:
            return None
    return recall


def _keep(folder: Path | None) -> Callable[[str, list[dict[str, Any]]], None]:
    def keep(key: str, rows: list[dict[str, Any]]) -> None:
        if folder is not None:
            store.write_file(folder / f"{key}.json", json.dumps(rows).encode())
    return keep


def _forget(folder: Path | None) -> None:
    if folder is not None and folder.is_dir():
        for path in folder.glob("*.json"):
            path.unlink()
        if not any(folder.iterdir()):
            folder.rmdir()
