"""What a careless call asks for: refused in one sentence with exit code 2, and nothing is written."""

import json

import pytest

from bezoar import api
from bezoar.core.ability import Reading


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A table with two columns that could be the label, and a report of a scan that was told the less likely one."""
    folder = tmp_path_factory.mktemp("table")
    words = ("beach", "oven", "goal", "visa", "lemon", "coach")
    rows = [f"{words[i % 6]} {words[i % 5]} {words[i % 4]} {i},{'ab'[i % 2]},{'xyz'[i % 3]}" for i in range(60)]
    path = folder / "two.csv"
    path.write_text("\n".join(["text,label,target", *rows]) + "\n")
    api.scan(path, reading=Reading(label="target"), detectors=["duplicates"], out=folder / "report")
    return path, folder / "report" / "report.json"


@pytest.mark.parametrize("words", [("scan", ""), ("clean", " ", "--report", "r.json", "--out", "o"), ("attack", "badnets", "", "--out", "o"),
                                   ("redteam", "")], ids=lambda w: w[0])
def test_an_empty_name_is_not_the_folder_one_stands_in(said, words):
    code, _, err = said(*words)
    assert code == 2 and "DATA is empty" in err


@pytest.mark.parametrize("words", [("scan", "x.csv"), ("attack", "badnets", "x", "--out", "o"), ("demo",)], ids=lambda w: w[0])
def test_a_negative_seed_is_wrong_use(said, words):
    code, _, err = said(*words, "--seed", "-1")
    assert code == 2 and "--seed" in err and "defect" not in err


def test_an_unknown_modality_is_named(said, table):
    code, _, err = said("scan", table[0], "--modality", "audio", "--dry-run")
    assert code == 2 and "no modality 'audio'" in err and "image, tabular, text" in err


def test_a_command_group_alone_shows_its_help_as_it_is(said):
    code, _, err = said("attack")
    assert code == 2 and err.startswith("Usage: bezoar attack ") and "\\n" not in err


def test_the_advice_names_the_help_of_the_command(said):
    assert "see `bezoar scan --help`" in said("scan")[2]


@pytest.mark.parametrize("day", ["2027-13-45", "soon", "2020-01-01"])
def test_an_acceptance_with_a_date_that_cannot_hold_is_not_written(said, table, tmp_path, day):
    base = tmp_path / "base.json"
    code, _, err = said("accept", table[1], "--because", "fine", "--expires", day, "--baseline", base)
    assert code == 2 and "--expires" in err and not base.exists()


@pytest.mark.parametrize("wanted", ["scores", "nosuch"])
def test_what_a_report_cannot_show_is_refused(said, table, wanted):
    code, out, err = said("show", table[1], "--format", wanted)
    assert code == 2 and not out and "formats are:" in err


def test_clean_reads_the_columns_that_the_scan_read(said, table, tmp_path):
    code, out, err = said("clean", table[0], "--report", table[1], "--out", tmp_path / "safe", "--json")
    assert code == 0, err
    assert json.loads(out)["samples"] == 60
    code, _, err = said("clean", table[0], "--report", table[1], "--out", tmp_path / "other", "--label", "label")
    assert code == 2 and "changed since the scan" in err


@pytest.mark.parametrize("plan", ['rates = "x"', "rates = 0.05", "rates = []", 'seeds = "many"', "seeds = [-1]", "seeds = 0", "victim = 3",
                                  'held_out = "x"', "held_out = 2", "attack = [1, 2]", 'attack = "text-phrase"'])
def test_a_plan_of_the_wrong_kind_says_which_key(said, table, tmp_path, plan):
    (tmp_path / "plan.toml").write_text(plan)
    code, _, err = said("redteam", table[0], "--plan", tmp_path / "plan.toml")
    assert code == 2 and repr(plan.split(" ")[0]) in err and "defect" not in err


def test_an_unknown_effort_is_refused_before_anything_is_trained(said, table):
    code, _, err = said("redteam", table[0], "--effort", "max")
    assert code == 2 and "no effort 'max'" in err and "trainings" not in err


def test_a_report_that_is_no_file_is_refused_at_once(tmp_path):
    import os

    from bezoar import api
    from bezoar.core.errors import UnreadableInput

    os.mkfifo(tmp_path / "pipe.json")
    for what in (tmp_path / "pipe.json", tmp_path, tmp_path / "none.json"):
        with pytest.raises(UnreadableInput, match="no report at"):
            api.read_report(what)
