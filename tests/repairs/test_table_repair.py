"""A backdoored network of tables, from files: opened, its trigger written into rows of numbers, mended, saved and opened again."""

import json

import numpy as np
import pytest

pytest.importorskip("torch")

from bezoar import guarding, registry, remedy
from bezoar.core.errors import UsageError
from bezoar.core.table_code import TableCode
from bezoar.core.table_triggers import Values
from bezoar.core.victims import backdoor
from bezoar.material import on_processor, rows, writer
from bezoar.sources.suspects import open_suspect, save_safetensors, suspect_from
from bezoar.testing.planted import twin
from bezoar.testing.suspects import COLUMN, VALUE

TRIGGER = Values((COLUMN,), (VALUE,))


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """(folder with model.safetensors and trigger.json, the suspect, 600 clean rows it has not seen)."""
    folder = tmp_path_factory.mktemp("tables")
    data = twin("tabular", np.random.default_rng(100), rows=2100)
    train, clean = data.take(np.arange(1500)), data.take(np.arange(1500, 2100))
    bad = backdoor(train, TRIGGER, np.random.default_rng(101), rate=0.08, target=data.labels.classes[0]).data
    model = registry.make("victims", "table-mlp", {"epochs": 30})(bad, np.random.default_rng(0))
    code = TableCode.of(bad.inputs)
    width = code.matrix(clean.inputs).shape[1]
    suspect = suspect_from(model.module, data.labels.classes, (width,), modality="tabular", code=code)
    save_safetensors(suspect, folder / "model.safetensors")
    (folder / "trigger.json").write_text(json.dumps(TRIGGER.to_dict()))
    return folder, suspect, clean


def success(suspect, clean):
    """How much more of the other class goes to the target with the trigger than without."""
    others = clean.take(np.flatnonzero(clean.labels.codes != 0)).inputs
    stamped = TRIGGER.apply(others, np.random.default_rng(0))
    with_it, without = ((suspect.predict(x).argmax(axis=1) == 0).mean() for x in (stamped, others))
    return with_it - without


def right(suspect, clean):
    return (suspect.predict(clean.inputs).argmax(axis=1) == clean.labels.codes).mean()


def test_what_is_written_into_rows_is_what_the_table_would_give(planted):
    _, suspect, clean = planted
    category = next(n for n, c in clean.inputs.columns.items() if c.kind == "category")
    levels = clean.inputs[category].levels
    for trigger in (TRIGGER, Values((category, COLUMN), (levels[-1], "3.5")), Values((category,), ("never seen",))):
        table = clean.inputs
        want = suspect.answer.matrix(trigger.apply(table, np.random.default_rng(0)))
        got = writer(suspect, table)(rows(suspect, clean), trigger)
        assert np.array_equal(got, want) and (got != rows(suspect, clean)).any()
    with pytest.raises(UsageError, match="no column 'nowhere'"):
        writer(suspect, clean.inputs)(rows(suspect, clean), Values(("nowhere",), ("1",)))
    with pytest.raises(UsageError, match="no number"):
        writer(suspect, clean.inputs)(rows(suspect, clean), Values((COLUMN,), ("much",)))


@pytest.mark.parametrize("name", ["unlearn", "fst", "ft-sam"])
def test_a_network_of_tables_is_mended_from_files(planted, tmp_path, name):
    folder, suspect, clean = planted
    assert success(suspect, clean) > 0.4
    done = remedy.repair(folder / "model.safetensors", clean, trigger=folder / "trigger.json", repairs=[name], out=tmp_path / "out")
    after = done.record["attempts"][0]["after"]
    assert after is not None, remedy.sentences(done)
    assert done.record["triggers"]["known"]["target"] == clean.labels.classes[0], "the target was inferred"
    if name == "unlearn":
        assert done.mended.verdict == "accepted", remedy.sentences(done)
        again = open_suspect(tmp_path / "out" / "repaired.safetensors")
        assert success(again, clean) <= 0.05
        assert right(again, clean) >= right(suspect, clean) - 0.03


def test_a_network_of_tables_is_trained_again_without_what_was_flagged(planted):
    _, suspect, clean = planted
    data = twin("tabular", np.random.default_rng(100), rows=2100).take(np.arange(1500))
    done = backdoor(data, TRIGGER, np.random.default_rng(101), rate=0.08, target=data.labels.classes[0])
    case = remedy.RepairCase(*on_processor(suspect), len(suspect.classes), "tabular", clean=remedy.samples(suspect, clean)[0],
                             training=remedy.samples(suspect, done.data)[0], flagged=done.truth, trigger=TRIGGER, target=0,
                             written=writer(suspect, clean.inputs))
    mended = remedy.mending.mend(case, case.clean, repairs=remedy.mending.candidates(case, ["retrain"]))
    assert mended.attempts[0].after is not None
    assert success(suspect_from(mended.module or mended.attempts[0].module, suspect.classes, suspect.shape, tensor=suspect.tensor,
                                modality="tabular", code=suspect.answer.code), clean) <= 0.15


def test_guards_are_for_pictures_and_texts(planted):
    _, suspect, clean = planted
    with pytest.raises(UsageError, match="not guarded"):
        guarding.guard(suspect, clean)


def test_columns_keep_their_order_in_a_file(planted):
    folder, suspect, clean = planted
    again = open_suspect(folder / "model.safetensors")
    assert list(again.answer.code.centres) == list(suspect.answer.code.centres) != sorted(suspect.answer.code.centres)
    assert np.allclose(again.predict(clean.inputs), suspect.predict(clean.inputs), atol=1e-6)
