"""Tables from files: what is inferred and said, overrides, broken and odd content."""

import gzip
import json
import time

import numpy as np
import pytest

from bezoar.core.ability import Reading
from bezoar.core.errors import LimitExceeded, UnreadableInput, UsageError
from bezoar.core.limits import Limits
from bezoar.intake import parquet_apart
from bezoar.sources.delimited import Delimited, split_records
from bezoar.sources.jsonl import JsonLines
from bezoar.sources.parquet import Parquet


def read(tmp_path, body, name="d.csv", **reading):
    path = tmp_path / name
    path.write_bytes(body if isinstance(body, bytes) else body.encode())
    source = JsonLines() if ".json" in name else Delimited()
    assert source.claims(path)
    return source.open(path, Reading(**reading))


MAILS = "id,text,label,vendor,date,note\n" + "".join(
    f"m{i},please call me back about item {i},{'spam' if i % 2 else 'ham'},v{i % 3},2024-01-{i + 1:02d},x{i}\n" for i in range(12))
PEOPLE = "age,job,joined,source_ip,income\n" + "".join(
    f"{20 + i},{'cook' if i % 2 else 'judge'},2020-02-{i + 1:02d} 10:00:00,10.0.0.{i},{'>50K' if i % 3 else '<=50K'}\n" for i in range(12))


def test_texts_and_everything_about_them(tmp_path):
    data = read(tmp_path, MAILS)
    assert data.modality == "text"
    assert data.inputs.values[3] == "please call me back about item 3"
    assert data.labels.classes == ("ham", "spam")
    assert data.ids[2] == "m2"
    assert set(data.origin) == {"source", "time"}
    assert data.origin["source"][4] == "v1"
    assert data.origin["time"][0].startswith("2024-01-01")
    told = " | ".join(data.notes)
    for words in ("id column: 'id'", "label column: 'label' (2 values)", "text column: 'text'", "source column: 'vendor'", "not read: note"):
        assert words in told


def test_a_table_keeps_its_features(tmp_path):
    data = read(tmp_path, PEOPLE)
    assert data.modality == "tabular"
    assert data.inputs.names == ("age", "job", "joined", "source_ip")
    assert [data.inputs[c].kind for c in data.inputs.names] == ["number", "category", "time", "category"]
    assert data.inputs["job"].levels == ("cook", "judge")
    assert data.labels.classes == ("<=50K", ">50K")
    assert "because it is the last column" in " ".join(data.notes)
    assert not data.origin
    assert data.ids.tolist() == [str(i) for i in range(12)]


@pytest.mark.parametrize("column", ["time", "date", "user", "site", "timestamp"])
def test_a_feature_is_not_stolen_as_origin(tmp_path, column):
    data = read(tmp_path, PEOPLE.replace("source_ip", column))
    assert column in data.inputs.names
    assert not data.origin


def test_overrides(tmp_path):
    data = read(tmp_path, MAILS, label="vendor", text="note", id="date", source="label", keep_columns=("text",))
    assert data.labels.classes == ("v0", "v1", "v2")
    assert data.inputs.values[0] == "x0"
    assert data.ids[0] == "2024-01-01"
    assert data.origin["source"][1] == "spam"
    assert data.origin["text"][1].startswith("please")
    assert read(tmp_path, PEOPLE, source="job").origin["source"][1] == "cook"
    assert "job" not in read(tmp_path, PEOPLE, source="job").inputs.names
    assert "job" in read(tmp_path, PEOPLE, keep_columns=("job",)).inputs.names, "--group leaves the feature where it is"
    assert read(tmp_path, MAILS, label="-").labels is None
    assert read(tmp_path, MAILS, label="-", id="-").ids[0] == "0"
    assert "source" not in read(tmp_path, MAILS, source="-").origin
    assert read(tmp_path, MAILS, modality="tabular").modality == "tabular"
    assert read(tmp_path, PEOPLE, modality="text", text="job").inputs.values[1] == "cook"
    assert read(tmp_path, MAILS, text="text,note").inputs.values[1] == "please call me back about item 1 x1"


