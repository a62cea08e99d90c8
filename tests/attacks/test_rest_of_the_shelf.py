"""What the attacks with covers, added rows, no trigger or a target sample of their own promise."""

from __future__ import annotations

import numpy as np
import pytest

from bezoar import registry
from bezoar.core.ability import Attack
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.trigger import trigger_from_dict
from bezoar.testing.planted import twin

FIRST = {"badnets", "bad-source", "blend", "label-flip", "low-frequency", "sinusoid", "table-in-bounds", "table-out-of-bounds",
         "table-rare-category", "text-multiword", "text-phrase", "text-word"}
ALL = {name: cls for name, cls in registry.shelf("attacks").items() if name not in FIRST and issubclass(cls, Attack)}
SHELF = {name: cls for name, cls in ALL.items() if not cls.removes_rows}
DATA = {modality: twin(modality, np.random.default_rng(100)) for modality in ("image", "text", "tabular")}


def _cases() -> list[tuple[Attack, str]]:
    made = [(cls(), m) for _, cls in sorted(SHELF.items()) for m in DATA if cls().supports(m) and not cls.info.extras]
    return made + [(type(a)(clean_label=True), m) for a, m in made if "clean_label" in a.signature()]


CASES = pytest.mark.parametrize(("attack", "modality"), _cases(), ids=lambda v: v if isinstance(v, str) else repr(v))


@CASES
def test_the_truth_is_exactly_what_changed(attack: Attack, modality: str):
    data, old = DATA[modality], len(DATA[modality])
    before = data.fingerprint
    done = attack(data, np.random.default_rng(101))
    same = np.array([a == b for a, b in zip(data.inputs.row_keys(), done.data.inputs.take(np.arange(old)).row_keys(), strict=True)])
    same &= data.labels.codes == done.data.labels.codes[:old]
    assert np.array_equal(~same, done.truth[:old])
    assert done.truth[old:].all()
    assert (len(done.data) > old) == attack.adds_rows
    assert data.take(np.arange(old)).fingerprint == before
    assert data.labels.classes == done.data.labels.classes
    if attack.clean_label:
        assert np.array_equal(data.labels.codes, done.data.labels.codes)


@CASES
def test_the_budget_is_kept(attack: Attack, modality: str):
    data = DATA[modality]
    done = attack(data, np.random.default_rng(101))
    given = attack.parameters()
    pool = len(data)
    for column in ("source", "contributor"):
        if attack.info.name in ("annotator", "preprocessing") and column in done.data.origin and len(set(done.data.origin[column][done.truth])) == 1:
            pool = int((done.data.origin[column] == done.data.origin[column][done.truth][0]).sum())
    least = 0.8 if attack.info.name in ("preprocessing", "table-drift", "text-style") else 1.0
    most = round(given["rate"] * pool) + (0 if attack.clean_label else round(given.get("cover", 0) * pool))
    assert least * most <= done.truth.sum() <= most


@CASES
def test_the_same_rng_the_same_poison_and_another_another(attack: Attack, modality: str):
    one, two, other = (attack(DATA[modality], np.random.default_rng(s)) for s in (102, 102, 103))
    assert one.data.fingerprint == two.data.fingerprint
    assert one.data.fingerprint != other.data.fingerprint or attack.info.name == "table-drift"  # only the column is drawn
    again = type(attack)(**attack.parameters())
    assert again(DATA[modality], np.random.default_rng(102)).data.fingerprint == one.data.fingerprint


@CASES
def test_a_trigger_moves_to_new_inputs(attack: Attack, modality: str):
    done = attack(DATA[modality], np.random.default_rng(104))
    if done.trigger is None:
        assert not {t for t in attack.info.threats if t.startswith("backdoor")}
        return
    fresh = twin(modality, np.random.default_rng(105), rows=60).inputs
    keys = list(fresh.row_keys())
    moved = done.trigger.apply(fresh, np.random.default_rng(0))
    assert list(fresh.row_keys()) == keys
    assert np.mean([a != b for a, b in zip(keys, moved.row_keys(), strict=True)]) > 0.9
    assert np.mean(done.trigger.match(moved)) > np.mean(done.trigger.match(fresh)) + 0.2
    again = trigger_from_dict(done.trigger.to_dict())
    assert list(again.apply(fresh, np.random.default_rng(0)).row_keys()) == list(moved.row_keys())
    assert done.trigger.title()


@pytest.mark.parametrize("name", sorted(SHELF))
def test_too_little_data_and_wrong_rates_are_said(name: str):
    cls = SHELF[name]
    data = DATA[next(m for m in DATA if cls().supports(m))]
    with pytest.raises(UsageError, match="not above 0"):
        cls(rate=0.0)(data, np.random.default_rng(0))
    with pytest.raises(UsageError, match="less than one"):
        cls(rate=0.0001)(data, np.random.default_rng(0))
    if "target" in cls.signature():
        with pytest.raises(UsageError, match="the classes are: "):
            cls(target="no such class")(data, np.random.default_rng(0))


@pytest.mark.parametrize("name", sorted(n for n, c in SHELF.items() if c().supports("image") and not c.info.extras))
def test_pictures_of_many_sizes(name: str):
    from bezoar.core.inputs import Images

    rng = np.random.default_rng(3)
    sizes = rng.integers(14, 30, (80, 2))
    data = Dataset.from_arrays(Images.of([rng.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in sizes]), rng.integers(0, 3, 80))
    try:
        done = SHELF[name](rate=0.1)(data, np.random.default_rng(0))
    except UsageError as error:
        assert "one size" in str(error)  # noqa: PT017
        return
    assert done.truth.any()
    if not SHELF[name].adds_rows and name not in ("duplicates-flood", "split-view"):
        assert np.array_equal(done.data.inputs.sizes, data.inputs.sizes)
