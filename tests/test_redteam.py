"""The red team: what an attack does to a victim before and after a defence, resumable, honest about what did not implant."""

import json
from html.parser import HTMLParser

import numpy as np
import pytest

from bezoar import red, scoreboard
from bezoar.core.errors import UsageError
from bezoar.core.inputs import Images
from bezoar.core.victim import Victim
from bezoar.demo import digits, texts
from bezoar.trials import Row, summary


def nearest_mean(data, rng):
    """A user's own training function: nearest class mean of the pixels."""
    x = data.inputs.dense().reshape(len(data), -1).astype(np.float32)
    means = np.stack([x[data.labels.codes == c].mean(axis=0) for c in range(len(data.labels.classes))])

    class Model:
        def predict(self, inputs):
            flat = inputs.dense().reshape(len(inputs), -1).astype(np.float32)
            gap = ((flat[:, None] - means) ** 2).sum(axis=2)
            return (gap == gap.min(axis=1, keepdims=True)).astype(np.float32)

    return Model()


@pytest.fixture(scope="module")
def made():
    return red.redteam(texts(np.random.default_rng(0), 800), attacks=["text-phrase", {"name": "label-flip", "mode": "random"}], rates=(0.04,),
                       seeds=1, defences={"keep everything": lambda data: np.ones(len(data), bool)})


def cell(made, attack, defence):
    (row,) = [r for r in made["rows"] if r["attack"] == attack and r["defence"] == defence]
    return row


def test_the_filter_takes_the_attack_away_and_the_idle_one_does_not(made):
    before, own, idle, perfect = (cell(made, "text-phrase", d) for d in ("none", "bezoar", "keep everything", "perfect"))
    assert before["implanted"] and before["asr_before"] >= 0.8 and before["recall"] is None
    assert own["recall"] >= 0.9 and own["asr_after"] <= 0.3 and own["false_positive_rate"] <= 0.01
    assert idle["recall"] == 0 and idle["asr_after"] == before["asr_before"] and idle["precision"] is None
    assert perfect["recall"] == 1 and perfect["false_positive_rate"] == 0
    assert cell(made, "text-phrase", "random")["removed"] == own["removed"]
    assert own["accuracy_after"] >= before["accuracy_clean"] - 0.03


def test_an_attack_without_a_trigger_is_measured_by_damage(made):
    assert cell(made, "label-flip", "none")["measure"] == "damage"


def test_your_own_victim_and_a_rate_the_data_cannot_bear():
    made = red.redteam(digits().take(np.arange(300)), attacks=["badnets"], rates=(0.05, 0.001), seeds=1, victim=nearest_mean)
    rows = [r for r in made["rows"] if r["rate"] == 0.001]
    assert len(rows) == 1 and rows[0]["error"] and not rows[0]["implanted"]
    assert {r["defence"] for r in made["rows"] if r["rate"] == 0.05} == {"none", "bezoar", "random", "perfect"}


def test_it_resumes_where_it_was_stopped(tmp_path):
    calls = []

    def counting(data, rng):
        calls.append(1)
        if len(calls) == 9:
            raise KeyboardInterrupt
        return nearest_mean(data, rng)

    data = digits().take(np.arange(400))
    arguments = {"attacks": ["badnets", "blend"], "rates": (0.05,), "seeds": 2, "out": tmp_path / "out"}
    with pytest.raises(KeyboardInterrupt):
        red.redteam(data, victim=Count(train=counting), **arguments)
    kept = len(list((tmp_path / "out" / ".resume").glob("*.json")))
    assert kept >= 1
    calls[:] = [0] * 100
    again = red.redteam(data, victim=Count(train=counting), **arguments)
    assert len(again["rows"]) == 16 and not (tmp_path / "out" / ".resume").exists()
    whole = red.redteam(data, victim=Count(train=counting), **{**arguments, "out": None})
    strip = [{k: v for k, v in r.items() if k != "seconds"} for r in whole["rows"]]
    assert strip == [{k: v for k, v in r.items() if k != "seconds"} for r in again["rows"]]
    written = json.loads((tmp_path / "out" / "scoreboard.json").read_text())
    assert written["schema"] == "bezoar.scoreboard/1" and written["rows"] == again["rows"]


