"""The summary on the screen: says the verdict, what was not seen and what to type; fits its width."""

import dataclasses
import re

import numpy as np
import pytest
from rich.cells import cell_len
from sample_report import empty_report, quiet_report, sample_report

from bezoar.core.image_triggers import Patch
from bezoar.core.report import VERDICTS
from bezoar.reports.terminal import Terminal, half_blocks

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def told(report, **options):
    return Terminal(**options).render(report).decode()


def flat(text):
    return " ".join(text.split())


@pytest.mark.parametrize("width", [60, 72, 80, 100, 120])
@pytest.mark.parametrize("colour", [False, True])
def test_fits_the_width(width, colour):
    for report in (sample_report(), quiet_report(), empty_report()):
        for text in COLOUR.sub("", told(report, width=width, colour=colour)).split("\n"):
            assert cell_len(text) <= width, text


def test_says_what_matters():
    text = flat(told(sample_report(), width=120))
    assert "at least 204 of 10,000 samples, in 4 campaigns" in text
    assert "This run could not have seen sample-specific warping" in text
    assert "2 checks skipped and 1 check failed" in text
    assert "needs reference (give a trusted set with --reference)" in text
    assert "a 3x3 patch at the lower right" in text
    assert "confirmed 91%" in text
    assert "accepted" in text
    assert "advisory, does not count" in text
    assert "bezoar clean data/signs-2026 --report report.json" in text
    assert "stop/broken_001.png: truncated after 1,024 bytes" in text


def test_never_says_clean():
    text = flat(told(quiet_report())).replace("That is not the same as clean.", "").replace("clean datasets", "")
    assert "clean" not in text
    assert "found is 11 samples for token; anything smaller" in text


@pytest.mark.parametrize("verdict", VERDICTS)
def test_every_verdict_of_a_bare_report(verdict):
    text = told(empty_report(verdict))
    assert verdict.upper() in text
    assert "was not measured" in flat(text)


def test_colour_only_when_asked():
    assert "\x1b" not in told(sample_report())
    coloured = told(sample_report(), colour=True)
    assert "\x1b[" in coloured
    assert "▀" in coloured
    assert flat(COLOUR.sub("", coloured)).replace("▀", "").split()[:20] == flat(told(sample_report())).split()[:20]


def test_environment_changes_nothing(monkeypatch):
    before = told(sample_report(), colour=True)
    for key, value in (("NO_COLOR", "1"), ("COLUMNS", "40"), ("TERM", "dumb"), ("FORCE_COLOR", "1")):
        monkeypatch.setenv(key, value)
    assert told(sample_report(), colour=True) == before


def test_half_blocks_show_the_picture():
    picture = np.zeros((2, 2, 3), np.uint8)
    picture[0] = 255
    rows = half_blocks(picture)
    assert rows[0][0] == ((255, 255, 255), (255, 255, 255))
    assert rows[-1][0] == ((0, 0, 0), (0, 0, 0))
    big = half_blocks(np.full((300, 200, 4), 7, np.uint8))
    assert max(len(big) * 2, len(big[0])) <= 26
    assert big[0][0][0] == (7, 7, 7)


def test_an_odd_trigger_does_not_break_it():
    for shape in ((1, 1), (1, 7), (31, 2), (200, 300)):
        trigger = Patch(np.zeros((*shape, 3), np.uint8), np.ones(shape, np.float32), 0.0, 0.0)
        f = dataclasses.replace(sample_report().findings[0], trigger=trigger)
        assert told(dataclasses.replace(sample_report(), findings=(f,)), colour=True)


def test_many_findings_are_counted_not_listed():
    f = sample_report().findings[2]
    findings = tuple(dataclasses.replace(f, members=(str(i),)) for i in range(300))
    text = told(dataclasses.replace(sample_report(), findings=findings))
    assert "and 280 more in report.html and report.json" in flat(text)
    assert text.count("\n") < 250


def test_same_twice():
    assert told(sample_report()) == told(sample_report())
