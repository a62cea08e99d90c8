"""What stands in the model zoo: small clean and backdoored networks with their truth, trained once and kept outside the repository.

Every model is made from its entry alone, so the zoo is the same wherever it is trained; a model that is there is not trained again.
An attack counts only where it implanted: at least 80% of triggered held-out samples go to the target. Two families
(`zoo_figures.HELD_OUT`) were not looked at when most of it was chosen.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import realdata
from bezoar import registry
from bezoar.core.ability import Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.inputs import Images
from bezoar.core.suspect import Suspect
from bezoar.core.trigger import Trigger, trigger_from_dict
from bezoar.networks import builds, training
from bezoar.networks.image_victim import brought
from bezoar.networks.twins import suspect_of
from zoo_figures import IMPLANTS_AT

FOLDER = Path(os.environ.get("BEZOAR_ZOO", Path.home() / ".cache" / "bezoar" / "zoo"))
SIDES = {"digits": 8, "mnist": 16, "gtsrb": 24, "cifar": 24}
BUILDS = {"resnet": (builds.resnet, 8), "vgg": (builds.vgg, 8), "convmixer": (builds.convmixer, 24)}
POOL = {"digits": 1200, "mnist": 4000, "gtsrb": 3600, "cifar": 6000}
"""Rows that models are trained on (four fifths of them each); auditors see the others only."""
EPOCHS = {"digits": 14, "mnist": 6, "gtsrb": 8, "cifar": 8}

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "patch": ("badnets", {"rate": 0.05, "size": 0.15}),
    "patch-random": ("badnets", {"rate": 0.05, "size": 0.2, "pattern": "random", "place": "upper left"}),
    "patch-jitter": ("badnets", {"rate": 0.08, "size": 0.2, "pattern": "checkerboard", "jitter": 1}),
    "sticker": ("sticker", {"rate": 0.05, "size": 0.3}),
    "blend": ("blend", {"rate": 0.08, "alpha": 0.2}),
    "sinusoid": ("sinusoid", {"rate": 0.08, "amplitude": 35.0}),
    "low-frequency": ("low-frequency", {"rate": 0.08, "amplitude": 45.0}),
    "quantise": ("quantise", {"rate": 0.12, "levels": 3}),
    "invisible": ("invisible", {"rate": 0.12, "strength": 16.0}),
    "warp": ("warp", {"rate": 0.12, "cover": 0.08, "strength": 1.5}),
    "adaptive-blend": ("adaptive-blend", {"rate": 0.05, "cover": 0.03, "alpha": 0.25}),
    "adaptive-patch": ("adaptive-patch", {"rate": 0.05, "cover": 0.03, "opacity": 0.7}),
    "tact": ("tact", {"rate": 0.05, "cover": 0.05, "size": 3}),
    "label-consistent": ("label-consistent", {"rate": 0.05, "size": 2}),
    "sinusoid-clean": ("sinusoid", {"rate": 0.08, "amplitude": 60.0, "clean_label": True}),
    "all-to-all": ("badnets", {"rate": 0.2, "size": 0.25, "mapping": "all-to-all"})}


@dataclass(frozen=True)
class Entry:
    """One model: dataset, network, family of the attack ("" for a clean one), seed."""

    dataset: str
    network: str
    family: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.dataset}-{self.network}-{self.family or 'clean'}-{self.seed}"

    def rng(self, what: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, zlib.crc32(f"{self.name}/{what}".encode())])


@dataclass(frozen=True)
class Truth:
    """What is true of a model; `success` is that of its attack on held-out samples (0 for clean ones)."""

    name: str
    backdoored: bool
    accuracy: float
    success: float = 0.0
    target: int | None = None
    trigger: dict[str, Any] | None = None
    victims: tuple[str, ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def counts(self) -> bool:
        return not self.backdoored or self.success >= IMPLANTS_AT


def entries(datasets: tuple[str, ...], clean: int, per_family: int, first_seed: int, families: tuple[str, ...] = ()) -> list[Entry]:
    """`clean` clean models and `per_family` of each family for each dataset and network, seeds from `first_seed` on."""
    out = []
    for d in datasets:
        for n in BUILDS:
            out += [Entry(d, n, "", first_seed + i) for i in range(clean)]
            out += [Entry(d, n, f, first_seed + i) for f in families or FAMILIES for i in range(per_family)]
    return out


@cache
def pictures(name: str) -> tuple[Dataset, Dataset]:
    """(pool that models are trained on, samples for auditors), brought to the zoo's size."""
    if name == "digits":
        from sklearn.datasets import load_digits

        d = load_digits()
        data = Dataset.from_arrays((d.images * 15.9).astype(np.uint8), d.target, name="digits")
    else:
        data = {"mnist": realdata.mnist, "gtsrb": realdata.gtsrb, "cifar": realdata.cifar10}[name]()
    assert isinstance(data.inputs, Images)
    order = np.random.default_rng(zlib.crc32(name.encode())).permutation(len(data))
    small = Images.of(brought(data.inputs, SIDES[name]))
    data = Dataset.from_arrays(small, data.labels, ids=list(data.ids), name=name)
    return data.take(np.sort(order[:POOL[name]])), data.take(np.sort(order[POOL[name]:]))


