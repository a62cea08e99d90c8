"""The benchmark of the learned tier: its peers rank a plain case right, its cells can be planted, its page says what did not implant."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(FOLDER))

import learned  # noqa: E402
import learned_page  # noqa: E402
import learned_peers  # noqa: E402
import measure  # noqa: E402
from bezoar.core.learned import Learned  # noqa: E402

RNG = np.random.default_rng


def _apart(rng: np.random.Generator) -> tuple[learned_peers.Trained, np.ndarray]:
    """Six classes of 100; 30 rows of class 2 stand apart in the features and the slopes, and are learned at once."""
    codes, middle = np.arange(600) % 6, rng.standard_normal((6, 16)) * 4
    truth = np.zeros(600, bool)
    truth[np.flatnonzero(codes == 2)[:30]] = True

    def shown(own: np.ndarray, bad: np.ndarray) -> Learned:
        f = rng.standard_normal((len(own), 16)) + middle[own] + bad[:, None] * 9 * np.eye(16)[0]
        slopes = rng.standard_normal((len(own), 16)) * 0.3 + 2 * np.eye(16)[own] + bad[:, None] * 9 * np.eye(16)[15]
        losses = np.where(bad[:, None], 0.01, rng.uniform(0.5, 1, (len(own), 5)))
        return Learned((f, f), (slopes, slopes), np.eye(6)[own], losses, f)

    clean = np.repeat(np.arange(6), 10)
    blank = np.zeros((0, 8, 8, 3), np.uint8)
    return learned_peers.Trained(None, blank, codes, 6, shown(codes, truth), blank, clean, shown(clean, np.zeros(60, bool))), truth


@pytest.mark.parametrize("name", ["spectral signatures", "activation clustering", "SCAn", "ABL isolation", "AGPD"])
def test_peers_rank_a_plain_case_first(name: str):
    trained, truth = _apart(RNG(1))
    score = learned_peers.PEERS[name](trained, RNG(0))
    assert measure.tpr_at(score, truth) >= 0.9


def test_whitened_entropy_ranks_a_rare_group_in_its_class():
    trained, truth = _apart(RNG(1))
    few = truth & (np.cumsum(truth) <= 10)
    keep = np.flatnonzero(few | ~truth)
    s = trained.shown
    part = learned_peers.Trained(None, trained.x, trained.codes[keep], 6, Learned(
        tuple(a[keep] for a in s.layers), tuple(a[keep] for a in s.slopes), s.logits[keep], s.losses[keep], s.early[keep]),
        trained.clean_x, trained.clean_codes, trained.clean)
    own = part.codes == 2
    score = learned_peers.spectre(part, RNG(0))
    assert measure.tpr_at(score[own], few[keep][own]) >= 0.9


def test_cells_are_planted_and_covers_are_told_apart():
    cell = learned.Cell("digits/warp", "digits", "warp", {"rate": 0.05, "cover": 0.05})
    planted = learned.plant(cell, 100)
    done, held = planted.done, planted.held
    count = int(done.truth.sum())
    assert 0 < count <= 0.05 * len(done.truth) + 1
    assert planted.covers.sum() > count / 2 and not (planted.covers & done.truth).any()
    assert (planted.clean.labels.codes[planted.covers] == done.data.labels.codes[planted.covers]).all()
    assert set(done.data.labels.codes[done.truth]) == {done.data.labels.classes.index(done.target)}
    assert len(held) > 100
    assert all(c.dataset in ("mnist_t10k", "gtsrb_signs", "cifar10", "digits") for c in learned.all_cells())


@pytest.mark.slow
def test_one_cell_runs_with_all_its_peers():
    pytest.importorskip("torch")
    rows = learned.one(learned.Cell("digits/patch", "digits", "badnets", {"rate": 0.05}), 100, True, True, True)
    assert [r["method"] for r in rows] == ["bezoar", "retrained", "probe-geometry", *learned_peers.PEERS]
    assert all(0 <= r["tpr_at_1fpr"] <= 1 for r in rows if r["method"] != "retrained")
    assert rows[0]["fpr"] <= 0.02
    assert rows[2]["asr"] > 0.5 > 0.1 > rows[1]["asr"]


def test_the_page_says_what_did_not_implant():
    bezoar = {"cell": "a", "method": "bezoar", "seed": 0, "recall": 0.9, "fpr": 0.001, "alarm": True, "tpr_at_1fpr": 0.95}
    peer = {"cell": "a", "method": "SCAn", "seed": 0, "tpr_at_1fpr": 0.5, "asr": 0.95}
    text = "\n".join(learned_page.section([bezoar, peer, {**bezoar, "cell": "b", "recall": 0.0}, {**peer, "cell": "b", "asr": 0.1}]))
    assert "Over the 1 lines that implanted: mean recall of the list 0.90" in text
    assert "| b | 1 | 0.10 | 0.00 |" in text
    again = {"cell": "a", "method": "retrained", "seed": 0, "asr": 0.02, "asr_of_twin": 0.01, "accuracy": 0.94, "accuracy_of_twin": 0.95}
    assert "| 0.02 (twin 0.01), +1.0 |" in "\n".join(learned_page.section([bezoar, peer, again]))
    assert "Not run yet" in learned_page.section([])[2]


def test_families_count_only_single_runs_that_implanted():
    bezoar = {"cell": "x/warp 5%", "method": "bezoar", "seed": 0, "recall": 0.9, "fpr": 0.001, "alarm": True, "tpr_at_1fpr": 0.95}
    peer = {"cell": "x/warp 5%", "method": "SCAn", "seed": 0, "tpr_at_1fpr": 0.5, "asr": 0.95}
    failed = [{**bezoar, "seed": 1, "recall": 0.0, "alarm": False}, {**peer, "seed": 1, "asr": 0.4, "tpr_at_1fpr": 0.0}]
    text = "\n".join(learned_page.section([bezoar, peer, *failed]))
    assert "| warp | x | 1 of 2 | 0.90 | 0.90 | 0.0010 | 1 of 1 | SCAn 0.50 | 0.90 | yes |" in text
