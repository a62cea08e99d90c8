"""Quarantine: what findings name, never more than 5% of a class unasked, worst first, nothing without a finding."""

import numpy as np
import pytest

from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.finding import Finding
from bezoar.repairs.quarantine import Quarantine

DATA = Dataset.from_arrays([f"t{i}" for i in range(300)], ["a"] * 200 + ["b"] * 100)


def finding(rows, p=1e-6, **more):
    names = tuple(str(r) for r in rows)
    return Finding(ability="x", subject="", kind="group", title="t", members=names, threat="backdoor", p_value=p, suspicion=0.9, quarantined=names, **more)


def gone(done):
    return np.flatnonzero(~done.keep).tolist()


def test_no_findings_no_change():
    done = Quarantine().repair(DATA, ())
    assert done.keep.all()
    assert done.changes == ()


def test_members_go_and_the_finding_is_named():
    f = finding([3, 7, 250])
    done = Quarantine().repair(DATA, (f,))
    assert gone(done) == [3, 7, 250]
    assert {(c.sample, c.action, c.finding) for c in done.changes} == {(s, "quarantined", f.id) for s in ("3", "7", "250")}
    assert done.notes == ()
    assert Quarantine().repair(DATA, (f, f)).changes == done.changes


def test_never_more_than_five_percent_of_a_class_worst_first():
    weak, strong = finding(range(20), p=1e-3), finding(range(100, 108), p=1e-9)
    done = Quarantine().repair(DATA, (weak, strong))
    assert gone(done) == [0, 1, *range(100, 108)], "10 of 200: the strong finding first"
    assert "18 more samples" in done.notes[0]
    assert "--allow-more" in done.notes[0]
    assert len(gone(Quarantine(allow_more=True).repair(DATA, (weak, strong)))) == 28
    assert len(gone(Quarantine(max_class_share=0.075).repair(DATA, (weak, strong)))) == 15


@pytest.mark.parametrize("size", [1, 10, 19, 20, 39, 40, 1000])
def test_the_cap_holds_for_every_class_size(size):
    data = Dataset.from_arrays([f"t{i}" for i in range(size)], ["a"] * size)
    assert len(gone(Quarantine().repair(data, (finding(range(size)),)))) == size // 20


def test_unlabelled_data_counts_as_one_class():
    data = Dataset.from_arrays([f"t{i}" for i in range(100)])
    assert len(gone(Quarantine().repair(data, (finding(range(50)),)))) == 5


def test_advisory_findings_only_when_asked():
    f = finding([1, 2], advisory=True)
    done = Quarantine().repair(DATA, (f,))
    assert done.keep.all()
    assert "1 advisory" in done.notes[0]
    assert gone(Quarantine(include_advisory=True).repair(DATA, (f,))) == [1, 2]


def test_unknown_samples_are_said():
    done = Quarantine().repair(DATA, (finding([5, 9999]),))
    assert gone(done) == [5]
    assert "1 samples of the findings are not in this data" in done.notes


def test_nonsense_share():
    with pytest.raises(UsageError):
        Quarantine(max_class_share=0)
