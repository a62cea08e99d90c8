"""report.sarif: SARIF 2.1.0 as code-scanning views read it.

`data/sarif-2.1.0-subset.json` is a closed schema, written for this test, of the part of SARIF 2.1.0 that we emit: names,
types, enumerations and required properties as in the standard, nothing else allowed.
"""

import dataclasses
import json
from pathlib import Path

import jsonschema
import pytest
from sample_report import empty_report, quiet_report, sample_report

from bezoar.core.taxonomy import THREATS
from bezoar.reports.sarif_report import MOST_LOCATIONS, MOST_RESULTS, SarifReport, uri

SCHEMA = json.loads((Path(__file__).parent / "data" / "sarif-2.1.0-subset.json").read_text())


def run_of(report):
    log = json.loads(SarifReport().render(report))
    jsonschema.Draft202012Validator(SCHEMA).validate(log)
    return log["runs"][0]


@pytest.mark.parametrize("report", [sample_report(), quiet_report(), empty_report(), empty_report("no evidence")], ids=["rich", "quiet", "bare", "none"])
def test_valid(report):
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    run_of(report)


def test_the_schema_can_fail():
    log = json.loads(SarifReport().render(sample_report()))
    for change in ({"level": "fatal"}, {"ruleindex": 0}, {"message": "text"}, {"rank": 101}, {"suppressions": [{"kind": "external", "status": "ok"}]}):
        broken = json.loads(json.dumps(log))
        broken["runs"][0]["results"][0].update(change)
        assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(broken), change


def test_one_result_per_campaign_with_its_rule():
    report = sample_report()
    run = run_of(report)
    rules = run["tool"]["driver"]["rules"]
    assert len(run["results"]) == len(report.findings) == 6
    for result, finding in zip(run["results"], report.findings, strict=True):
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"] == finding.threat
        assert result["partialFingerprints"] == {"bezoarFinding/v1": finding.id}
    assert [r["level"] for r in run["results"]] == ["error", "error", "error", "warning", "note", "warning"]


def test_accepted_findings_are_suppressed_and_no_others():
    report = sample_report()
    kinds = [bool(r["suppressions"]) for r in run_of(report)["results"]]
    assert kinds == [f.id in report.accepted for f in report.findings]
    assert sum(kinds) == 1


def test_files_are_physical_and_rows_logical():
    results = run_of(sample_report())["results"]
    first = results[0]["locations"][0]["physicalLocation"]["artifactLocation"]
    assert first["uriBaseId"] == "DATA"
    assert first["uri"].startswith("speed%20limit%2045/vendor-b_")
    assert "physicalLocation" not in results[2]["locations"][0]
    assert results[2]["locations"][0]["logicalLocations"][0]["name"] == "ticket-40000"


def test_gaps_are_notifications():
    call = run_of(sample_report())["invocations"][0]
    assert call["executionSuccessful"] is False
    assert [n["descriptor"]["id"] for n in call["toolExecutionNotifications"]] == ["partition-differential"]
    assert [n["descriptor"]["id"] for n in call["toolConfigurationNotifications"]] == ["reference-drift", "group-bias"]
    assert run_of(quiet_report())["invocations"][0]["executionSuccessful"] is True


def test_taxonomies_are_named_with_their_edition_and_resolve():
    run = run_of(sample_report())
    for result in run["results"]:
        for taxon in result["taxa"]:
            scheme = run["taxonomies"][taxon["toolComponent"]["index"]]
            assert scheme["name"] == taxon["toolComponent"]["name"]
            assert taxon["id"] in {t["id"] for t in scheme["taxa"]}
    assert {t["version"] for t in run["taxonomies"]} >= {"MITRE ATLAS 5.6.0 (2026-04-30)", "NIST AI 100-2 E2025"}


@pytest.mark.parametrize("threat", THREATS)
def test_every_threat_makes_a_rule(threat):
    f = dataclasses.replace(sample_report().findings[0], threat=threat)
    rule = run_of(dataclasses.replace(sample_report(), findings=(f,), accepted=()))["tool"]["driver"]["rules"][0]
    assert rule["id"] == threat
    assert rule["name"].isalnum()


def test_caps_are_kept_and_said():
    f = sample_report().findings[2]
    big = dataclasses.replace(f, members=tuple(f"ticket-{i}" for i in range(250)))
    many = tuple(dataclasses.replace(f, members=(str(i),)) for i in range(MOST_RESULTS + 3))
    run = run_of(dataclasses.replace(sample_report(), findings=(big,), accepted=()))
    assert len(run["results"][0]["locations"]) == MOST_LOCATIONS
    assert run["results"][0]["properties"]["membersLeftOut"] == 150
    run = json.loads(SarifReport().render(dataclasses.replace(sample_report(), findings=many, accepted=())))["runs"][0]
    assert len(run["results"]) == MOST_RESULTS
    assert run["properties"]["resultsLeftOut"] == 3


def test_same_twice():
    assert SarifReport().render(sample_report()) == SarifReport().render(sample_report())


@pytest.mark.parametrize(("sample", "expected"), [
    ("a/b.png", "a/b.png"), ("a b/ü.jpg", "a%20b/%C3%BC.jpg"), ("x%2e.png", "x%252e.png"), ("17", None), ("a/../b.png", None), ("/a.png", None),
    ("a//b.png", None), ("C:\\a.png", "C%3A%5Ca.png"), ("a/b#c.png", "a/b%23c.png"), ("a?b.png", "a%3Fb.png"), (".png", None), ("http://e/x.png", None)])
def test_uri(sample, expected):
    assert uri(sample) == expected
