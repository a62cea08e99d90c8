"""Cost of planting and of a scoreboard: every attack without a network on 50,000 pictures, and the standard run of the red team.

Planting is timed in this process, data in memory, at the attack's own rate and at 8% of all samples. The standard run is
`bezoar.redteam` on scikit-learn's digits: 10 attacks x 2 rates x 3 seeds x 3 defences (bezoar and two simple filters), with the
baselines beside them, the default victim, two processes.

    python benchmarks/red_team.py                     everything; what this version has timed already is left out
    python benchmarks/red_team.py --only scoreboard --again
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np

import cost
import realdata
from bezoar import redteam, registry
from bezoar.core.dataset import Dataset
from bezoar.core.errors import BezoarError
from ledger import RESULTS, SOURCE, Ledger, _hash

KEYS = ("what",)
PICTURES = 50_000
MORE = 0.08
"""The second rate; a clean-label attack needs that much of one class of ten."""
PLANTING_GOAL, BOARD_GOAL = 20.0, 15 * 60.0
"""Seconds."""
ATTACKS = ("badnets", "blend", "sinusoid", "low-frequency", "sticker", "warp", "invisible", "quantise", "tact", "label-flip")
RATES, SEEDS, WORKERS = (0.02, 0.05), 3, 2


def version() -> str:
    """Changes with any code of the package."""
    return _hash([Path(__file__), *SOURCE.rglob("*.py")])


def attacks() -> list[str]:
    """Those that fit pictures and train no network."""
    return [n for n, c in registry.shelf("attacks").items() if {"image", "any"} & set(c.info.modalities) and "torch" not in c.info.extras]


def planting(name: str, data: Dataset) -> dict[str, Any]:
    """Seconds at the attack's own rate and at `MORE`; an attack that these data cannot bear says why."""
    row: dict[str, Any] = {"what": f"planting-{name}", "count": len(data)}
    for key, given in (("seconds", {}), ("seconds_more", {"rate": MORE})):
        made = registry.make("attacks", name, given)
        start = time.perf_counter()
        try:
            done = made(data, np.random.default_rng(0))  # type: ignore[operator]
        except BezoarError as error:
            row[f"{key}_error"] = str(error)
            continue
        row[key] = time.perf_counter() - start
        row["planted" + key.removeprefix("seconds")] = int(done.truth.sum())
    return row


def neighbours(data: Dataset) -> np.ndarray:
    """Keep what at least three of the ten nearest pictures agree with."""
    from sklearn.neighbors import NearestNeighbors

    assert data.labels is not None
    flat = data.inputs.dense().reshape(len(data), -1).astype(np.float32)  # type: ignore[attr-defined]
    near = NearestNeighbors(n_neighbors=11).fit(flat).kneighbors(return_distance=False)[:, :10]
    return np.asarray((data.labels.codes[near] == data.labels.codes[:, None]).sum(axis=1) >= 3)


def middle(data: Dataset) -> np.ndarray:
    """Keep all but the twentieth of each class that is farthest from its median picture."""
    assert data.labels is not None
    codes = data.labels.codes
    flat = data.inputs.dense().reshape(len(data), -1).astype(np.float32)  # type: ignore[attr-defined]
    far = np.zeros(len(data))
    for c in np.unique(codes):
        far[codes == c] = ((flat[codes == c] - np.median(flat[codes == c], axis=0)) ** 2).sum(axis=1)
        far[codes == c] /= np.quantile(far[codes == c], 0.95) + 1e-9
    return np.asarray(far <= 1)


