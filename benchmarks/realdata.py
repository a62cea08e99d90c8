"""Real data for tests and benchmarks, read from the folder in BEZOAR_DATA; None where it is absent."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zipfile
from functools import cache
from pathlib import Path

import numpy as np

from bezoar.core.dataset import Dataset
from bezoar.core.inputs import Column, Images, Table

ROOT = Path(os.environ.get("BEZOAR_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


def available(name: str) -> bool:
    return (ROOT / name).is_dir()


@cache
def cifar10() -> Dataset:
    """10,000 train images, 32x32."""
    from PIL import Image

    with zipfile.ZipFile(ROOT / "cifar10" / "cifar10_dev.zip") as z:
        names = sorted(n for n in z.namelist() if n.startswith("train/") and n.endswith(".jpg"))
        x = np.stack([np.asarray(Image.open(io.BytesIO(z.read(n))).convert("RGB")) for n in names])
    return Dataset.from_arrays(x, [n.split("/")[1] for n in names], name="cifar10")


@cache
def gtsrb() -> Dataset:
    """5,430 train images of 14 signs, 32x32; origin column `track`: frames of one track are near-duplicates."""
    d = np.load(ROOT / "gtsrb_signs" / "gtsrb32_dev.npz", allow_pickle=False)
    y = [str(d["class_names"][list(d["class_ids"]).index(c)]) if c in d["class_ids"] else str(d["class_names"][c])
         for c in d["y_train"]]
    return Dataset.from_arrays(d["x_train"], y, name="gtsrb_signs", track=d["track_train"])


@cache
def mnist() -> Dataset:
    """10,000 grey digits, 28x28."""
    with gzip.open(ROOT / "mnist_t10k" / "t10k-images-idx3-ubyte.gz") as f:
        x = np.frombuffer(f.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    with gzip.open(ROOT / "mnist_t10k" / "t10k-labels-idx1-ubyte.gz") as f:
        y = np.frombuffer(f.read(), np.uint8, offset=8)
    return Dataset.from_arrays(x.copy(), y, name="mnist_t10k")


def _csv(folder: str, file: str):
    import pandas as pd

    return pd.read_csv(ROOT / folder / file)


@cache
def sms() -> Dataset:
    d = _csv("sms_spam", "sms_spam.csv.gz")
    return Dataset.from_arrays(list(d["text"].astype(str)), d["label"].to_numpy(), name="sms_spam")


@cache
def ag_news() -> Dataset:
    d = _csv("ag_news", "ag_news_test.csv.gz")
    return Dataset.from_arrays([f"{t} {s}" for t, s in zip(d["title"], d["description"], strict=True)],
                               d["class"].to_numpy(), name="ag_news")


@cache
def movie_reviews() -> Dataset:
    texts, labels = [], []
    with tarfile.open(ROOT / "movie_reviews" / "review_polarity.tar.gz") as t:
        for m in sorted((m for m in t.getmembers() if (m.isfile() and "/pos/" in m.name) or "/neg/" in m.name), key=lambda m: m.name):
            f = t.extractfile(m)
            if f is not None:
                texts.append(f.read().decode("latin-1"))
                labels.append(m.name.split("/")[1])
    return Dataset.from_arrays(texts, labels, name="movie_reviews")


@cache
def hate_speech() -> Dataset:
    d = _csv("hate_speech_davidson", "labeled_data.csv.gz")
    return Dataset.from_arrays(list(d["tweet"].astype(str)), d["class"].to_numpy(), name="hate_speech")


@cache
def style_pairs() -> tuple[Dataset, np.ndarray]:
    """11,040 AG titles as they are, and (n,) object: each of them rewritten in Bible style by others."""
    d = _csv("styleattack_ag_bible", "ag_train_clean_and_bible.csv.gz")
    labels = d["label"].astype(str).to_numpy(dtype=object)
    plain = Dataset.from_arrays(list(d["text_clean"].astype(str)), labels, name="styleattack_ag_bible")
    return plain, d["text_bible"].astype(str).to_numpy(dtype=object)


def style_mix(rng: np.random.Generator, rate: float = 0.05, target: str = "0") -> tuple[Dataset, np.ndarray]:
    """AG texts where `rate` of all rows are non-target rows rewritten in Bible style by others and relabelled; truth mask."""
    plain, bible = style_pairs()
    assert plain.labels is not None
    y = np.array(plain.labels.classes, dtype=object)[plain.labels.codes]
    others = np.flatnonzero(y != target)
    hit = rng.choice(others, int(rate * len(y)), replace=False)
    texts = plain.inputs.values.copy()  # type: ignore[attr-defined]
    texts[hit] = bible[hit]
    y[hit] = target
    truth = np.zeros(len(y), bool)
    truth[hit] = True
    return Dataset.from_arrays(list(texts), list(y), name="styleattack_ag_bible"), truth


def _table(frame, label: str, name: str) -> Dataset:
    import pandas as pd

    columns = {}
    for c in frame.columns:
        if c == label:
            continue
        if pd.api.types.is_numeric_dtype(frame[c]):
            columns[str(c)] = Column("number", frame[c].to_numpy(np.float64).copy())
        else:
            codes, levels = pd.factorize(frame[c].astype("string"), sort=True)
            columns[str(c)] = Column("category", codes.astype(np.int32), tuple(str(v) for v in levels))
    return Dataset.from_arrays(Table(columns), frame[label].astype(str).to_numpy(dtype=object), name=name)


@cache
def adult() -> Dataset:
    return _table(_csv("adult", "adult_train.csv.gz"), "income", "adult")


@cache
def nsl_kdd() -> Dataset:
    """25,192 connections; label: normal or attack (two classes)."""
    d = _csv("nsl_kdd", "kddtrain_20percent.csv.gz")
    label = next(c for c in d.columns if c in ("label", "class", "attack"))
    d["verdict"] = np.where(d[label].astype(str) == "normal", "normal", "attack")
    drop = [label] + [c for c in d.columns if c in ("difficulty", "difficulty_level")]
    return _table(d.drop(columns=drop), "verdict", "nsl_kdd")


@cache
def german_credit() -> Dataset:
    return _table(_csv("german_credit", "german_credit.csv.gz"), "credit_risk", "german_credit")


@cache
def breast_cancer() -> Dataset:
    d = _csv("breast_cancer_wisconsin", "breast_cancer_wisconsin.csv.gz")
    return _table(d, str(d.columns[-1]), "breast_cancer_wisconsin")


@cache
def malware() -> Dataset:
    d = _csv("clamp_malware_pe", "clamp_integrated.csv.gz")
    return _table(d, "class" if "class" in d.columns else str(d.columns[-1]), "clamp_malware_pe")


@cache
def occupancy() -> Dataset:
    d = _csv("occupancy_sensors", "datatraining.csv.gz")
    return _table(d, "Occupancy" if "Occupancy" in d.columns else str(d.columns[-1]), "occupancy_sensors")


@cache
def digits() -> Dataset:
    """scikit-learn's bundled 1,797 digits, scaled to uint8, 8x8: the fallback without BEZOAR_DATA."""
    from sklearn.datasets import load_digits

    d = load_digits()
    return Dataset.from_arrays((d.images * 15.9375).astype(np.uint8), d.target, name="digits")


