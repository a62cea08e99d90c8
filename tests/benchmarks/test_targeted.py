"""Targeted poison is planted where it can be judged, a list is judged by what is left of the attack, and the page counts what implanted."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(FOLDER))

import targeted  # noqa: E402
import targeted_page  # noqa: E402


def test_the_top_of_a_ranking_never_takes_more():
    ranking = np.array([0.2, 0.9, np.nan, 0.9, 0.1])
    assert targeted.top_of(ranking, 0.4).tolist() == [False, True, False, True, False]
    assert not targeted.top_of(ranking, 0.1).any()


def test_every_set_has_its_clean_lines():
    cells = targeted.all_cells()
    assert len({c.name for c in cells}) == len(cells)
    for name in {c.dataset for c in cells}:
        own = [c for c in cells if c.dataset == name]
        assert {c.setting for c in own if not c.attack} == {c.setting for c in own if c.attack} == {"transfer", "scratch"}


@pytest.mark.slow
def test_a_collision_on_digits_is_planted_and_gone_without_its_rows():
    pytest.importorskip("torch")
    cell = targeted.Cell("digits/collision, transfer", "digits", "transfer", "feature-collision", "collision")
    place = targeted.Transfer(cell, 100)
    done, told = targeted.planted(cell, place, 100)
    assert 1 <= told["tried"] <= targeted.TRIES["transfer"]
    assert 0 < done.truth.sum() <= 0.02 * len(done.data) + 1
    assert (done.data.labels.codes == place.data.labels.codes).all()
    left = targeted.removed(cell, place, done, done.truth, 100)
    assert left["success"] == 0
    assert left["removed"] == pytest.approx(done.truth.mean())
    assert place.given(done).predict(place.held.inputs).shape == (len(place.held), 10)


def _row(**more: object) -> dict[str, object]:
    return {"cell": "a/collision, transfer", "method": "plain", "seed": 0, "poisoned": 14, "rows": 700, "implanted": True, "recall": 1.0,
            "fpr": 0.001, "alarm": True, "ranked": 1.0, "others": 0.1, "after": 0.0, "after_top": 0.0, **more}


def test_the_page_counts_what_implanted():
    text = "\n".join(targeted_page.section([_row(), _row(seed=1, implanted=False, recall=0.0, after=None, after_top=None)]))
    assert "| a/collision, transfer | plain | 2 | 1 | 14 of 700 | 1.00 (1.00) | 0.0010 (0.0010) | 1 of 1 | 1.00 | 0.10 | 0.00 | 0.00 | yes" in text
    missed = "\n".join(targeted_page.section([_row(recall=0.9)]))
    assert "| no (0.95 at 1%) |" in missed
    idle = "\n".join(targeted_page.section([_row(cell="a/gradient matching 1%", implanted=False)]))
    assert "did not implant" in idle
    clean = "\n".join(targeted_page.section([_row(cell="a/clean", poisoned=0, implanted=False, recall=None, alarm=False, ranked=None, others=None)]))
    assert "| a/clean | plain | 1 | - | - | - | 0.0010 (0.0010) | 0 of 1 | - | - | - | - | - |" in clean
    assert "Not run yet" in targeted_page.section([])[2]
