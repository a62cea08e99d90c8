"""Adaptive attackers against each channel, in three tiers, on small sets. Stopped runs go on where they were.

    python benchmarks/adaptive.py                            all channels, three seeds, about 15 minutes per seed on one core
    python benchmarks/adaptive.py --channels '*texts' --seeds 100 --out /tmp/x.json
    python benchmarks/adaptive.py --table

tier 0   unaware: the usual attack of that kind, on the same data
tier 1   knows the method: the setting that follows from reading about the channel (the first in adversaries.py)
tier 2   knows thresholds and reference size: has bezoar and data of the same kind and size, tries every setting there, takes the one
         that implants and is listed least
tier 3   has a score oracle on the very data, 10,000 sample scores (each scan costs as many as there are samples) and whether a sample
         is listed: plants twice its budget with its two best settings, keeps the half with the least suspicion, and takes
         the best of all tries
The whole of bezoar has to be passed, not one channel. An attack counts only where it implants in the attacker's victim.
"""

from __future__ import annotations

import argparse
import fnmatch
import math
import time
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import cells
import detection
import realdata
from adversaries import CHANNELS, Channel, Setting
from bezoar import registry
from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.errors import BezoarError
from bezoar.core.victim import Model
from bezoar.validity import Validity, judged
from ledger import HERE, RESULTS, Ledger, _hash, version_of_scan

KEYS = ("channel", "tier", "seed")
QUERIES = 10_000
TRIES = 4


class Adaptive(Attack):
    """The name under which success is judged."""

    info = Info(name="adaptive", summary="an attacker of this benchmark")

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        raise NotImplementedError


@dataclass
class Stage:
    """Data of one side with a victim: what is poisoned, what success is judged on, the clean twin."""

    channel: Channel
    data: Dataset
    held: Dataset
    seed: int
    twin: Model | None = None
    scans: int = 0

    def victim(self) -> Any:
        return registry.make("victims", self.channel.victim, dict(self.channel.victim_settings))

    def success(self, done: Poisoned) -> Validity:
        """How well `done` implants; the twin is trained once."""
        if self.twin is None:
            self.twin = self.victim()(self.data, np.random.default_rng([self.seed, 2]))
        model = self.victim()(done.data, np.random.default_rng([self.seed, 2]))
        return judged(Adaptive(), done, self.held, model, self.twin, np.random.default_rng([self.seed, 4]), self.channel.victim)

    def scan(self, done: Poisoned, seed: int) -> tuple[dict[str, Any], np.ndarray]:
        """Figures of a scan and (n,) suspicion (NaN: none)."""
        planted = cells.Planted(done.data, done.truth, None, done.target)
        report = detection.scan_once(planted, seed, 1)
        self.scans += 1
        assert report.scores is not None
        return detection.read(report, planted, self.channel.metric), np.nan_to_num(np.asarray(report.scores.suspicion, np.float64))


@dataclass
class Try:
    """One planted attempt, as its attacker sees it."""

    setting: Setting
    done: Poisoned
    valid: Validity
    figures: dict[str, Any] = field(default_factory=dict)
    mean: float = 0.0

    @property
    def rank(self) -> tuple[float, ...]:
        """Lower is better for the attacker: implants, is listed least, raises no alarm, succeeds well, is suspected least."""
        return (not self.valid.implanted, round(self.figures.get("recall", 1.0), 2), self.figures.get("alarm", 1.0),
                -round(self.valid.success, 1), self.mean)


def stages(channel: Channel, seed: int) -> tuple[Stage, Stage]:
    """(the attacker's side, the side that is measured): other rows, other held-out samples."""
    data = realdata.ALL[channel.dataset]()
    order = np.random.default_rng([seed, zlib.crc32(channel.dataset.encode())]).permutation(len(data))
    n = channel.rows
    held = order[2 * n:2 * n + 1200]
    parts = [np.sort(order[:n]), np.sort(order[n:2 * n]), *np.array_split(held, 2)]
    own, real, held_own, held_real = (data.take(p) for p in parts)
    return Stage(channel, own, held_own, seed), Stage(channel, real, held_real, seed)


def _rng(channel: Channel, seed: int, *more: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(channel.name.encode()), *more])


def attempt(stage: Stage, setting: Setting, held: Dataset, rng: np.random.Generator, scan_seed: int) -> Try | None:
    """Plant, train, scan; None where the data cannot bear the setting."""
    try:
        done = setting.plant(stage.data, held, rng, 1.0)
        found = Try(setting, done, stage.success(done))
        found.figures, suspicion = stage.scan(done, scan_seed)
    except BezoarError:
        return None
    found.mean = float(suspicion[done.truth].mean())
    return found