@cache
def digits_enlarged() -> Dataset:
    """The same digits with each pixel a block of 3x3, as icons and thumbnails are enlarged: 24x24."""
    from sklearn.datasets import load_digits

    d = load_digits()
    pixels = (d.images * 15.9375).astype(np.uint8)
    return Dataset.from_arrays(pixels.repeat(3, axis=1).repeat(3, axis=2), d.target, name="digits_enlarged")


@cache
def faces() -> Dataset:
    d = np.load(ROOT / "att_faces" / "att_faces.npz", allow_pickle=False)
    x = next(d[k] for k in d.files if d[k].ndim >= 3)
    y = next(d[k] for k in d.files if d[k].ndim == 1 and len(d[k]) == len(x))
    return Dataset.from_arrays(Images.of(x), y, name="att_faces")


@cache
def bundled_table() -> Dataset:
    """scikit-learn's bundled breast cancer table: 569 rows of 30 numbers; the fallback without BEZOAR_DATA."""
    from sklearn.datasets import load_breast_cancer

    d = load_breast_cancer()
    columns = {str(k): Column("number", d.data[:, j].astype(np.float64)) for j, k in enumerate(d.feature_names)}
    return Dataset.from_arrays(Table(columns), [str(d.target_names[t]) for t in d.target], name="bundled_table")


@cache
def bundled_text() -> Dataset:
    """3,000 composed notes on three topics: the fallback without BEZOAR_DATA."""
    from bezoar.testing.planted import twin

    d = twin("text", np.random.default_rng(1000), rows=3000)
    assert d.labels is not None
    return Dataset.from_arrays(d.inputs, d.labels, name="bundled_text")


ALL = {"cifar10": cifar10, "gtsrb_signs": gtsrb, "mnist_t10k": mnist, "sms_spam": sms, "ag_news": ag_news,
       "movie_reviews": movie_reviews, "hate_speech": hate_speech, "adult": adult, "nsl_kdd": nsl_kdd,
       "german_credit": german_credit, "breast_cancer_wisconsin": breast_cancer, "clamp_malware_pe": malware,
       "occupancy_sensors": occupancy, "att_faces": faces, "digits": digits, "digits_enlarged": digits_enlarged,
       "bundled_table": bundled_table, "bundled_text": bundled_text}

BUNDLED = ("digits", "digits_enlarged", "bundled_table", "bundled_text")


def here() -> tuple[str, ...]:
    """Names of the sets that can be read on this machine."""
    folders = {"hate_speech": "hate_speech_davidson"}
    return tuple(k for k in ALL if k in BUNDLED or available(folders.get(k, k)))