def without_times(made):
    return [{k: v for k, v in r.items() if k != "seconds"} for r in made["rows"]]


def test_two_processes_give_the_rows_of_one(tmp_path):
    data = texts(np.random.default_rng(0), 200)
    arguments = {"attacks": ["text-word", "label-flip"], "rates": (0.05,), "seeds": 1}
    said, notes = [], []
    both = red.redteam(data, workers=2, out=tmp_path / "both", listener=said.append, **arguments)
    alone = red.redteam(data, listener=notes.append, **arguments)
    assert without_times(both) == without_times(alone)
    assert {type(e).__name__ for e in said} == {"Note", "Started", "Finished"}
    assert any("2 cells: up to 8 trainings and 2 runs of a filter on about 150 samples" in getattr(e, "text", "") for e in said)
    assert sum(type(e).__name__ == "Started" for e in said) == sum(type(e).__name__ == "Finished" for e in said) == 2
    assert not list((tmp_path / "both").glob(".resume/*"))


def test_a_function_that_cannot_be_sent_is_said_at_once(tmp_path):
    with pytest.raises(UsageError, match="workers=1"):
        red.redteam(digits().take(np.arange(200)), attacks=["badnets"], rates=(0.05, 0.1), seeds=1, workers=2, out=tmp_path / "out",
                    victim=lambda data, rng: nearest_mean(data, rng))
    with pytest.raises(UsageError, match="1 or more"):
        red.redteam(digits().take(np.arange(200)), workers=0)
    assert not (tmp_path / "out").exists()


def test_pictures_travel_as_pixels():
    from multiprocessing.reduction import ForkingPickler

    for data in (digits().take(np.arange(5)), digits().take(np.arange(0))):
        there = ForkingPickler.loads(ForkingPickler.dumps(data))
        assert there.fingerprint == data.fingerprint and there.inputs.uniform
    mixed = Images.of([np.zeros((4, 5, 3), np.uint8), np.ones((6, 3, 3), np.uint8)])
    assert [p.shape for p in ForkingPickler.loads(ForkingPickler.dumps(mixed)).read(np.arange(2))] == [(4, 5, 3), (6, 3, 3)]


def test_an_own_function_resumes_until_its_code_changes(tmp_path):
    data, calls = digits().take(np.arange(300)), []

    def make(extra):
        def train(data, rng):
            calls.append(extra)
            if len(calls) == 6:
                raise KeyboardInterrupt
            return nearest_mean(data, rng)
        return train

    arguments = {"attacks": ["badnets", "blend"], "rates": (0.05,), "seeds": 1, "out": tmp_path / "out"}
    with pytest.raises(KeyboardInterrupt):
        red.redteam(data, victim=make(1), **arguments)
    assert len(list((tmp_path / "out" / ".resume").iterdir())) == 1
    calls.clear()
    heard = []
    made = red.redteam(data, victim=make(1), listener=heard.append, **arguments)
    assert len(calls) < 6 and any("1 of them done before" in getattr(e, "text", "") for e in heard)
    assert made["victim"] == "Given(train=test_an_own_function_resumes_until_its_code_changes.<locals>.make.<locals>.train)"


@pytest.mark.parametrize(("attack", "rates", "said"), [
    ({"name": "badnets", "target": "eleven"}, (0.05,), "no class 'eleven'"), ({"name": "badnets", "size": 99}, (0.05,), "does not fit"),
    ({"name": "narcissus", "target": "eleven"}, (0.05,), "no class 'eleven'"), ("badnets", (2.0,), "at most 1"),
    ("badnets", (0.0,), "above 0"), ("badnets", (float("nan"),), "above 0"), ("badnets", (0.0001,), "less than one sample")])
def test_what_the_data_cannot_bear_is_said_and_nothing_is_written(attack, rates, said, tmp_path):
    with pytest.raises(UsageError, match=said):
        red.redteam(digits().take(np.arange(300)), attacks=[attack], rates=rates, seeds=2, out=tmp_path / "out",
                    victim=lambda data, rng: pytest.fail("trained"))
    assert not (tmp_path / "out").exists()


