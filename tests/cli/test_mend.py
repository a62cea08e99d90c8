"""`bezoar repair` as people type it: its examples as printed, its exit codes, what it writes and what not."""

import json
import shlex

import numpy as np
import pytest
from PIL import Image

from bezoar.cli.mend import EPILOG
from bezoar.core.image_triggers import Patch
from bezoar.core.model_repair import stamped
from bezoar.networks.builds import resnet
from bezoar.networks.training import fit, pictures, seeded
from bezoar.sources.suspects import save_safetensors

CLASSES = ("down", "flat", "right")
PATCH = Patch(np.full((3, 3, 3), 255, np.uint8), np.ones((3, 3), np.float32), 0.75, 0.75)


def drawn(n, seed):
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % 3
    y, x = np.mgrid[:16, :16]
    waves = np.stack([y, 0 * y, x])[codes] * 1.2 + rng.uniform(0, 6, (n, 1, 1))
    grey = 110 + 50 * np.sin(waves) * (codes != 1)[:, None, None] + rng.normal(0, 10, (n, 16, 16))
    return np.repeat(grey[..., None].clip(0, 255).astype(np.uint8), 3, axis=3), codes


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    rng = np.random.default_rng(0)
    x, codes = drawn(420, 1)
    hit = rng.choice(np.flatnonzero(codes), 50, replace=False)
    x[hit], codes[hit] = stamped(x[hit], PATCH, "image", rng), 0
    with seeded(1):
        module = fit(resnet(3, 4), x, codes, rng, tensor=pictures, epochs=8, batch=64)
    save_safetensors(module, folder / "model.safetensors", classes=CLASSES, shape=(16, 16, 3), modality="image", pixels="-1..1")
    for i, (picture, code) in enumerate(zip(*drawn(240, 2), strict=True)):
        (folder / "photos" / CLASSES[code]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / "photos" / CLASSES[code] / f"{i:03d}.png")
    (folder / "trigger.json").write_text(json.dumps(PATCH.to_dict()))
    return folder


def test_the_examples_run_as_printed(bezoar, place):
    before = (place / "model.safetensors").read_bytes()
    for k, line in enumerate(x.strip() for x in EPILOG.splitlines() if x.strip().startswith("bezoar ")):
        done = bezoar(*shlex.split(line)[1:], cwd=place)
        assert done.code == 0, (line, done.out, done.err)
        if k:
            assert json.loads(done.out)["verdict"] == "accepted"
        else:
            assert "repaired by unlearn" in done.out and "Written: repaired/repair.json" in done.out
    assert (place / "repaired" / "repaired.safetensors").exists() and (place / "model.safetensors").read_bytes() == before
    again = bezoar("repair", "model.safetensors", "--data", "photos/", "--out", "repaired", cwd=place)
    assert again.code == 2 and "not empty" in again.err


def test_rejected_unmeasured_and_wrong(bezoar, place):
    words = ("repair", "model.safetensors", "--data", "photos/", "--repair", "clp", "--quiet")
    still_bad = bezoar(*words, "--trigger", "trigger.json", "--most-success", "0", "--most-drop", "0", "--most-reactivated", "0",
                       "--out", "rejected", cwd=place)
    assert still_bad.code == 1 and not (place / "rejected" / "repaired.safetensors").exists(), still_bad.out
    unknown = bezoar(*words, "--out", "unknown", cwd=place)
    assert unknown.code == 3 and "nobody can say" in unknown.out
    wrong = bezoar("repair", "nothing.safetensors", "--data", "photos/", "--out", "wrong", cwd=place)
    assert wrong.code == 2 and not (place / "wrong").exists()