def scoreboard(names: tuple[str, ...] = ATTACKS, rates: tuple[float, ...] = RATES, seeds: int = SEEDS, workers: int = WORKERS,
               rows: int | None = None, victim: str = "") -> dict[str, Any]:
    """The standard run, timed as a whole."""
    data = realdata.digits()
    data = data if rows is None else data.take(np.arange(rows))
    start = time.perf_counter()
    made = redteam(data, attacks=names, rates=rates, seeds=seeds, workers=workers, victim=victim,
                   defences={"neighbours": neighbours, "middle": middle})
    seconds = time.perf_counter() - start
    own = [r for r in made["rows"] if r["defence"] == "bezoar"]
    filters = [r["seconds"] for r in own]
    return {"what": "scoreboard", "seconds": seconds, "attacks": len(names), "rates": len(rates), "seeds": seeds, "workers": workers,
            "rows": len(made["rows"]), "cells": len(names) * len(rates) * seeds, "victim": made["victim"],
            "implanted": sum(r["implanted"] for r in own), "errors": sum(bool(r["error"]) for r in made["rows"]),
            "filter_seconds": float(np.mean(filters)) if filters else float("nan"),
            "peak_rss_mb": max(resource.getrusage(w).ru_maxrss for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024}


def section(rows: list[dict[str, Any]]) -> list[str]:
    """Lines of the page."""
    if not rows:
        return ["## Red team", "", "Not run yet: `python benchmarks/red_team.py`.", ""]
    out = ["## Red team", ""]
    by = {r["what"]: r for r in rows}
    if board := by.get("scoreboard"):
        met = "yes" if board["seconds"] <= BOARD_GOAL and not board["errors"] else "**no**"
        out += [f"Standard scoreboard ({board['attacks']} attacks x {board['rates']} rates x {board['seeds']} seeds x 3 defences beside "
                f"the baselines on digits, victim `{board['victim']}`, {board['workers']} processes): {board['seconds'] / 60:.1f} min for "
                f"{board['cells']} cells, {board['implanted']} of which implanted; {board['peak_rss_mb']:.0f} MB in the largest process. "
                f"Goal {BOARD_GOAL / 60:.0f} min: {met}.", ""]
    planted = sorted((r for r in rows if r["what"].startswith("planting-")), key=lambda r: r["what"])
    if planted:
        out += [f"Planting in {planted[0]['count']:,} pictures of 32x32, in memory, one process; goal {PLANTING_GOAL:.0f} s each:", "",
                f"| attack | seconds at its own rate | planted | seconds at {MORE:.0%} | planted | reached |", "|---" * 6 + "|"]
    for r in planted:
        shown = [(f"{r[k]:.1f}" if r.get(k) is not None else r.get(f"{k}_error", "")) for k in ("seconds", "seconds_more")]
        times = [r[k] for k in ("seconds", "seconds_more") if r.get(k) is not None]
        met = "-" if not times else "yes" if max(times) <= PLANTING_GOAL else "**no**"
        out.append(f"| {r['what'].removeprefix('planting-')} | {shown[0]} | {r.get('planted', '')} | {shown[1]} | "
                   f"{r.get('planted_more', '')} | {met} |")
    return [*out, ""]


def plan() -> list[str]:
    """Names of everything that is timed."""
    return [*(f"planting-{n}" for n in attacks()), "scoreboard"]


def execute(names: list[str], ledger: Ledger, *, again: bool = False, pictures: int = PICTURES) -> None:
    """Time what is missing, one thing at a time."""
    now, data = version(), None
    for name in names:
        if not again and ledger.has(now, what=name):
            continue
        if name == "scoreboard":
            row = scoreboard()
        else:
            if data is None:
                x, y, classes = cost.pictures(pictures)
                data = Dataset.from_arrays(x, [classes[c] for c in y], name="pictures")
            row = planting(name.removeprefix("planting-"), data)
        ledger.add({**row, "version": now})
        print(", ".join(f"{k} {v:.1f}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="names that contain this: " + ", ".join(plan()))
    parser.add_argument("--again", action="store_true", help="also what this version has timed already")
    parser.add_argument("--pictures", type=int, default=PICTURES)
    parser.add_argument("--out", default=str(RESULTS / "red_team.json"))
    given = parser.parse_args()
    execute([n for n in plan() if given.only in n], Ledger(Path(given.out), KEYS), again=given.again, pictures=given.pictures)


if __name__ == "__main__":
    main()
