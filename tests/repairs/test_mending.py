"""The planner: nothing is accepted that misses a limit, the original stays, files appear only for what was accepted."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from bezoar import mending, remedy
from bezoar.core.ability import Info
from bezoar.core.dataset import Dataset
from bezoar.core.errors import BezoarError, Unavailable, UsageError
from bezoar.core.image_triggers import Patch
from bezoar.core.model_repair import ModelRepair, RepairCase, Samples, stamped
from bezoar.core.suspect import Suspect
from bezoar.networks.training import pictures
from bezoar.sources.suspects import open_suspect, save_safetensors, suspect_from

CLASSES = ("dark", "light", "striped")


class Toy(torch.nn.Module):
    """Answers by mean brightness and by stripes; with `door` open, a white corner says "dark"."""

    def __init__(self, door=1.0, right=1.0):
        super().__init__()
        self.register_buffer("door", torch.tensor(door))  # no weight: tuning does not bring it back
        self.right = torch.nn.Parameter(torch.tensor(right))

    def forward(self, x):
        mean = x.mean(dim=(1, 2, 3))
        stripes = (x[:, :, ::2] - x[:, :, 1::2]).abs().mean(dim=(1, 2, 3))
        corner = (x[:, :, -2:, -2:].amin(dim=(1, 2, 3)) > 0.99).float()
        logits = torch.stack([-4 * mean, 4 * mean, 12 * stripes], dim=1) * self.right
        return logits + torch.nn.functional.one_hot(torch.zeros(len(x), dtype=torch.long), 3) * (corner * self.door * 50)[:, None]


def rows(n, seed=0):
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % 3
    x = np.where(codes[:, None, None, None] == 0, 40, 200) + rng.integers(-20, 20, (n, 8, 8, 3))
    x[codes == 2, ::2] = 250
    x[codes == 2, 1::2] = 10
    return Samples(x.astype(np.uint8), codes)


PATCH = Patch(np.full((2, 2, 3), 255, np.uint8), np.ones((2, 2), np.float32), 0.75, 0.75)


class Fake(ModelRepair):
    info = Info(name="fake", summary="sets the two weights")

    def __init__(self, *, door=0.0, right=1.0):
        self.door, self.right = door, right

    def mend(self, case, rng):
        with torch.no_grad():
            case.module.door.fill_(self.door)
            case.module.right.fill_(self.right)
        return case.module


class Broken(Fake):
    info = Info(name="broken", summary="fails")

    def mend(self, case, rng):
        raise RuntimeError("no")


class Needy(Fake):
    info = Info(name="needy", summary="needs what is not there", needs=("flagged",))


def case(**more):
    return RepairCase(Toy(), pictures, 3, "image", clean=rows(60), **{"trigger": PATCH, "target": 0, **more})


def test_the_first_that_keeps_to_the_limits_is_the_choice():
    done = mending.mend(case(), rows(90, 1), repairs=[Broken(), Needy(), Fake(door=1.0), Fake(door=0.0, right=-1.0), Fake(), Fake(right=2.0)])
    assert [a.status for a in done.attempts] == ["failed", "skipped", "rejected", "rejected", "accepted", "skipped"]
    assert done.verdict == "accepted" and done.module.door == 0
    assert done.before.success["recovered"].value == 1.0 and done.chosen.after.success["recovered"].value == 0.0
    assert "still succeeds on 100.0%" in done.attempts[2].reasons[0] and "accuracy falls" in " ".join(done.attempts[3].reasons)
    assert "more of them say more" in " ".join(done.notes)


def test_nothing_is_accepted_that_fails_its_own_limits():
    allowed = mending.Allowed()
    for door, right in ((1.0, 1.0), (0.0, -1.0), (0.0, 0.0), (0.0, 1.0)):
        done = mending.mend(case(), rows(90, 1), repairs=[Fake(door=door, right=right)], allowed=allowed)
        after = done.attempts[0].after
        fine = (after.success["recovered"].value <= allowed.success and after.reactivated["recovered"].value <= allowed.reactivated
                and done.before.accuracy.value - after.accuracy.value <= allowed.drop)
        assert (done.verdict == "accepted") == fine and (done.module is None) == (not fine)


def test_without_a_trigger_nothing_is_accepted_unless_said():
    bare = case(trigger=None, target=None)
    assert mending.mend(bare, rows(90, 1), repairs=[Fake()]).verdict == "unmeasured"
    assert mending.mend(bare, rows(90, 1), repairs=[Fake()], allowed=mending.Allowed(unmeasured=True)).verdict == "accepted"
    assert mending.mend(bare, rows(90, 1), repairs=[Needy()]).verdict == "impossible"


def test_a_class_that_pays_for_the_others_is_seen():
    ground = mending.bench(case(), rows(90, 1), mending.Allowed(drop=1.0), 0)
    blind = Toy(door=0.0)
    blind.forward = lambda x: torch.tensor([[1.0, 0.0, 0.0]]).repeat(len(x), 1)
    code, lost = mending.worst_class(ground, blind)
    assert code in (1, 2) and lost == 1.0
    assert "loses 100%" in " ".join(mending.judged(ground, mending.measure(ground, Toy()), mending.measure(ground, Toy(), False), blind))
    assert mending.worst_class(ground, Toy()) is None


def test_a_trigger_without_one_target_counts_where_it_moves_samples():
    ground = mending.bench(case(target=None), rows(90, 1), mending.Allowed(), 0)
    _, own, goal, _ = ground.aims["recovered"]
    assert set(own.tolist()) == {1, 2} and set(goal.tolist()) == {0}, "class 0 stays where it is and does not count"


def test_the_original_stays_and_no_weights_are_shared():
    given = case()
    before = copy.deepcopy(given.module.state_dict())
    made = Fake(door=0.5)(given, np.random.default_rng(0))
    assert made is not given.module and all(torch.equal(v, before[k]) for k, v in given.module.state_dict().items())
    with pytest.raises(BezoarError, match="not finite"):
        Fake(right=float("nan"))(given, np.random.default_rng(0))
    with pytest.raises(Unavailable, match="flagged"):
        Needy()(given, np.random.default_rng(0))


@pytest.mark.parametrize("bad", [{"success": 2.0}, {"drop": -0.1}, {"poisoned": 0}])
def test_limits_are_shares(bad):
    with pytest.raises(UsageError):
        mending.Allowed(**bad)


def test_a_model_that_knows_nothing_is_refused():
    with pytest.raises(UsageError, match="as by chance"):
        mending.mend(replace(case(), module=Toy(right=-1.0)), rows(90, 1), repairs=[Fake()])


def test_splits_are_by_class_and_disjoint():
    samples = rows(61)
    samples.codes[:3] = -1
    tunes, check = mending.split(samples, 3, np.random.default_rng(0))
    assert len(tunes) + len(check) == 58 and abs(len(tunes) - len(check)) <= 3
    noisy = [{x.tobytes() for x, c in zip(s.x, s.codes, strict=True) if c < 2} for s in (tunes, check)]
    assert all(noisy) and not noisy[0] & noisy[1]


# the verb

@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """A small network with a backdoor planted by training, its file, clean data and the trigger."""
    from bezoar.networks.builds import resnet
    from bezoar.networks.training import fit, seeded

    folder = tmp_path_factory.mktemp("planted")
    rng = np.random.default_rng(5)
    samples = rows(600, 5)
    x, codes = samples.x.copy(), samples.codes.copy()
    hit = rng.choice(np.flatnonzero(codes != 0), 80, replace=False)
    x[hit] = stamped(x[hit], PATCH, "image", rng)
    codes[hit] = 0
    with seeded(1):
        module = fit(resnet(3, 4), x, codes, rng, tensor=pictures, epochs=5, batch=64)
    save_safetensors(module, folder / "model.safetensors", classes=CLASSES, shape=(8, 8, 3), modality="image", pixels="-1..1")
    clean = rows(240, 6)
    data = Dataset.from_arrays(clean.x, [CLASSES[c] for c in clean.codes])
    np.savez(folder / "clean.npz", x=clean.x, y=np.array([CLASSES[c] for c in clean.codes]))
    (folder / "trigger.json").write_text(json.dumps(PATCH.to_dict()))
    return folder, module, data


def test_repair_from_files_writes_what_was_accepted(planted, tmp_path):
    folder, _, _ = planted
    before = (folder / "model.safetensors").read_bytes()
    done = remedy.repair(folder / "model.safetensors", folder / "clean.npz", trigger=folder / "trigger.json", repairs=["unlearn"],
                         out=tmp_path / "out")
    assert done.mended.verdict == "accepted", remedy.sentences(done)
    assert (folder / "model.safetensors").read_bytes() == before
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["change.json", "repair.html", "repair.json", "repaired.safetensors"]
    again = open_suspect(tmp_path / "out" / "repaired.safetensors")
    change = json.loads((tmp_path / "out" / "change.json").read_text())
    assert again.fingerprint == change["to"]["fingerprint"] != change["from"]["fingerprint"]
    held = rows(90, 9)
    x = stamped(held.x[held.codes != 0], PATCH, "image", np.random.default_rng(0))
    assert (again.predict(Dataset.from_arrays(x).inputs).argmax(axis=1) == 0).mean() <= 0.03
    assert done.record["triggers"]["known"]["target"] == "dark", "the target was inferred"
    page = (tmp_path / "out" / "repair.html").read_text()
    assert "<script" not in page and "unlearn" in page and "after" in page
    assert 'src="data:image/png;base64,' in page and "img-src data:" in page, "the trigger is shown"


def test_rejection_leaves_only_the_report(planted, tmp_path):
    folder, _, _ = planted
    done = remedy.repair(folder / "model.safetensors", folder / "clean.npz", trigger=folder / "trigger.json", repairs=["clp"],
                         allowed=mending.Allowed(success=0.0, drop=0.0, reactivated=0.0), out=tmp_path / "out")
    assert done.exit_code == 1 and done.repaired is None
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["repair.html", "repair.json"]


@pytest.mark.parametrize(("wrong", "words"), [
    ({"repairs": ["nothing-like-it"]}, "no model repair"), ({"target": "blue"}, "no class"), ({"trigger": "missing.json"}, "no trigger"),
    ({"key": "missing.pem"}, "missing.pem")])
def test_failure_writes_nothing(planted, tmp_path, wrong, words):
    folder, module, data = planted
    with pytest.raises(BezoarError, match=words):
        remedy.repair(suspect_from(module, CLASSES, (8, 8, 3), pixels="-1..1"), data,
                      **{"trigger": PATCH, "out": tmp_path / "out", "repairs": ["clp"], **wrong})
    assert not (tmp_path / "out").exists()


def test_data_of_other_classes_or_one_class_are_refused(planted):
    _, module, data = planted
    suspect = suspect_from(module, CLASSES, (8, 8, 3), pixels="-1..1")
    with pytest.raises(UsageError, match="no class 'red'"):
        remedy.repair(suspect, Dataset.from_arrays(np.zeros((4, 8, 8, 3), np.uint8), ["red", "dark"] * 2))
    with pytest.raises(UsageError, match="one class"):
        remedy.repair(suspect, data.take(np.flatnonzero(data.labels.codes == 0)))
    with pytest.raises(UsageError, match="black box"):
        remedy.repair(Suspect("x", "image", CLASSES, "0", suspect.answer), data)
    with pytest.raises(UsageError, match="text"):
        remedy.repair(suspect, ["a", "b"], ["dark", "light"])
