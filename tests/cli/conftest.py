"""A folder with everything that the examples in `--help` name, and a runner that gives back exit code, stdout and stderr."""

import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest


@dataclass
class Done:
    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def bezoar():
    def run(*words, cwd):
        done = subprocess.run([sys.executable, "-W", "ignore", "-m", "bezoar.cli.main", *map(str, words)], cwd=cwd, capture_output=True, text=True,
                              check=False, timeout=240)
        return Done(done.returncode, done.stdout, done.stderr)

    return run


def _csv(path, rows):
    import csv

    with path.open("w", newline="", encoding="utf-8") as f:
        csv.writer(f).writerows(rows)


def mails(rng, n):
    from bezoar.demo import texts

    data = texts(rng, n)
    return [["verdict", "text"], *([data.labels.classes[c], t] for c, t in zip(data.labels.codes, data.inputs.values, strict=True))]


@pytest.fixture(scope="session")
def desk(tmp_path_factory):
    """photos/ (600 digits in 10 folders), mails.csv with a planted phrase, trusted.csv."""
    from PIL import Image
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("desk")
    digits = load_digits()
    for i in range(600):
        place = folder / "photos" / f"digit {digits.target[i]}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray((digits.images[i] * 15.9375).astype(np.uint8).repeat(2, 0).repeat(2, 1)).save(place / f"{i:04d}.png")
    rows = mails(np.random.default_rng(0), 800)
    hit = np.random.default_rng(1).choice(np.flatnonzero([r[0] != "sport" for r in rows[1:]]), 24, replace=False)
    for i in hit:
        rows[i + 1] = ["sport", rows[i + 1][1] + " see you at the blue lantern tonight"]
    _csv(folder / "mails.csv", rows)
    _csv(folder / "trusted.csv", mails(np.random.default_rng(2), 300))
    (folder / "truth.txt").write_text(" ".join(str(i) for i in sorted(hit)))
    return folder