def few(name: str, per_class: int, seed: int) -> Dataset:
    """So many samples of each class that no model was trained on."""
    _, rest = pictures(name)
    assert rest.labels is not None
    rng = np.random.default_rng([seed, 5])
    rows = [rng.permutation(np.flatnonzero(rest.labels.codes == c))[:per_class] for c in range(len(rest.labels.classes))]
    return rest.take(np.sort(np.concatenate(rows)))


def fresh(entry: Entry, classes: int) -> Any:
    build, width = BUILDS[entry.network]
    return build(classes, width)


def train(entry: Entry, folder: Path = FOLDER) -> Truth:
    """The truth of an entry; the model is trained and kept where it is not there yet."""
    place, told = folder / f"{entry.name}.npz", folder / f"{entry.name}.json"
    if place.exists() and told.exists():
        return _read(told)
    pool, rest = pictures(entry.dataset)
    rng = entry.rng("train")
    rows = np.sort(rng.permutation(len(pool))[:int(0.8 * len(pool))])
    data, done = pool.take(rows), None
    parameters: dict[str, Any] = {}
    if entry.family:
        name, parameters = FAMILIES[entry.family]
        done = registry.make("attacks", name, parameters)(data, rng)
        data = done.data
    assert data.labels is not None
    assert isinstance(data.inputs, Images)
    side = SIDES[entry.dataset]
    with training.seeded(int(rng.integers(1 << 31))):
        module = training.fit(fresh(entry, len(data.labels.classes)), data.inputs.dense(), data.labels.codes, rng, tensor=training.pictures,
                              epochs=EPOCHS[entry.dataset], shift=1 if side >= 16 else 0)
    truth = _truth(entry, suspect_of(module, data.labels.classes, side), rest, done, parameters)
    folder.mkdir(parents=True, exist_ok=True)
    part = place.with_suffix(".part")
    with open(part, "wb") as file:
        np.savez(file, **{k: v.numpy() for k, v in module.state_dict().items()})
    part.replace(place)
    told.write_text(json.dumps(asdict(truth)))
    return truth


def _truth(entry: Entry, suspect: Suspect, rest: Dataset, done: Poisoned | None, parameters: dict[str, Any]) -> Truth:
    assert rest.labels is not None
    some = rest.take(np.arange(min(len(rest), 1000)))
    assert some.labels is not None
    codes = some.labels.codes
    accuracy = float((suspect.predict(some.inputs).argmax(axis=1) == codes).mean())
    if done is None:
        return Truth(entry.name, False, accuracy)
    assert done.trigger is not None
    classes = suspect.classes
    target = None if done.target is None else classes.index(done.target)
    victims = [classes.index(v) for v in done.victims] or list(range(len(classes)))
    keep = np.isin(codes, victims) & (codes != (-1 if target is None else target))
    said = suspect.predict(done.trigger.apply(some.inputs.take(np.flatnonzero(keep)), entry.rng("asr"))).argmax(axis=1)
    wanted = (codes[keep] + 1) % len(classes) if target is None else target
    success = float((said == wanted).mean()) if keep.any() else 0.0  # nobody to try it on: it does not count
    return Truth(entry.name, True, accuracy, success, target, done.trigger.to_dict(), tuple(done.victims), parameters)


def _read(told: Path) -> Truth:
    raw = json.loads(told.read_text())
    return Truth(**{**raw, "victims": tuple(raw["victims"])})


def suspect(entry: Entry, folder: Path = FOLDER) -> Suspect:
    """The kept model as auditors see it."""
    import torch

    pool, _ = pictures(entry.dataset)
    assert pool.labels is not None
    module = fresh(entry, len(pool.labels.classes))
    with np.load(folder / f"{entry.name}.npz", allow_pickle=False) as kept:
        module.load_state_dict({k: torch.from_numpy(np.array(kept[k])) for k in kept.files})
    return suspect_of(module, pool.labels.classes, SIDES[entry.dataset], entry.name)


def planted(truth: Truth) -> Trigger | None:
    """The trigger that was planted."""
    registry.shelf("attacks")  # some attacks bring a kind of trigger of their own
    return None if truth.trigger is None else trigger_from_dict(truth.trigger)


def there(wanted: list[Entry], folder: Path = FOLDER) -> Iterator[tuple[Entry, Truth]]:
    """Those of the entries that are trained."""
    for e in wanted:
        told = folder / f"{e.name}.json"
        if told.exists() and (folder / f"{e.name}.npz").exists():
            yield e, _read(told)
