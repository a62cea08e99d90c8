"""Lineage both ways, the graph page, other people's formats, the register of sources, and incidents to their signed end."""

import json
import re
from html.parser import HTMLParser

import pytest

from bezoar.core.errors import UnreadableInput, UsageError
from bezoar.core.finding import Finding
from bezoar.core.report import OutcomeLine, Report, Sensitivity
from bezoar.provenance import exports, incident, lineage, lineage_page, register, signing, statement
from bezoar.provenance.guard import Trust, verify
from bezoar.provenance.lineage import Signed
from bezoar.provenance.refusals import NotTrusted
from bezoar.provenance.rows import Record
from bezoar.provenance.statement import Scan

FINDING = Finding("association", "f" * 64, "group", "a patch in class stop", ("stop/1.txt", "stop/2.txt"), "backdoor-dirty-label", 1e-9, 0.99,
                  target="stop", origin={"source": {"vendor-b": 2}, "contributor": {"mallory": 2}})
REPORT = Report(subject={"kind": "dataset", "name": "signs", "modality": "text", "samples": 4, "classes": 2, "fingerprint": "f" * 64},
                verdict="poisoned", alpha=0.01, poisoned_at_least=2, findings=(FINDING,),
                outcomes=(OutcomeLine("association", "found"), OutcomeLine("spectra", "skipped", "needs a signal")),
                sensitivity=(Sensitivity("patch", 12, (8, 20)),))
RAW = json.dumps(REPORT.to_dict()).encode()


@pytest.fixture
def world(desk, data):
    """signs v1 (vendor-a) -> v2 -> model; lamps (vendor-b) -> model; other model from lamps only."""
    from hashlib import sha256

    desk.sign(data, "signs1.sig", source="vendor-a", licence="CC-BY-4.0")
    (data / "stop/3.txt").write_text("three stops")
    desk.sign(data, "signs2.sig", previous="signs1.sig", source="vendor-a", how="bezoar clean 0.1.0",
              scan=Scan("poisoned", sha256(RAW).hexdigest(), "f" * 64))
    lamps = data.parent / "lamps"
    lamps.mkdir()
    (lamps / "copy of two.txt").write_text("two")
    desk.sign(lamps, "lamps.sig", dataset="lamps", source="vendor-b", key="bob")
    digest = {n: statement.parse(signing.read_signature(desk.place / f"{n}.sig").payload).digest for n in ("signs1", "signs2", "lamps")}
    weights = data.parent / "weights.bin"
    for name, inputs in (("model-a", ("signs2", "lamps")), ("model-b", ("lamps",))):
        weights.write_text(name)
        desk.sign(weights, f"{name}.sig", dataset=name, kind="model", inputs=tuple(digest[i] for i in inputs), how="train.py 3.1")
    names = ("signs1", "signs2", "lamps", "model-a", "model-b")
    parsed = [signing.read_signature(desk.place / f"{n}.sig") for n in names]
    return [Signed(statement.parse(e.payload), tuple(h for h, _ in e.signatures), True) for e in parsed]


def graph_of(world, persons=None, tables=None):
    from hashlib import sha256

    return lineage.build(world, {sha256(RAW).hexdigest(): REPORT}, tables or {}, persons or {})


def labels(rows, kind):
    return sorted(r["label"] for r in rows if r["kind"] == kind)


def test_what_stands_behind_a_model(world, keys):
    told = lineage.trace(graph_of(world, {keys["alice"].public.id: "Alice", keys["bob"].public.id: "Bob"}), "model-a")["of"][0]
    assert labels(told["behind"], "source") == ["vendor-a", "vendor-b"]
    assert labels(told["behind"], "dataset") == ["lamps version 1", "signs version 1", "signs version 2"]
    assert set(labels(told["behind"], "person")) == {"Alice", "Bob", "mallory"}
    assert labels(told["behind"], "finding") == ["a patch in class stop"] and not told["reached"]


def test_how_far_a_source_a_finding_and_a_person_reach(world):
    graph = graph_of(world)
    assert labels(lineage.trace(graph, "vendor-b")["of"][0]["reached"], "model") == ["model-a version 1", "model-b version 1"]
    assert labels(lineage.trace(graph, "vendor-a")["of"][0]["reached"], "model") == ["model-a version 1"]
    assert labels(lineage.trace(graph, FINDING.id)["of"][0]["reached"], "model") == ["model-a version 1"]
    assert labels(lineage.trace(graph, "mallory")["of"][0]["reached"], "model") == ["model-a version 1"]


