"""Targeted clean-label poison at `--effort standard`: what is listed, and whether the attack is gone without it.

    python benchmarks/targeted.py                           all cells, seeds 0-4
    python benchmarks/targeted.py --cells 'gtsrb_signs/*' --seeds 100
    python benchmarks/targeted.py --list

Transfer (feature collision, bullseye polytope): a linear head is trained on an encoder that the attacker knows, from 50 samples per
class that nobody else has seen; see transfer.py. The defender has those samples, and the encoder: he scans once plainly and once with it
as `model`. Gradient matching: a network is trained from scratch; the attacker takes a picture that his own clean network knows, but not by
much, and wants its runner-up. Each seed tries some pictures until one attack implants (the picture gets the wanted class, which a
clean twin does not give it) and scans that one, or the last where none does. Nothing is told to the scan.
"""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import asking
import measure
import realdata
import transfer
from attacks import CACHE, LONGER, split
from bezoar import api, registry
from bezoar.core.ability import Attack, Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.suspect import Suspect
from bezoar.core.victim import Called, Model
from bezoar.networks import training
from bezoar.validity import judged, trained
from ledger import RESULTS, Ledger, version_of_scan

KEYS = ("cell", "method", "seed")
METHODS = ("plain", "own model")
MOST = 2500
"""Samples of a set for gradient matching: training and held-out part together."""
RANKING = "grain"
"""The ranking whose top is taken away, chosen on development seeds."""
TOP = 0.05
TRIES = {"transfer": 6, "scratch": 2}
"""Pictures that are aimed at, one after the other, until one attack implants."""
UNSURE = (0.05, 0.4)
"""The clean network gives the runner-up class such a probability where gradient matching aims."""


@dataclass(frozen=True)
class Cell:
    """One line; no attack: a clean set, where only false alarms count. `mode` is that of the feature collision."""

    name: str
    dataset: str
    setting: str
    attack: str = ""
    mode: str = ""


def all_cells() -> list[Cell]:
    """Everything that can be measured here; without BEZOAR_DATA the bundled digits only."""
    out = []
    for s in [s for s in ("gtsrb_signs", "cifar10", "mnist_t10k") if realdata.available(s)] or ["digits"]:
        out += [Cell(f"{s}/clean, transfer", s, "transfer"),
                *(Cell(f"{s}/{mode}, transfer", s, "transfer", "feature-collision", mode) for mode in ("collision", "bullseye")),
                Cell(f"{s}/clean, from scratch", s, "scratch"),
                Cell(f"{s}/gradient matching 1%", s, "scratch", "gradient-matching")]
    return out


def parts(cell: Cell, seed: int) -> tuple[Dataset, Dataset]:
    """Training and held-out part; frames of one track stay together."""
    data = realdata.ALL[cell.dataset]()
    if cell.setting == "scratch" and len(data) > MOST:
        data = data.take(np.sort(np.random.default_rng([seed, 7]).choice(len(data), MOST, replace=False)))
    return split(data, np.random.default_rng([seed, zlib.crc32(cell.dataset.encode())]))


