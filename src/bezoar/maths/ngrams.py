"""Runs of symbols in many sequences: numbering, counting, growing from short to long, hashing. Vectorised over symbols."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np


def number(symbols: Iterable[list[str]]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Symbols of each sequence as codes.

    Returns codes (t,) int32, sequence (t,) int32, names: a list with the symbol of each code, sorted, so that codes do
    not depend on the order of the sequences.

    >>> codes, sequence, names = number([["b", "a"], ["a"]])
    >>> codes.tolist(), sequence.tolist(), names
    ([1, 0, 0], [0, 0, 1], ['a', 'b'])
    """
    seen: dict[str, int] = {}
    lengths: list[int] = []
    parts: list[np.ndarray] = []
    for line in symbols:
        lengths.append(len(line))
        for s in line:
            if s not in seen:
                seen[s] = len(seen)
        parts.append(np.fromiter(map(seen.__getitem__, line), np.int32, len(line)))
    names = sorted(seen)
    place = np.empty(len(names), np.int32)
    place[[seen[s] for s in names]] = np.arange(len(names), dtype=np.int32)
    codes = np.concatenate(parts) if parts else np.zeros(0, np.int32)
    sequence = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    return (place[codes] if len(codes) else codes), sequence, names


def incidence(kind: np.ndarray, sequence: np.ndarray, n: int, m: int) -> Any:
    """(n, m) CSC float32 of ones: which sequence holds which kind; entries with kind < 0 are left out."""
    from scipy.sparse import csc_array

    ok = kind >= 0
    key = np.sort(kind[ok].astype(np.int64) * n + sequence[ok])
    key = key[np.r_[True, key[1:] != key[:-1]]] if len(key) else key
    column, row = np.divmod(key, n)
    start = np.searchsorted(column, np.arange(m + 1))
    return csc_array((np.ones(len(key), np.float32), row.astype(np.int32), start.astype(np.int64)), shape=(n, m))


