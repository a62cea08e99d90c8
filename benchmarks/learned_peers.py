"""Published detectors re-implemented on the activations of one network: a score per row, higher is worse.

Each is given what its paper asks for and more: the exact features, and, where it needs trusted samples, ten per class. What they lack
is a threshold that holds without knowing the attack, so they are compared by the true positives at 1% false positives, which grants
each of them the best threshold. Short forms, written from the papers; not their authors' code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bezoar.core.learned import Learned
from bezoar.networks import training


@dataclass(frozen=True, eq=False)
class Trained:
    """A network, what it shows of the data under test, and of ten trusted samples per class."""

    module: Any
    x: np.ndarray
    codes: np.ndarray
    classes: int
    shown: Learned
    clean_x: np.ndarray
    clean_codes: np.ndarray
    clean: Learned


def spectral_signatures(t: Trained, rng: np.random.Generator) -> np.ndarray:
    """Squared projection on the first singular vector of the centred class (Tran, Li, Madry 2018, arXiv 1811.00636)."""
    out = np.zeros(len(t.codes))
    for rows, f in _by_class(t):
        out[rows] = (f @ np.linalg.svd(f, full_matrices=False)[2][0]) ** 2 if len(rows) > 2 else 0
    return out


def activation_clustering(t: Trained, rng: np.random.Generator) -> np.ndarray:
    """Two means in ten principal components of each class; the smaller part, the smaller the worse (Chen et al. 2018, 1811.03728)."""
    from sklearn.cluster import KMeans

    out = np.zeros(len(t.codes))
    for rows, f in _by_class(t):
        if len(rows) < 20:
            continue
        z = f @ np.linalg.svd(f, full_matrices=False)[2][:10].T
        means = KMeans(2, n_init=3, random_state=0).fit(z)
        share = np.bincount(means.labels_, minlength=2) / len(rows)
        far = means.transform(z)
        margin = far[np.arange(len(z)), 1 - means.labels_] - far[np.arange(len(z)), means.labels_]
        small = share.argmin()
        out[rows] = np.where(means.labels_ == small, 1 - share[small], 0) + 1e-3 * margin / max(float(margin.max()), 1e-9)
    return out


def scan(t: Trained, rng: np.random.Generator) -> np.ndarray:
    """Two components with the trusted covariance against one, per class; classes by robust outlier index (Tang et al. 2021, 1908.00686)."""
    f = np.asarray(t.shown.layers[-1], np.float64)
    reference = np.asarray(t.clean.layers[-1], np.float64)
    middle = np.stack([reference[t.clean_codes == c].mean(axis=0) for c in range(t.classes)])
    rest = reference - middle[t.clean_codes]
    spread = rest.T @ rest / len(rest)
    spread += 0.1 * np.trace(spread) / len(spread) * np.eye(len(spread))
    root = np.linalg.cholesky(np.linalg.inv(spread))
    gain, inside = np.zeros(t.classes), np.zeros(len(f))
    for c in range(t.classes):
        rows = np.flatnonzero(t.codes == c)
        if len(rows) < 20:
            continue
        z = (f[rows] - f[rows].mean(axis=0)) @ root
        side = z @ np.linalg.svd(z, full_matrices=False)[2][0] > 0
        for _ in range(20):
            axis = z[side].mean(axis=0) - z[~side].mean(axis=0)
            along = z @ axis
            cut = (along[side].mean() + along[~side].mean()) / 2
            if len(np.unique(new := along > cut)) < 2 or (new == side).all():
                break
            side = new
        parts = [z[side], z[~side]]
        gain[c] = 2 * sum(len(p) * float(p.mean(axis=0) @ p.mean(axis=0)) for p in parts) / len(z)
        own = reference[t.clean_codes == c]
        clean_side = float((((own - f[rows].mean(axis=0)) @ root) @ axis > cut).mean())
        inside[rows] = (along - cut) / max(float(np.abs(along - cut).std()), 1e-9) * (1 if clean_side < 0.5 else -1)
    index = (gain - np.median(gain)) / max(1.4826 * float(np.median(np.abs(gain - np.median(gain)))), 1e-9)
    return np.asarray(10 * np.maximum(index[t.codes], 0) * (inside > 0) + inside)


def spectre(t: Trained, rng: np.random.Generator) -> np.ndarray:
    """Quantum entropy scores after robust whitening in the leading directions (Hayase et al. 2021, arXiv 2104.11315)."""
    out = np.zeros(len(t.codes))
    for rows, f in _by_class(t):
        if len(rows) >= 20:
            axes = np.linalg.svd(f, full_matrices=False)[2]
            tried = [_entropy_scores(f @ axes[:k].T) for k in (2, 4, 8, 16) if k <= min(len(rows) // 5, len(axes))]
            out[rows] = max(tried, key=lambda q: float(q.mean()))
    return out


def _entropy_scores(z: np.ndarray) -> np.ndarray:
    """(m,) of rows (m, k) whitened by the covariance of the nearer 85%."""
    keep = np.ones(len(z), bool)
    for _ in range(3):
        mean, cov = z[keep].mean(axis=0), np.cov(z[keep].T) + 1e-6 * np.eye(z.shape[1])
        white = (z - mean) @ np.linalg.cholesky(np.linalg.inv(cov))
        size = (white ** 2).sum(axis=1)
        keep = size <= np.quantile(size, 0.85)
    spread = white.T @ white / len(white)
    top = max(float(np.linalg.norm(spread, 2)) - 1, 1e-6)
    values, axes = np.linalg.eigh(spread - np.eye(len(spread)))
    weight = np.exp(4 * (values - values.max()) / top)
    return np.asarray(((white @ axes) ** 2 @ weight) / weight.sum())


def strip(t: Trained, rng: np.random.Generator, mixes: int = 10) -> np.ndarray:
    """Little entropy of the answers when trusted pictures are laid over a row (Gao et al. 2019, arXiv 1902.06531)."""
    total = np.zeros(len(t.x))
    for _ in range(mixes):
        other = t.clean_x[rng.integers(0, len(t.clean_x), len(t.x))]
        p = training.probabilities(t.module, ((t.x.astype(np.uint16) + other) // 2).astype(np.uint8), tensor=training.pictures_fast)
        total -= (p * np.log(np.maximum(p, 1e-9))).sum(axis=1)
    return -total / mixes


def early_loss(t: Trained, rng: np.random.Generator) -> np.ndarray:
    """Little loss in the first fifth of the epochs (the isolation step of ABL, Li et al. 2021, arXiv 2110.11571)."""
    return -np.asarray(t.shown.losses[:, :max(1, t.shown.losses.shape[1] // 5)].mean(axis=1), np.float64)


def gradient_directions(t: Trained, rng: np.random.Generator) -> np.ndarray:
    """Angle of the label's slopes to those of trusted samples, in the layer and class that stand out most (AGPD, arXiv 2312.06230)."""
    best, out = -np.inf, np.zeros(len(t.codes))
    for own, trusted in zip(t.shown.slopes[:-1], t.clean.slopes[:-1], strict=True):
        middle = np.stack([trusted[t.clean_codes == c].mean(axis=0) for c in range(t.classes)])
        unit = middle / np.maximum(np.linalg.norm(middle, axis=1, keepdims=True), 1e-12)
        length = np.maximum(np.linalg.norm(own, axis=1), 1e-12)
        angle = 1 - np.einsum("ij,ij->i", own, unit[t.codes]) / length
        spread = np.array([angle[t.codes == c].std() if (t.codes == c).any() else 0.0 for c in range(t.classes)])
        z = (spread - np.median(spread)) / max(1.4826 * float(np.median(np.abs(spread - np.median(spread)))), 1e-9)
        if z.max() > best:
            best, out = float(z.max()), 10 * np.maximum(z[t.codes], 0) * angle
    return np.asarray(out, np.float64)


