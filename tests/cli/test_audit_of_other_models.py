"""`bezoar audit` of models that are no networks in weights files: boosted trees, TorchScript."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from sklearn.datasets import load_iris

TREES = Path(__file__).parents[1] / "intake" / "models" / "trees"


@pytest.fixture(scope="module")
def flowers(tmp_path_factory):
    """flowers.csv with the names of the columns, and the models beside it."""
    place = tmp_path_factory.mktemp("flowers")
    x, y = load_iris(return_X_y=True)
    rows = ["sepal length,sepal width,petal length,petal width,kind", *(",".join(map(str, r)) + f",kind {k}" for r, k in zip(x, y, strict=True))]
    (place / "flowers.csv").write_text("\n".join(rows) + "\n")
    (place / "narrow.csv").write_text("\n".join(re.sub(r"^[^,]*,", "", r) for r in rows) + "\n")
    for path in TREES.iterdir():
        shutil.copy(path, place)
    return place


@pytest.mark.parametrize(("name", "effort", "codes"), [("xgboost-three.json", "standard", (0,)), ("lightgbm-three.txt", "quick", (0, 3))])
def test_boosted_trees_are_audited(bezoar, flowers, tmp_path, name, effort, codes):
    done = bezoar("audit", name, "--data", "flowers.csv", "--label", "kind", "--effort", effort, "--fail-on", "never", "--out", tmp_path / "r",
                  cwd=flowers)
    assert done.code in codes, (done.out, done.err)
    report = json.loads((tmp_path / "r" / "report.json").read_text())
    assert report["subject"]["modality"] == "tabular" and report["subject"]["clean_samples"] == 150
    assert report["outcomes"][0]["reason"].startswith("safe: " + name.split("-")[0])
    assert any("trees were read as data" in n for n in report["notes"]), report["notes"]
    assert [o["status"] for o in report["outcomes"] if o["ability"] == "value-inversion"] in (["found"], ["nothing"]), report["outcomes"]


@pytest.mark.parametrize(("name", "data", "said"), [
    ("xgboost-three.json", "narrow.csv", "no column 'sepal length', which the model reads"),
    ("lightgbm-full.txt", "narrow.csv", "reads 4 columns and names none, the table has 3")])
def test_data_that_do_not_fit_are_said(bezoar, flowers, tmp_path, name, data, said):
    done = bezoar("audit", name, "--data", data, "--label", "kind", "--effort", "quick", "--out", tmp_path / "r", cwd=flowers)
    assert done.code == 2 and said in done.err and "Traceback" not in done.err, (done.code, done.err)


def test_trees_that_are_none_end_in_one_sentence(bezoar, flowers, tmp_path):
    text = (TREES / "xgboost-three.json").read_text()
    for raw, said in ((re.sub(r'"left_children":\[1,', '"left_children":[0,', text), "refused"), (text[:500], "cut off")):
        (tmp_path / "m.json").write_text(raw)
        done = bezoar("audit", tmp_path / "m.json", "--data", "flowers.csv", "--label", "kind", "--out", tmp_path / "r", cwd=flowers)
        assert done.code == 2 and said in done.err and "Traceback" not in done.err and not (tmp_path / "r").exists(), done.err


@pytest.mark.skipif(sys.platform != "linux", reason="no filter of system calls on this system")
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_torchscript_is_audited_as_a_black_box(bezoar, flowers, tmp_path):
    torch = pytest.importorskip("torch")
    x, y = load_iris(return_X_y=True)
    torch.manual_seed(100)
    net = torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))
    inputs, codes, steps = torch.tensor(x).float(), torch.tensor(y), torch.optim.Adam(net.parameters(), 0.02)
    for _ in range(200):
        steps.zero_grad()
        torch.nn.functional.cross_entropy(net(inputs), codes).backward()
        steps.step()
    torch.jit.save(torch.jit.script(net.eval()), str(tmp_path / "model.pt"))
    done = bezoar("audit", tmp_path / "model.pt", "--data", "flowers.csv", "--label", "kind", "--effort", "quick", "--fail-on", "never",
                  "--out", tmp_path / "r", cwd=flowers)
    assert done.code in (0, 3), (done.out, done.err)
    report = json.loads((tmp_path / "r" / "report.json").read_text())
    assert report["outcomes"][0]["reason"].startswith("inconclusive: torchscript, a program: it was only asked")
    assert [o["status"] for o in report["outcomes"] if o["ability"] == "value-inversion"] in (["found"], ["nothing"]), report["outcomes"]

    class Greedy(torch.nn.Module):
        def forward(self, x):
            return torch.ones([x.size(0), 1 << 40])

    torch.jit.save(torch.jit.script(Greedy()), str(tmp_path / "greedy.pt"))
    done = bezoar("audit", tmp_path / "greedy.pt", "--data", "flowers.csv", "--label", "kind", "--effort", "quick", "--out", tmp_path / "g", cwd=flowers)
    assert done.code == 3 and "Traceback" not in done.err and not (tmp_path / "g").exists(), (done.code, done.err)