def runs(codes: np.ndarray, sequence: np.ndarray, n: int, *, least: int, longest: int,
         most: float = 1.0) -> list[tuple[np.ndarray, Any, int]]:
    """Runs of 1, 2, ... `longest` symbols that at least `least` (and at most `most` * n) of the n sequences hold.

    A run is counted only if its front and its back part are frequent too (Apriori, Agrawal and Srikant 1994), which
    loses nothing. For each length: (runs (m, length) of codes, matrix (n, m) CSC of ones, distinct runs looked at).

    >>> codes, sequence, _ = number([["a", "b", "c"], ["a", "b"], ["b", "a"]])
    >>> [(r.tolist(), looked) for r, _, looked in runs(codes, sequence, 3, least=2, longest=3)]
    [([[0], [1]], 3), ([[0, 1]], 2)]
    """
    out: list[tuple[np.ndarray, Any, int]] = []
    t = len(codes)
    if t == 0 or n == 0:
        return out
    at = codes.astype(np.int64)
    spelled = np.arange(int(codes.max()) + 1)[:, None]
    for length in range(1, longest + 1):
        if length > 1:
            front, back = at[:-1], at[1:]
            last = codes[length - 1:][:len(front)].astype(np.int64)
            ok = (front >= 0) & (back >= 0) & (sequence[:len(front)] == sequence[length - 1:][:len(front)])
            width = int(codes.max()) + 1
            pair = np.where(ok, front * width + last, -1)
            kinds, at = np.unique(pair, return_inverse=True)
            shift = int(len(kinds) > 0 and kinds[0] < 0)
            at = at.astype(np.int64) - shift
            kinds = kinds[shift:]
            if len(kinds) == 0:
                break
            spelled = np.concatenate([spelled[kinds // width], (kinds % width)[:, None]], axis=1)
        looked = len(spelled)
        matrix = incidence(at, sequence[:len(at)], n, looked)
        holders = np.diff(matrix.indptr)
        keep = np.flatnonzero(holders >= least)
        if len(keep) == 0:
            break
        place = np.full(looked + 1, -1, np.int64)
        place[keep] = np.arange(len(keep))
        at = place[at]
        spelled = spelled[keep]
        shown = np.flatnonzero(holders[keep] <= most * n)
        out.append((spelled[shown], matrix[:, keep[shown]].tocsc(), looked))
    return out


def fingerprint(names: list[str]) -> np.ndarray:
    """(m,) uint64, the same for the same name on every machine (BLAKE2b)."""
    from hashlib import blake2b

    raw = b"".join(blake2b(s.encode("utf-8", "surrogatepass"), digest_size=8).digest() for s in names)
    return np.frombuffer(raw, np.uint64)


def mixed(values: np.ndarray) -> np.ndarray:
    """(t,) uint64 -> (t,) uint64, well mixed (the finaliser of splitmix64)."""
    with np.errstate(over="ignore"):
        v = values.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        v = (v ^ (v >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        v = (v ^ (v >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return v ^ (v >> np.uint64(31))


def hashed_runs(prints: np.ndarray, sequence: np.ndarray, n: int, *, lengths: tuple[int, ...], columns: int) -> Any:
    """(n, columns) CSR float32: how often each sequence holds runs that hash to each column.

    prints (t,) uint64 of the symbols in order, sequence (t,) int, sorted.
    """
    from scipy.sparse import csr_array

    keys: list[np.ndarray] = []
    rolled = prints.astype(np.uint64)
    for length in range(1, max(lengths, default=0) + 1):
        if length > 1:
            if len(rolled) < 2:
                break
            with np.errstate(over="ignore"):
                rolled = mixed(rolled[:-1] * np.uint64(31) + prints[length - 1:])
        if length in lengths:
            same = sequence[:len(rolled)] == sequence[length - 1:][:len(rolled)]
            column = (mixed(rolled[same] + np.uint64(length)) % np.uint64(columns)).astype(np.int64)
            keys.append(sequence[:len(rolled)][same].astype(np.int64) * columns + column)
    key, count = np.unique(np.concatenate(keys) if keys else np.zeros(0, np.int64), return_counts=True)
    row, column = np.divmod(key, columns)
    start = np.searchsorted(row, np.arange(n + 1))
    return csr_array((count.astype(np.float32), column.astype(np.int32), start.astype(np.int64)), shape=(n, columns))


def weighted(counts: Any, *, idf: bool = True) -> Any:
    """CSR counts -> sublinear term weights (1 + log), optionally times log(n / df), rows of length 1."""
    x = counts.tocsr().astype(np.float32)
    x.data = 1 + np.log(x.data)
    if idf:
        df = np.bincount(x.indices, minlength=x.shape[1])
        x.data *= np.log((1 + x.shape[0]) / (1 + df))[x.indices].astype(np.float32) + np.float32(0.1)
    norm = np.sqrt(np.asarray(x.multiply(x).sum(axis=1)).ravel())
    x.data /= np.repeat(np.maximum(norm, 1e-9), np.diff(x.indptr)).astype(np.float32)
    return x


def latent(x: Any, dimensions: int, *, seed: int = 0, rounds: int = 2, learn_from: int = 10_000) -> np.ndarray:
    """(n, d) float32 leading left singular vectors times singular values (randomised; Halko et al. 2011).

    x (n, p) CSR. The axes are learned from at most `learn_from` rows, spread along a random projection, so that neither
    the order of the rows nor the number of threads matters (beyond rounding).
    """
    n, p = x.shape
    rng = np.random.default_rng(seed)
    d = min(dimensions, n, p)
    if d == 0:
        return np.zeros((n, 0), np.float32)
    part = x
    if n > learn_from:
        place = np.argsort(x @ rng.standard_normal(p), kind="stable")
        part = x[np.sort(place[np.linspace(0, n - 1, learn_from).astype(np.int64)])]
    back = part.T.tocsr()
    y = part @ rng.standard_normal((p, min(d + 10, p))).astype(np.float32)
    for _ in range(rounds):
        y = part @ (back @ _level(y))
    b = back @ _level(y)
    value, v = np.linalg.eigh((b.T @ b).astype(np.float64))
    value, v = value[::-1][:d], v[:, ::-1][:, :d]
    axes = (b @ v.astype(np.float32)) / np.sqrt(np.maximum(value, 1e-12)).astype(np.float32)
    sign = np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])] + np.float32(1e-30))
    return np.asarray(x @ np.ascontiguousarray(axes * sign), np.float32)


def _level(y: np.ndarray) -> np.ndarray:
    """Columns made orthonormal through the Gram matrix (twice, for float32); columns of no weight become zero."""
    for _ in range(2):
        value, v = np.linalg.eigh((y.T @ y).astype(np.float64))
        good = value > value[-1] * 1e-10 if len(value) else value > 0
        y = y @ np.where(good, v / np.sqrt(np.where(good, value, 1)), 0).astype(np.float32)
    return y
