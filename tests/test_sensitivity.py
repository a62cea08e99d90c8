"""Canaries: exact counts in disjoint rows, the ladder's logic with a scan of known power, and a real one."""

import numpy as np

from bezoar import api, registry
from bezoar.demo import texts
from bezoar.sensitivity import ladder, planted, sensitivities


def families():
    return {"word": registry.make("attacks", "text-word"), "phrase": registry.make("attacks", "text-phrase")}


def test_canaries_stand_in_disjoint_rows_and_leave_the_rest():
    data = texts(np.random.default_rng(0), 400)
    copy, rows = planted(data, families(), 12, np.random.default_rng(1))
    assert {k: len(v) for k, v in rows.items()} == {"word": 12, "phrase": 12}
    assert not set(rows["word"]) & set(rows["phrase"])
    rest = np.setdiff1d(np.arange(400), np.concatenate(list(rows.values())))
    assert (copy.inputs.values[rest] == data.inputs.values[rest]).all() and (copy.labels.codes[rest] == data.labels.codes[rest]).all()


def test_the_ladder_finds_where_a_scan_of_known_power_begins_to_see():
    data = texts(np.random.default_rng(0), 2000)

    def sees_ten(copy):
        changed = copy.inputs.values != data.inputs.values
        return changed & (changed.sum() >= 2 * 10)

    rungs = ladder(data, families(), sees_ten, np.random.default_rng(1), rungs=(5, 10, 20, 40))
    word, phrase = sensitivities(rungs, ["word", "phrase"])
    assert (word.smallest_count_found, word.interval) == (10, (6, 10)) and phrase.smallest_count_found == 10
    assert max(r.count for r in rungs) == 10, "families that are done leave the later runs"
    (blind,) = sensitivities(ladder(data, {"word": families()["word"]}, lambda copy: np.zeros(2000, bool), np.random.default_rng(1),
                                    rungs=(5, 10)), ["word"])
    assert blind.smallest_count_found is None and "not found at 10" in blind.basis


def test_a_scan_says_the_smallest_poison_of_this_very_data():
    report = api.scan(texts(np.random.default_rng(0), 1500), sensitivity=True, detectors=["association"])
    told = {s.family: s for s in report.sensitivity if "canaries" in s.basis}
    assert set(told) == {"word", "phrase", "two words"}
    assert told["phrase"].smallest_count_found is not None and told["phrase"].smallest_count_found <= 40
