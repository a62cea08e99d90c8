"""Any text goes into a table file and comes out the same; a copy of all rows is byte-identical; a subset holds its rows."""

import csv
import io
import json
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bezoar.core.ability import Reading
from bezoar.sources.delimited import Delimited
from bezoar.sources.jsonl import JsonLines

CELL = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0\ufeff"), max_size=12)
ROWS = st.lists(st.tuples(CELL, st.sampled_from(["a", "b", 'c"d', "e,f"])), min_size=1, max_size=12)
READING = Reading(modality="text", text="words", label="kind", id="-")


def check(source, name, raw, rows):
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / name
        path.write_bytes(raw)
        data = source.open(path, READING)
        assert data.inputs.values.tolist() == [text for text, _ in rows]
        assert [data.labels.classes[c] for c in data.labels.codes] == [kind for _, kind in rows]
        source.write(path, data, np.arange(len(rows)), Path(scratch) / f"all-{name}", READING)
        assert (Path(scratch) / f"all-{name}").read_bytes() == raw
        some = np.arange(len(rows))[::-2]
        source.write(path, data, some, Path(scratch) / f"some-{name}", READING)
        again = source.open(Path(scratch) / f"some-{name}", READING)
        assert again.inputs.values.tolist() == [rows[i][0] for i in some]


@settings(max_examples=150, deadline=None)
@given(ROWS, st.sampled_from(["\n", "\r\n"]), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]))
def test_csv(rows, end, quoting):
    if quoting == csv.QUOTE_MINIMAL:  # Python's writer does not quote a lone carriage return, which readers take for a line end
        rows = [(text.replace("\r", " "), kind) for text, kind in rows]
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator=end, quoting=quoting)
    writer.writerow(["words", "kind"])
    writer.writerows(rows)
    check(Delimited(), "t.csv", buffer.getvalue().encode(), rows)


@settings(max_examples=100, deadline=None)
@given(ROWS, st.booleans())
def test_jsonl(rows, ascii_only):
    raw = "".join(json.dumps({"words": text, "kind": kind}, ensure_ascii=ascii_only) + "\n" for text, kind in rows)
    check(JsonLines(), "t.jsonl", raw.encode(), rows)