def test_one_record_also_under_another_name(world):
    graph = graph_of(world)
    assert lineage.place_record(graph, "stop/2.txt", world, {})
    told = lineage.trace(graph, "stop/2.txt")["of"][0]
    assert labels(told["reached"], "dataset") == ["lamps version 1", "signs version 1", "signs version 2"]
    assert labels(told["reached"], "model") == ["model-a version 1", "model-b version 1"]
    assert "is in, as copy of two.txt" in {r["relation"] for r in told["reached"]}
    later = graph_of(world)
    lineage.place_record(later, "stop/3.txt", world, {})
    assert labels(lineage.trace(later, "stop/3.txt")["of"][0]["reached"], "model") == ["model-a version 1"]


def test_rows_of_tables_with_their_columns(world):
    lamps = next(s.statement.digest for s in world if s.statement.about.dataset == "lamps")
    tables = {lamps: [Record("r1", b"x", "red", "shop", "carol"), Record("r2", b"y", "red", "street", "dave")]}
    graph = graph_of(world, tables=tables)
    assert lineage.place_record(graph, "r1", world, tables)
    told = lineage.trace(graph, "r1")["of"][0]
    assert labels(told["behind"], "person") == ["carol"] and labels(told["behind"], "source") == ["shop"]
    assert labels(lineage.trace(graph, "dave")["of"][0]["reached"], "model") == ["model-a version 1", "model-b version 1"]


def test_nothing_of_that_name(world):
    with pytest.raises(UsageError, match="nothing here is called"):
        lineage.trace(graph_of(world), "nobody")


class Skeleton(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.outside = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.outside += [v for k, v in attrs if k in ("src", "href", "onload", "onclick")]


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "\"><img src=x onerror=1>", "a\u202eb", "</svg><b>", "x" * 5000, "&lt;", "\x1b[31m"])
def test_the_page_is_safe_whatever_names_say(world, name):
    def page(word):
        graph = graph_of(world)
        graph.arrow(graph.node("source:evil", "source", word, note=word), word, next(iter(graph.nodes)))
        told = lineage.trace(graph, "evil")
        return lineage_page.page(graph, told)

    shape = []
    for word in ("x", name):
        seen = Skeleton()
        seen.feed(page(word).decode())
        assert not seen.outside and "script" not in seen.tags
        shape.append(seen.tags)
    assert shape[0] == shape[1]
    assert b"Content-Security-Policy" in page(name) and b"\x1b" not in page(name) and "\u202e".encode() not in page(name)


# --- formats -----------------------------------------------------------------------------------------------------------------------


def test_cyclonedx_validates_against_its_schema(world):
    validation = pytest.importorskip("cyclonedx.validation.json")
    from cyclonedx.schema import SchemaVersion

    bom = exports.export("cyclonedx", world)
    assert validation.JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bom)) is None
    assert [c["type"] for c in bom["components"]].count("machine-learning-model") == 2
    model = next(c for c in bom["components"] if c["name"] == "model-a")
    assert len(model["modelCard"]["modelParameters"]["datasets"]) == 2
    bom["components"][0]["type"] = "spell"
    assert validation.JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bom)) is not None


@pytest.mark.filterwarnings("ignore")
def test_croissant_is_read_by_its_own_library(world):
    croissant = pytest.importorskip("mlcroissant")
    document = exports.export("croissant", [s for s in world if s.statement.about.dataset == "signs"])
    metadata = croissant.Dataset(jsonld=document).metadata
    assert metadata.name == "signs" and len(metadata.distribution) == 5 and not metadata.ctx.issues.errors
    assert {d.sha256 for d in metadata.distribution} == {d.hex() for d in world[1].statement.digests.values()}


def test_spdx_is_read_by_its_own_library_against_its_shapes(world):
    models = pytest.importorskip("spdx_python_model")
    document = exports.export("spdx", world)
    model, held = models.load_data(document)
    assert model is models.v3_0_1
    assert len(list(held.foreach_type(model.ai_AIPackage))) == 2 and len(list(held.foreach_type(model.dataset_DatasetPackage))) == 3
    assert not held.missing_ids
    for part in document["@graph"]:  # a value that the shapes do not know is refused: the library does check
        if part["type"] == "Relationship":
            part["relationshipType"] = "spelledBy"
    with pytest.raises(ValueError, match="spelledBy"):
        models.load_data(document)


def _facets(part):
    base = {"type": "object", "required": ["_producer", "_schemaURL"],
            "properties": {"_producer": {"type": "string", "format": "uri"}, "_schemaURL": {"type": "string", "format": "uri"}}}
    return {"type": "object", "required": list(part), "properties": {**part, "facets": {"type": "object", "additionalProperties": base}}}