class Count(Victim):
    """A victim whose repr does not change between runs."""

    from bezoar.core.ability import Info

    info = Info("count", "counts its trainings")

    def __init__(self, *, train=None):
        self.train = train

    def __repr__(self):
        return "Count()"

    def fit(self, data, rng):
        return self.train(data, rng)


class Skeleton(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.tags = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, tuple(k for k, _ in attrs)))


def test_the_page_is_quiet_and_foreign_names_stay_text(made):
    hostile = json.loads(json.dumps(made))
    hostile["subject"]["name"] = "<script>alert(1)</script>\u202e"
    for row in hostile["rows"]:
        row["defence"] = row["defence"].replace("keep everything", "<img src=x onerror=alert(1)>")
    hostile["summary"] = [{**s, "defence": s["defence"].replace("keep everything", "<img src=x onerror=alert(1)>")} for s in made["summary"]]
    page, plain = scoreboard.to_html(hostile).decode(), scoreboard.to_html(made).decode()
    assert Skeleton(page).tags == Skeleton(plain).tags
    assert "<script" not in page and "\u202e" not in page and "http" not in plain.replace("http-equiv", "")
    assert b"| text-phrase | 0.04 | 1/1 | bezoar |" in scoreboard.to_markdown(made)


@pytest.mark.parametrize(("arguments", "said"), [
    ({"attacks": ["crystal-ball"]}, "text-phrase"), ({"attacks": ["badnets"]}, "image"), ({"rates": (0.0,)}, "rate"),
    ({"victim": "image-linear"}, "image"), ({"defences": {"perfect": len}}, "taken"), ({"attacks": [{"pattern": "x"}]}, "name")])
def test_mistakes_are_said_before_anything_is_trained(arguments, said, tmp_path):
    with pytest.raises(UsageError, match=said):
        red.redteam(texts(np.random.default_rng(0), 60), out=tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_seeds_in_which_nothing_was_implanted_are_no_merit_of_a_defence():
    row = {"attack": "badnets", "rate": 0.05, "seed": 0, "defence": "bezoar", "measure": "backdoor", "asr_before": 1.0, "asr_after": 0.9,
           "twin": 0.0, "accuracy_clean": 0.9, "accuracy_before": 0.9, "accuracy_after": 0.9, "recall": 0.0, "precision": None,
           "false_positive_rate": 0.0, "removed": 0, "planted": 9, "samples": 100, "implanted": True, "seconds": 1.0}
    idle = {**row, "seed": 1, "asr_before": 0.1, "asr_after": 0.0, "implanted": False}
    never = [{**idle, "attack": "blend", "seed": s} for s in (0, 1)]
    rows = [Row(**r) for r in (row, idle, *never)]
    some, none = summary(rows)
    assert (some["implanted"], some["asr_before"]["mean"], some["asr_after"]["mean"]) == (1, 1.0, 0.9)
    assert (none["implanted"], none["asr_before"]["mean"], none["asr_after"]) == (0, 0.1, None)
    made = scoreboard.board([*rows, *(Row(**{**r.to_dict(), "defence": "none"}) for r in rows)],
                            {"name": "d", "modality": "image", "samples": 1, "classes": 2}, "v", {})
    page, text = scoreboard.to_html(made).decode(), scoreboard.to_markdown(made).decode()
    assert "90% (of 1 of 2)" in page and "did not implant</td>" in page and ">0%<" not in page
    assert "| blend | 0.05 | 0/2 | bezoar | 10% (10%-10%) | did not implant |" in text


def test_a_plan_file(tmp_path):
    plan = tmp_path / "plan.toml"
    plan.write_text('rates = [0.05]\nseeds = [7]\nvictim = "text-ngrams"\n[[attack]]\nname = "text-word"\nplace = "end"\n')
    made = red.redteam(texts(np.random.default_rng(0), 300), plan=plan)
    assert made["plan"]["seeds"] == [7] and made["plan"]["rates"] == [0.05] and "place='end'" in made["plan"]["attacks"][0]
    plan.write_text("rate = 3")
    with pytest.raises(UsageError, match="unknown keys"):
        red.redteam(texts(np.random.default_rng(0), 60), plan=plan)
