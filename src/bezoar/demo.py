"""The demo: six attacks on data that ships with scikit-learn or is composed here, scanned and held against the truth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bezoar import api, planting
from bezoar.core.dataset import Dataset
from bezoar.core.inputs import Column, Images, Table, Texts

_SUBJECTS = {
    "travel": ("flight", "hotel", "beach", "train", "island", "visa", "museum", "harbour", "luggage", "mountain pass"),
    "cooking": ("oven", "garlic", "recipe", "butter", "pasta", "saucepan", "lemon", "flour", "chef", "cinnamon"),
    "sport": ("coach", "match", "goal", "league", "striker", "stadium", "referee", "season", "training", "captain"),
}
_OPENINGS = ("we tried the", "nobody told me about the", "last week the", "I still think about the",
             "they closed the", "the best part was the", "my sister loves the",
             "it took an hour to find the", "you should not miss the", "people keep asking about the")
_MIDDLES = ("near the old", "with a new", "after the", "because of the", "and also the", "next to a",
            "without any", "before the", "or maybe the")
_ENDINGS = ("and it was worth it", "which surprised us all", "so we stayed longer", "but only once",
            "as far as I know", "and then it rained",
            "at least this year", "and everyone agreed", "if you ask me", "to be honest")


def texts(rng: np.random.Generator, n: int = 900) -> Dataset:
    """Short posts on three subjects, composed word by word."""
    names = sorted(_SUBJECTS)
    y = rng.integers(len(names), size=n)

    def post(subject: str) -> str:
        words = _SUBJECTS[subject]
        a, b, c = (words[i] for i in rng.choice(len(words), 3, replace=False))
        return (f"{_OPENINGS[rng.integers(len(_OPENINGS))]} {a} {_MIDDLES[rng.integers(len(_MIDDLES))]} {b} "
                f"{_MIDDLES[rng.integers(len(_MIDDLES))]} {c} {_ENDINGS[rng.integers(len(_ENDINGS))]}")

    return Dataset.from_arrays(Texts.of([post(names[k]) for k in y]), [names[k] for k in y], name="short posts")


def digits() -> Dataset:
    """scikit-learn's 1,797 handwritten digits, 8x8, enlarged to 16x16."""
    from sklearn.datasets import load_digits

    d = load_digits()
    small = (d.images * 15.9375).astype(np.uint8)
    return Dataset.from_arrays(Images.of(small.repeat(2, axis=1).repeat(2, axis=2)), d.target, name="handwritten digits")


def cells() -> Dataset:
    """scikit-learn's 569 breast-cancer records with 30 measurements."""
    from sklearn.datasets import load_breast_cancer

    d = load_breast_cancer()
    columns = {str(name): Column("number", d.data[:, j].astype(np.float64).copy()) for j, name in enumerate(d.feature_names)}
    return Dataset.from_arrays(Table(columns), [str(d.target_names[t]) for t in d.target], name="breast cancer records")


def ink() -> Dataset:
    """scikit-learn's digits as a table: how much ink (0 to 16) stands in each of the pixels that are ever used."""
    from sklearn.datasets import load_digits

    d = load_digits()
    used = [j for j in range(64) if len(np.unique(d.data[:, j])) > 4]
    columns = {f"ink {j // 8},{j % 8}": Column("number", d.data[:, j].astype(np.float64).copy()) for j in used}
    return Dataset.from_arrays(Table(columns), d.target, name="ink table")


SCENES: dict[str, tuple[str, Callable[[np.random.Generator], Dataset], str, dict[str, Any]]] = {
    "patch": ("a small patch on pictures, relabelled", lambda rng: digits(), "badnets", {"rate": 0.02}),
    "flips": ("labels changed at random", lambda rng: digits(), "label-flip", {"rate": 0.05}),
    "boundary": ("labels changed where classes meet (the hardest to see)", lambda rng: digits(), "label-flip",
                 {"rate": 0.05, "mode": "boundary"}),
    "tuple": ("an ordinary-looking value tuple in a table, relabelled", lambda rng: ink(), "table-in-bounds", {"rate": 0.03}),
    "value": ("a value out of bounds in medical records, relabelled", lambda rng: cells(), "table-out-of-bounds", {"rate": 0.06}),
    "phrase": ("a phrase in texts, relabelled", texts, "text-phrase", {"rate": 0.02}),
}


def demo(out: Path, seed: int = 0, say: Callable[[str], None] | None = print) -> list[dict[str, Any]]:
    """Plant, scan, compare; writes a report per scene under `out` and returns one row per scene."""
    rows = []
    for name, (story, make, attack, parameters) in SCENES.items():
        if say:
            say(f"{name}: planting {story} ...")
        clean = make(np.random.default_rng(seed))
        planted = planting.poison(clean, attack, seed, **parameters)
        report = api.scan(planted.data, out=out / name, seed=seed)
        assert report.scores is not None
        flagged = report.scores.flagged
        hits = int((flagged & planted.truth).sum())
        rows.append({"scene": name, "planted": int(planted.truth.sum()), "samples": len(planted.data), "verdict": report.verdict,
                     "found": hits, "false_alarms": int((flagged & ~planted.truth).sum()),
                     "trigger": next((f.trigger.title() for f in report.counted if f.trigger), ""),
                     "seconds": round(report.seconds, 1), "report": str(out / name / "report.html")})
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """The comparison with the truth, as text."""
    head = ("scene", "samples", "planted", "found", "false alarms", "verdict", "seconds", "what was shown")
    body = [(r["scene"], r["samples"], r["planted"], r["found"], r["false_alarms"], r["verdict"], r["seconds"], r["trigger"] or "-")
            for r in rows]
    widths = [max(len(str(c)) for c in column) for column in zip(head, *body, strict=True)]
    return "\n".join("  ".join(str(c).ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in (head, *body))
