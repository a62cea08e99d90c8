"""The arithmetic of the model zoo: what counts, what is held out, what the figures are."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
pytest.importorskip("torch")

import zoo
import zoo_figures
import zoo_models


def row(family, score, alarm, **more):
    return {"mode": "few", "dataset": "digits", "family": family, "score": score, "alarm": alarm, "success": 0.9, "seconds": 1.0, "target": 1,
            "true_target": 1, **more}


def test_the_planned_zoo_is_large_enough_and_its_held_out_families_stand():
    planned = zoo_models.entries(zoo.DATASETS, 6, 1, 0)
    assert sum(not e.family for e in planned) >= 60 and sum(bool(e.family) for e in planned) >= 120
    assert len({e.name for e in planned}) == len(planned) and len({e.family for e in planned}) - 1 >= 10
    assert set(zoo_figures.HELD_OUT) <= set(zoo_models.FAMILIES)


def test_the_figures_count_only_what_implanted_and_families_alike():
    rows = [*(row("", s, s > 2.5) for s in (0.0, 1.0, 2.0, 3.0)), *(row("patch", 4.0, True, iou=0.6) for _ in range(3)),
            row("warp", 2.5, False), row("blend", 0.0, False, success=0.3)]
    got = zoo_figures.summary(rows, "few")
    assert got["clean"] == 4 and got["backdoored"] == 4 and got["families"] == 2
    assert got["by_family"] == {"patch": 1.0, "warp": 0.75} and got["auroc"] == pytest.approx(0.875)
    assert got["worst_held_out"] == 0.75 and got["recall_at_5"] == 0.75 and got["alarms_on_clean"] == 0.25
    page = "\n".join(zoo_figures.section(rows))
    assert "warp (held out) | 0.75" in page and "0.88 | 0.75" in page and zoo_figures.section([]) == []
    assert got["target_right"] == 1.0 and got["iou_half"] == 1.0


def test_auroc_counts_ties_by_half():
    assert zoo_figures.auroc(np.array([1.0, 2.0]), np.array([1.0])) == 0.75


def test_an_entry_is_trained_once_and_comes_back(tmp_path, monkeypatch):
    monkeypatch.setitem(zoo_models.EPOCHS, "digits", 1)
    entry = zoo_models.Entry("digits", "vgg", "patch", 100)
    first = zoo_models.train(entry, tmp_path)
    stamp = (tmp_path / f"{entry.name}.npz").stat().st_mtime_ns
    assert zoo_models.train(entry, tmp_path) == first and (tmp_path / f"{entry.name}.npz").stat().st_mtime_ns == stamp
    suspect = zoo_models.suspect(entry, tmp_path)
    assert suspect.classes == tuple("0123456789") and zoo_models.planted(first).title()
    few = zoo_models.few("digits", 10, 100)
    pool, rest = zoo_models.pictures("digits")
    assert len(few) == 100 and set(few.ids) <= set(rest.ids) and not set(few.ids) & set(pool.ids)