def test_openlineage_events_have_what_version_2_of_the_specification_asks_for(world):
    import jsonschema

    named = {"namespace": {"type": "string", "minLength": 1}, "name": {"type": "string", "minLength": 1}}
    datasets = {"type": "array", "items": _facets(named)}
    event = {"type": "object", "required": ["eventTime", "producer", "schemaURL", "run", "job"],
             "properties": {"eventType": {"enum": ["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"]},
                            "eventTime": {"type": "string", "format": "date-time"}, "producer": {"type": "string", "format": "uri"},
                            "schemaURL": {"type": "string", "format": "uri", "pattern": "^https://openlineage.io/spec/2-"},
                            "run": _facets({"runId": {"type": "string", "format": "uuid"}}), "job": _facets(named),
                            "inputs": datasets, "outputs": datasets}}
    events = exports.export("openlineage", world)
    check = jsonschema.Draft202012Validator(event, format_checker=jsonschema.FormatChecker())
    for e in events:
        check.validate(e)
        assert all("datasetVersion" in d["facets"]["version"] for d in (*e["inputs"], *e["outputs"]) if "facets" in d)
    with pytest.raises(jsonschema.ValidationError):
        check.validate({**events[0], "run": {"runId": "seven"}})


def test_openlineage_and_spdx_say_what_the_statements_say(world):
    events = exports.export("openlineage", world)
    assert len(events) == 5 and all(e["eventType"] == "COMPLETE" and re.fullmatch(r"[0-9a-f-]{36}", e["run"]["runId"]) for e in events)
    trained = next(e for e in events if e["outputs"][0]["name"] == "model:model-a")
    assert {i["name"] for i in trained["inputs"]} == {"dataset:signs", "dataset:lamps"} and trained["job"]["name"] == "train.py 3.1"
    document = exports.export("spdx", world)
    kinds = [p["type"] for p in document["@graph"]]
    assert kinds.count("ai_AIPackage") == 2 and kinds.count("dataset_DatasetPackage") == 3
    assert [p["relationshipType"] for p in document["@graph"] if p["type"] == "Relationship"].count("trainedOn") == 3
    ids = [p["spdxId"] for p in document["@graph"] if "spdxId" in p]
    assert len(ids) == len(set(ids))
    assert exports.export("spdx", world) == document  # the same statements, the same document
    with pytest.raises(UsageError):
        exports.export("x", world)
    with pytest.raises(UsageError):
        exports.export("spdx", [])


# --- the register ------------------------------------------------------------------------------------------------------------------


def test_the_register_round_trips_and_is_read_strictly(tmp_path, keys):
    path = tmp_path / "sources.json"
    assert register.load(path) == {}
    register.change(path, "vendor-a", contact="a@example.org", keys=[keys["alice"].public.id])
    register.change(path, "vendor-a", licence="CC0", incident="2026: flipped labels", keys=[keys["alice"].public.id])
    held = register.load(path)["vendor-a"]
    assert held.contact == "a@example.org" and held.licence == "CC0" and len(held.keys) == 1 and len(held.incidents) == 1
    with pytest.raises(UsageError):
        register.change(path, "a*b")
    path.write_text('{"schema": "bezoar.sources/1", "sources": {"x": 5}}')
    with pytest.raises(UnreadableInput):
        register.load(path)


def test_the_score_falls_with_findings_gaps_and_incidents_and_with_little_evidence():
    sources = ["good"] * 2000 + ["bad"] * 2000 + ["small"] * 20 + ["bare"] * 2000
    ids = [f"r{i}" for i in range(len(sources))]
    bad = tuple(f"r{i}" for i in range(2000, 2080))
    report = Report(subject={}, verdict="poisoned", alpha=0.01, poisoned_at_least=1,
                    findings=(Finding("association", "", "group", "t", bad, "label-flip", 1e-9, 0.9),), outcomes=())
    origin = {"contributor": ["c" if s != "bare" else "" for s in sources], "time": ["t" if s != "bare" else "" for s in sources],
              "licence": ["l" if s != "bare" else "" for s in sources]}
    scores = dict.fromkeys(ids, 0.2) | dict.fromkeys(bad, 0.9)
    held = {"good": register.Supplier("good")}
    got = {m.name: m for m in register.measure(sources, ids, report, origin, scores, held)}
    assert got["bad"].found == 80 and got["bad"].per_ten_thousand == 400 and got["good"].found == 0
    assert got["good"].score > 90 > got["bare"].score > got["bad"].score and got["small"].score < 5
    assert got["bad"].label_suspicion > got["good"].label_suspicion and got["good"].registered and not got["bad"].registered
    again = {m.name: m for m in register.measure(sources, ids, report, origin, scores, {"good": register.Supplier("good", incidents=("x",))})}
    assert again["good"].score == pytest.approx(0.8 * got["good"].score)
    with pytest.raises(UsageError, match="no record of this data"):
        register.measure(sources, [f"z{i}" for i in ids], report, origin)