class Transfer:
    """An encoder, the samples a head is trained on, and heads."""

    def __init__(self, cell: Cell, seed: int) -> None:
        train, self.held = parts(cell, seed)
        rest, self.data = transfer.divided(train, seed)
        self.encoder: Any = trained(registry.make("victims", "image-vgg"), rest, seed, CACHE)
        for p in self.encoder.module.parameters():
            p.requires_grad_(False)
        self.heads = transfer.Heads(self.encoder, self.data, self.held)
        self.title, self._twin = "head on image-vgg", self.heads.train(self.data)

    def twin(self) -> Model:
        return self._twin

    def aims(self, cell: Cell, rng: np.random.Generator) -> list[dict[str, Any]]:
        return [{**more, "mode": cell.mode, "rate": 0.02, "encoder": self.heads.encode}
                for more in transfer._aimed(cell.attack, self.held, TRIES["transfer"], rng)]

    def after(self, data: Dataset, keep: np.ndarray) -> Model:
        """A head on what is kept."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        assert data.labels is not None
        kept = data.take(np.flatnonzero(keep))
        assert kept.labels is not None
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(self.encoder.embed(kept.inputs), kept.labels.codes)
        answers = np.zeros((1, len(data.labels.classes)))

        def answer(inputs: Any) -> np.ndarray:
            out = np.repeat(answers, len(inputs), axis=0)  # a class that is gone is never the answer
            out[:, model[-1].classes_] = model.predict_proba(self.encoder.embed(inputs))
            return out

        return Called(answer)

    def given(self, done: Poisoned) -> Suspect:
        """The encoder as the defender has it, with the head it came with."""
        return _suspect(self.encoder, done.data)


class Scratch:
    """A network that is trained on the samples themselves."""

    def __init__(self, cell: Cell, seed: int) -> None:
        self.data, self.held = parts(cell, seed)
        self.seed, self.title = seed, "image-vgg"
        self.victim = registry.make("victims", "image-vgg", LONGER[cell.dataset] if cell.dataset == "digits" else {})

    def twin(self) -> Model:
        return trained(self.victim, self.data, self.seed, CACHE)

    def aims(self, cell: Cell, rng: np.random.Generator) -> list[dict[str, Any]]:
        assert self.held.labels is not None
        p, codes = np.array(self.twin().predict(self.held.inputs)), self.held.labels.codes
        right = p.argmax(axis=1) == codes
        p[np.arange(len(p)), codes] = 0
        unsure = np.flatnonzero(right & (p.max(axis=1) > UNSURE[0]) & (p.max(axis=1) < UNSURE[1]))
        return [{"rate": 0.01, "aim": self.held.inputs.take(np.array([row])), "target": self.held.labels.classes[int(p[row].argmax())]}
                for row in rng.permutation(unsure)[:TRIES["scratch"]]]

    def after(self, data: Dataset, keep: np.ndarray) -> Model:
        return trained(self.victim, data.take(np.flatnonzero(keep)), self.seed, CACHE)

    def given(self, done: Poisoned) -> Suspect:
        """The network that was trained on the poisoned data."""
        return _suspect(self.after(done.data, np.ones(len(done.data), bool)), done.data)


def _suspect(model: Any, data: Dataset) -> Suspect:
    from bezoar.sources.suspects import suspect_from

    assert data.labels is not None
    return suspect_from(model.module, data.labels.classes, (model.side, model.side, 3), tensor=training.pictures_fast, modality="image")


Setting = Transfer | Scratch


def planted(cell: Cell, place: Setting, seed: int) -> tuple[Poisoned, dict[str, Any]]:
    """The first attack that implants, else the last that was tried, and how many pictures were."""
    done, told = Poisoned(place.data, np.zeros(len(place.data), bool)), {"tried": 0, "implanted": False}
    if not cell.attack:
        return done, told
    rng = np.random.default_rng([seed, zlib.crc32(cell.name.encode())])
    for tried, more in enumerate(place.aims(cell, rng), start=1):
        attack = registry.make("attacks", cell.attack, more)
        assert isinstance(attack, Attack)
        done = attack(place.data, rng)
        found = judged(attack, done, place.held, place.after(done.data, np.ones(len(done.data), bool)), place.twin(), rng, place.title)
        told = {"tried": tried, "before": found.success, "twin": found.twin, "accuracy": found.accuracy, "implanted": found.implanted}
        if found.implanted:
            break
    return done, told


def scanned(done: Poisoned, model: Suspect | None, seed: int) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """A scan at standard effort against the truth, (n,) the rows on its list, and (n,) the ranking that is used."""
    start = time.perf_counter()
    report = api.scan(done.data, effort="standard", seed=seed, workers=1, model=model)
    assert report.scores is not None
    flagged, truth = np.asarray(report.scores.flagged, bool), done.truth
    best = {k: measure.tpr_at(np.asarray(v), truth) for k, v in report.scores.channels.items()} if truth.any() else {}
    top = max(best, key=lambda k: best[k]) if best else ""
    by = {f.ability for f in report.findings if not f.advisory and np.isin(f.members, done.data.ids[truth].astype(str)).mean() > 0.5}
    row = {**measure.listed(flagged, truth), "verdict": report.verdict, "alarm": report.verdict in ("suspicious", "poisoned"),
           "by": ", ".join(sorted(by)), "ranked": best.get(RANKING, math.nan), "best": top, "best_tpr": best.get(top, math.nan),
           "others": max((v for k, v in best.items() if k != RANKING), default=math.nan),
           "why": "; ".join(f"{f.ability}: {f.title}" for f in report.counted)[:300],
           "failed": "; ".join(o.ability for o in report.outcomes if o.status == "failed"), "seconds": time.perf_counter() - start}
    return row, flagged, np.asarray(report.scores.channels.get(RANKING, report.scores.suspicion))


def removed(cell: Cell, place: Setting, done: Poisoned, gone: np.ndarray, seed: int) -> dict[str, Any]:
    """Success and accuracy without the rows `gone` (n,) bool."""
    attack, rng = registry.make("attacks", cell.attack, {"rate": 0.01}), np.random.default_rng(seed)
    assert isinstance(attack, Attack)
    found = judged(attack, done, place.held, place.after(done.data, ~gone), place.twin(), rng, place.title)
    return {"success": found.success, "accuracy": found.accuracy, "removed": float(gone.mean())}


def top_of(ranking: np.ndarray, share: float = TOP) -> np.ndarray:
    """(n,) bool: the highest `share` of a ranking (n,), NaN last.

    >>> top_of(np.array([0.1, np.nan, 0.9, 0.5]), 0.25).tolist()
    [False, False, True, False]
    """
    out = np.zeros(len(ranking), bool)
    out[np.argsort(-np.nan_to_num(ranking, nan=-1.0), kind="stable")[:math.floor(share * len(ranking))]] = True
    return out


def one(cell: Cell, seed: int, methods: Sequence[str] = METHODS) -> list[dict[str, Any]]:
    """The rows of one cell and seed."""
    place: Setting = Transfer(cell, seed) if cell.setting == "transfer" else Scratch(cell, seed)
    done, found = planted(cell, place, seed)
    common: dict[str, Any] = {"cell": cell.name, "seed": seed, "rows": len(place.data), "poisoned": int(done.truth.sum()), **found}
    out = []
    for method in methods:
        row, flagged, ranking = scanned(done, place.given(done) if method == "own model" else None, seed)
        if found["implanted"]:
            after = removed(cell, place, done, flagged, seed)
            top = removed(cell, place, done, top_of(ranking), seed)
            row |= {"after": after["success"], "after_accuracy": after["accuracy"], "gone": after["removed"],
                    "after_top": top["success"], "top_accuracy": top["accuracy"]}
        out.append({**common, "method": method, **row})
    return out


def main() -> None:
    parser = asking.parser(__doc__, RESULTS / "targeted.json", "semicolons")
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    given, chosen = asking.asked(parser, all_cells(), ";")
    ledger, began, now = Ledger(given.out, KEYS), time.perf_counter(), version_of_scan()
    for seed in given.seeds:
        for cell in chosen:
            missing = [m for m in given.methods if not ledger.has(now, cell=cell.name, method=m, seed=seed)]
            if not missing or time.perf_counter() - began > 60 * given.minutes:
                continue
            for row in one(cell, seed, missing):
                ledger.add({**row, "version": now})
                shown = " ".join(f"{k} {row[k]:.3f}" for k in ("before", "recall", "fpr", "ranked", "others", "after", "after_top")
                                 if isinstance(row.get(k), float))
                print(f"{cell.name} seed {seed} {row['method']}: {shown} {row['verdict']} {row['seconds']:.0f} s", flush=True)


if __name__ == "__main__":
    main()
