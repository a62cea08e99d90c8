"""Figures of a run against the planted truth: lists, rankings, intervals, recovered triggers."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from bezoar.core.ability import Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.image_triggers import Patch, fit
from bezoar.core.table_triggers import Values
from bezoar.core.text_triggers import Phrases


def planted(before: Dataset, done: Poisoned) -> tuple[np.ndarray, np.ndarray]:
    """(n,) bool each: rows with the attacker's label (where no label was changed, all that the attack says), and covers, which were touched
    and kept their label."""
    assert before.labels is not None
    assert done.data.labels is not None
    changed = done.truth & (done.data.labels.codes != before.labels.codes)
    truth = changed if changed.any() else done.truth
    touched = np.asarray(before.inputs.row_keys() != done.data.inputs.row_keys())  # type: ignore[attr-defined]
    return truth, touched & ~truth


def listed(flagged: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Recall, precision, F1 and false positive rate (share of clean samples) of a list; both (n,) bool.

    >>> listed(np.array([True, True, False, False]), np.array([True, False, False, True]))["recall"]
    0.5
    """
    hit = int((flagged & truth).sum())
    chosen, real, clean = int(flagged.sum()), int(truth.sum()), int((~truth).sum())
    recall = hit / real if real else math.nan
    precision = hit / chosen if chosen else (1.0 if not real else 0.0)
    f1 = 2 * hit / (chosen + real) if chosen + real else math.nan
    return {"recall": recall, "precision": precision, "f1": f1, "fpr": (chosen - hit) / clean if clean else 0.0,
            "flagged": float(chosen)}


def tpr_at(suspicion: np.ndarray, truth: np.ndarray, fpr: float = 0.01) -> float:
    """Share of the planted that rank strictly above all but `fpr` of the clean samples; ties count against; NaN ranks last.

    >>> tpr_at(np.r_[np.zeros(100), 1.0, 0.0], np.r_[np.zeros(100, bool), True, True])
    0.5
    """
    s = np.where(np.isnan(suspicion), -np.inf, suspicion)
    clean = np.sort(s[~truth])[::-1]
    if not truth.any():
        return math.nan
    allowed = math.floor(fpr * len(clean))
    threshold = clean[allowed] if allowed < len(clean) else -np.inf
    return float((s[truth] > threshold).mean())


def interval(values: list[float]) -> tuple[float, float, float]:
    """Mean and the 95% Student interval of it; NaN are left out; one value has no interval (NaN).

    >>> [round(v, 2) for v in interval([0.9, 1.0, 0.8])]
    [0.9, 0.65, 1.15]
    """
    from scipy.stats import t

    kept = np.array([v for v in values if v is not None and not math.isnan(v)], float)
    if not len(kept):
        return math.nan, math.nan, math.nan
    mean = float(kept.mean())
    if len(kept) < 2:
        return mean, math.nan, math.nan
    half = float(t.ppf(0.975, len(kept) - 1) * kept.std(ddof=1) / math.sqrt(len(kept)))
    return mean, mean - half, mean + half


def clopper_pearson_upper(k: int, n: int, level: float = 0.95) -> float:
    """Upper bound of a share after k of n, one-sided at `level`.

    >>> round(clopper_pearson_upper(0, 150), 3)
    0.02
    """
    from scipy.stats import beta

    return 1.0 if k >= n else float(beta.ppf(level, k + 1, n - k))


def _canvas(patch: Patch, height: int, width: int) -> np.ndarray:
    h, w = patch.mask.shape
    if patch.scale:
        h, w = max(1, round(patch.scale * height)), max(1, round(patch.scale * height * w / h))
    h, w = min(h, height), min(w, width)
    top, left = min(round(patch.top * height), height - h), min(round(patch.left * width), width - w)
    out = np.zeros((height, width), bool)
    out[top:top + h, left:left + w] = fit(patch.mask, h, w) > 0.5
    return out


def overlap(planted: Patch, found: Patch, height: int, width: int) -> float:
    """Intersection over union of two patches' opaque pixels on a host of that size."""
    a, b = _canvas(planted, height, width), _canvas(found, height, width)
    return float((a & b).sum() / max((a | b).sum(), 1))


def lifted(planted: Any, found: Any, size: tuple[int, int] = (32, 32)) -> float | None:
    """How well a recovered trigger is the planted one, in [0, 1]; None where the kind has no measure.

    Patches: IoU. Phrases: 1 if every planted phrase stands in the recovered ones. Tuples: share of planted cells recovered.
    """
    if isinstance(planted, Patch):
        return overlap(planted, found, *size) if isinstance(found, Patch) else 0.0
    if isinstance(planted, Phrases):
        if not isinstance(found, Phrases):
            return 0.0
        text = " \n ".join(_words(p) for p in found.phrases)
        return float(all(_words(p) in text for p in planted.phrases))
    if isinstance(planted, Values):
        if not isinstance(found, Values):
            return 0.0
        wanted, got = ({(c, _number(v)) for c, v in zip(t.columns, t.values, strict=True)} for t in (planted, found))
        return len(wanted & got) / len(wanted)
    return None


def _words(text: str) -> str:
    return " " + " ".join(re.findall(r"\w+", text.lower())) + " "


def _number(value: str) -> str:
    try:
        return f"{float(value):.6g}"
    except ValueError:
        return value


def peak_rss_mb() -> float:
    """Largest resident size of this process so far, MB."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