def test_the_bound_against_the_closed_form():
    assert register.upper_bound(0, 59) == pytest.approx(1 - 0.05 ** (1 / 59)) and register.upper_bound(5, 5) == 1.0 == register.upper_bound(0, 0)


# --- incidents ---------------------------------------------------------------------------------------------------------------------


def test_an_incident_from_finding_to_signed_evidence(tmp_path, desk):
    folder = tmp_path / "incident"
    held = incident.Incident.open(folder, REPORT, RAW, FINDING.id, "ann")
    assert held.waiting() == list(incident.STEPS)
    with pytest.raises(UsageError, match="traced"):
        held.take("clean", "ann", "cleaned", [])
    with pytest.raises(UsageError, match="note or evidence"):
        held.take("contain", "ann", " ", [])
    with pytest.raises(UsageError, match="no step"):
        held.take("pray", "ann", "x", [])
    proof = tmp_path / "trace\x1b.html"
    proof.write_text("<html>")
    held.take("contain", "ann", "gate shut", [])
    held.take("trace", "ann", "", [proof])
    with pytest.raises(UsageError, match="not done: clean, verify"):
        held.close("ann", desk.keys["alice"], tmp_path / "pack.sig")
    held.take("clean", "ann", "two records set aside", [])
    again = incident.Incident(folder)
    assert again.waiting() == ["retrain", "verify", "rollback"]
    again.take("verify", "ben", "rescanned", [])
    again.close("ann", desk.keys["alice"], tmp_path / "pack.sig")
    text = (folder / "incident.md").read_text()
    for words in ("AML.T0020", "Article 15(5)", "smallest poison that would have been found: 12", "spectra: needs a signal", "gate shut", FINDING.id,
                  "NISTAML.023", "OWASP", "sha256"):
        assert words in text, words
    assert "\x1b" not in text
    done = verify(folder, [tmp_path / "pack.sig"], Trust((desk.public("alice"),)))
    assert done.statement.about.dataset == f"incident/{FINDING.id}" and done.files >= 4
    with pytest.raises(UsageError, match="closed"):
        incident.Incident(folder).take("retrain", "x", "late", [])
    (folder / "incident.json").write_text((folder / "incident.json").read_text().replace("gate shut", "gate open"))
    with pytest.raises(NotTrusted):
        verify(folder, [tmp_path / "pack.sig"], Trust((desk.public("alice"),)))


def test_an_incident_may_be_closed_early_only_with_words(tmp_path, desk):
    held = incident.Incident.open(tmp_path / "i", REPORT, RAW, FINDING.id, "ann")
    held.close("ann", desk.keys["alice"], tmp_path / "p.sig", "false alarm: our own watermark")
    assert "left out: contain, trace, clean, verify: false alarm" in (tmp_path / "i/incident.md").read_text()
    with pytest.raises(UsageError, match="no finding"):
        incident.Incident.open(tmp_path / "j", REPORT, RAW, "bz-x", "ann")
    with pytest.raises(UsageError, match="not empty"):
        incident.Incident.open(tmp_path / "i", REPORT, RAW, FINDING.id, "ann")
    assert not (tmp_path / "j").exists()


def test_closing_is_all_or_nothing(tmp_path, desk, monkeypatch):
    from bezoar.provenance.disk import Disk, DiskFailed

    folder, out = tmp_path / "i", tmp_path / "pack.sig"
    held = incident.Incident.open(folder, REPORT, RAW, FINDING.id, "ann")
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    def untouched():
        assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before and not out.exists()
        assert not incident.Incident(folder).closed and not held.closed

    real, calls = Disk.replace, []

    class Broken:
        public = desk.keys["alice"].public

        def sign(self, data):
            raise UsageError("the key is broken")

    with pytest.raises(UsageError, match="broken"):
        held.close("ann", Broken(), out, "drill")
    untouched()
    for at in (1, 2, 3):  # bundle, incident.md, incident.json
        calls.clear()

        def failing(self, old, new, at=at):
            calls.append(new)
            if len(calls) == at:
                raise OSError(28, "No space left on device")
            real(self, old, new)

        monkeypatch.setattr(Disk, "replace", failing)
        with pytest.raises(DiskFailed):
            held.close("ann", desk.keys["alice"], out, "drill")
        monkeypatch.setattr(Disk, "replace", real)
        assert len(calls) == at
        untouched()

    def no_log(subject, payload):
        assert out.exists() and not incident.Incident(folder).closed
        raise DiskFailed("the log is full")

    with pytest.raises(DiskFailed):
        held.close("ann", desk.keys["alice"], out, "drill", no_log)
    untouched()
    out.write_bytes(b"a thesis")
    with pytest.raises(UsageError, match="is no bundle"):
        held.close("ann", desk.keys["alice"], out, "drill")
    assert out.read_bytes() == b"a thesis"
    out.unlink()
    with pytest.raises(UsageError, match="inside the pack"):
        held.close("ann", desk.keys["alice"], folder / "pack.sig", "drill")
    held.close("ann", desk.keys["alice"], out, "drill")
    assert incident.Incident(folder).closed and verify(folder, [out], Trust((desk.public("alice"),))).files == 3


