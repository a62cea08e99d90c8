"""Write a subset or a changed copy in the same format; clean and restore give the original back byte for byte."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from healthy_data import MAKERS, N, csv_file, folder_of, hf_folder, tsv_table

from bezoar import api
from bezoar.core.ability import Change, Reading, Repaired
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UnreadableInput, UsageError
from bezoar.core.inputs import Images, Table, Texts
from bezoar.core.report import Report
from bezoar.sources.quarantine_store import quarantine, restore


@pytest.fixture(params=sorted(MAKERS))
def original(request, tmp_path):
    (tmp_path / "in").mkdir()
    return MAKERS[request.param](tmp_path / "in")


def tree(path: Path):
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return {p.relative_to(path).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def equal_rows(a: Dataset, i, b: Dataset, j):
    left, right = a.take(np.array(i)), b.take(np.array(j))
    if isinstance(a.inputs, Table):
        rows = np.arange(len(left))
        return all(left.inputs[c].as_text(rows) == right.inputs[c].as_text(rows) for c in a.inputs.names)
    return list(left.inputs.row_keys()) == list(right.inputs.row_keys())


def names(data: Dataset):
    return [data.labels.classes[c] for c in data.labels.codes]


def report_of(data: Dataset, **more):
    return Report(subject={"fingerprint": data.fingerprint}, verdict="poisoned", alpha=0.01, poisoned_at_least=1, findings=(), outcomes=(), **more)


def set_aside(path: Path, out: Path, gone: list[int], reading=None):
    source = api.source_of(path)
    reading = reading or Reading()
    data = source.open(path, reading)
    keep = np.ones(len(data), bool)
    keep[gone] = False
    changes = tuple(Change(str(data.ids[g]), "quarantined", "bz-1") for g in gone)
    return data, quarantine(path, source, data, reading, Repaired(keep, changes), report_of(data), out)


def test_subset(original, tmp_path):
    source = api.source_of(original)
    data = source.open(original, Reading())
    rows = np.array([7, 2, 3, 20])
    out = tmp_path / "out" / original.name
    source.write(original, data, rows, out, Reading())
    again = source.open(out, Reading(modality=data.modality))
    assert len(again) == 4
    order = [again.ids.tolist().index(i) for i in data.ids[rows]] if set(data.ids[rows]) <= set(again.ids) else range(4)
    assert equal_rows(data, rows, again, order)
    assert [names(data)[r] for r in rows] == [names(again)[o] for o in order]
    with pytest.raises(UsageError, match="exists already"):
        source.write(original, data, rows, out, Reading())


def test_changed_rows_change_and_nothing_else_does(original, tmp_path):
    source = api.source_of(original)
    data = source.open(original, Reading())
    hit = np.array([4, 9])
    changed = np.zeros(len(data), bool)
    changed[hit] = True
    codes = data.labels.codes.copy()
    codes[hit] = (codes[hit] + 1) % len(data.labels.classes)
    if isinstance(data.inputs, Images):
        new = data.inputs.with_rows(hit, Images.of([255 - p for p in data.inputs.read(hit)]))
    elif isinstance(data.inputs, Texts):
        new = data.inputs.with_rows(hit, Texts.of([f'{v}, "cf wine"' for v in data.inputs.values[hit]]))
    else:
        name = data.inputs.names[0]
        part = data.inputs.take(hit)
        part = Table({**part.columns, name: replace(part[name], values=np.array([77.0, 78.0]))})
        new = data.inputs.with_rows(hit, part)
    poisoned = data.with_changes(inputs=new, codes=codes)
    everything = np.arange(len(data))
    out = tmp_path / "out" / original.name
    ids = source.written_ids(original, poisoned, everything, Reading(), changed)
    source.write(original, poisoned, everything, out, Reading(), changed)
    again = source.open(out, Reading())
    order = [again.ids.tolist().index(i) for i in ids]
    assert equal_rows(poisoned, everything, again, order)
    assert names(poisoned) == [names(again)[o] for o in order]
    if original.is_file() and original.suffix in (".csv", ".tsv", ".jsonl") and b"\xff\xfe" != original.read_bytes()[:2]:
        a, b = original.read_bytes().splitlines(True), out.read_bytes().splitlines(True)
        assert len(a) == len(b)
        assert sum(x != y for x, y in zip(a, b, strict=True)) <= 4, "two records, one of which spans two lines"
    if original.name == "photos":
        old, fresh = tree(original), tree(out)
        same = [k for k in old if fresh.get(k) == old[k]]
        assert len(same) == N - 2
    if original.suffix == ".parquet":
        told = dict(pq.read_schema(out).metadata)
        assert told.pop(b"bezoar-poison") == b"planted by bezoar attack; see truth.json"
        assert pq.read_schema(out).with_metadata(told).equals(pq.read_schema(original), check_metadata=True)


def test_clean_and_restore(original, tmp_path):
    before = tree(original)
    data, done = set_aside(original, tmp_path / "safe", [3, 11])
    assert done["quarantined"] == 2
    assert tree(original) == before, "the original is not touched"
    clean = api.load(done["clean"], reading=Reading(modality=data.modality))
    assert len(clean) == len(data) - 2
    keep = np.delete(np.arange(len(data)), [3, 11])
    assert equal_rows(data, keep, clean, np.arange(len(clean)))
    aside = Path(done["quarantine"])
    aside = aside / original.name if original.is_file() else aside
    assert equal_rows(data, [3, 11], api.load(aside, reading=Reading(modality=data.modality)), [0, 1])
    told = json.loads((tmp_path / "safe" / "changes.json").read_text())
    assert told["schema"] == "bezoar.changes/1"
    assert told["fingerprint"] == data.fingerprint
    assert [c["sample"] for c in told["changes"]] == [str(i) for i in data.ids[[3, 11]]]
    back = tmp_path / "back" / original.name
    assert restore(tmp_path / "safe", back)["samples"] == len(data)
    assert tree(back) == before
    with pytest.raises(UsageError, match="exists already"):
        restore(tmp_path / "safe", back)


def test_new_samples_are_written(original, tmp_path):
    source = api.source_of(original)
    data = source.open(original, Reading())
    more = data.take(np.array([5, 6]))
    both = data.take(np.concatenate([np.arange(len(data)), [5, 6]]))
    ids = both.ids.copy()
    ids[-2:] = ["injected-000001", "injected-000002"]
    codes = both.labels.codes.copy()
    codes[-2:] = [0, 1]
    if isinstance(both.inputs, Texts):
        both = both.with_changes(inputs=both.inputs.with_rows(np.array([len(data), len(data) + 1]), Texts.of(["brand new, words", "and more\nof them"])))
    both = replace(both, ids=ids).with_changes(codes=codes)
    rows = np.arange(len(both))
    changed = rows >= len(data)
    written = source.written_ids(original, both, rows, Reading(), changed)
    source.write(original, both, rows, tmp_path / "out" / original.name, Reading(), changed)
    again = source.open(tmp_path / "out" / original.name, Reading())
    order = [again.ids.tolist().index(i) for i in written]
    assert len(again) == len(data) + len(more)
    assert equal_rows(both, rows, again, order)
    assert names(both) == [names(again)[o] for o in order]
    if original.name == "photos":
        assert written[-1].endswith("injected-000002.png")
        assert again.declared == ("2 images say themselves that an attack planted them",)


def test_a_changed_joined_text_reads_back_the_same(tmp_path):
    path = tmp_path / "news.csv"
    path.write_text("class,title,description\n" + "".join(f"{i % 3},A title of {i},and a longer description of {i}\n" for i in range(9)))
    source = api.source_of(path)
    data = source.open(path, Reading())
    changed = np.arange(9) == 4
    new = data.with_changes(inputs=data.inputs.with_rows(np.array([4]), Texts.of(["A title of 4 cf and a longer description"])))
    source.write(path, new, np.arange(9), tmp_path / "out.csv", Reading(), changed)
    assert source.open(tmp_path / "out.csv", Reading()).inputs.values.tolist() == new.inputs.values.tolist()


def test_vendors_that_an_attack_deals_out_are_written(original, tmp_path):
    source = api.source_of(original)
    reading = Reading()
    data = source.open(original, reading)
    if "source" in data.origin:
        reading = Reading(source="-")
        data = source.open(original, reading)
    vendors = np.array([f'v,"{i % 3}"' for i in range(len(data))], object)
    dealt = replace(data, origin={**data.origin, "source": vendors})
    rows = np.arange(len(data))
    source.write(original, dealt, rows, tmp_path / "out" / original.name, reading)
    again = source.open(tmp_path / "out" / original.name, Reading(source="source"))
    assert again.origin["source"].tolist() == vendors.tolist()
    assert equal_rows(data, rows, again, rows)


def test_hugging_face_reads_what_we_write(tmp_path):
    datasets = pytest.importorskip("datasets")
    original = hf_folder(tmp_path)
    set_aside(original, tmp_path / "safe", [0])
    loaded = datasets.load_from_disk(str(tmp_path / "safe" / "clean"))
    assert len(loaded) == N - 1
    assert loaded.features["label"].names == ["neg", "pos"]
    assert loaded[0]["label"] == 1


def test_a_report_about_other_data_is_refused(tmp_path):
    path = csv_file(tmp_path)
    source = api.source_of(path)
    data = source.open(path, Reading())
    report = report_of(data)
    path.write_text(path.read_text().replace("plain words", "other words"))
    fresh = source.open(path, Reading())
    with pytest.raises(UsageError, match="data changed since the scan"):
        quarantine(path, source, fresh, Reading(), Repaired(np.ones(N, bool), ()), report, tmp_path / "safe")
    assert not (tmp_path / "safe").exists()


def test_columns_kept_for_groups_do_not_count_as_change(tmp_path):
    path = tsv_table(tmp_path)
    source = api.source_of(path)
    scanned = source.open(path, Reading(keep_columns=("job",)))
    report = report_of(scanned, plan={"group": ["job"]})
    done = quarantine(path, source, source.open(path, Reading()), Reading(), Repaired(np.ones(N, bool), ()), report, tmp_path / "safe")
    assert done["quarantined"] == 0
    assert not (tmp_path / "safe" / "quarantine").exists()


def test_restore_refuses_what_was_edited(tmp_path):
    original = folder_of(tmp_path)
    set_aside(original, tmp_path / "safe", [3])
    victim = next(p for p in (tmp_path / "safe" / "clean").rglob("*.png"))
    victim.write_bytes(b"x" + victim.read_bytes())
    with pytest.raises(UnreadableInput, match="changed since it was set aside"):
        restore(tmp_path / "safe", tmp_path / "back")
    assert not (tmp_path / "back").exists(), "nothing half restored"
    told = json.loads((tmp_path / "safe" / "changes.json").read_text())
    for field in ("path", "at"):
        evil = json.loads(json.dumps(told))
        evil["files"][0][field] = "../../escaped.png"
        (tmp_path / "safe" / "changes.json").write_text(json.dumps(evil))
        with pytest.raises(UnreadableInput, match="leaves its folder|changed since"):
            restore(tmp_path / "safe", tmp_path / "back")
        assert not (tmp_path.parent / "escaped.png").exists()


def test_interrupted_cleaning_leaves_nothing(tmp_path, monkeypatch):
    path = csv_file(tmp_path)
    source = api.source_of(path)
    data = source.open(path, Reading())

    def broken(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(source), "write", broken)
    with pytest.raises(OSError, match="No space"):
        quarantine(path, source, data, Reading(), Repaired(np.ones(N, bool), ()), report_of(data), tmp_path / "safe")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mails.csv"]
