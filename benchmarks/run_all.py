"""Everything in one go, each part within its own time; a second call goes on where the first stopped.

    python benchmarks/run_all.py                                  about 45 minutes on 2 cores
    python benchmarks/run_all.py --detection 60 --alarms 25 --cost 15
    python benchmarks/run_all.py --quick                          a few minutes: seed 0, few clean sets, small timings
"""

from __future__ import annotations

import argparse

import cells
import cost
import detection
import false_alarms
import render
from ledger import RESULTS, Ledger


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cost", type=float, default=10.0, help="minutes after which no further timing starts")
    parser.add_argument("--alarms", type=float, default=12.0, help="minutes for clean sets")
    parser.add_argument("--detection", type=float, default=23.0, help="minutes for detection")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    print("== cost (alone on the machine)")
    names = ["images-2000", "images-5000"] if given.quick else cost.plan()
    cost.execute(names, Ledger(RESULTS / "cost.json", cost.KEYS), given.cost * 60)
    render.DOCS.write_text(render.page())
    print("== clean sets")
    false_alarms.execute(false_alarms.sets(), 1 if given.quick else false_alarms.EACH,
                         Ledger(false_alarms.kept("quick"), false_alarms.KEYS), given.processes, given.alarms * 60)
    render.DOCS.write_text(render.page())
    print("== detection")
    detection.execute(cells.all_cells(), [0] if given.quick else given.seeds,
                      Ledger(RESULTS / "detection.json", detection.KEYS), scan=True, peers=given.peers, quick=given.quick,
                      processes=given.processes, seconds=given.detection * 60)
    render.DOCS.write_text(render.page())


if __name__ == "__main__":
    main()
