"""The sentences that all reports share: right numbers, no promise of cleanness, no foreign word in a command."""

import dataclasses
import math

import pytest
from sample_report import empty_report, quiet_report, sample_report

from bezoar.core.report import VERDICTS
from bezoar.core.taxonomy import THREATS
from bezoar.core.wording import (
    _MATTERS,
    chance,
    data_word,
    finding_commands,
    headline,
    matters,
    next_commands,
    percent,
    sure,
    sureness,
    unseen,
)


def test_every_threat_says_why_it_matters():
    assert set(_MATTERS) == set(THREATS)
    assert matters("something new").endswith(".")


@pytest.mark.parametrize("verdict", VERDICTS)
def test_headlines(verdict):
    text = headline(dataclasses.replace(sample_report(), verdict=verdict))
    assert text.endswith(".")
    assert "is clean" not in text


def test_headline_counts_one():
    report = dataclasses.replace(sample_report(), findings=sample_report().findings[:1], poisoned_at_least=1)
    assert headline(report) == "This dataset is poisoned: at least 1 of 10,000 samples, in 1 campaign."
    assert headline(dataclasses.replace(report, poisoned_at_least=0)) == "This dataset is poisoned: 1 campaign found."


def test_how_sure():
    assert "less than 1 in a million billion" in sure(sample_report())
    assert sure(quiet_report()) == "Of 100 clean datasets, at most about one would raise an alarm (alpha 1%)."
    assert sure(dataclasses.replace(quiet_report(), alpha=0.0)) == ""


def test_unseen_is_never_empty():
    assert unseen(empty_report()) == "How small a poison this run would have found was not measured."
    assert "1 sample could not be read and was not checked" in unseen(dataclasses.replace(empty_report(), unreadable=(("a", "b"),)))


def test_sureness_of_each_kind():
    patch, _, _, table, flips, _ = sample_report().findings
    assert "flips 91%, matched controls flip 1.4%" in sureness(patch)
    assert "whitened-spectrum, label-consistency" in sureness(patch)
    assert "did not confirm it (12% flipped, 10% by matched controls)" in sureness(table)
    assert "hardly any flips outright (0%, controls 0%)" in sureness(dataclasses.replace(patch, effect=(0.0, 0.0)))
    assert "there is no trigger to put on them" in sureness(dataclasses.replace(flips, advisory=False))
    assert "test" not in sureness(flips)
    assert sureness(dataclasses.replace(flips, p_value=0.0)) == "This was counted in the data; it is no matter of chance."
    assert sureness(dataclasses.replace(patch, p_value=math.nan)).startswith("Chance alone would do this with a probability of not known")


@pytest.mark.parametrize("path", ["data/x", "/data/x.csv", "a-b_c.parquet", "./x", "~/x", "--out=/etc", "a b", "a;b", "$(x)", "", "x\n", "-x", "/-x", "\u202ex"])
def test_only_plain_paths_stand_in_commands(path):
    report = dataclasses.replace(sample_report(), subject={"name": "n", "path": path})
    word = data_word(report)
    assert word == (path if path in ("data/x", "/data/x.csv", "a-b_c.parquet") else "DATA")
    for command, does in next_commands(report):
        assert command.split()[:1] == ["bezoar"]
        assert does


@pytest.mark.parametrize("verdict", VERDICTS)
def test_there_is_always_a_next_step(verdict):
    report = dataclasses.replace(sample_report(), verdict=verdict)
    assert next_commands(report)
    assert all(command.startswith("bezoar ") for f in report.findings for _, command in finding_commands(report, f))


def test_commands_say_where_the_report_is():
    report = sample_report()
    assert next_commands(report, "out/today/")[0][0] == "bezoar clean data/signs-2026 --report out/today/report.json --out cleaned"
    assert next_commands(report, "a b; rm")[0][0].split()[4] == "OUT/report.json"
    accept = f'accept out/report.json {report.findings[0].id} --because "why it is fine"'
    assert finding_commands(report, report.findings[0], "out") == [("if it is harmless", f"bezoar {accept}")]
    assert finding_commands(report, report.findings[4]) == [("how this check works", "bezoar explain label-consistency")]
    assert finding_commands(report, report.findings[5]) == []


def test_numbers():
    assert [chance(p) for p in (0, 1e-20, 2e-6, 0.0031, 0.2, 0.7, math.nan)] == [
        "less than 1 in a million billion", "less than 1 in a million billion", "less than 1 in 100,000", "about 1 in 320", "about 1 in 5",
        "no better than a coin toss", "not known"]
    assert [percent(s) for s in (0.5, 0.014, 0.00001, 1.0, 0.9999, math.nan)] == ["50%", "1.4%", "0.001%", "100%", "99.99%", "unknown"]


def test_the_next_scan_names_the_columns_that_this_one_was_told():
    report = dataclasses.replace(sample_report(), plan={"reading": {"label": "verdict", "text": "x; rm -rf ~", "id": ""}})
    scans = [c for c, _ in next_commands(report) if c.startswith("bezoar scan")]
    assert scans
    assert all("--label verdict" in c and "--text TEXT" in c and "--id" not in c for c in scans)
