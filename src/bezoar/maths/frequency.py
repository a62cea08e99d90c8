"""The cosine transform of pictures, as an orthonormal change of basis."""

from __future__ import annotations

import numpy as np

OPPONENT = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]], np.float32) / np.sqrt(np.array([[3], [2], [6]], np.float32))
"""Orthonormal rows: light, red against blue, green against both."""


def cosines(n: int) -> np.ndarray:
    """(n, n) float32 orthonormal DCT-II matrix, one basis vector per row, slowest first.

    >>> bool(np.allclose(cosines(5) @ cosines(5).T, np.eye(5), atol=1e-6))
    True
    """
    k, t = np.arange(n)[:, None], np.arange(n)[None, :]
    out = np.cos(np.pi * k * (2 * t + 1) / (2 * n)) * np.sqrt(2 / n)
    out[0] /= np.sqrt(2)
    return out.astype(np.float32)


def forward(pictures: np.ndarray) -> np.ndarray:
    """(n, h, w, 3) grey levels -> (n, 3, h, w) float32 coefficients of light and two opponent colours.

    >>> x = np.random.default_rng(0).random((2, 4, 5, 3)).astype(np.float32)
    >>> bool(np.allclose(inverse(forward(x)), x, atol=1e-5))
    True
    """
    x = np.moveaxis(pictures.astype(np.float32) @ OPPONENT.T, 3, 1)
    return cosines(x.shape[2]) @ x @ cosines(x.shape[3]).T


def inverse(coefficients: np.ndarray) -> np.ndarray:
    """(n, 3, h, w) -> (n, h, w, 3) float32 grey levels."""
    x = cosines(coefficients.shape[2]).T @ coefficients @ cosines(coefficients.shape[3])
    return np.moveaxis(x, 1, 3) @ OPPONENT


def flattening(height: int, width: int) -> np.ndarray:
    """(3, h, w) float32 gains that make the spectrum of natural pictures about flat (amplitude falls as 1/frequency)."""
    slow = np.hypot(np.arange(height)[:, None] * (32 / height), np.arange(width)[None, :] * (32 / width))
    gain = (1 + slow) / (33 * 4)
    return (gain[None] * np.array([1, 2, 2], np.float32)[:, None, None]).astype(np.float32)