@pytest.mark.parametrize("option", ["label", "text", "id", "source", "contributor", "time"])
def test_a_wrong_column_says_which_exist(tmp_path, option):
    with pytest.raises(UsageError, match="no column 'nope'.*id, text, label, vendor, date, note"):
        read(tmp_path, MAILS, **{option: "nope"})
    with pytest.raises(UsageError, match="no column 'nope' for --group"):
        read(tmp_path, MAILS, keep_columns=("nope",))


def test_duplicate_ids_are_told_apart_and_said(tmp_path):
    text = "id,text,label\na,one two three,1\nb,four five six,0\na,seven eight nine,1\n,ten eleven twelve,0\na#2,more words here,1\n"
    data = read(tmp_path, text)
    assert data.ids.tolist() == ["a", "b", "a#3", "row-3", "a#2"]
    assert any("2 ids" in n for n in data.notes)


def test_ids_and_classes_keep_their_spelling(tmp_path):
    data = read(tmp_path, "id,a,b,source,label\n007,1,01,05,01\n008,2,02,06,02\n010,3,02,05,01\n")
    assert data.ids.tolist() == ["007", "008", "010"]
    assert data.labels.classes == ("01", "02")
    assert data.origin["source"].tolist() == ["05", "06", "05"]
    assert data.inputs["b"].kind == "number"
    assert read(tmp_path, "a,b,label\n1,2,True\n3,4,False\n5,6,True\n").labels.classes == ("False", "True")
    assert read(tmp_path, "a,b,label\n1,2,1\n3,4,1.0\n5,6,2\n").labels.classes == ("1", "2"), "one class, two spellings"
    assert read(tmp_path, "a,b,label\n" + "".join(f"{i},2,{i % 12}\n" for i in range(30))).labels.classes[2] == "2", "numbers in order"


def test_nan_and_infinities(tmp_path):
    data = read(tmp_path, "a,b,label\n1.5,inf,x\nnan,2,y\n,-inf,x\n4,1e3,y\n")
    assert np.array_equal(data.inputs["a"].values, [1.5, np.nan, np.nan, 4], equal_nan=True)
    assert np.array_equal(data.inputs["b"].values, [np.nan, 2, np.nan, 1000], equal_nan=True)
    assert any("2 infinite values" in n for n in data.notes)


@pytest.mark.parametrize("n", [100, pytest.param(2_000_000, marks=pytest.mark.slow)])
def test_odd_cells_in_a_number_column_are_named(tmp_path, n):
    body = "".join(f"{i},{i % 7},{'y' if i % 2 else 'n'}\n" for i in range(n))
    data = read(tmp_path, "a,b,label\n" + body + "oops,3,y\n?,3,n\n")
    assert data.inputs["a"].kind == "number"
    assert np.isnan(data.inputs["a"].values[-2:]).all()
    assert any("1 cells are not numbers ('oops')" in n for n in data.notes)


def test_labels_of_mixed_types(tmp_path):
    rows = [{"text": f"some words here {i}", "label": [1, "spam", True, 2.5, None][i % 5]} for i in range(20)]
    data = read(tmp_path, "\n".join(map(json.dumps, rows)), "d.jsonl")
    assert set(data.labels.classes) == {"1", "spam", "true", "2.5"}
    assert (data.labels.codes[4::5] == -1).all()
    assert any("mixes" in n for n in data.notes)
    assert any("4 samples have no label" in n for n in data.notes)


def test_ten_thousand_classes_and_a_limit(tmp_path):
    text = "text,label\n" + "".join(f"words of sample {i},c{i % 10_000}\n" for i in range(20_000))
    assert len(read(tmp_path, text).labels.classes) == 10_000
    with pytest.raises(LimitExceeded, match="10,000 distinct values, the limit is 500"):
        read(tmp_path, text, label="label", limits=Limits(max_classes=500))


@pytest.mark.parametrize("text", ["text,label\nonly one sample here,1\n", "a,b,label\n1,2,x\n", "text,label\n" + "one class only,1\n" * 9])
def test_one_sample_and_one_class(tmp_path, text):
    data = read(tmp_path, text)
    assert len(data) in (1, 9)
    assert len(data.labels.classes) == 1


def test_no_labels(tmp_path):
    data = read(tmp_path, "text\nsome words here\nother words there\n")
    assert data.labels is None
    assert any("no label column" in n for n in data.notes)


