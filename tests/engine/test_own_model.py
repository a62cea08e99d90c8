"""A model of the user's own: read in the place of a trained one, matched by class names, refused in one sentence where it does not fit."""

from __future__ import annotations

import numpy as np
import pytest

from bezoar import api
from bezoar.core.errors import AbilityFailed, UsageError
from bezoar.own_model import own_model, reader, told

torch = pytest.importorskip("torch")
from bezoar.networks import builds, training  # noqa: E402
from bezoar.networks.own import taught  # noqa: E402
from bezoar.sources.suspects import save_safetensors, suspect_from  # noqa: E402

CLASSES = ("dark", "light", "mid")
LEVEL = {"dark": 40, "light": 210, "mid": 120}


def pictures(n=90, side=8, seed=0):
    rng = np.random.default_rng(seed)
    names = np.array(CLASSES)[np.arange(n) % 3]
    x = np.clip(np.array([LEVEL[c] for c in names])[:, None, None, None] + rng.normal(0, 12, (n, side, side, 3)), 0, 255)
    return api.load(x.astype(np.uint8), list(names))


def module(classes=3, order=(0, 1, 2)):
    """A network that knows the classes; its outputs stand in `order`."""
    data = pictures(seed=1)
    with training.seeded(0):
        made = builds.vgg(classes, 4)
        codes = np.argsort(order)[data.labels.codes]
        return training.fit(made, data.inputs.dense(), codes, np.random.default_rng(0), tensor=lambda b: training.pictures(b).add(1).div(2),
                            epochs=60)


def test_it_is_read_at_quick_effort_and_the_report_says_which():
    made = module()
    report = api.scan(pictures(), detectors=["dynamics", "outliers"], model=made)
    assert {o.ability: o.status for o in report.outcomes}["dynamics"] == "nothing"
    model = report.plan["model"]
    assert model["fingerprint"] == suspect_from(made, shape=(8, 8, 3)).fingerprint
    assert any("names no classes" in n for n in model["notes"])
    assert api.scan(pictures(), detectors=["outliers"]).plan["model"] is None
    assert "dynamics" in api.plan(pictures(), model=True)["detectors"]
    assert "dynamics" not in api.plan(pictures())["detectors"]


def test_classes_are_matched_by_name_and_new_inputs_are_answered():
    data = pictures()
    suspect = suspect_from(module(order=(2, 0, 1)), ("mid", "dark", "light"), (8, 8, 3))
    shown = taught(suspect, data.inputs, data.labels.codes, data.labels.classes)
    assert (shown.learned.logits.argmax(axis=1) == data.labels.codes).mean() > 0.95
    assert np.nanmean(shown.learned.losses) < 0.4
    assert shown.learned.losses.shape == (90, 1)
    np.testing.assert_allclose(shown.ask(data.inputs), shown.learned.logits, atol=1e-4)
    other = pictures(side=12)
    assert (shown.ask(other.inputs).argmax(axis=1) == other.labels.codes).mean() > 0.8  # brought to the size that it reads
    assert not suspect.module.training


def test_rows_without_a_label_are_read_and_have_no_loss():
    data = pictures()
    codes = data.labels.codes.copy()
    codes[:4] = -1
    shown = taught(suspect_from(module(), CLASSES, (8, 8, 3)), data.inputs, codes, CLASSES)
    assert np.isnan(shown.learned.losses[:4]).all()
    assert np.isfinite(shown.learned.losses[4:]).all()


class Wild(torch.nn.Module):
    """Answers with numbers that are not finite as soon as a picture is not blank."""

    def __init__(self):
        super().__init__()
        self.head = torch.nn.Linear(3, 3)

    def forward(self, x):
        return self.head(x.mean(dim=(2, 3))) / (x.amax(dim=(1, 2, 3)) == 0)[:, None]


@pytest.mark.parametrize(("model", "error", "said"), [
    (lambda: module(classes=4, order=(0, 1, 2)), UsageError, "has 4 classes, the data 3"),
    (lambda: suspect_from(module(), ("dark", "light", "dim"), (8, 8, 3)), UsageError, "no class 'mid'"),
    (lambda: Wild(), AbilityFailed, "not finite"),
    (lambda: suspect_from(torch.nn.Linear(5, 3), shape=(5,)), UsageError, "reads tabular data"),
    (lambda: "no/such/model.safetensors", Exception, "no/such|nothing"),
    (lambda: 7, UsageError, "not int")])
def test_what_does_not_fit_is_one_sentence(model, error, said):
    with pytest.raises(error, match=said):
        api.scan(pictures(), detectors=["dynamics"], model=model())


def test_data_without_labels_are_refused():
    with pytest.raises(UsageError, match="have none"):
        own_model(module(), api.load(pictures().inputs.dense()))
    assert reader(None) is None and told(None) is None


def test_from_the_command_line_a_file_is_read_and_a_wrong_one_ends_with_two(tmp_path, said):
    data = pictures()
    np.savez(tmp_path / "data.npz", x=data.inputs.dense(), y=data.labels.codes)
    save_safetensors(module(), tmp_path / "m.safetensors", classes=("0", "1", "2"), shape=(8, 8, 3))
    save_safetensors(builds.vgg(5, 4), tmp_path / "five.safetensors", shape=(8, 8, 3))
    for name, code in (("m", 0), ("five", 2)):
        assert said("scan", tmp_path / "data.npz", "--model", tmp_path / f"{name}.safetensors", "--detector", "dynamics", "--quiet",
                    "--out", tmp_path / name)[0] == code
    assert api.read_report(tmp_path / "m" / "report.json").plan["model"]["name"] == "m.safetensors"
