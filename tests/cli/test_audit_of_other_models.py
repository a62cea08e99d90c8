"""`bezoar audit` of models that are no networks in weights files: boosted trees."""

import json
import re
import shutil
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
