"""The command line as a user types it: a planted phrase is found, gated, accepted, cleaned, restored."""

import errno
import json
import os
import subprocess
import sys

import pytest


@pytest.fixture(scope="module")
def scanned(bezoar, desk, tmp_path_factory):
    out = tmp_path_factory.mktemp("scan") / "report"
    return out, bezoar("scan", "mails.csv", "--out", out, cwd=desk)


def test_the_planted_phrase_is_found_shown_and_gates(scanned, desk):
    out, done = scanned
    assert done.code == 1, done.err
    assert "label column: 'verdict'" in done.err
    report = json.loads((out / "report.json").read_text())
    planted = set((desk / "truth.txt").read_text().split())
    found = {m for f in report["findings"] if not f["advisory"] for m in f["quarantined"]}
    assert report["verdict"] == "poisoned"
    assert len(found & planted) >= 23 and len(found - planted) <= 5
    assert any("blue lantern" in json.dumps(f["trigger"]) for f in report["findings"])
    assert "blue lantern" in done.out
    assert sorted(p.name for p in out.iterdir()) == ["report.html", "report.json", "report.sarif", "scores.parquet"]


def test_json_is_all_that_stdout_holds(bezoar, desk, tmp_path):
    done = bezoar("scan", "trusted.csv", "--out", tmp_path / "r", "--json", cwd=desk)
    assert done.code == 0, done.err
    assert json.loads(done.out)["verdict"] == "no evidence"


def test_the_same_bytes_give_the_same_report(bezoar, desk, tmp_path, scanned):
    again = bezoar("scan", "mails.csv", "--out", tmp_path / "r", "--workers", "1", "-q", cwd=desk)
    assert again.code == 1

    def timeless(path):
        report = json.loads(path.read_text())
        report.pop("seconds")
        for line in report["outcomes"]:
            line.pop("seconds")
        return report

    assert timeless(tmp_path / "r" / "report.json") == timeless(scanned[0] / "report.json")
    assert (tmp_path / "r" / "scores.parquet").read_bytes() == (scanned[0] / "scores.parquet").read_bytes()


def test_an_accepted_finding_no_longer_fails_the_build(bezoar, desk, tmp_path, scanned):
    report = scanned[0] / "report.json"
    base = tmp_path / "base.json"
    assert bezoar("accept", report, "--baseline", base, cwd=desk).code == 2
    assert bezoar("accept", report, "--baseline", base, "--because", "reviewed", cwd=desk).code == 0
    done = bezoar("scan", "mails.csv", "--out", tmp_path / "r", "--baseline", base, "-q", cwd=desk)
    assert done.code == 0, done.out
    gone = json.loads(base.read_text())
    for entry in gone["accepted"]:
        entry["expires"] = "2001-01-01"
    base.write_text(json.dumps(gone))
    assert bezoar("scan", "mails.csv", "--out", tmp_path / "r2", "--baseline", base, "-q", cwd=desk).code == 1


def test_clean_then_restore_gives_the_same_bytes(bezoar, desk, tmp_path, scanned):
    done = bezoar("clean", "mails.csv", "--report", scanned[0] / "report.json", "--out", tmp_path / "safe", "--allow-more", cwd=desk)
    assert done.code == 0, done.err
    assert bezoar("restore", tmp_path / "safe", "--out", tmp_path / "again", cwd=desk).code == 0
    back = [p for p in (tmp_path / "again").rglob("*") if p.is_file()] if (tmp_path / "again").is_dir() else [tmp_path / "again"]
    assert (desk / "mails.csv").read_bytes() in [p.read_bytes() for p in back]


