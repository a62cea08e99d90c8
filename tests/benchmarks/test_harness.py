"""The benchmark harness itself: figures that are known, rows that survive a stop, cells that can be planted, an honest page."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(FOLDER))

import cells  # noqa: E402
import cost  # noqa: E402
import detection  # noqa: E402
import false_alarms  # noqa: E402
import measure  # noqa: E402
import peers  # noqa: E402
import realdata  # noqa: E402
import render  # noqa: E402
from bezoar.core.finding import Finding  # noqa: E402
from bezoar.core.image_triggers import Patch  # noqa: E402
from bezoar.core.report import Report, ScoreTable  # noqa: E402
from bezoar.core.table_triggers import Values  # noqa: E402
from bezoar.core.text_triggers import Phrases  # noqa: E402
from bezoar.testing.planted import planted, twin  # noqa: E402
from ledger import Ledger, version_of_peers, version_of_scan  # noqa: E402


def test_lists_and_rankings():
    truth = np.zeros(1010, bool)
    truth[:10] = True
    flagged = np.zeros(1010, bool)
    flagged[5:20] = True
    found = measure.listed(flagged, truth)
    assert (found["recall"], found["precision"], found["fpr"]) == (0.5, 5 / 15, 10 / 1000)
    assert found["f1"] == pytest.approx(2 * 0.5 / 3 / (0.5 + 1 / 3))
    assert measure.listed(np.zeros(1010, bool), truth)["precision"] == 0
    score = np.r_[np.full(10, 0.5), np.linspace(0, 1, 1000)]
    assert measure.tpr_at(score, truth) == 0
    assert measure.tpr_at(np.r_[np.full(10, 0.995), np.linspace(0, 1, 1000)], truth) == 1
    assert measure.tpr_at(np.ones(1010), truth) == 0, "ties are no skill"
    assert measure.tpr_at(np.full(1010, np.nan), truth) == 0
    assert math.isnan(measure.tpr_at(np.ones(5), np.zeros(5, bool)))


def test_intervals():
    mean, low, high = measure.interval([1.0, 1.0, 1.0])
    assert (mean, low, high) == (1.0, 1.0, 1.0)
    assert math.isnan(measure.interval([0.5])[1])
    assert math.isnan(measure.interval([])[0])
    assert measure.clopper_pearson_upper(3, 3) == 1
    assert measure.clopper_pearson_upper(0, 300) == pytest.approx(1 - 0.05 ** (1 / 300))


def test_recovered_triggers():
    square = Patch(np.zeros((3, 3, 3), np.uint8), np.ones((3, 3), np.float32), 28 / 32, 28 / 32)
    wide = Patch(np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), np.float32), 28 / 32, 28 / 32)
    far = replace(square, top=0.0)
    assert measure.lifted(square, square) == 1
    assert measure.lifted(square, wide) == pytest.approx(9 / 16)
    assert measure.lifted(square, far) == 0
    assert measure.lifted(square, None) == 0
    whole = Phrases(("I watched this.",))
    assert measure.lifted(whole, Phrases(("that i watched this now",))) == 1
    assert measure.lifted(whole, Phrases(("watched this",))) == 0
    assert measure.lifted(Phrases(("cf",)), Phrases(("cfo",))) == 0, "whole words only"
    assert measure.lifted(Values(("a", "b"), ("1", "x")), Values(("a", "b"), ("1.0", "y"))) == 0.5


def test_the_ledger_survives_a_stop(tmp_path: Path):
    path = tmp_path / "r.json"
    ledger = Ledger(path, ("cell", "seed"))
    ledger.add({"cell": "a", "seed": 0, "version": "v1", "recall": float("nan")})
    ledger.add({"cell": "a", "seed": 1, "version": "v1", "recall": 0.123456789})
    again = Ledger(path, ("cell", "seed"))
    assert again.has("v1", cell="a", seed=0)
    assert not again.has("v2", cell="a", seed=0)
    again.add({"cell": "a", "seed": 0, "version": "v2", "recall": 1.0})
    assert len(Ledger(path, ("cell", "seed")).rows) == 2
    assert json.loads(path.read_text())["runs"][0] == {"cell": "a", "seed": 0, "version": "v2", "recall": 1.0}
    assert version_of_scan() == version_of_scan() != version_of_peers()


def test_cells_are_named_once_and_cover_the_shelf():
    names = [c.name for c in cells.all_cells()]
    assert len(names) == len(set(names))
    assert {"label-flip", "bad-source", "badnets"} <= {c.attack for c in cells.all_cells()}


@pytest.mark.realdata
@pytest.mark.skipif(not realdata.available("sms_spam"), reason="needs BEZOAR_DATA")
@pytest.mark.parametrize("pattern", ["sms_spam", "german_credit", "digits", "gtsrb_signs/sinusoid clean"])
def test_cells_on_real_data_are_planted(pattern: str):
    for cell in cells.all_cells():
        if cell.name.startswith(pattern):
            done = cells.plant(cell, 100)
            assert done.truth.any()
            assert np.array_equal(done.truth, cells.plant(cell, 100).truth)
            expected = cell.parameters.get("rate", 0.0) * len(done.truth) * (0.1 if cell.attack == "bad-source" else 1)
            if "share_of_class" in cell.parameters:
                expected = 0.08 * (done.data.labels.codes == done.data.labels.classes.index(done.target)).sum()
            assert done.truth.sum() == pytest.approx(expected, abs=1)


def test_without_data_the_bundled_sets_are_measured(tmp_path: Path):
    code = ("import cells, false_alarms; c = cells.all_cells(); [cells.plant(x, 100) for x in c if 'digits/patch' not in x.name];"
            " print(len(c), len(false_alarms.sets()))")
    done = subprocess.run([sys.executable, "-c", code], cwd=FOLDER, env={**os.environ, "BEZOAR_DATA": str(tmp_path)}, capture_output=True,
                          text=True, check=True)
    count, sets = map(int, done.stdout.split())
    assert count > 20
    assert sets == 4


def _report(data, flagged: np.ndarray, findings: tuple[Finding, ...], suspicion: np.ndarray | None = None) -> Report:
    n = len(data)
    scores = ScoreTable(data.ids, np.zeros(n), flagged.astype(float) if suspicion is None else suspicion, np.ones(n), flagged, np.full(n, ""))
    return Report({}, "poisoned", 0.01, 0, findings, (), scores=scores)


def test_a_report_is_read_against_the_truth():
    clean, bad, truth = planted("image", "backdoor-dirty-label", np.random.default_rng(100))
    trigger = Patch(np.zeros((3, 3, 3), np.uint8), np.ones((3, 3), np.float32), 12 / 16, 12 / 16)
    done = cells.Planted(bad, truth, trigger, target="1")
    members = tuple(bad.ids[truth][:20])
    right = Finding("x", "", "group", "", members, "backdoor-dirty-label", 1e-9, 1.0, trigger=trigger, confirmed=True)
    wrong = Finding("y", "", "group", "", tuple(bad.ids[~truth][:50]), "backdoor-dirty-label", 1e-9, 1.0)
    flagged = np.isin(bad.ids, members)
    row = detection.read(_report(bad, flagged, (wrong, right)), done, "recall")
    assert row["recall"] == pytest.approx(20 / truth.sum())
    assert (row["fpr"], row["alarm"], row["lift"], row["confirmed"]) == (0.0, 1.0, 1.0, 1.0)
    only_wrong = detection.read(_report(bad, np.zeros(len(bad), bool), (wrong,)), done, "recall")
    assert (only_wrong["alarm"], only_wrong["lift"], only_wrong["recall"]) == (0.0, 0.0, 0.0)


def test_advisory_label_findings_count_for_flips_only():
    _, bad, truth = planted("text", "label-flip", np.random.default_rng(101))
    done = cells.Planted(bad, truth)
    noise = Finding("labels", "", "group", "", tuple(bad.ids[truth]), "label-flip", 1e-9, 0.4, advisory=True)
    report = _report(bad, np.zeros(len(bad), bool), (noise,))
    assert detection.read(report, done, "f1")["f1"] == 1
    assert detection.read(report, done, "recall")["recall"] == 0


def test_the_first_source_named_is_the_one_that_counts():
    _, bad, truth = planted("tabular", "source", np.random.default_rng(102))
    done = cells.Planted(bad, truth, vendor="vendor-3")
    first = Finding("s", "", "source", "", tuple(bad.ids[:3]), "source", 1e-9, 1.0, origin={"source": {"vendor-3": 2, "vendor-1": 1}})
    second = replace(first, origin={"source": {"vendor-1": 3}})
    assert detection.read(_report(bad, truth, (first, second)), done, "source_first")["source_first"] == 1
    assert detection.read(_report(bad, truth, (second, first)), done, "source_first")["source_first"] == 0
    assert detection.read(_report(bad, truth, ()), done, "source_first")["source_first"] == 0


def test_runs_are_skipped_when_they_stand_and_crashes_are_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    cell = cells.Cell("planted/patch", "planted", "badnets", {"rate": 0.02}, peers=("trivial",))
    monkeypatch.setitem(realdata.ALL, "planted", lambda: twin("image", np.random.default_rng(103), rows=200))
    ledger = Ledger(tmp_path / "d.json", detection.KEYS)
    todo = detection.jobs([cell], [0, 7], ledger, scan=True, peers=True, quick=True)
    assert [(s, w, p) for _, s, w, p in todo] == [(0, True, ()), (0, False, ("trivial",)), (7, True, ())]

    def crash(planted: object, seed: int, workers: int) -> Report:
        raise RuntimeError("it broke")

    rows = detection.one(cell, 0, True, ("trivial",), 1, scan=crash)
    assert rows[0]["failed"] == "RuntimeError: it broke"
    assert rows[0]["recall"] == 0
    assert {r["method"]: r["recall"] for r in rows}["perfect filter"] == 1
    for row in rows:
        ledger.add({**row, "version": version_of_scan() if row["method"] == "bezoar" else version_of_peers()})
    assert [(s, w) for _, s, w, _ in detection.jobs([cell], [0, 7], ledger, scan=True, peers=True, quick=True)] == [(7, True)]


def test_random_and_perfect_filters_bound_everything():
    truth = np.arange(2000) % 50 == 0
    chance, perfect = peers.trivial(truth, 0)
    assert chance["fpr"] == pytest.approx(0.01, abs=0.005)
    assert chance["recall"] < 0.2
    assert (perfect["recall"], perfect["fpr"], perfect["tpr_at_1fpr"]) == (1, 0, 1)


@pytest.mark.parametrize("modality", [pytest.param("image", marks=pytest.mark.slow), "text", "tabular"])
def test_peers_on_small_data(modality: str):
    pytest.importorskip("art", reason="peers are optional")
    pytest.importorskip("cleanlab")
    _, bad, truth = planted(modality, "label-flip", np.random.default_rng(104))
    part = bad.take(np.arange(300))
    rng = np.random.default_rng(0)
    embedding = np.eye(len(part.labels.classes))[twin(modality, np.random.default_rng(104)).labels.codes[:300]] + rng.normal(0, 0.2, (300, 1))
    found = peers.confident_learning(part, truth[:300], "cleanlab", lambda codes: peers.regressed(embedding, codes))
    assert found["recall"] > 0.8, "a perfect embedding shows the flips"
    assert peers.forest(embedding, truth[:300], 0, 0.0)["fpr"] <= 1
    rows = peers.art(part, truth[:300], 0, None, None, epochs=1)
    assert [r["method"].split(" (")[0] for r in rows] == ["ART activation clustering"] + ["ART spectral signatures"] * 2
    assert all(0 <= r["recall"] <= 1 and r["train_seconds"] <= r["seconds"] for r in rows)


def test_enough_clean_sets_and_always_the_same():
    assert len(false_alarms.kinds()) * 12 >= 150
    for kind in ("half", "bootstrap", "imbalanced", "whole"):
        one, two = (false_alarms.subset("digits", kind, 0) for _ in range(2))
        assert one.fingerprint == two.fingerprint
        assert len(set(one.ids)) == len(one)
    assert false_alarms.subset("digits", "half", 0).fingerprint != false_alarms.subset("digits", "half", 1).fingerprint
    sizes = np.bincount(false_alarms.subset("digits", "imbalanced", 1).labels.codes)
    assert sizes.min() < 0.6 * sizes.max()


def test_copies_are_changed_and_files_are_written(tmp_path: Path):
    base = len(realdata.cifar10() if realdata.available("cifar10") else realdata.digits())
    x, y, _ = cost.pictures(base + 50)
    assert len(x) == len(y) == base + 50
    assert len({p.tobytes() for p in x}) >= len({p.tobytes() for p in x[:base]}) + 49
    assert sum(1 for _ in cost.write_pictures(tmp_path / "p", 20).rglob("*.jpg")) == 20
    import pandas as pd

    frame = pd.read_parquet(cost.write_table(tmp_path / "t", 500))
    assert frame.shape == (500, 21)
    assert len(pd.read_csv(cost.write_texts(tmp_path / "x", 50))) == 50


def test_a_command_is_measured(tmp_path: Path):
    row = cost.measured([sys.executable, "-c", "x = bytearray(60_000_000); import time; time.sleep(0.2)"], tmp_path / "log")
    assert row["exit"] == 0
    assert row["seconds"] >= 0.2
    assert row["peak_rss_mb"] > 55
    slow = cost.measured([sys.executable, "-c", "import time; time.sleep(30)"], tmp_path / "log", timeout=0.3)
    assert slow["exit"] != 0
    assert slow["seconds"] < 10


def _row(cell: str, **more: object) -> dict:
    return {"cell": cell, "method": "bezoar", "seed": 0, "version": "v", "recall": 1.0, "fpr": 0.0, "precision": 1.0, "f1": 1.0,
            "tpr_at_1fpr": 1.0, "seconds": 1.0, "rows": 5000, "verdict": "poisoned", **more}


def test_unmet_goals_are_shown_as_such(tmp_path: Path):
    goal = next(c for c in cells.all_cells() if c.metric == "recall" and "patch" in c.name)
    goal = replace(goal, goal=0.9)
    assert render.met(goal, [_row(goal.name)]) == "yes"
    assert "recall" in render.met(goal, [_row(goal.name, recall=0.5)])
    assert "false positives" in render.met(goal, [_row(goal.name, fpr=0.02)])
    assert render.met(goal, []) == "-"
    flips = next(c for c in cells.all_cells() if c.metric == "f1")
    detection_rows = [_row(goal.name, recall=0.5), _row(goal.name, seed=1), _row(goal.name, method="cleanlab", recall=0.1), _row(flips.name, f1=0.3)]
    alarms = [{"set": "s", "kind": "half", "number": i, "alarm": i < 9, "verdict": "suspicious" if i < 9 else "no evidence",
               "version": "v", "flagged": 0.0, "seconds": 1.0, "why": "because"} for i in range(160)]
    costs = [{"what": f"images-{n}", "count": n, "seconds": n / 500 * (1 if n < 40_000 else 2), "peak_rss_mb": 100.0, "exit": 0, "version": "v"}
             for n in cost.SIZES]
    costs += [{"what": "toolbox-10-bezoar", "count": 10, "seconds": 2.0, "recall": 1.0, "fpr": 0.0, "version": "v"},
              {"what": "toolbox-10-art", "count": 10, "seconds": 10.0, "recall": 0.5, "fpr": 0.4, "train_seconds": 9.0, "version": "v"}]
    for name, rows in (("detection", detection_rows), ("false_alarms", alarms), ("cost", costs)):
        (tmp_path / f"{name}.json").write_text(json.dumps({"machine": {"cores": 2}, "runs": rows}))
    page = render.page(tmp_path)
    assert "9 alarms in 160 clean sets (5.6%" in page
    assert "**not reached**" in page
    assert "Growth no faster than n log n: **no**" in page
    assert "Ratio 5.0, goal 10 with no less recall: **no**" in page
    assert "s, half 3: suspicious. because" in page
    assert "0.75 (0.00 to 1.00)" in page


def test_the_verdict_on_the_set_counts_by_rate():
    rows = [_row("a/patch 1%", rows=5000, verdict="poisoned"), _row("a/patch 1%", seed=1, rows=5000, verdict="no evidence"),
            _row("b/patch 1%", rows=900, verdict="no evidence"), _row("a/patch 0.3%", rows=5000, verdict="suspicious")]
    text = "\n".join(render.verdicts(rows))
    assert "| 1% | all | 3 | 1 | 0.33 | 1 | 0.95 | **no** |" in text
    assert "| 1% | 2,000 samples and more | 2 | 1 | 0.50 | 1 | 0.95 | **no** |" in text
    assert "| 0.3% | all | 1 | 1 | 1.00 | 0 | 0.85 | yes |" in text
    assert render.verdicts([]) == []


def test_an_empty_page_says_so(tmp_path: Path):
    page = render.page(tmp_path)
    assert page.count("Not run yet") == 12
