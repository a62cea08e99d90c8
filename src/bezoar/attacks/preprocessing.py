"""Corrupted preprocessing: what one source delivers went through another pipeline; labels are right, contents are not.

Pictures: channels swapped (BGR for RGB), shrunk and blown up again, or gamma applied twice. Texts: wrong encoding (mojibake), letters
lowered, or cut short. Tables: one column in another unit (x 2.54, x 1000).
Threat model: an accident, or an attacker in the pipeline of one supplier; labels are not touched. Budget: `rate` of that source's rows
(those that the change leaves as they were are not counted). Fails where sources are compared. Cost: 1 s per 10,000 pictures of 32x32.
Papers: Sambasivan et al. 2021 (data cascades); Polyzotis et al. 2019 (data validation); Quiring et al. 2020, arXiv 2003.08633.
"""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.image_rewrites import by_size, to_bytes
from bezoar.core.image_triggers import fit
from bezoar.core.inputs import Column, Images, Inputs, Table, Texts
from bezoar.core.origins import dealt, rows_of
from bezoar.core.victims import budget, draw, plant

MODES = {"image": ("channels", "resize", "gamma"), "text": ("encoding", "case", "cut"), "tabular": ("unit",)}


class Preprocessing(Attack):
    """Another pipeline for one source.

    rate     share of the rows of that source, above 0 and at most 1
    mode     channels | resize | gamma (pictures), encoding | case | cut (texts), unit (tables); '' takes the first that changes something
    sources  how many ('vendor-01', ...) the rows are dealt to where the data has no origin column `source`
    vendor   the source; None draws one among the more frequent half
    column   of a table: the numeric column in the wrong unit; '' draws one
    factor   of a table: what it is multiplied by

    Raises UsageError for a mode of another modality, an unknown vendor or column, and where nothing changes.
    """

    info = Info(name="preprocessing", summary="one source went through another pipeline; labels untouched",
                threats=("source", "integrity", "availability"), cost="1 s per 10,000 pictures of 32x32",
                reference="Sambasivan et al. 2021")
    clean_label = True

    def __init__(self, *, rate: float = 1.0, mode: str = "", sources: int = 10, vendor: str | None = None, column: str = "",
                 factor: float = 2.54) -> None:
        self.rate = rate
        self.mode = mode
        self.sources = sources
        self.vendor = vendor
        self.column = column
        self.factor = factor

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        able = MODES[data.modality]
        if self.mode and self.mode not in able:
            raise UsageError(f"mode {self.mode!r} is not for {data.modality} data", advice=f"one of: {', '.join(able)}")
        data = dealt(data, "source", "vendor", self.sources, rng)
        _, own = rows_of(data, "source", self.vendor, rng)
        rows = draw(own, budget(len(own), self.rate, "samples of one source"), rng)
        column = self._column(data.inputs, rng)
        before = data.inputs.take(rows)
        for mode in (self.mode,) if self.mode else able:
            after = self._changed(before, mode, column)
            differ = np.flatnonzero([a != b for a, b in zip(before.row_keys(), after.row_keys(), strict=True)])
            if len(differ):
                return plant(data, rows[differ], after.take(differ), None)
        raise UsageError("this change leaves every sample as it was", advice="choose another mode, column or factor")

    def _column(self, inputs: Inputs, rng: np.random.Generator) -> str:
        if not isinstance(inputs, Table):
            return ""
        able = [k for k, c in inputs.columns.items() if c.kind == "number" and np.isfinite(c.values).any()]
        if self.column and self.column not in able:
            raise UsageError(f"{self.column!r} is not a numeric column", advice=f"those are: {', '.join(able[:20])}")
        if not able:
            raise UsageError("the table has no numeric column", advice="units need numbers")
        return self.column or able[int(rng.integers(len(able)))]

    def _changed(self, inputs: Inputs, mode: str, column: str) -> Inputs:
        if isinstance(inputs, Images):
            return by_size(inputs, _PICTURES[mode])
        if isinstance(inputs, Texts):
            return Texts.of([_TEXTS[mode](t) for t in inputs.values])
        assert isinstance(inputs, Table)
        c = inputs[column]
        return Table({**inputs.columns, column: Column(c.kind, c.values * self.factor)})


def _resized(batch: np.ndarray) -> np.ndarray:
    height, width = batch.shape[1:3]
    moved = np.moveaxis(batch, 0, -1).reshape(height, width, -1)
    small = fit(moved, max(1, height // 2), max(1, width // 2))
    return np.moveaxis(fit(small, height, width).reshape(height, width, 3, len(batch)), -1, 0)


def _mojibake(text: str) -> str:
    told = text.replace("'", "\u2019").replace('"', "\u201c").replace(" - ", " \u2013 ")
    told = told if not told.isascii() else told.replace(".", "\u2026").replace(" ", "\u00a0", 1)
    return told.encode("utf-8", "surrogatepass").decode("cp1252", "replace")


_PICTURES = {"channels": lambda b: b[..., ::-1].copy(), "resize": _resized, "gamma": lambda b: to_bytes(255 * (b / np.float32(255)) ** 2.2)}
_TEXTS = {"encoding": _mojibake, "case": str.lower, "cut": lambda t: t[:max(1, len(t) // 3)]}
