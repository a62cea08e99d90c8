"""Other tools on the same data in the same process: ART, cleanlab, scikit-learn, and two filters that bound them all.

ART's defences need a network that was trained on the suspect data; its training counts as their time. Their only knob about
the poison (the expected rate of spectral signatures) is run at its default and, marked as an oracle, at the true rate.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import measure
from bezoar import registry
from bezoar.core.dataset import Dataset
from bezoar.core.inputs import Images, Table, Texts
from bezoar.core.trigger import Trigger
from bezoar.core.view import View

EPOCHS = {"image": 10, "text": 12, "tabular": 8}
WIDTH = 16
MOST_TRAINED = 12_000
"""Networks are trained on at most so many samples; of larger sets ART's defences see a random part (all planted in proportion)."""

Row = dict[str, Any]


def run(names: tuple[str, ...], data: Dataset, truth: np.ndarray, seed: int, *, trigger: Trigger | None = None,
        target: str | None = None) -> list[Row]:
    """One row per method of the peers named: art | cleanlab | forest | trivial."""
    rows: list[Row] = []
    if "trivial" in names:
        rows += trivial(truth, seed)
    if "forest" in names or "cleanlab" in names:
        start = time.perf_counter()
        view = View(data, registry.make("modalities", data.modality))
        embedding = view.embed()
        embedded = time.perf_counter() - start
        if "forest" in names:
            rows.append(forest(embedding, truth, seed, embedded))
        if "cleanlab" in names:
            rows.append(confident_learning(data, truth, "cleanlab", lambda codes: regressed(view.embed(), codes)))
            rows[-1]["seconds"] += embedded
            rows.append(confident_learning(data, truth, "cleanlab on bezoar's probabilities",
                                           lambda _: np.asarray(view.label_probabilities(), np.float64)))
    if "art" in names:
        rows += art(data, truth, seed, trigger, target)
    return rows


def trivial(truth: np.ndarray, seed: int) -> list[Row]:
    """A random 1% and the truth itself: nothing should be below the one or above the other."""
    chance = np.random.default_rng([seed, 1]).random(len(truth))
    out = []
    for name, score, flagged in (("random filter", chance, chance >= np.quantile(chance, 0.99)),
                                 ("perfect filter", truth.astype(float), truth)):
        out.append({"method": name, **measure.listed(flagged, truth), "tpr_at_1fpr": measure.tpr_at(score, truth), "seconds": 0.0})
    return out


def forest(embedding: np.ndarray, truth: np.ndarray, seed: int, embedded: float) -> Row:
    """scikit-learn's IsolationForest with its defaults on bezoar's label-free embedding."""
    from sklearn.ensemble import IsolationForest

    start = time.perf_counter()
    model = IsolationForest(random_state=seed).fit(embedding)
    score = -model.score_samples(embedding)
    flagged = score > -model.offset_
    return {"method": "isolation forest", **measure.listed(flagged, truth), "tpr_at_1fpr": measure.tpr_at(score, truth),
            "seconds": time.perf_counter() - start + embedded}