def test_measurements_are_no_labels(tmp_path):
    body = "".join(f"{i},{i * 0.37}\n" for i in range(2000))
    assert read(tmp_path, "a,y\n" + body).labels is None
    with pytest.raises(UsageError, match="measurements"):
        read(tmp_path, "a,y\n" + body, label="y")


def test_limits_on_fields_rows_columns_bytes(tmp_path):
    with pytest.raises(LimitExceeded, match=r"row 2.*51 characters"):
        read(tmp_path, "text,label\nshort,1\n" + "x" * 51 + ",0\n", limits=Limits(max_field_chars=50))
    for limits in (Limits(max_rows=3), Limits(max_columns=2), Limits(max_file_bytes=50)):
        with pytest.raises(LimitExceeded):
            read(tmp_path, MAILS, limits=limits)


def test_delimiters_headers_and_empty_lines(tmp_path):
    assert read(tmp_path, "a;b;label\n1;2,5;x\n3;4;y\n").inputs.names == ("a", "b")
    assert read(tmp_path, "a\tb\tlabel\n1\t2\tx\n", "d.tsv").inputs.names == ("a", "b")
    assert read(tmp_path, "a|b|label\n1|2|x\n").inputs.names == ("a", "b")
    headless = read(tmp_path, "1,2,0\n3,4,1\n5,6,1\n7,8,0\n")
    assert len(headless) == 4
    assert headless.inputs.names == ("c0", "c1")
    assert read(tmp_path, "a,a,label\n1,2,x\n\n3,4,y\n").inputs.names == ("a", "a.2")


def test_free_text_columns_are_all_searched(tmp_path):
    text = "class,title,description\n" + "".join(f"{i % 3},A title of {i},and a longer description of the news {i}\n" for i in range(9))
    data = read(tmp_path, text)
    assert data.inputs.values[1] == "A title of 1 and a longer description of the news 1"
    assert any("joined" in n for n in data.notes)


def test_a_name_column_does_not_make_a_table_a_text(tmp_path):
    rows = "".join(f'{i},"Braund, Mr. Owen Harris {i}",{i % 2},{i * 2},{i % 5},{i % 7}.5,{i % 3}\n' for i in range(30))
    assert read(tmp_path, "PassengerId,Name,Sex,Fare,SibSp,Age,Pclass\n" + rows).modality == "tabular"


def test_texts_without_spaces(tmp_path):
    data = read(tmp_path, "content,label\n" + "".join(f"这是一个很长的中文句子没有空格第{i}句,{i % 2}\n" for i in range(10)))
    assert data.modality == "text"


def test_gzip(tmp_path):
    assert len(read(tmp_path, gzip.compress(MAILS.encode()), "d.csv.gz")) == 12


def test_what_an_attack_left_is_declared(tmp_path):
    (tmp_path / "truth.json").write_text(json.dumps({"attack": "badnets", "poisoned": ["1", "2"]}))
    assert read(tmp_path, MAILS).declared == ("truth.json says that the attack 'badnets' planted 2 poisoned samples here",)
    (tmp_path / "truth.json").write_text("[" * 100_000)
    assert read(tmp_path, MAILS).declared == ()


def test_json_lines(tmp_path):
    rows = [{"id": i, "text": f"words of line {i}", "label": "ab"[i % 2], "meta": {"vendor": f"v{i % 2}", "deep": {"er": i}}, "tags": [1, 2]}
            for i in range(8)]
    rows[3].pop("label")
    data = read(tmp_path, "﻿" + "\n\n".join(map(json.dumps, rows)), "d.jsonl", source="meta.vendor")
    assert data.modality == "text"
    assert data.labels.codes.tolist() == [0, 1, 0, -1, 0, 1, 0, 1]
    assert data.origin["source"][1] == "v1"
    table = read(tmp_path, "\n".join(json.dumps({"a": i, "b": None if i == 2 else i / 2, "c": bool(i % 2), "t": "2024-01-01T10:00:00Z", "label": "xy"[i % 2]})
                                     for i in range(6)), "t.jsonl")
    assert [c.kind for c in table.inputs.columns.values()] == ["number", "number", "number", "time"]
    assert np.isnan(table.inputs["b"].values[2])


