"""report.json: valid against its published schema, the same twice, back without loss, and nothing hostile gets in."""

import base64
import copy
import json
import math
import subprocess
import sys
import zlib
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from sample_report import empty_report, quiet_report, sample_report

import bezoar.reports.json_report as module
from bezoar.core.errors import BezoarError, LimitExceeded, UnreadableInput
from bezoar.core.report import VERDICTS, Report
from bezoar.reports.json_report import JsonReport, load, plain, schema

REPORTS = {"rich": sample_report(), "quiet": quiet_report(), "empty": empty_report()}
PUBLISHED = Path(__file__).parents[2] / "docs" / "schema" / "report-1.json"


def raw(name: str = "rich") -> dict:
    return copy.deepcopy(json.loads(JsonReport().render(REPORTS[name])))


def data_of(document: dict) -> bytes:
    return json.dumps(document).encode()


@pytest.mark.parametrize("name", REPORTS)
def test_valid_against_the_schema(name):
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.Draft202012Validator(schema()).validate(raw(name))


def test_published_schema_is_the_one_in_use():
    assert json.loads(PUBLISHED.read_text()) == schema()


@pytest.mark.parametrize("name", REPORTS)
def test_back_without_loss(name):
    data = JsonReport().render(REPORTS[name])
    back = load(data)
    assert JsonReport().render(back) == data
    assert [f.id for f in back.findings] == [f.id for f in REPORTS[name].findings]
    assert back.counted == tuple(f for f in back.findings if not f.advisory and f.id not in back.accepted)


def test_the_same_twice_and_in_schema_order():
    assert JsonReport().render(sample_report()) == JsonReport().render(sample_report())
    assert list(raw())[:4] == ["schema", "subject", "verdict", "reason"]
    assert set(raw()) == set(schema()["required"])


def test_the_page_about_it_names_every_key():
    page = (PUBLISHED.parent / "README.md").read_text(encoding="utf-8")
    finding = schema()["$defs"]["finding"]["properties"]
    told = {"schema", "seconds", "kind", "title", "target", "count", "evidence"}  # plain from their names
    assert [k for k in (*schema()["properties"], *finding) if f"`{k}`" not in page and k not in told] == []


def test_contract_of_the_design_is_kept():
    """The keys that are promised to whoever reads the file."""
    d = raw()
    assert d["schema"] == "bezoar.report/1"
    assert {"kind", "name", "modality", "samples", "classes", "fingerprint"} <= set(d["subject"])
    assert {"id", "kind", "channel", "title", "target", "count", "members", "p_value", "suspicion", "confirmed", "trigger", "origin", "threat",
            "evidence", "advice"} <= set(d["findings"][0])
    assert d["findings"][0]["origin"]["source"] == {"vendor-b": 97}
    assert d["findings"][0]["count"] == len(d["findings"][0]["members"]) == 97
    assert schema()["properties"]["verdict"]["enum"] == list(VERDICTS)


def test_no_nan_and_numpy_is_plain():
    import dataclasses

    f = dataclasses.replace(sample_report().findings[0], p_value=math.nan, suspicion=math.nan)
    r = dataclasses.replace(sample_report(), findings=(f,), plan={"a": np.int64(3), "b": np.nan, "c": {1.5: np.arange(2)}, "d": {"z", "y"}})
    d = json.loads(JsonReport().render(r), parse_constant=lambda c: pytest.fail(c))
    assert d["findings"][0]["p_value"] is None
    assert d["plan"] == {"a": 3, "b": None, "c": {"1.5": [0, 1]}, "d": ["y", "z"]}
    assert math.isnan(load(JsonReport().render(r)).findings[0].p_value)
    assert plain(Path("x")) == "x"


def test_indent_zero_is_one_line():
    assert JsonReport(indent=0).render(quiet_report()).count(b"\n") == 1


def packed(shape: list[int], dtype: str = "|u1", raw_bytes: bytes = b"") -> dict:
    return {"dtype": dtype, "shape": shape, "zlib": base64.b64encode(zlib.compress(raw_bytes)).decode()}


def picture(pixels: dict) -> dict:
    return {"kind": "picture", "pixels": pixels, "caption": "", "sample": "", "enlarge": 1}


def with_overview(*evidence: dict) -> bytes:
    return data_of({**raw("quiet"), "overview": list(evidence)})


def changed(**values: object) -> bytes:
    return data_of({**raw("quiet"), **values})


def broken_finding(**values: object) -> bytes:
    d = raw()
    d["findings"] = [{**d["findings"][0], **values}]
    return data_of(d)


