"""How many triggered inputs does the filter flag, how many clean ones, and what does it cost? Models of benchmarks/mending.py.

    python benchmarks/guarding.py [--only TEXT] [--seeds 3]
    python benchmarks/guarding.py --table

Trusted samples are half of the test samples, by chance; the other half is what comes in, clean and triggered. Triggered inputs count where
the backdoor works on them.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

import mending as cases
import realdata
from bezoar.core.model_repair import stamped
from bezoar.networks import filtering
from bezoar.testing.contract import auroc
from ledger import RESULTS, SOURCE, Ledger, _hash

RATES = (0.01, 0.05)
COST = 2.0


def row(case: cases.Case, seed: int) -> dict[str, object]:
    """One model: share flagged of triggered and clean inputs, AUROC, cost against answering alone."""
    model = cases.made(case, seed)
    known = model.everything
    order = np.random.default_rng([seed, 17]).permutation(len(model.test))
    trusted, fresh = model.test.take(order[:len(order) // 2]), model.test.take(order[len(order) // 2:])
    watch = filtering.Filter(known.module, known.tensor, trusted, np.random.default_rng(seed))
    open_rows = np.arange(len(fresh)) if known.target is None else np.flatnonzero(fresh.codes != known.target)
    assert known.trigger is not None
    marked = stamped(fresh.x[open_rows], known.trigger, "image", np.random.default_rng([seed, 3]))
    spent = {}
    for name, ask in (("alone", watch.logits), ("watched", watch.p_values)):
        ask(fresh.x)
        started = time.process_time()
        for _ in range(3):
            ask(fresh.x)
        spent[name] = time.process_time() - started
    _, clean = watch.p_values(fresh.x)
    logits, found = watch.p_values(marked)
    works = logits.argmax(axis=1) != fresh.codes[open_rows]
    made = {"case": case.name, "seed": seed, "version": version(), "trusted": len(trusted), "works": float(works.mean()),
            "implanted": bool(works.mean() >= cases.IMPLANTED), "cost": spent["watched"] / spent["alone"],
            "auroc": auroc(-np.r_[clean, found[works]], np.r_[np.zeros(len(clean), bool), np.ones(int(works.sum()), bool)])}
    for rate in RATES:
        made |= {f"fpr_{rate:g}": float((clean <= rate).mean()), f"tpr_{rate:g}": float((found[works] <= rate).mean())}
    return made


def version() -> str:
    """Changes with any code that can change a figure."""
    return _hash([SOURCE / "networks/filtering.py", SOURCE / "networks/reading.py", SOURCE / "networks/training.py"])


def table(rows: list[dict]) -> str:
    """A line per model family, then the mean; models whose attack did not implant are left out."""
    rows = [r for r in rows if r["implanted"]]
    head = ("model", "seeds", "AUROC", *(f"{w} at {r:.0%}" for r in RATES for w in ("flagged", "clean flagged")), "cost")
    out = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name in [*dict.fromkeys(r["case"] for r in rows), "mean"]:
        some = [r for r in rows if name in (r["case"], "mean")]
        if some:
            keys = ("auroc", *(f"{w}_{r:g}" for r in RATES for w in ("tpr", "fpr")))
            cells = [name, str(len(some)), *(f"{np.mean([r[k] for r in some]):.3f}" for k in keys),
                     f"{np.mean([r['cost'] for r in some]):.2f}x"]
            out.append("| " + " | ".join(cells) + " |")
    return "\n".join(out)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="first seed; development uses 100 and above")
    parser.add_argument("--out", type=Path, default=RESULTS / "guarding.json")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    ledger = Ledger(given.out, ("case", "seed"))
    for seed in range(given.first, given.first + given.seeds) if not given.table else ():
        for case in cases.CASES:
            if given.only in case.name and case.dataset in realdata.here() and not ledger.has(version(), case=case.name, seed=seed):
                ledger.add(row(case, seed))
                print(ledger.rows[-1], flush=True)
    print(table(ledger.rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