@pytest.mark.parametrize(("words", "code", "said"), [
    (("scan", "nowhere.csv"), 2, "nothing at nowhere.csv"),
    (("scan", "mails.csv", "--label", "lable"), 2, "verdict"),
    (("scan", "mails.csv", "--effort", "heroic"), 2, "quick"),
    (("scan", "mails.csv", "--fail-on", "never-ever"), 2, "suspicious"),
    (("scan", "mails.csv", "--detector", "crystal-ball"), 2, "association"),
    (("scan", "mails.csv", "--alpha", "2"), 2, "error rates"),
    (("scan",), 2, "help"),
    (("explain", "assosiation"), 2, "association"),
    (("list", "--shelf", "cellar"), 2, "detectors"),
    (("attack", "text-word", "mails.csv", "--out", "x", "--rate", "0"), 2, "rate"),
    (("attack", "text-word", "mails.csv", "--out", "x", "--target", "nobody"), 2, "sport"),
    (("clean", "mails.csv", "--report", "mails.csv", "--out", "x"), 2, "report"),
    (("restore", "photos", "--out", "x"), 2, ""),
])
def test_mistakes_get_one_clear_sentence(bezoar, desk, tmp_path, words, code, said):
    before = sorted(p.name for p in desk.iterdir())
    done = bezoar(*words, *(("--out", tmp_path / "r") if words[0] == "scan" and len(words) > 1 else ()), cwd=desk)
    assert done.code == code, done.err
    assert said in done.err and "Traceback" not in done.err and len(done.err) < 2000
    assert sorted(p.name for p in desk.iterdir()) == before, "nothing is written on an error"


def test_dry_run_says_the_cost_and_writes_nothing(bezoar, desk, tmp_path):
    done = bezoar("scan", "mails.csv", "--dry-run", "--json", "--out", tmp_path / "r", cwd=desk)
    plan = json.loads(done.out)
    assert done.code == 0 and plan["samples"] == 800 and plan["seconds"] > 0 and not (tmp_path / "r").exists()
    assert bezoar("scan", "mails.csv", "--dry-run", "--fdr", "7", cwd=desk).code == 2, "a dry run refuses what the run would refuse"


def test_list_and_explain_read_the_registry(bezoar, desk):
    cards = json.loads(bezoar("list", "--json", cwd=desk).out)
    assert {c["shelf"] for c in cards} == {"modalities", "sources", "detectors", "attacks", "victims", "auditors", "repairs", "reports"}
    assert "Fails" in bezoar("explain", "bad-source", cwd=desk).out


def test_version(bezoar, desk):
    assert bezoar("--version", cwd=desk).out.startswith("bezoar 0.")


def _run(words, cwd, **how):
    return subprocess.Popen([sys.executable, "-W", "ignore", "-m", "bezoar.cli.main", *map(str, words)], cwd=cwd, stderr=subprocess.PIPE, **how)


@pytest.mark.parametrize("form", ["terminal", "html"])
def test_a_reader_that_leaves_changes_nothing(desk, scanned, form):
    report = scanned[0] / "report.json"
    left = _run(["show", report, "--format", form], desk, stdout=subprocess.PIPE)
    left.stdout.close()
    assert left.wait(60) == 0 and left.stderr.read() == b""


def test_the_exit_code_of_a_scan_is_true_without_a_reader_and_without_an_output(desk, tmp_path):
    left = _run(["scan", desk / "mails.csv", "--out", tmp_path / "r", "-q"], desk, stdout=subprocess.PIPE)
    left.stdout.close()
    assert left.wait(120) == 1 and left.stderr.read() == b""
    closed = subprocess.run(["sh", "-c", f"{sys.executable} -W ignore -m bezoar.cli.main scan {desk / 'mails.csv'} --out {tmp_path / 'q'} -q >&-"],
                            cwd=desk, check=False, timeout=120, capture_output=True)
    assert closed.returncode == 1 and closed.stderr == b""


@pytest.mark.parametrize(("number", "code", "sentence"), [(errno.ENOSPC, 3, "No space left on device"), (errno.EACCES, 2, "Permission denied"),
                                                      (errno.EROFS, 2, "Read-only file system")])
def test_what_the_file_system_refuses_is_said_in_a_sentence(monkeypatch, said, tmp_path, number, code, sentence):
    from bezoar import api

    def refuse(*_, **__):
        raise OSError(number, os.strerror(number), str(tmp_path / "there"))

    monkeypatch.setattr(api, "accept", refuse)
    ended, _, err = said("accept", tmp_path / "report.json", "--because", "x")
    assert ended == code and f"{tmp_path / 'there'} cannot be written or read: {sentence}" in err and "defect" not in err