def test_a_closing_that_was_killed_before_its_last_step_is_open_untrusted_and_can_be_closed(tmp_path, desk, monkeypatch):
    from bezoar.provenance.disk import Disk

    folder, out = tmp_path / "i", tmp_path / "pack.sig"
    incident.Incident.open(folder, REPORT, RAW, FINDING.id, "ann")
    real = Disk.replace

    def killed(self, old, new):
        if new.name == "incident.json":
            raise KeyboardInterrupt
        real(self, old, new)

    monkeypatch.setattr(Disk, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        incident.Incident(folder).close("ann", desk.keys["alice"], out, "drill")
    monkeypatch.setattr(Disk, "replace", real)
    for left in folder.glob(".*"):
        left.unlink()
    assert out.exists() and not incident.Incident(folder).closed
    with pytest.raises(NotTrusted, match=r"incident\.json"):
        verify(folder, [out], Trust((desk.public("alice"),)))
    incident.Incident(folder).close("ann", desk.keys["alice"], out, "drill")
    assert verify(folder, [out], Trust((desk.public("alice"),)))


def test_evidence_that_was_changed_is_not_signed(tmp_path, desk):
    held = incident.Incident.open(tmp_path / "i", REPORT, RAW, FINDING.id, "ann")
    proof = tmp_path / "proof.txt"
    proof.write_text("the gate is shut")
    held.take("contain", "ann", "", [proof])
    next((tmp_path / "i/evidence").iterdir()).write_text("the gate is open")
    with pytest.raises(NotTrusted, match="not what was recorded"):
        held.close("ann", desk.keys["alice"], tmp_path / "p.sig", "drill")
    assert not held.closed and not (tmp_path / "p.sig").exists()


def test_an_incident_is_opened_and_its_steps_taken_only_after_they_were_logged(tmp_path):
    from bezoar.provenance.disk import DiskFailed

    def full(subject, payload):
        raise DiskFailed("the log is full")

    with pytest.raises(DiskFailed):
        incident.Incident.open(tmp_path / "i", REPORT, RAW, FINDING.id, "ann", full)
    assert not (tmp_path / "i/incident.json").exists()
    held = incident.Incident.open(tmp_path / "i", REPORT, RAW, FINDING.id, "ann")  # again, in the same place
    with pytest.raises(DiskFailed):
        held.take("contain", "ann", "shut", [], full)
    assert held.waiting() == incident.Incident(tmp_path / "i").waiting() == list(incident.STEPS)


def test_a_bundle_that_only_names_a_key_is_not_said_to_be_signed_by_its_person(tmp_path, desk, data, capsys, monkeypatch):
    """Anybody can write somebody else's key id into a bundle."""
    import json

    from bezoar.cli.main import run
    from bezoar.provenance import policy

    signed = desk.sign(data, "true.sig", key="alice", dataset="true")
    body = json.loads(desk.sign(data, "forged.sig", key="mallory", dataset="forged").read_bytes())
    body["verificationMaterial"]["publicKey"]["hint"] = desk.keys["alice"].public.id
    (desk.place / "forged.sig").write_text(json.dumps(body))
    assert signed.exists()
    (tmp_path / "p.toml").write_text(policy.template("p", {"alice": desk.keys["alice"].public}, desk.now))
    for more, relation in ((["--policy", str(tmp_path / "p.toml")], "signed"), ([], "is named as signer, not checked, of")):
        for name, expected in (("true", relation), ("forged", "is named as signer, not checked, of")):
            with pytest.raises(SystemExit):
                run(["trace", name, "--bundles", str(desk.place), "--json", *more])
            behind = json.loads(capsys.readouterr().out)["of"][0]["behind"]
            assert [s["relation"] for s in behind if s["kind"] == "person"] == [expected], (name, more)
