"""Model files become suspects that answer as the module did; wrong shapes, names and numbers are said in one sentence."""

import os

import numpy as np
import pytest

from bezoar.core.errors import AbilityFailed, BezoarError, Refused, UnreadableInput, UsageError
from bezoar.core.inputs import Column, Images, Table, Texts
from bezoar.core.table_code import TableCode
from bezoar.sources.suspects import open_suspect, save_safetensors, suspect_from

torch = pytest.importorskip("torch")

from bezoar.networks import builds, training  # noqa: E402

PICTURES = Images.of(np.random.default_rng(100).integers(0, 256, (9, 16, 16, 3), np.uint8))


def made(build, *args, seed=100):
    with training.seeded(seed):
        module = build(*args)
    for name, tensor in module.state_dict().items():
        if "running_var" in name:
            tensor.add_(0.5)
    return module.eval()


@pytest.mark.parametrize("name", sorted(builds.IMAGE_BUILDS))
def test_own_builds_come_back_from_both_formats(name, tmp_path):
    module = made(builds.IMAGE_BUILDS[name], 5)
    want = training.probabilities(module, PICTURES.dense(), tensor=training.pictures)
    torch.save({"state_dict": module.state_dict(), "epoch": 3, "optimizer": torch.optim.Adam(module.parameters()).state_dict()}, tmp_path / "a.pt")
    suspect = open_suspect(tmp_path / "a.pt", shape=(16, 16, 3))
    assert suspect.modality == "image" and suspect.classes == tuple("01234") and suspect.shape == (16, 16, 3)
    np.testing.assert_allclose(suspect.predict(PICTURES), want, atol=1e-6)
    assert not suspect.module.training
    path = save_safetensors(suspect, tmp_path / "b.safetensors", classes=list("abcde"))
    again = open_suspect(path)
    assert again.classes == tuple("abcde") and again.shape == (16, 16, 3) and again.fingerprint == suspect.fingerprint
    assert (again.predict(PICTURES) == suspect.predict(PICTURES)).all()
    with pytest.raises(UsageError):
        save_safetensors(suspect, path)


def test_texts_and_tables(tmp_path):
    text = made(builds.text_cnn, 3, 1025)
    torch.save(text.state_dict(), tmp_path / "t.pt", _use_new_zipfile_serialization=False)
    suspect = open_suspect(tmp_path / "t.pt")
    assert suspect.modality == "text" and suspect.predict(Texts.of(["a b", "", "c"])).shape == (3, 3)
    table = Table({"n": Column("number", np.array([1.0, 2.0, np.nan])), "c": Column("category", np.array([0, 1, 0], np.int32), ("x", "y"))})
    code = TableCode.of(table)
    module = made(builds.perceptron, 2, code.matrix(table).shape[1])
    path = save_safetensors(module, tmp_path / "p.safetensors", code=code, modality="tabular")
    found = open_suspect(path)
    np.testing.assert_allclose(found.predict(table), training.probabilities(module, code.matrix(table), tensor=torch.from_numpy), atol=1e-6)
    with pytest.raises(UsageError, match="no column 'c'"):
        found.predict(Table({"n": table["n"]}))


def test_wrong_use_is_said(tmp_path, monkeypatch):
    module = made(builds.resnet, 4)
    path = save_safetensors(module, tmp_path / "m.safetensors")
    with pytest.raises(UsageError, match="3 classes are named, the model has 4"):
        open_suspect(path, classes=("a", "b", "c"))
    with pytest.raises(UsageError, match="reads pictures"):
        open_suspect(path).predict(Texts.of(["a"]))
    (tmp_path / "fabric_of_mine.py").write_text("from bezoar.networks.builds import resnet\ndef five(): return resnet(5)\ndef four(): return resnet(4)\n"
                                                "def none(): return 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert open_suspect(path, factory="fabric_of_mine:four").classes == tuple("0123")
    for factory, says in (("fabric_of_mine:five", "shape"), ("fabric_of_mine:none", "not a torch module"), ("fabric_of_mine:gone", "imported"),
                          ("os.system('x')", "is no factory"), ("fabric_of_mine", "is no factory")):
        with pytest.raises(BezoarError, match=says.replace("(", r"\(")) as caught:
            open_suspect(path, factory=factory)
        assert caught.value.advice and "\n" not in str(caught.value)


def test_damaged_weights_are_refused(tmp_path):
    module = made(builds.resnet, 4)
    with torch.no_grad():
        module.head.weight[0, 0] = float("nan")
    with pytest.raises(Refused, match="not finite"):
        open_suspect(save_safetensors(module, tmp_path / "nan.safetensors"))
    weights = made(builds.resnet, 4).state_dict()
    weights.pop("head.bias")
    torch.save(weights, tmp_path / "m.pt")
    with pytest.raises(UsageError, match="no known network"):
        open_suspect(tmp_path / "m.pt")
    torch.save(torch.nn.Linear(3, 2), tmp_path / "whole.pt")
    with pytest.raises(UnreadableInput, match="needs code that is not in it"):
        open_suspect(tmp_path / "whole.pt")


def test_a_module_in_memory_and_one_that_does_not_answer():
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(8 * 8 * 3, 3))
    suspect = suspect_from(module, ("a", "b", "c"), (8, 8, 3), pixels="0..1")
    assert suspect.predict(PICTURES).shape == (9, 3), "pictures are brought to the size that the model reads"
    with pytest.raises(AbilityFailed, match="does not take inputs"):
        suspect_from(module, (), (16, 16, 3))
    with pytest.raises(AbilityFailed, match="one row of logits"):
        suspect_from(torch.nn.Identity(), (), (8, 8, 3))


def test_no_thread_count_or_seed_is_left_behind(tmp_path):
    before = torch.get_num_threads(), torch.random.get_rng_state()
    open_suspect(save_safetensors(made(builds.vgg, 3), tmp_path / "m.safetensors")).predict(PICTURES)
    assert torch.get_num_threads() == before[0] and bool((torch.random.get_rng_state() == before[1]).all())
    assert sorted(os.listdir(tmp_path)) == ["m.safetensors"]
