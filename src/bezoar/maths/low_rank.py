"""What a product of two thin matrices looks like, without ever making it: the spectra of adapters."""

from __future__ import annotations

import numpy as np

from bezoar.maths.standing_out import against_references, p_largest

NAMES = ("largest", "energy", "top share", "entropy", "peakedness")
"""What `spectrum` gives, in order: log of the largest singular value; log of the Frobenius norm; share of the energy in the largest;
entropy of the shares; log kurtosis of the energy over outputs."""


def singular(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(min(r, ...),) singular values of b @ a, largest first, for a (r, n) and b (m, r).

    >>> singular(np.eye(2, 5), 3 * np.eye(4, 2)).round(6).tolist()
    [3.0, 3.0]
    """
    ra, rb = np.linalg.qr(a.T)[1], np.linalg.qr(b)[1]
    return np.asarray(np.linalg.svd(rb @ ra.T, compute_uv=False))


def spectrum(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(5,) float64, see `NAMES`, of b @ a; all on scales on which differences mean the same everywhere. Zeros count as 1e-12.

    >>> rng = np.random.default_rng(0)
    >>> spectrum(rng.normal(size=(1, 9)), rng.normal(size=(6, 1)))[2:4].round(6).tolist()
    [1.0, 0.0]
    """
    s2 = np.maximum(singular(a, b) ** 2, 1e-24)
    shares = s2 / s2.sum()
    rows = np.maximum(np.einsum("ir,rs,is->i", b, a @ a.T, b), 0)
    centred = rows - rows.mean()
    peak = float((centred**4).mean() / max(float((centred**2).mean()) ** 2, 1e-48))
    entropy = float(-(shares * np.log(shares)).sum()) + 0.0
    return np.array([0.5 * np.log(s2[0]), 0.5 * np.log(s2.sum()), shares[0], entropy, np.log(max(peak, 1e-12))])


def strangeness(own: np.ndarray, references: np.ndarray) -> tuple[float, float, np.ndarray]:
    """How far spectra (layers, 5) lie from those of R clean adapters (R, layers, 5): the log mean square deviation, the chance that a
    clean one lies as far, and the deviations (layers, 5).

    Each reference is held against the others in turn for the null. NaN as the chance for fewer than 5 references.

    >>> rng = np.random.default_rng(0)
    >>> clean = rng.normal(size=(20, 6, 5))
    >>> strangeness(rng.normal(size=(6, 5)), clean)[1] > 0.01 > strangeness(rng.normal(4, 1, (6, 5)), clean)[1]
    True
    """
    z = _against(own, references)
    score = _size(z)
    if len(references) < 5:
        return score, float("nan"), z
    null = np.array([_size(_against(references[i], np.delete(references, i, axis=0))) for i in range(len(references))])
    return score, p_largest(score, null, 1, len(null) - 1), z


def _against(own: np.ndarray, references: np.ndarray) -> np.ndarray:
    return against_references(own.T, references.transpose(0, 2, 1)).T


def _size(z: np.ndarray) -> float:
    return float(np.log((np.clip(z, -8, 8) ** 2).mean() + 1e-12))
