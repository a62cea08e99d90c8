"""Atoms: the small parts that an input has or has not. One miner reads them and cannot tell a word from a patch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Atoms:
    """Which of n samples hold which of m atoms.

    matrix    scipy.sparse.csc_array, (n, m), bool/uint8; a column lists the holders of one atom
    families  names of the kinds of atoms, e.g. ("token", "bigram") or ("patch",)
    family    (m,) int16 into `families`
    expected  (m,) float64: how many holders the modality's own label-free null expects (the same patch code at
              other positions; independence of two columns); NaN where it has no such null
    natural   (m,) float64: how many holders nature gives, without the price of the search; None where it is `expected`
    faint     scipy.sparse.csc_array, (n, m), uint8: samples that hold an atom less clearly, by how much (1: nearly), and do not
              count in any test; None where there are none
    searched  (len(families),) float64: how many atoms were looked at to arrive at these columns, for multiplicity
    name      name(j) -> plain words for atom j: "the word 'cf'", "patch 3f2a at row 28, column 28"
    seen      (m, L) int32: columns of the modality's `content` through which atom j can be seen, padded with -1, so
              that a content model can leave them out; None where the content cannot see atoms
    manner    manner() -> (n, p) CSR float32 rows of length 1 that show how each sample is written, whatever it says; None
              where only atoms show it
    """

    matrix: Any
    families: tuple[str, ...]
    family: np.ndarray
    expected: np.ndarray
    searched: np.ndarray
    name: Callable[[int], str]
    seen: np.ndarray | None = None
    natural: np.ndarray | None = None
    faint: Any = None
    manner: Callable[[], Any] | None = None

    @property
    def n_atoms(self) -> int:
        return int(self.matrix.shape[1])
