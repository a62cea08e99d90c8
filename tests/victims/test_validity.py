"""Success is measured beside a clean twin; what did not implant is said to have not."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from bezoar import registry
from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.errors import UsageError
from bezoar.testing.planted import twin
from bezoar.validity import halves, judged, measure

IMAGE, TEXT, TABLE = (twin(m, np.random.default_rng(200)) for m in ("image", "text", "tabular"))
RNG = np.random.default_rng


def run(name: str, data, victim: str, seed: int = 1, **parameters: object):
    return measure(registry.make("attacks", name, parameters), data, registry.make("victims", victim), RNG(seed))


def test_a_word_implants_and_the_twin_is_innocent():
    done = run("text-word", TEXT, "text-ngrams", rate=0.08)
    assert done.measure == "backdoor"
    assert done.implanted
    assert done.success > 0.8
    assert done.interval[0] <= done.success <= done.interval[1]
    assert done.twin < 0.3
    assert done.of == pytest.approx(200, abs=40)
    assert abs(done.accuracy - done.twin_accuracy) < 0.05
    assert "target" in done.sentence()
    json.dumps(done.to_dict())
    assert run("text-word", TEXT, "text-ngrams", rate=0.08).to_dict() | {"seconds": 0} == done.to_dict() | {"seconds": 0}


def test_a_single_sample_does_not_implant():
    done = run("text-word", TEXT, "text-ngrams", rate=0.001)
    assert not done.implanted
    assert "did not implant" in done.sentence()


def test_a_group_is_bent():
    done = run("table-group-bias", TABLE, "table-linear", rate=0.12, column="card")
    assert done.measure == "gap"
    assert done.success > 0.1


def test_damage_is_counted_and_harmless_flips_do_none():
    assert run("availability", TEXT, "text-ngrams", rate=0.6).implanted
    assert run("availability", TEXT, "text-ngrams", rate=0.6).measure == "damage"
    assert not run("label-flip", TEXT, "text-ngrams", rate=0.002).implanted


class Nobody:
    def __init__(self, classes: int, answer: int) -> None:
        self.classes, self.answer = classes, answer

    def predict(self, inputs):
        return np.tile(np.eye(self.classes)[self.answer], (len(inputs), 1))


class Aiming(Attack):
    info = Info(name="aiming", summary="a test")

    def poison(self, data, rng):
        truth = np.zeros(len(data), bool)
        truth[0] = True
        return Poisoned(data, truth, None, data.labels.classes[2], aim=data.inputs.take(np.arange(3)))


def test_an_aim_is_asked_itself_and_a_victim_that_answers_so_anyway_proves_nothing():
    attack = Aiming()
    done = attack(IMAGE, RNG(0))
    hit = judged(attack, done, IMAGE, Nobody(10, 2), Nobody(10, 1), RNG(0))
    assert (hit.measure, hit.success, hit.implanted) == ("aim", 1.0, True)
    same = judged(attack, done, IMAGE, Nobody(10, 2), Nobody(10, 2), RNG(0))
    assert not same.implanted


def test_all_to_all_and_source_specific_are_asked_their_own_question():
    everywhere = registry.make("attacks", "badnets", {"mapping": "all-to-all", "rate": 0.05})
    done = everywhere(IMAGE, RNG(0))
    seen = judged(everywhere, done, IMAGE, Nobody(10, 3), Nobody(10, 4), RNG(0))
    assert seen.success == pytest.approx((IMAGE.labels.codes == 2).mean())
    one = registry.make("attacks", "tact", {"source": "1", "target": "3"})
    hit = judged(one, one(IMAGE, RNG(0)), IMAGE, Nobody(10, 3), Nobody(10, 4), RNG(0))
    assert hit.of == (IMAGE.labels.codes == 1).sum()
    assert hit.implanted


def test_wrong_use_is_said():
    with pytest.raises(UsageError, match="labels"):
        run("text-word", replace(TEXT, labels=None), "text-ngrams")
    with pytest.raises(UsageError, match="other classes"):
        measure(registry.make("attacks", "text-word"), TEXT, registry.make("victims", "text-ngrams"), RNG(0), test=TABLE)
    with pytest.raises(UsageError, match="between"):
        halves(TEXT, RNG(0), 1.0)