def regressed(embedding: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """(n, K) 5-fold logistic-regression probabilities on bezoar's label-free embedding.

    The regression's strength is the one of eight settings that served cleanlab best on four sets at a seed that is not measured.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(cross_val_predict(LogisticRegression(C=0.3, max_iter=200), np.asarray(embedding, np.float64), codes, cv=folds,
                                            method="predict_proba"))


def confident_learning(data: Dataset, truth: np.ndarray, method: str, probabilities: Callable[[np.ndarray], np.ndarray]) -> Row:
    """cleanlab's find_label_issues on cross-fitted probabilities, whose making counts as its time."""
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    assert data.labels is not None
    start = time.perf_counter()
    present, codes = np.unique(data.labels.codes, return_inverse=True)
    p = probabilities(codes)
    p = p[:, present] if p.shape[1] > len(present) else p
    p = p / p.sum(axis=1, keepdims=True)
    flagged = find_label_issues(codes, p, n_jobs=1)
    score = 1 - get_label_quality_scores(codes, p)
    return {"method": method, **measure.listed(flagged, truth), "tpr_at_1fpr": measure.tpr_at(score, truth),
            "seconds": time.perf_counter() - start}


# -- ART


def arrays(data: Dataset) -> np.ndarray:
    """float32 network inputs: (n, 3, h, w) in [0, 1]; (n, 2048) hashed words; (n, d) standardised and one-hot cells."""
    inputs = data.inputs
    if isinstance(inputs, Images):
        return np.ascontiguousarray(inputs.dense().transpose(0, 3, 1, 2), np.float32) / 255
    if isinstance(inputs, Texts):
        from sklearn.feature_extraction.text import HashingVectorizer

        words = HashingVectorizer(n_features=2048, norm="l1", alternate_sign=False).transform(inputs.values)
        return np.sqrt(words.toarray().astype(np.float32))
    assert isinstance(inputs, Table)
    blocks = []
    for c in inputs.columns.values():
        if c.kind == "category":
            blocks.append(np.eye(len(c.levels) + 1, dtype=np.float32)[c.values])
        else:
            values = np.nan_to_num(c.values, nan=float(np.nanmedian(c.values)))
            blocks.append(((values - values.mean()) / max(float(values.std()), 1e-9)).astype(np.float32)[:, None])
    return np.concatenate(blocks, axis=1)


def network(shape: tuple[int, ...], classes: int, seed: int) -> Any:
    """A narrow residual network for pictures, a two-layer perceptron for vectors: Sequential(features, head)."""
    import torch
    from torch import nn

    torch.manual_seed(seed)

    class Block(nn.Module):
        def __init__(self, a: int, b: int, stride: int) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU(),
                                      nn.Conv2d(b, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b))
            self.skip = nn.Sequential() if a == b and stride == 1 else nn.Sequential(nn.Conv2d(a, b, 1, stride, bias=False),
                                                                                    nn.BatchNorm2d(b))

        def forward(self, x: Any) -> Any:
            return torch.relu(self.body(x) + self.skip(x))

    if len(shape) == 3:
        w = WIDTH
        features = nn.Sequential(nn.Conv2d(shape[0], w, 3, 1, 1, bias=False), nn.BatchNorm2d(w), nn.ReLU(), Block(w, w, 1),
                                 Block(w, 2 * w, 2), Block(2 * w, 4 * w, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        return nn.Sequential(features, nn.Linear(4 * w, classes))
    features = nn.Sequential(nn.Linear(shape[0], 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU())
    return nn.Sequential(features, nn.Linear(64, classes))


def train(x: np.ndarray, y: np.ndarray, classes: int, seed: int, epochs: int) -> Any:
    """The network after `epochs` of SGD with one learning-rate cycle (pictures: shifts by up to 2 pixels)."""
    import torch

    model = network(x.shape[1:], classes, seed)
    images = x.ndim == 4
    batch = 128
    steps = epochs * -(-len(x) // batch)
    rate = 0.2 if images else 0.05
    optimiser = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9, weight_decay=5e-4 if images else 1e-5, nesterov=True)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps)
    inputs, labels = torch.from_numpy(x), torch.from_numpy(y.copy())
    if images:  # the faster layout on a processor
        model = model.to(memory_format=torch.channels_last)
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    rng = np.random.default_rng([seed, 2])
    model.train()
    for _ in range(epochs):
        order = torch.from_numpy(rng.permutation(len(x)))
        for rows in order.split(batch):
            part = inputs[rows]
            if images:
                part = torch.nn.functional.pad(part, (2, 2, 2, 2))
                dy, dx = (int(v) for v in rng.integers(0, 5, 2))
                part = part[:, :, dy:dy + x.shape[2], dx:dx + x.shape[3]]
            loss = torch.nn.functional.cross_entropy(model(part), labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            cycle.step()
    model.eval()
    return model


def art(data: Dataset, truth: np.ndarray, seed: int, trigger: Trigger | None, target: str | None,
        epochs: int | None = None) -> list[Row]:
    """Activation clustering and spectral signatures on a network trained for them; `asr` is the attack's success on it."""
    import torch
    from art.defences.detector.poison import ActivationDefence, SpectralSignatureDefense
    from art.estimators.classification import PyTorchClassifier

    assert data.labels is not None
    begin = time.perf_counter()
    if len(data) > MOST_TRAINED:
        rows = np.sort(np.random.default_rng([seed, 3]).choice(len(data), MOST_TRAINED, replace=False))
        data, truth = data.take(rows), truth[rows]
    x, y, classes = arrays(data), data.labels.codes, len(data.labels.classes)
    epochs = epochs or EPOCHS[data.modality]
    model = train(x, y, classes, seed, epochs)
    trained = time.perf_counter() - begin

    class Penultimate(PyTorchClassifier):
        @property
        def layer_names(self) -> list[str]:
            return ["features"]

        def get_activations(self, x: np.ndarray, layer: Any = None, batch_size: int = 128, framework: bool = False) -> np.ndarray:
            with torch.no_grad():
                return np.concatenate([self.model[0](p).numpy() for p in torch.from_numpy(np.asarray(x, np.float32)).split(512)])

    classifier = Penultimate(model=model, loss=torch.nn.CrossEntropyLoss(), input_shape=x.shape[1:], nb_classes=classes, device_type="cpu")
    common = {"train_seconds": trained, "samples": len(data), "asr": _success(model, data, truth, trigger, target),
              "train_accuracy": float((_predict(model, x) == y).mean())}
    out: list[Row] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.perf_counter()
        np.random.seed(seed)  # ART takes no generator
        defence = ActivationDefence(classifier, x, np.eye(classes, dtype=np.float32)[y])
        _, clean = defence.detect_poison(nb_clusters=2, nb_dims=10, reduce="PCA")
        out.append({"method": "ART activation clustering", **measure.listed(np.asarray(clean) == 0, truth),
                    "seconds": trained + time.perf_counter() - start, **common})
        for name, rate in (("ART spectral signatures", 0.33), ("ART spectral signatures (oracle rate)", float(truth.mean()))):
            start = time.perf_counter()
            spectral = SpectralSignatureDefense(classifier, x, y, expected_pp_poison=rate)
            _, clean = spectral.detect_poison()
            out.append({"method": name, **measure.listed(np.asarray(clean) == 0, truth),
                        "seconds": trained + time.perf_counter() - start, **common})
    return out


def _predict(model: Any, x: np.ndarray) -> np.ndarray:
    import torch

    with torch.no_grad():
        return np.concatenate([model(p).argmax(1).numpy() for p in torch.from_numpy(x).split(512)])


def _success(model: Any, data: Dataset, truth: np.ndarray, trigger: Trigger | None, target: str | None) -> float:
    """Share of up to 1,000 clean samples outside the target that the trigger moves to the target; NaN without one."""
    if trigger is None or target is None or data.labels is None:
        return float("nan")
    code = data.labels.classes.index(target)
    hosts = np.flatnonzero(~truth & (data.labels.codes != code))[:1000]
    if isinstance(data.inputs, Table):  # standardised with the columns of the whole table
        moved = data.with_changes(inputs=data.inputs.with_rows(hosts, trigger.apply(data.inputs.take(hosts), np.random.default_rng(0))))
        return float((_predict(model, arrays(moved)[hosts]) == code).mean()) if moved.inputs.names == data.inputs.names else float("nan")
    part = data.take(hosts)
    moved = part.with_changes(inputs=trigger.apply(part.inputs, np.random.default_rng(0)))  # type: ignore[arg-type]
    return float((_predict(model, arrays(moved)) == code).mean())
