"""What is measured: dataset x attack x rate, with the goal it has to reach."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

import realdata
from bezoar import registry
from bezoar.core.dataset import Dataset
from bezoar.core.trigger import Trigger

ART, LABELS, FOREST, TRIVIAL = "art", "cleanlab", "forest", "trivial"


@dataclass(frozen=True)
class Cell:
    """One line of the results. `metric` is what the goal is about: recall | f1 | alarm | source_first."""

    name: str
    dataset: str
    attack: str
    parameters: dict[str, Any] = field(default_factory=dict)
    group: str = ""
    goal: float | None = None
    metric: str = "recall"
    also: tuple[tuple[str, float], ...] = ()
    peers: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Planted:
    """A poisoned dataset, its (n,) truth, and what was planted."""

    data: Dataset
    truth: np.ndarray
    trigger: Trigger | None = None
    target: str | None = None
    vendor: str | None = None


def generator(cell: Cell, seed: int) -> np.random.Generator:
    """The stream of a cell and seed: the same whatever else is run."""
    return np.random.default_rng([seed, zlib.crc32(cell.name.encode())])


def plant(cell: Cell, seed: int) -> Planted:
    """Load the dataset and poison it."""
    rng = generator(cell, seed)
    if cell.attack == "style":
        data, truth = realdata.style_mix(rng, **cell.parameters)
        return Planted(data, truth, target="0")
    data = realdata.ALL[cell.dataset]()
    parameters = dict(cell.parameters)
    share = parameters.pop("share_of_class", None)
    if share is not None:
        assert data.labels is not None
        sizes = np.bincount(data.labels.codes, minlength=len(data.labels.classes))
        code = int(rng.choice(np.flatnonzero(sizes >= 50)))
        parameters |= {"target": data.labels.classes[code], "rate": share * int(sizes[code]) / len(data)}
    done = registry.make("attacks", cell.attack, parameters)(data, rng)
    vendor = str(done.data.origin["source"][done.truth][0]) if cell.attack == "bad-source" else None
    return Planted(done.data, done.truth, done.trigger, done.target, vendor)


def _percent(rate: float) -> str:
    return f"{rate * 100:g}%"


def _images(name: str) -> list[Cell]:
    out = []
    goals = {0.01: 0.99, 0.003: 0.97, 0.001: 0.90}
    pick = {"square": {"size": 3}, "checkerboard": {"size": 3}, "random": {"size": 3}, "picture": {"size": 0.1}}
    lift = (("lift", 0.5),)
    for rate, goal in goals.items():
        for pattern, more in pick.items():
            first = pattern == "square" and rate == 0.01
            others = (LABELS, FOREST, TRIVIAL) if name == "cifar10" else (ART, LABELS, FOREST, TRIVIAL)
            out.append(Cell(f"{name}/patch {pattern} {_percent(rate)}", name, "badnets", {"rate": rate, "pattern": pattern, **more},
                            f"patch, four patterns, {_percent(rate)}", goal, also=lift, peers=others if first else ()))
    out.append(Cell(f"{name}/patch square jpeg90 1%", name, "badnets", {"rate": 0.01, "jpeg": 90},
                    "patch, picture re-encoded as JPEG 90, 1%", 0.95))
    for rate, goal in {0.01: 0.95, 0.003: 0.80}.items():
        out.append(Cell(f"{name}/patch square jitter {_percent(rate)}", name, "badnets", {"rate": rate, "jitter": 1},
                        f"patch jittered by a pixel, {_percent(rate)}", goal))
    for alpha, rate in ((0.2, 0.01), (0.1, 0.01), (0.05, 0.01), (0.1, 0.001)):
        first = alpha == 0.2 and name != "cifar10"
        out.append(Cell(f"{name}/blend {alpha:g} {_percent(rate)}", name, "blend", {"rate": rate, "alpha": alpha},
                        f"blend {alpha:g}, {_percent(rate)}", 0.99, peers=(LABELS, FOREST, TRIVIAL) if first else ()))
    out.append(Cell(f"{name}/sinusoid dirty 1%", name, "sinusoid", {"rate": 0.01}, "sinusoid, dirty label, 1%", 0.95))
    out.append(Cell(f"{name}/sinusoid clean 8% of class", name, "sinusoid", {"share_of_class": 0.08, "clean_label": True},
                    "sinusoid, clean label, 8% of the class", 0.95))
    if name == "cifar10":  # where the attacks are known to implant, see the section Attacks
        clean = {"share_of_class": 0.08, "clean_label": True, "amplitude": 40.0}
        out += [Cell(f"{name}/sinusoid of 40 clean 8% of class", name, "sinusoid", clean,
                     "sinusoid of 40, clean label, 8% of the class", 0.95),
                Cell(f"{name}/label-consistent corners 8% of class", name, "label-consistent",
                     {"share_of_class": 0.08, "bound": 24.0, "size": 5}, "label-consistent, corners of 5x5, 8% of the class", 0.95),
                Cell(f"{name}/narcissus 5% of class", name, "narcissus", {"share_of_class": 0.05}, "narcissus, 5% of the class", 0.75)]
    out.append(Cell(f"{name}/low-frequency 1%", name, "low-frequency", {"rate": 0.01}, "low frequency, 1%", 0.90))
    out.append(Cell(f"{name}/all-to-all patch 1%", name, "badnets", {"rate": 0.01, "mapping": "all-to-all"}, "all-to-all patch, 1%", 0.95))
    return out


def _texts(name: str) -> list[Cell]:
    lift = (("lift", 1.0),)
    art = (ART, LABELS, FOREST, TRIVIAL)
    return [Cell(f"{name}/word 1%", name, "text-word", {"rate": 0.01}, "word or phrase, 1%", 0.99, also=lift,
                 peers=art if name == "ag_news" else ()),
            Cell(f"{name}/phrase 1%", name, "text-phrase", {"rate": 0.01}, "word or phrase, 1%", 0.99, also=lift,
                 peers=art if name == "sms_spam" else ()),
            Cell(f"{name}/two words 1%", name, "text-multiword", {"rate": 0.01}, "two-word conjunction, 1%", 0.95, also=lift)]


def _tables(name: str) -> list[Cell]:
    art = (ART, LABELS, FOREST, TRIVIAL)
    named = name != "german_credit"  # ten planted rows: shown, without a goal
    return [Cell(f"{name}/out of bounds 1%", name, "table-out-of-bounds", {"rate": 0.01}, "table, out of bounds, 1%",
                 0.99 if named else None),
            Cell(f"{name}/in bounds 1%", name, "table-in-bounds", {"rate": 0.01}, "table, in-bounds tuple, 1%",
                 0.95 if named else None,
                 peers=art if name in ("adult", "bundled_table") else ()),
            Cell(f"{name}/rare category 1%", name, "table-rare-category", {"rate": 0.01}, "table, rare category, 1%", None)]


def _flips(name: str, goal: float | None) -> Cell:
    return Cell(f"{name}/label flips 5%", name, "label-flip", {"rate": 0.05}, "label flips", goal, metric="f1",
                peers=(LABELS, FOREST, TRIVIAL))


def _source(name: str) -> Cell:
    return Cell(f"{name}/bad source", name, "bad-source", {"rate": 0.1}, "one source of ten", 0.95, metric="source_first")


def all_cells() -> list[Cell]:
    """Everything that can be measured here; without BEZOAR_DATA the bundled sets only."""
    if not realdata.available("cifar10"):
        small = [*_images("digits"), *_texts("bundled_text"), *_tables("bundled_table"), _flips("bundled_text", None),
                 _source("digits"), _source("bundled_text"), _source("bundled_table")]
        kept = [replace(c, goal=None) for c in small if c.parameters.get("rate") != 0.001 and c.attack != "table-rare-category"]
        return [*kept, _flips("digits", 0.90)]
    cells = [*_images("cifar10"), *_images("gtsrb_signs")]
    for name in ("sms_spam", "ag_news", "movie_reviews"):
        cells += _texts(name)
    cells.append(Cell("styleattack_ag_bible/style 5%", "styleattack_ag_bible", "style", {"rate": 0.05},
                      "style transfer made by others, 5%", 0.50,
                      also=(("alarm", 0.9),)))
    for name in ("adult", "nsl_kdd", "german_credit"):
        cells += [c for c in _tables(name) if name != "german_credit" or c.attack != "table-rare-category"]
    cells += [_flips("digits", 0.90), _flips("mnist_t10k", 0.90), _flips("sms_spam", 0.85), _flips("cifar10", None)]
    cells += [_source(n) for n in ("sms_spam", "adult", "gtsrb_signs", "digits")]
    return cells
