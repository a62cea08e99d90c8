"""A report.json that somebody has damaged or composed: `load` refuses it with our own error, or every renderer can show it."""

import copy
import dataclasses
import json

import numpy as np
import pytest
from sample_report import sample_report

from bezoar.core.errors import BezoarError
from bezoar.reports.csv_report import CsvReport
from bezoar.reports.html_report import HtmlReport
from bezoar.reports.json_report import JsonReport, load
from bezoar.reports.sarif_report import SarifReport
from bezoar.reports.scores_parquet import ScoresParquet
from bezoar.reports.terminal import Terminal

ALL = (HtmlReport(), SarifReport(), CsvReport(), ScoresParquet(), Terminal(), Terminal(colour=True), JsonReport())
VALUES = (None, True, False, 0, -1, 1, 7, 2**40, -0.0, 0.5, 1e308, -1e308, "", "x", "\u202e", "\ud800", [], [[]], [1, 2], ["a"], [None], {}, {"a": 1}, "bz-0", "|u1",
          {"dtype": "<f4", "shape": [2, 2], "zlib": "eJxjYEAHAAAQAAE="}, {"dtype": "|u1", "shape": [0], "zlib": "eJwDAAAAAAE="}, "poisoned", "skipped", "patch", "points")


def small() -> dict:
    report = sample_report()
    findings = tuple(dataclasses.replace(f, members=f.members[:3], quarantined=f.quarantined[:2],
                                         evidence=tuple({type(e): e for e in f.evidence}.values())) for f in report.findings)
    return json.loads(JsonReport().render(dataclasses.replace(report, findings=findings)))


BASE = small()


def places(value: object, path: tuple = ()) -> list[tuple]:
    """Every place in a document."""
    out = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        out += places(inner, (*path, key))
    return out


PLACES = places(BASE)


def damaged(rng: np.random.Generator) -> tuple[str, bytes]:
    document = copy.deepcopy(BASE)
    told = []
    for _ in range(int(rng.integers(1, 3))):
        path = PLACES[int(rng.integers(len(PLACES)))]
        at = document
        try:
            for key in path[:-1]:
                at = at[key]
            if rng.random() < 0.1:
                del at[path[-1]]
                told.append(f"del {path}")
            else:
                at[path[-1]] = VALUES[int(rng.integers(len(VALUES)))]
                told.append(f"{path} = {at[path[-1]]!r}")
        except (KeyError, IndexError, TypeError):
            continue
    return "; ".join(told), json.dumps(document).encode()


@pytest.mark.parametrize("seed", range(16))
def test_refused_or_shown(seed):
    rng = np.random.default_rng([77, seed])
    for _ in range(12):
        told, data = damaged(rng)
        try:
            report = load(data)
        except BezoarError:
            continue
        for renderer in ALL:
            assert renderer.render(report), told


def test_some_are_refused_and_some_are_shown():
    rng = np.random.default_rng(78)
    refused = 0
    for _ in range(60):
        try:
            load(damaged(rng)[1])
        except BezoarError:
            refused += 1
    assert 10 < refused < 58


@pytest.mark.parametrize("seed", range(8))
def test_cut_and_flipped_bytes(seed):
    rng = np.random.default_rng([79, seed])
    data = bytearray(json.dumps(BASE).encode())
    for _ in range(40):
        broken = data[:int(rng.integers(len(data)))] if rng.random() < 0.3 else bytearray(data)
        for at in rng.integers(0, max(len(broken), 1), 3):
            if len(broken):
                broken[int(at)] = int(rng.integers(256))
        try:
            load(bytes(broken))
        except BezoarError:
            continue


@pytest.mark.parametrize("trigger", [
    {"kind": "patch", "modality": "image", "pixels": "x", "mask": "x", "top": 0, "left": 0}, {"kind": "phrases", "modality": "text", "phrases": 3},
    {"kind": "phrases", "modality": "text", "phrases": [1, 2]}, {"kind": "values", "modality": "tabular", "columns": ["a"], "values": []},
    {"kind": "patch", "modality": "image"}, {"kind": "overlay", "modality": "image", "pattern": 3},
    {"kind": "patch", "modality": "image", "pixels": VALUES[-6], "mask": VALUES[-6], "top": "a", "left": 0.1}])
def test_triggers_with_fields_of_the_wrong_kind(trigger):
    document = copy.deepcopy(BASE)
    document["findings"][0]["trigger"] = trigger
    with pytest.raises(BezoarError):
        load(json.dumps(document).encode())
