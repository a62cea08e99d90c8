"""`bezoar audit` of a `torch.export` archive, as a user types it."""

import json
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bezoar.networks.builds import vgg  # noqa: E402
from bezoar.testing.hostile.models.exports import array, export, target  # noqa: E402


@pytest.mark.parametrize(("raw", "says"), [
    (export(target("torch.ops.aten.bernoulli.default")), "'torch.ops.aten.bernoulli.default', which is not among those that are followed"),
    (export(target("os.system")), "'os.system', which is no operator"), (export(arrays=array(path_name="../../a")), "'../../a', which is not in the file")])
def test_what_is_not_followed_is_said_in_one_sentence(raw, says, tmp_path, bezoar):
    (tmp_path / "model.pt2").write_bytes(raw)
    done = bezoar("audit", tmp_path / "model.pt2", "--out", tmp_path / "out", cwd=tmp_path)
    assert done.code == 2 and says in " ".join(done.err.split()) and "Traceback" not in done.err and not (tmp_path / "out").exists()


def test_an_archive_is_audited(tmp_path, bezoar):
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(vgg(4, 4).eval(), (torch.zeros(2, 3, 16, 16),)), tmp_path / "model.pt2")
    rng = np.random.default_rng(1)
    np.savez(tmp_path / "clean.npz", x=rng.integers(0, 256, (24, 16, 16, 3)).astype(np.uint8), y=np.arange(24) % 4)
    done = bezoar("audit", tmp_path / "model.pt2", "--data", tmp_path / "clean.npz", "--effort", "quick", "--out", tmp_path / "out", "-q", cwd=tmp_path)
    assert done.code in (0, 1), done.err
    told = json.loads((tmp_path / "out" / "report.json").read_text())
    assert told["subject"]["kind"] == "model" and told["outcomes"][0]["reason"].startswith("safe: exported")
    assert not [o for o in told["outcomes"] if o["status"] == "failed"]
