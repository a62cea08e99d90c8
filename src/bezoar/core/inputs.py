"""The three kinds of inputs: pictures, texts, tables. NumPy only; immutable; rows are taken, never edited in place."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np

Indices = np.ndarray


@runtime_checkable
class Inputs(Protocol):
    """What every kind of inputs can do."""

    def __len__(self) -> int: ...
    def take(self, rows: Indices) -> Self: ...
    def with_rows(self, rows: Indices, new: Self) -> Self: ...
    def row_keys(self) -> np.ndarray: ...
    def feed(self, digest: hashlib._Hash) -> None: ...


def frozen(array: np.ndarray) -> np.ndarray:
    """The same array, read-only from now on."""
    array = np.asarray(array)
    view = array.view()
    view.flags.writeable = False
    return view


class Images:
    """n RGB pictures, each (h, w, 3) uint8; sizes may differ; pixels are read when asked for.

    >>> x = Images.of(np.zeros((4, 8, 8, 3), np.uint8))
    >>> len(x), x.uniform, x.read(np.array([1]))[0].shape
    (4, True, (8, 8, 3))
    """

    def __init__(self, sizes: np.ndarray, reader: Callable[[Indices], list[np.ndarray]],
                 dense: np.ndarray | None = None) -> None:
        self.sizes = frozen(np.asarray(sizes, np.int32).reshape(-1, 2))
        self._reader = reader
        self._dense = dense

    @classmethod
    def of(cls, array: np.ndarray | Sequence[np.ndarray]) -> Images:
        """From an (n, h, w[, 1|3]) uint8 array, or a list of (h, w, 3) uint8 arrays."""
        if isinstance(array, np.ndarray):
            if array.ndim == 3:
                array = array[..., None]
            if array.shape[-1] == 1:
                array = np.repeat(array, 3, axis=-1)
            dense = frozen(np.ascontiguousarray(array, dtype=np.uint8))
            n, h, w = dense.shape[:3]
            return cls(np.broadcast_to((h, w), (n, 2)), lambda rows: list(dense[rows]), dense)
        pictures = [frozen(np.asarray(a, np.uint8)) for a in array]
        sizes = np.array([p.shape[:2] for p in pictures], np.int32).reshape(-1, 2)
        return cls(sizes, lambda rows: [pictures[i] for i in rows])

    def __reduce__(self) -> tuple[Any, ...]:
        """For another process of the same run: the pixels, not the way to read them."""
        return Images.of, (self.dense() if len(self) and self.uniform else self.read(np.arange(len(self))),)

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def uniform(self) -> bool:
        """Whether all pictures have one size."""
        return len(self) == 0 or bool((self.sizes == self.sizes[0]).all())

    def read(self, rows: Indices) -> list[np.ndarray]:
        """The pictures of `rows`, in that order."""
        return self._reader(np.asarray(rows, np.int64))

    def dense(self) -> np.ndarray:
        """(n, h, w, 3) uint8; only where `uniform`."""
        if self._dense is None:
            if not self.uniform:
                raise ValueError("pictures differ in size")
            rows = self.read(np.arange(len(self)))
            self._dense = frozen(np.stack(rows) if rows else np.zeros((0, 1, 1, 3), np.uint8))
        return self._dense

    def chunks(self, size: int = 1024) -> Iterator[tuple[Indices, list[np.ndarray]]]:
        """Row numbers and pictures, `size` at a time."""
        for start in range(0, len(self), size):
            rows = np.arange(start, min(start + size, len(self)))
            yield rows, self.read(rows)

    def take(self, rows: Indices) -> Images:
        rows = np.asarray(rows, np.int64)
        if self._dense is not None:
            return Images.of(self._dense[rows])
        return Images(self.sizes[rows], lambda wanted: self.read(rows[wanted]))

    def with_rows(self, rows: Indices, new: Images) -> Images:
        """A copy in which `rows` hold the pictures of `new`."""
        rows = np.asarray(rows, np.int64)
        if self._dense is not None and new.uniform and (len(new) == 0 or new.dense().shape[1:] == self._dense.shape[1:]):
            dense = self._dense.copy()
            if len(rows):
                dense[rows] = new.dense()
            return Images.of(dense)
        sizes = self.sizes.copy()
        sizes[rows] = new.sizes
        where = np.full(len(self), -1, np.int64)
        where[rows] = np.arange(len(rows))

        def reader(wanted: Indices) -> list[np.ndarray]:
            return [new.read(where[i:i + 1])[0] if where[i] >= 0 else self.read(np.array([i]))[0] for i in wanted]

        return Images(sizes, reader)

    def row_keys(self) -> np.ndarray:
        """(n,) object array: equal keys, equal pixels."""
        keys = np.empty(len(self), object)
        for rows, pictures in self.chunks():
            keys[rows] = [hashlib.blake2b(repr(p.shape).encode() + p.tobytes(), digest_size=16).digest() for p in pictures]
        return keys

    def feed(self, digest: hashlib._Hash) -> None:
        for _, pictures in self.chunks():
            for p in pictures:
                digest.update(repr(p.shape).encode() + p.tobytes())


class Texts:
    """n strings.

    >>> Texts.of(["a", "b"]).take(np.array([1])).values[0]
    'b'
    """

    def __init__(self, values: np.ndarray) -> None:
        self.values = frozen(values)

    @classmethod
    def of(cls, values: Sequence[str] | np.ndarray) -> Texts:
        out = np.empty(len(values), object)
        out[:] = [str(v) for v in values]
        return cls(out)

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: Indices) -> Texts:
        return Texts(self.values[rows])

    def with_rows(self, rows: Indices, new: Texts) -> Texts:
        values = self.values.copy()
        values[rows] = new.values
        return Texts(values)

    def row_keys(self) -> np.ndarray:
        return self.values

    def feed(self, digest: hashlib._Hash) -> None:
        for value in self.values:
            raw = value.encode("utf-8", "surrogatepass")
            digest.update(len(raw).to_bytes(8, "little") + raw)


@dataclass(frozen=True, eq=False)
class Column:
    """One column. Numbers and times: `values` (n,) float64 with NaN for missing (times in seconds since 1970).

    Categories: `values` (n,) int32 codes into `levels`, -1 for missing.
    """

    kind: str  # "number" | "time" | "category"
    values: np.ndarray
    levels: tuple[str, ...] = ()

    def take(self, rows: Indices) -> Column:
        return Column(self.kind, self.values[rows], self.levels)

    def as_text(self, rows: Indices) -> list[str]:
        """The cells as people read them; missing is ''."""
        cells = self.values[rows]
        if self.kind == "category":
            return ["" if c < 0 else self.levels[c] for c in cells]
        return ["" if np.isnan(c) else f"{c:.10g}" for c in cells]


class Table:
    """n rows of named columns.

    >>> t = Table({"age": Column("number", np.array([1., 2.]))})
    >>> len(t), t.names
    (2, ('age',))
    """

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self.columns = dict(columns)
        lengths = {len(c.values) for c in self.columns.values()}
        if len(lengths) > 1:
            raise ValueError(f"columns differ in length: {sorted(lengths)}")
        self._n = lengths.pop() if lengths else 0
        for c in self.columns.values():
            c.values.flags.writeable = False

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.columns)

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, name: str) -> Column:
        return self.columns[name]

    def take(self, rows: Indices) -> Table:
        return Table({k: c.take(rows) for k, c in self.columns.items()})

    def with_rows(self, rows: Indices, new: Table) -> Table:
        """A copy in which `rows` hold the rows of `new` (levels are united)."""
        out = {}
        for name, old in self.columns.items():
            fresh = new[name]
            values = old.values.copy()
            levels = old.levels
            if old.kind == "category" and fresh.levels != old.levels:
                place = {v: i for i, v in enumerate(levels)}
                levels = levels + tuple(v for v in fresh.levels if v not in place)
                place = {v: i for i, v in enumerate(levels)}
                translate = np.array([place[v] for v in fresh.levels] + [-1], np.int32)
                values[rows] = translate[fresh.values]
            else:
                values[rows] = fresh.values
            out[name] = Column(old.kind, values, levels)
        return Table(out)

    def row_keys(self) -> np.ndarray:
        if not self.columns:
            return np.zeros(self._n, "V1")
        packed = np.stack([c.values.astype(np.float64) for c in self.columns.values()], axis=1) + 0.0
        return np.ascontiguousarray(packed).view(f"V{8 * packed.shape[1]}").ravel()

    def feed(self, digest: hashlib._Hash) -> None:
        for name, c in self.columns.items():
            digest.update(f"{name}\0{c.kind}\0{c.levels!r}".encode("utf-8", "surrogatepass"))
            digest.update(np.ascontiguousarray(c.values).tobytes())