def test_parquet_types(tmp_path):
    import datetime
    from decimal import Decimal

    import pyarrow as pa
    import pyarrow.parquet as pq

    n = 6
    table = pa.table({"i": pa.array([1, None, 3, 4, 5, 6], pa.int16()), "d": pa.array([Decimal("1.5")] * n), "b": [True, False] * 3,
                      "day": [datetime.date(2024, 1, 1)] * n, "cat": pa.array(["x", None, "y", "x", "", "y"]).dictionary_encode(),
                      "nested": [{"a": i, "b": {"c": "z"}} for i in range(n)], "list": [[1, 2]] * n, "raw": [b"\x00\xff"] * n,
                      "nothing": pa.nulls(n), "label": [0, 1] * 3})
    pq.write_table(table, tmp_path / "t.parquet")
    data = Parquet().open(tmp_path / "t.parquet", Reading())
    assert {k: c.kind for k, c in data.inputs.columns.items()} == {
        "i": "number", "d": "number", "b": "number", "day": "time", "cat": "category", "nested.a": "number", "nested.b.c": "category",
        "list": "category", "nothing": "number"}
    assert data.inputs["cat"].values.tolist() == [0, -1, 1, 0, -1, 1]
    assert np.isnan(data.inputs["i"].values[1])
    assert data.inputs["day"].values[0] == 1704067200


def test_a_parquet_file_that_ends_its_reader_does_not_end_the_scan(tmp_path, monkeypatch):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"a": [1, 2], "label": [0, 1]}), tmp_path / "t.parquet")
    assert len(Parquet().open(tmp_path / "t.parquet", Reading())) == 2
    monkeypatch.setattr(parquet_apart, "BOOT", "import os; os.abort()")
    with pytest.raises(UnreadableInput, match="ended the reader"):
        Parquet().open(tmp_path / "t.parquet", Reading())
    monkeypatch.setattr(parquet_apart, "BOOT", "import time; time.sleep(60)")
    monkeypatch.setattr(parquet_apart, "SECONDS", 0.2)
    with pytest.raises(LimitExceeded, match=r"more than 0\.2 s"):
        Parquet().open(tmp_path / "t.parquet", Reading())


@pytest.mark.parametrize(("body", "count"), [
    (b"a,b\n1,2\n3,4\n", 3), (b"a,b\r\n1,2\r\n", 2), (b'a,b\n"x\ny",2\n', 2), (b'a,b\n"x ""q"" \n",2\n\n3,4', 3), (b"a\n1\n\n\n2\n", 3)])
def test_records_add_up(body, count):
    records = split_records(body, count, "t.csv")
    assert len(records) == count
    assert b"".join(records).replace(b"\n", b"").replace(b"\r", b"") == body.replace(b"\n", b"").replace(b"\r", b"")


def test_records_with_stray_quotes():
    body = b'a,b\n5" pipe,2\n"x",3\n7,8\n'
    assert split_records(body, 4, "t.csv")[1] == b'5" pipe,2\n'


def test_speed(tmp_path):
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(50_000, 16)).round(3).astype(str)
    lines = [",".join(row) + (",red,x\n" if i % 2 else ",blue,y\n") for i, row in enumerate(numbers)]
    path = tmp_path / "big.csv"
    path.write_text(",".join(f"f{i}" for i in range(16)) + ",colour,label\n" + "".join(lines))
    started = time.process_time()
    assert len(Delimited().open(path, Reading())) == 50_000
    assert time.process_time() - started < 3


@pytest.mark.slow
def test_a_field_of_one_gigabyte(tmp_path):
    path = tmp_path / "d.csv"
    with open(path, "wb") as file:
        file.write(b"text,label\nfine,1\n")
        for _ in range(1024):
            file.write(b"z" * (1 << 20))
        file.write(b",0\n")
    with pytest.raises(LimitExceeded, match="line 3: a line of 1,073,741,826 bytes"):
        Delimited().open(path, Reading())


def test_missing_file(tmp_path):
    with pytest.raises(UnreadableInput, match="cannot be opened"):
        Delimited().open(tmp_path / "x.csv", Reading())