FAULTS = {
    "empty": b"", "not json": b"{", "not utf-8": b"\xff\xfe{}", "a list": b"[]", "a number": b"3", "null": b"null", "no schema": b"{}",
    "other schema": changed(schema="bezoar.report/99"), "extra key": changed(extra=1), "missing key": data_of({"schema": "bezoar.report/1"}),
    "nan": JsonReport().render(quiet_report()).replace(b'"alpha": 0.01', b'"alpha": NaN'),
    "infinity": JsonReport().render(quiet_report()).replace(b'"alpha": 0.01', b'"alpha": 1e999'),
    "huge integer": JsonReport().render(quiet_report()).replace(b'"seed": 0', b'"seed": ' + b"9" * 5000),
    "key twice": JsonReport().render(quiet_report()).replace(b'"seed": 0', b'"seed": 0, "seed": 1'),
    "deep": b"[" * 100_000 + b"]" * 100_000, "deep objects": b'{"a":' * 5000 + b"1" + b"}" * 5000, "unclosed": b'"' + b'\\"' * 200_000,
    "verdict clean": changed(verdict="clean"), "alpha text": changed(alpha="0.01"), "negative count": changed(poisoned_at_least=-1),
    "findings an object": changed(findings={}), "finding a text": changed(findings=["x"]), "member a number": broken_finding(members=[1]),
    "late member a number": broken_finding(members=["a"] * 500 + [1]), "threat unknown": broken_finding(threat={"key": "x", "name": "x", "editions": {}}),
    "trigger unknown": broken_finding(trigger={"kind": "exec", "modality": "image"}), "trigger with more": broken_finding(
        trigger={"kind": "phrases", "modality": "text", "phrases": ["a"], "place": "end", "code": "x"}),
    "p-value 7": broken_finding(p_value=7), "effect of one": broken_finding(effect=[0.5]),
    "object array": with_overview(picture(packed([1], "|O8"))), "array too short": with_overview(picture(packed([4, 4, 3], raw_bytes=b"123"))),
    "bomb": with_overview(picture(packed([1 << 20, 1 << 20]))), "many bombs": with_overview(*[picture(packed([60 << 20])) for _ in range(20)]),
    "negative shape": with_overview(picture(packed([-1, 3]))), "not base64": with_overview(picture({**packed([1]), "zlib": "*"})),
    "not zlib": with_overview(picture({**packed([1]), "zlib": "AAAA"})), "unknown evidence": with_overview({"kind": "script", "code": "x"}),
    "evidence with more": with_overview({**picture(packed([0])), "more": 1}),
    "lying bomb": with_overview(picture({**packed([3]), "zlib": base64.b64encode(zlib.compress(bytes(50 << 20), 9)).decode()})),
}


@pytest.mark.parametrize("name", FAULTS)
def test_refused_with_cause_and_cure(name):
    with pytest.raises(BezoarError) as caught:
        load(FAULTS[name])
    assert isinstance(caught.value, (UnreadableInput, LimitExceeded))
    assert caught.value.advice
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


def test_size_limit():
    data = JsonReport().render(quiet_report())
    with pytest.raises(LimitExceeded, match="bytes"):
        load(data, most_bytes=len(data) - 1)
    assert load(data, most_bytes=len(data)).verdict == "no evidence"


def test_depth_is_measured_outside_texts_only():
    d = raw("quiet")
    d["notes"] = ["[" * 1000 + "\\\"{"]
    assert load(data_of(d)).notes[0].startswith("[[[")
    assert module._depth('{"a": [1, {"b": "]}"}]}') == 3


def test_every_key_of_a_finding_is_required():
    d = raw()
    for key in list(d["findings"][0]):
        broken = copy.deepcopy(d)
        del broken["findings"][0][key]
        with pytest.raises(UnreadableInput):
            load(data_of(broken))


def test_large_reports_load_quickly():
    import dataclasses
    import time

    f = dataclasses.replace(sample_report().findings[0], members=tuple(f"m{i}" for i in range(200_000)))
    data = JsonReport().render(dataclasses.replace(sample_report(), findings=(f,)))
    started = time.process_time()
    assert len(load(data).findings[0].members) == 200_000
    assert time.process_time() - started < 5


def test_from_dict_is_what_load_uses():
    assert isinstance(load(JsonReport().render(sample_report())), Report)


def test_older_schemas_are_upgraded_step_by_step(monkeypatch):
    older = {k: v for k, v in raw("quiet").items() if k not in ("reason", "accepted")}
    monkeypatch.setitem(module.UPGRADES, "bezoar.report/0", lambda d: {**d, "schema": "bezoar.report/0.5", "reason": "from 0"})
    monkeypatch.setitem(module.UPGRADES, "bezoar.report/0.5", lambda d: {**d, "schema": "bezoar.report/1", "accepted": []})
    assert load(data_of({**older, "schema": "bezoar.report/0"})).reason == "from 0"
    with pytest.raises(UnreadableInput):
        load(data_of({**older, "schema": "bezoar.report/0.4"}))


SAME = """
import hashlib, sys
sys.path.insert(0, {folder!r})
from sample_report import sample_report
from bezoar import registry
for name, cls in sorted(registry.shelf("reports").items()):
    print(name, hashlib.sha256(cls().render(sample_report())).hexdigest())
"""


def test_no_report_depends_on_the_hash_seed():
    import os
    import subprocess
    import sys

    told = {subprocess.run([sys.executable, "-c", SAME.format(folder=str(Path(__file__).parent))], check=True, capture_output=True, text=True,
                           env={**os.environ, "PYTHONHASHSEED": seed}).stdout for seed in ("0", "1")}
    assert len(told) == 1
    assert [x.split()[0] for x in told.pop().splitlines()] == ["csv", "html", "json", "sarif", "scores", "terminal"]


def test_a_report_is_read_before_anything_else_was_imported(tmp_path):
    (tmp_path / "report.json").write_bytes(JsonReport().render(sample_report()))
    code = "import bezoar, sys; print(sum(f.trigger is not None for f in bezoar.read_report(sys.argv[1]).findings))"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "report.json")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == sum(f.trigger is not None for f in sample_report().findings) > 0
