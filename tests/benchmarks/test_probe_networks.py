"""False positives by network: what is counted, and a real run on small digits."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import probe_networks


def _row(**more: object) -> dict:
    return {"cell": "digits/vgg, clean", "network": "vgg", "seed": 0, "fpr": 0.0, "recall": None, "alarm": False, **more}


def test_the_page_shows_the_worst_false_positives_of_each_network():
    rows = [_row(), _row(seed=1, fpr=0.002), _row(recall=0.8, alarm=True), _row(network="resnet", fpr=0.02, alarm=True)]
    text = "\n".join(probe_networks.section(rows))
    assert "| vgg | 2 | 0 | 0.78 | 0.0020 | 1 | 1 | 0.80 | 0.0000 | yes |" in text
    assert "| resnet | 1 | 1 | 1.00 | 0.0200 | 0 | 0 | - | 0.0000 | **no** |" in text
    assert "Not run yet" in probe_networks.section([])[2]


@pytest.mark.slow
def test_a_clean_and_a_poisoned_set_are_scanned_with_a_model_of_ones_own(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("torch")
    monkeypatch.setattr(probe_networks, "MOST", 900)
    clean, planted = (probe_networks.one(probe_networks.Cell("digits/vgg, x", "digits", "vgg", bad), 100) for bad in (False, True))
    assert not clean["alarm"] and clean["recall"] is None and clean["planted"] == 0 < planted["planted"]
    assert clean["fpr"] == 0.0 and planted["fpr"] <= 0.01 and clean["fit"] > 0.8
