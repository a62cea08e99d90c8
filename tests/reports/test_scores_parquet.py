"""scores.parquet: the columns that are promised, their types, the same bytes twice."""

import dataclasses
import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sample_report import empty_report, sample_report

from bezoar.core.report import ScoreTable
from bezoar.reports.scores_parquet import FIXED, ScoresParquet


def table_of(report):
    return pq.read_table(io.BytesIO(ScoresParquet().render(report)))


def with_scores(**values):
    n = len(values["ids"])
    base = {"labels": np.full(n, "a", object), "suspicion": np.zeros(n), "p_value": np.ones(n), "flagged": np.zeros(n, bool),
            "finding": np.full(n, "", object)}
    return dataclasses.replace(sample_report(), scores=ScoreTable(**{**base, **values}))


def test_columns_and_types():
    table = table_of(sample_report())
    assert table.column_names == [*FIXED, "shortcuts", "label-consistency"]
    kinds = [str(t) for t in table.schema.types]
    assert kinds == ["string", "string", "float", "double", "bool", "string", "float", "float"]


def test_values_come_through():
    report = sample_report()
    table = table_of(report)
    assert table.num_rows == 600
    assert table.column("id").to_pylist() == list(report.scores.ids)
    np.testing.assert_allclose(table.column("suspicion").to_numpy(), report.scores.suspicion, rtol=1e-6)
    assert table.column("finding").null_count == int((report.scores.finding == "").sum())
    assert set(table.column("finding").drop_null().to_pylist()) == {f.id for f in report.findings}
    nan = np.isnan(table.column("label-consistency").to_numpy())
    assert (nan == np.isnan(report.scores.channels["label-consistency"])).all()


def test_same_bytes_twice():
    assert ScoresParquet().render(sample_report()) == ScoresParquet().render(sample_report())


def test_without_scores_there_are_no_rows():
    table = table_of(empty_report())
    assert table.num_rows == 0
    assert table.column_names == list(FIXED)


def test_missing_labels_are_null_and_channels_never_overwrite():
    table = table_of(with_scores(ids=np.array(["1", "2"], object), labels=np.array(["", None], object),
                                 channels={"label": np.array([0.5, 0.25]), "id": np.zeros(2)}))
    assert table.column("label").to_pylist() == [None, None]
    assert table.column_names == [*FIXED, "label_", "id_"]
    assert table.column("label_").to_pylist() == [0.5, 0.25]


def test_string_arrays_of_numpy_are_texts():
    table = table_of(with_scores(ids=np.array([10, 11]), labels=np.array(["x", "y"])))
    assert table.column("id").type == pa.string()
    assert table.column("id").to_pylist() == ["10", "11"]


def test_a_million_rows_in_seconds():
    import time

    n = 1_000_000
    report = with_scores(ids=np.arange(n).astype(str).astype(object), channels={"a": np.random.default_rng(1).random(n)})
    started = time.process_time()
    size = len(ScoresParquet().render(report))
    assert time.process_time() - started < 15
    assert size < 40e6
