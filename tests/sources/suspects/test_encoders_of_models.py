"""Encoders and adapters from files: with a head or without, of a known network or the user's own; damaged ones are one sentence."""

import sys
import types

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bezoar.core.errors import AbilityFailed, BezoarError, Refused, UsageError  # noqa: E402
from bezoar.core.inputs import Images, Texts  # noqa: E402
from bezoar.networks import builds, training  # noqa: E402
from bezoar.sources.suspects import encoder_from, looks_like_adapter, open_adapter, open_encoder, save_safetensors, weights_of  # noqa: E402

X = np.random.default_rng(100).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)


def network(name="resnet"):
    with training.seeded(0):
        return builds.IMAGE_BUILDS[name](4, 4).eval()


def arrays(module, head=True):
    return {k: v.numpy() for k, v in module.state_dict().items() if head or not k.startswith("head.")}


@pytest.mark.parametrize("name", list(builds.IMAGE_BUILDS))
@pytest.mark.parametrize("head", [True, False])
def test_features_are_what_the_head_reads(name, head, tmp_path):
    module = network(name)
    path = save_safetensors(None, tmp_path / "e.safetensors", shape=(16, 16, 3), pixels="-1..1", arrays=arrays(module, head))
    opened = open_encoder(path)
    with torch.no_grad():
        wanted = module.features(training.pictures(X)).numpy()
    np.testing.assert_allclose(opened.embed(Images.of(X)), wanted, atol=1e-4)
    assert opened.width == wanted.shape[1] and opened.blank == ("" if head else "head")
    kept = weights_of(opened)
    assert set(kept) == set(arrays(module, head)) and all((kept[k] == v).all() for k, v in arrays(module, head).items())


def test_an_own_network_gives_what_it_returns(tmp_path, monkeypatch):
    place = types.ModuleType("own_nets")
    place.build = lambda: torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3))
    monkeypatch.setitem(sys.modules, "own_nets", place)
    path = save_safetensors(None, tmp_path / "e.safetensors", arrays={k: v.numpy() for k, v in place.build().state_dict().items()})
    opened = open_encoder(path, factory="own_nets:build", shape=(16, 16, 3))
    assert opened.width == 5 and opened.embed(Images.of(X)).shape == (6, 5)
    assert encoder_from(place.build(), (16, 16, 3)).width == 5
    with pytest.raises(AbilityFailed, match="does not take"):
        open_encoder(path, factory="own_nets:build", shape=(2, 2, 3))


@pytest.mark.parametrize(("given", "error"), [
    ({"strange": np.ones((3, 3), np.float32)}, UsageError),
    ({**arrays(network()), "head.weight": np.full((4, 16), np.nan, np.float32)}, Refused)])
def test_strange_and_damaged_files_are_one_sentence(given, error, tmp_path):
    path = save_safetensors(None, tmp_path / "e.safetensors", arrays=given)
    with pytest.raises(error):
        open_encoder(path)


def test_what_is_no_model_is_refused(tmp_path):
    (tmp_path / "e.safetensors").write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(BezoarError):
        open_encoder(tmp_path / "e.safetensors")
    with pytest.raises(BezoarError):
        open_adapter(tmp_path / "nothing.safetensors")
    assert not looks_like_adapter(tmp_path / "e.safetensors")
    opened = encoder_from(torch.nn.Conv2d(3, 5, 3), (16, 16, 3))
    with pytest.raises(UsageError, match="reads pictures"):
        opened.embed(Texts(np.array(["a"], object)))


def test_a_file_without_arrays_of_an_adapter_is_none(tmp_path):
    path = save_safetensors(network(), tmp_path / "m.safetensors")
    assert open_adapter(path) is None
