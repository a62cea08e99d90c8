"""The immutable subject of a scan."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from bezoar.core.errors import UsageError
from bezoar.core.inputs import Column, Images, Indices, Inputs, Table, Texts, frozen

ORIGIN = ("source", "contributor", "time", "url", "licence")


@dataclass(frozen=True, eq=False)
class Labels:
    """`codes` (n,) int64 into `classes`; -1 where a sample has no label."""

    codes: np.ndarray
    classes: tuple[str, ...]

    @classmethod
    def of(cls, values: Sequence[object] | np.ndarray) -> Labels:
        """Classes are sorted by their text; integers sort as numbers.

        >>> Labels.of(["b", "a", "b"]).codes.tolist()
        [1, 0, 1]
        """
        array = np.asarray(values)
        if array.dtype.kind in "iub":
            uniques, codes = np.unique(array, return_inverse=True)
            return cls(frozen(codes.astype(np.int64)), tuple(str(int(u)) for u in uniques))
        texts = np.array([str(v) for v in array], dtype=object)
        uniques, codes = np.unique(texts.astype(str), return_inverse=True)
        return cls(frozen(codes.astype(np.int64)), tuple(str(u) for u in uniques))

    def take(self, rows: Indices) -> Labels:
        return Labels(frozen(self.codes[rows]), self.classes)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples with ids, inputs, labels (or none) and where each came from.

    `origin` maps any of `ORIGIN`, or any other grouping column, to an (n,) object array of strings.
    `unreadable` lists what the source could not read, `notes` what it inferred, both as sentences.

    >>> d = Dataset.from_arrays(["spam now", "hello"], [1, 0])
    >>> len(d), d.modality, d.labels.classes
    (2, 'text', ('0', '1'))
    """

    inputs: Inputs
    modality: str
    ids: np.ndarray
    labels: Labels | None = None
    name: str = "dataset"
    origin: Mapping[str, np.ndarray] = field(default_factory=dict)
    unreadable: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    declared: tuple[str, ...] = ()
    """Markers of planted poison that the source found (a `truth.json` beside the data)."""

    def __post_init__(self) -> None:
        n = len(self.inputs)
        for what, size in [("ids", len(self.ids)), ("labels", n if self.labels is None else len(self.labels.codes)),
                           *((k, len(v)) for k, v in self.origin.items())]:
            if size != n:
                raise UsageError(f"{what} has {size} entries for {n} samples", advice="give one per sample")

    @classmethod
    def from_arrays(cls, x: object, y: object = None, *, ids: Sequence[object] | None = None, name: str = "dataset",
                    **origin: Sequence[object]) -> Dataset:
        """From arrays already in core form: Images, Texts, Table, an image array, or a list of strings."""
        inputs: Inputs
        if isinstance(x, (Images, Texts, Table)):
            inputs = x
        elif isinstance(x, np.ndarray) and x.ndim in (3, 4) and x.dtype.kind in "ui":
            inputs = Images.of(x)
        elif isinstance(x, (list, tuple, np.ndarray)) and len(x) and isinstance(x[0], str):
            inputs = Texts.of(x)
        elif isinstance(x, np.ndarray) and x.ndim == 2:
            inputs = Table({f"x{j}": Column("number", np.array(x[:, j], np.float64)) for j in range(x.shape[1])})
        else:
            raise UsageError(f"cannot tell what kind of data {type(x).__name__} holds",
                             advice="pass an (n, h, w, 3) uint8 array, a list of strings, an (n, d) float array or a data frame")
        modality = {Images: "image", Texts: "text", Table: "tabular"}[type(inputs)]
        labels = None if y is None else (y if isinstance(y, Labels) else Labels.of(y))  # type: ignore[arg-type]
        names = np.array([str(i) for i in (range(len(inputs)) if ids is None else ids)], dtype=object)
        columns = {k: frozen(np.array([str(s) for s in v], dtype=object)) for k, v in origin.items()}
        return cls(inputs, modality, frozen(names), labels, name, columns)

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, rows: Indices) -> Dataset:
        """The samples of `rows`, in that order."""
        rows = np.asarray(rows, np.int64)
        return replace(self, inputs=self.inputs.take(rows), ids=frozen(self.ids[rows]),
                       labels=None if self.labels is None else self.labels.take(rows),
                       origin={k: frozen(v[rows]) for k, v in self.origin.items()})

    def with_changes(self, *, inputs: Inputs | None = None, codes: np.ndarray | None = None) -> Dataset:
        """A copy with other inputs and/or other label codes."""
        labels = self.labels
        if codes is not None:
            if labels is None:
                raise UsageError("this dataset has no labels to change")
            labels = Labels(frozen(codes.astype(np.int64)), labels.classes)
        return replace(self, inputs=self.inputs if inputs is None else inputs, labels=labels)

    def coded_as(self, other: Dataset) -> Dataset:
        """A copy with label codes in the order of the other's classes; classes that it has not become -1."""
        if self.labels is None or other.labels is None or self.labels.classes == other.labels.classes:
            return self
        place = {c: i for i, c in enumerate(other.labels.classes)}
        codes = np.array([place.get(c, -1) for c in self.labels.classes] + [-1])[self.labels.codes]
        return replace(self, labels=Labels(codes, other.labels.classes))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over ids, inputs, labels and origin: the same content, the same fingerprint."""
        digest = hashlib.sha256(f"bezoar.dataset/1\0{self.modality}\0{len(self)}".encode())
        digest.update("\0".join(self.ids).encode("utf-8", "surrogatepass"))
        self.inputs.feed(digest)
        if self.labels is not None:
            digest.update(repr(self.labels.classes).encode("utf-8", "surrogatepass") + self.labels.codes.tobytes())
        for key in sorted(self.origin):
            digest.update(f"{key}\0".encode() + "\0".join(self.origin[key]).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

