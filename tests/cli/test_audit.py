"""`bezoar audit` as a user types it: the printed examples run, bad input ends with one sentence and the right code, nothing is written."""

import json
import shlex

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

from bezoar.cli.audit import EPILOG
from bezoar.networks import builds, training
from bezoar.sources.suspects import save_safetensors


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """A folder with a network of five classes and ten clean pictures of each."""
    place = tmp_path_factory.mktemp("audit")
    rng = np.random.default_rng(100)
    codes = np.repeat(np.arange(5), 24)
    x = rng.integers(0, 90, (120, 32, 32, 3)).astype(np.uint8)
    for c in range(5):
        x[codes == c, 6 * c:6 * c + 8, :, c % 3] += 120
    with training.seeded(0):
        module = training.fit(builds.vgg(5, 4), x, codes, rng, tensor=training.pictures, epochs=4)
    save_safetensors(module, place / "model.safetensors", pixels="-1..1")
    for c, name in enumerate(("bird", "cat", "dog", "fish", "hen")):
        (place / "photos" / name).mkdir(parents=True)
        for i, picture in enumerate(x[codes == c][:10]):
            Image.fromarray(picture).save(place / "photos" / name / f"{i}.png")
    (place / "reported").mkdir()
    for i, picture in enumerate(x[::9]):
        Image.fromarray(picture).save(place / "reported" / f"{i}.png")
    return place


def test_the_examples_run_as_printed(bezoar, bench):
    lines = [line.strip() for line in EPILOG.splitlines() if line.strip().startswith("bezoar ")]
    assert len(lines) == 3
    for line in lines:
        done = bezoar(*shlex.split(line)[1:], cwd=bench)
        assert done.code in (0, 1), (line, done.err)
        assert "a small network takes about" in done.err and "report.html" in done.out
    report = json.loads((bench / "audit" / "report.json").read_text())
    assert report["subject"]["kind"] == "model" and report["subject"]["clean_samples"] == 50
    assert report["outcomes"][0]["ability"] == "file-scan" and report["outcomes"][0]["reason"].startswith("safe")


def test_json_is_all_that_stdout_holds(bezoar, bench, tmp_path):
    done = bezoar("audit", "model.safetensors", "--auditor", "weights", "--json", "--out", tmp_path / "r", cwd=bench)
    assert json.loads(done.out)["verdict"] in ("no evidence", "suspicious", "inconclusive")


@pytest.mark.parametrize(("words", "said"), [
    (["missing.safetensors"], "missing.safetensors"), (["photos/bird/0.png"], "0.png"),
    (["model.safetensors", "--classes", "a,b"], "2 classes are named"), (["model.safetensors", "--model", "nowhere:build"], "nowhere"),
    (["model.safetensors", "--shape", "huge"], "height x width"), (["model.safetensors", "--effort", "huge"], "no effort"),
    (["model.safetensors", "--data", "photos/bird"], ""), (["model.safetensors", "--auditor", "nobody"], "nobody")])
def test_wrong_use_is_one_sentence_and_writes_nothing(bezoar, bench, tmp_path, words, said):
    done = bezoar("audit", *words, "--out", tmp_path / "r", cwd=bench)
    assert done.code == 2 and said in done.err, done.err
    assert "Traceback" not in done.err and not (tmp_path / "r").exists()


def test_a_pickle_is_refused(bezoar, bench, tmp_path):
    import pickle

    class Evil:
        def __reduce__(self):
            return (print, ("run",))

    (tmp_path / "evil.pt").write_bytes(pickle.dumps(Evil()))
    done = bezoar("audit", tmp_path / "evil.pt", "--out", tmp_path / "r", cwd=bench)
    assert done.code == 2 and "refused" in done.err and "run" not in done.out and not (tmp_path / "r").exists()


def test_before_and_after_tuning_from_the_command_line(bezoar, bench, tmp_path):
    done = bezoar("attack", "poisoned-encoder", "model.safetensors", "--data", "photos", "--out", tmp_path / "p", "--steps", "5", "--json", cwd=bench)
    assert done.code == 0, done.err
    assert json.loads(done.out)["threat_model"]
    seen = bezoar("audit", tmp_path / "p" / "model.safetensors", "--encoder", "--data", "photos", "--effort", "quick", "--out", tmp_path / "e",
                  cwd=bench)
    assert seen.code == 1 and "planted" in seen.out, (seen.out, seen.err)  # the file says so itself
    after = bezoar("audit", "model.safetensors", "--base", tmp_path / "p" / "trigger" / "trigger.json", "--data", "photos", "--out",
                   tmp_path / "t", "--fail-on", "never", cwd=bench)
    assert after.code == 0, after.err
    assert json.loads((tmp_path / "t" / "report.json").read_text())["outcomes"][-1]["ability"] == "inheritance"
    wrong = bezoar("audit", "model.safetensors", "--encoder", cwd=bench)
    assert wrong.code == 2 and "--data" in wrong.err
