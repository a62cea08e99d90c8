"""Stored files: what the reports say word for word, and a report of an earlier day that must still be read.

After a wanted change run the tests with BEZOAR_UPDATE_GOLDENS=1 and read the difference before committing it.
"""

import os
from pathlib import Path

import pytest
from sample_report import quiet_report, sample_report

from bezoar.reports.csv_report import CsvReport
from bezoar.reports.html_report import HtmlReport
from bezoar.reports.json_report import JsonReport, load
from bezoar.reports.sarif_report import SarifReport
from bezoar.reports.terminal import Terminal

FOLDER = Path(__file__).parent / "goldens"
GOLDEN = {
    "rich.txt": lambda: Terminal(width=100).render(sample_report()), "quiet.txt": lambda: Terminal(width=60).render(quiet_report()),
    "rich.csv": lambda: CsvReport().render(sample_report()), "quiet.json": lambda: JsonReport().render(quiet_report()),
    "quiet.sarif": lambda: SarifReport().render(quiet_report()), "quiet.html": lambda: HtmlReport().render(quiet_report())}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden(name):
    made, path = GOLDEN[name](), FOLDER / name
    if os.environ.get("BEZOAR_UPDATE_GOLDENS"):
        FOLDER.mkdir(exist_ok=True)
        path.write_bytes(made)
    assert made == path.read_bytes()


def test_nothing_else_is_stored():
    assert {p.name for p in FOLDER.iterdir()} == set(GOLDEN)


def test_a_stored_report_is_still_read():
    """`data/report-0.1.0.json` was written by 0.1.0; no later version may fail on it or name its findings otherwise."""
    data = (Path(__file__).parent / "data" / "report-0.1.0.json").read_bytes()
    report = load(data)
    assert [f.id for f in report.findings] == ["bz-c7a0396df599c8d9", "bz-7035656e09905894", "bz-4d50cdd60878d9fb"]
    assert [f.trigger.kind for f in report.findings if f.trigger] == ["patch", "phrases", "values"]
    assert report.verdict == "poisoned"
    assert HtmlReport().render(report)