def pruned(data: Dataset, done: Poisoned, suspicion: np.ndarray) -> Poisoned:
    """The half of what was planted that is least suspicious; the other rows are as they were. Payload and covers apart."""
    assert data.labels is not None
    assert done.data.labels is not None
    moved = done.data.labels.codes != data.labels.codes
    drop: list[int] = []
    for kind in (moved, ~moved):
        rows = np.flatnonzero(done.truth & kind)
        drop += rows[np.argsort(-suspicion[rows], kind="stable")[:len(rows) // 2]].tolist()
    back = np.array(sorted(drop), np.int64)
    codes, truth = done.data.labels.codes.copy(), done.truth.copy()
    codes[back] = data.labels.codes[back]
    truth[back] = False
    changed = done.data.with_changes(inputs=done.data.inputs.with_rows(back, data.inputs.take(back)), codes=codes)
    return replace(done, data=changed, truth=truth)


def with_oracle(channel: Channel, own: Stage, real: Stage, ranked: list[Try], seed: int) -> tuple[Try | None, int]:
    """Tier 3 and the number of sample scores it asked for."""
    tries: list[Try] = []
    asked, n = 0, len(real.data)
    for k in range(TRIES):
        if asked + 2 * n > QUERIES or not ranked:
            break
        setting = ranked[k % min(2, len(ranked))].setting
        try:
            first = setting.plant(real.data, own.held, _rng(channel, seed, 30, k), 2.0)
            _, suspicion = real.scan(first, seed + 1000)
            done = pruned(real.data, first, suspicion)
            judge = replace(real, held=own.held)
            found = Try(setting, done, judge.success(done))
            real.twin = judge.twin
            found.figures, suspicion = real.scan(done, seed + 1000)
        except BezoarError:
            continue
        asked += 2 * n
        found.mean = float(suspicion[done.truth].mean())
        tries.append(found)
    return min(tries, key=lambda t: t.rank, default=None), asked


def run(channel: Channel, seed: int) -> list[dict[str, Any]]:
    """The rows of one channel and seed, one per tier.

    A targeted attacker knows the samples that he is after, here as everywhere: they are drawn from the held-out ones.
    """
    own, real = stages(channel, seed)
    out: list[dict[str, Any]] = []

    def measured(tier: int, setting: Setting, done: Poisoned, began: float, **more: Any) -> None:
        valid = real.success(done)
        figures, _ = real.scan(done, seed)
        out.append({"channel": channel.name, "tier": tier, "seed": seed, "setting": setting.name, "dataset": channel.dataset,
                    "rows": len(done.truth), "poisoned": int(done.truth.sum()), "measure": valid.measure, "success": valid.success,
                    "implanted": valid.implanted, "accuracy": valid.accuracy, "victim": channel.victim,
                    **{k: figures[k] for k in ("recall", "fpr", "precision", "tpr_at_1fpr", "alarm", "verdict")},
                    "seconds": time.perf_counter() - began, **more})

    for tier, setting in ((0, channel.unaware), (1, channel.settings[0])):
        began = time.perf_counter()
        measured(tier, setting, setting.plant(real.data, real.held, _rng(channel, seed, tier), 1.0), began)
    began = time.perf_counter()
    tries = [t for i, s in enumerate(channel.settings) if (t := attempt(own, s, own.held, _rng(channel, seed, 20, i), seed)) is not None]
    ranked = sorted(tries, key=lambda t: t.rank)
    chosen = ranked[0].setting
    measured(2, chosen, chosen.plant(real.data, real.held, _rng(channel, seed, 2), 1.0), began, tried=own.scans)
    began = time.perf_counter()
    best, asked = with_oracle(channel, own, real, ranked, seed)
    if best is not None:
        measured(3, best.setting, best.done, began, queries=asked)
    return out


def version() -> str:
    """Changes with what a scan finds and with the attackers."""
    return version_of_scan() + "-" + _hash([HERE / "adversaries.py", HERE / "adaptive.py"])[:6]


def table(rows: list[dict[str, Any]]) -> str:
    """One line per channel and tier, for the terminal; the page is written by render.py."""
    lines = []
    for c in CHANNELS:
        for tier in range(4):
            mine = [r for r in rows if r["channel"] == c.name and r["tier"] == tier]
            good = [r for r in mine if r["implanted"]]
            if mine:
                shown = f"recall {np.mean([r['recall'] for r in good]):.2f} alarm {np.mean([r['alarm'] for r in good]):.2f}" if good else ""
                lines.append(f"{c.name:22} tier {tier}: success {np.mean([r['success'] for r in mine]):.2f}, implanted {len(good)} of "
                             f"{len(mine)}; {shown} [{'; '.join(sorted({r['setting'] for r in mine}))}]")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", default="*", help="pattern of channel names (several with commas)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, default=math.inf, help="start nothing after so many minutes")
    parser.add_argument("--out", type=Path, default=RESULTS / "adaptive.json")
    parser.add_argument("--table", action="store_true", help="print what is there and stop")
    given = parser.parse_args()
    ledger = Ledger(given.out, KEYS)
    chosen = [c for c in CHANNELS
              if c.dataset in realdata.here() and any(fnmatch.fnmatch(c.name, p) for p in given.channels.split(","))]
    began, now = time.perf_counter(), version()
    for seed in given.seeds if not given.table else ():
        for channel in chosen:
            if ledger.has(now, channel=channel.name, tier=3, seed=seed) or time.perf_counter() - began > 60 * given.minutes:
                continue
            for row in run(channel, seed):
                ledger.add({**row, "version": now})
                print(f"[{time.perf_counter() - began:5.0f} s] {channel.name}, seed {seed}, tier {row['tier']}: {row['setting']}: "
                      f"{row['measure']} {row['success']:.2f}{'' if row['implanted'] else ' (did not implant)'}, recall "
                      f"{row['recall']:.2f}, fpr {row['fpr']:.3f}, alarm {row['alarm']:.0f}, {row['verdict']}", flush=True)
    print(table(ledger.rows))


if __name__ == "__main__":
    main()
