"""Canaries: exact counts in disjoint rows, the ladder's logic with a scan of known power, and a real one."""

import numpy as np

from bezoar import api, registry
from bezoar.demo import texts
from bezoar.sensitivity import RUNS, planted, sensitivities, trials


def families():
    return {"word": registry.make("attacks", "text-word"), "phrase": registry.make("attacks", "text-phrase")}


def test_canaries_stand_in_disjoint_rows_and_leave_the_rest():
    data = texts(np.random.default_rng(0), 400)
    copy, rows = planted(data, families(), {"word": 12, "phrase": 7}, np.random.default_rng(1))
    assert {k: len(v) for k, v in rows.items()} == {"word": 12, "phrase": 7}
    assert not set(rows["word"]) & set(rows["phrase"])
    rest = np.setdiff1d(np.arange(400), np.concatenate(list(rows.values())))
    assert (copy.inputs.values[rest] == data.inputs.values[rest]).all() and (copy.labels.codes[rest] == data.labels.codes[rest]).all()


def sees_from(data, ten, phrase_ten):
    """A scan that sees each family from a count of its own on."""
    def flags(copy):
        changed = copy.inputs.values != data.inputs.values
        longer = np.array([len(a.split()) - len(b.split()) for a, b in zip(copy.inputs.values, data.inputs.values, strict=True)])
        word, phrase = changed & (longer == 1), changed & (longer > 1)
        return (word & (word.sum() >= ten)) | (phrase & (phrase.sum() >= phrase_ten))
    return flags


def test_runs_are_shared_and_each_family_finds_where_a_scan_of_known_power_begins_to_see():
    data, notes = texts(np.random.default_rng(0), 2000), []
    told = trials(data, families(), sees_from(data, 10, 40), np.random.default_rng(1), listener=notes.append)
    word, phrase = sensitivities(told, ["word", "phrase"], len(data))
    assert 8 <= word.smallest_count_found <= 13 and word.interval[0] <= 10 <= word.interval[1]
    assert 32 <= phrase.smallest_count_found <= 50 and phrase.interval[0] <= 40 <= phrase.interval[1]
    assert word.interval[1] <= 2 * word.interval[0], "a family leaves when its interval is narrow enough"
    assert len(notes) <= RUNS and max(sum(t.family == f for t in told) for f in ("word", "phrase")) == len(notes)
    assert "s left" in notes[0].text and "found in" in word.basis


def test_a_blind_scan_and_a_family_that_cannot_be_planted():
    data = texts(np.random.default_rng(0), 1000)
    told = trials(data, {"word": families()["word"], "patch": registry.make("attacks", "badnets")}, lambda copy: np.zeros(1000, bool),
                  np.random.default_rng(1))
    word, patch = sensitivities(told, ["word", "patch"], 1000)
    assert word.smallest_count_found is None and "not found at 50 or fewer" in word.basis
    assert patch.smallest_count_found is None and "could not be planted" in patch.basis
    assert len(told) < RUNS


def test_a_scan_says_the_smallest_poison_of_this_very_data():
    report = api.scan(texts(np.random.default_rng(0), 1500), sensitivity=True, detectors=["association"])
    told = {s.family: s for s in report.sensitivity if "canaries" in s.basis}
    assert set(told) == {"word", "phrase", "two words"}
    assert told["phrase"].smallest_count_found is not None and told["phrase"].smallest_count_found <= 40