def confusion_training(t: Trained, rng: np.random.Generator, steps: int = 120) -> np.ndarray:
    """What is still fitted after trusted samples got ever new random labels (Qi et al. 2023, arXiv 2205.13616); changes the network."""
    import torch
    from torch.nn import functional

    module = t.module.train()
    optimiser = torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.7)
    for _ in range(steps):
        some, sure = rng.integers(0, len(t.x), 64), rng.integers(0, len(t.clean_x), 64)
        wrong = (t.clean_codes[sure] + rng.integers(1, t.classes, 64)) % t.classes
        both = module(training.pictures_fast(np.concatenate([t.x[some], t.clean_x[sure]])))
        loss = (functional.cross_entropy(both[:64], torch.from_numpy(t.codes[some]))
                + 14 * functional.cross_entropy(both[64:], torch.from_numpy(wrong))) / 15
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    p = training.probabilities(module.eval(), t.x, tensor=training.pictures_fast)
    return np.asarray(p[np.arange(len(p)), t.codes], np.float64)


def _by_class(t: Trained) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows of each class and their centred last activations."""
    out = []
    for c in range(t.classes):
        rows = np.flatnonzero(t.codes == c)
        if len(rows):
            f = np.asarray(t.shown.layers[-1][rows], np.float64)
            out.append((rows, f - f.mean(axis=0)))
    return out


PEERS: dict[str, Callable[[Trained, np.random.Generator], np.ndarray]] = {
    "spectral signatures": spectral_signatures, "activation clustering": activation_clustering, "SCAn": scan, "SPECTRE": spectre,
    "STRIP": strip, "ABL isolation": early_loss, "AGPD": gradient_directions, "confusion training": confusion_training}
"""In this order: the last one changes the network."""
