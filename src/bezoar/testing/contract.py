"""The contract suite: what every ability must do, yielded as named checks, for our shelves and for plug-ins alike.

    import pytest
    from bezoar.testing.contract import checks

    @pytest.mark.parametrize(("name", "check"), checks(MyDetector))
    def test_contract(name, check):
        check()

A check raises AssertionError that says what was promised. Data come from `bezoar.testing.planted`, so the suite needs no files.
"""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from bezoar.core.ability import Ability, Attack, Detector, Modality, Renderer, Repair, Scores
from bezoar.core.audit import Auditor
from bezoar.core.dataset import Dataset
from bezoar.core.errors import BezoarError, Unavailable
from bezoar.core.model_attack import ModelAttack
from bezoar.core.model_repair import ModelRepair
from bezoar.core.scores_store import scores_from_dict, scores_to_dict
from bezoar.core.taxonomy import THREATS
from bezoar.core.trigger import trigger_from_dict
from bezoar.core.victim import Victim
from bezoar.core.view import View
from bezoar.testing.contract_models import of_auditor, of_model_attack, of_model_repair
from bezoar.testing.sealing import Check, sealed

MODALITIES = ("image", "text", "tabular")
SECONDS_PER_1000 = 30.0
"""Bound on one detector over about 1,000 rows, views included; generous, it catches loops over samples."""

Make = Callable[[str], Modality]
Planted = Callable[[str, str, np.random.Generator], tuple[Dataset, Dataset, np.ndarray]]


def auroc(scores: np.ndarray, truth: np.ndarray) -> float:
    """Chance that a planted sample scores above a clean one; NaN scores count as lowest.

    >>> auroc(np.array([0.1, 0.9]), np.array([False, True]))
    1.0
    """
    filled = np.where(np.isnan(scores), -np.inf, scores)
    clean = np.sort(filled[~truth])
    below = np.searchsorted(clean, filled[truth], "left") + np.searchsorted(clean, filled[truth], "right")
    return float(below.mean() / 2 / max(len(clean), 1))


def _any_ability(cls: type[Ability]) -> Iterator[Check]:
    def card() -> None:
        i = cls.info
        assert i.name == i.name.lower() and " " not in i.name, "names are lower case with dashes"
        assert i.summary and not i.summary.endswith("."), "one line, no full stop"
        assert set(i.threats) <= set(THREATS), f"unknown threats {set(i.threats) - set(THREATS)}"

    def parameters() -> None:
        for k, p in cls.signature().items():
            assert p.kind is p.KEYWORD_ONLY, f"{k} must be keyword-only"
            assert p.default is not p.empty, f"{k} needs a default"
        made = cls()
        assert made.parameters() == {k: p.default for k, p in cls.signature().items()}, "parameters are kept under their names"
        assert type(made)(**made.parameters()).parameters() == made.parameters()
        json.dumps(made.parameters())

    def story() -> None:
        import sys

        text = inspect.getdoc(sys.modules[cls.__module__]) or ""
        assert len(text) > 60, "the module docstring says what it looks for or does, when it fails, cost and paper"

    yield "card", card
    yield "parameters", parameters
    yield "story", story


def _same(a: Scores, b: Scores, order: np.ndarray | None = None) -> None:
    first = a.suspicion if order is None else a.suspicion[order]
    np.testing.assert_allclose(first, b.suspicion, atol=1e-6)


def _detector(cls: type[Detector], make: Make, planted: Planted) -> Iterator[Check]:
    fits = [m for m in MODALITIES if cls().supports(m)]

    def run(data: Dataset, seed: int = 0) -> Scores | None:
        view = View(data, make(data.modality), seed=seed)
        try:
            with sealed():
                return cls()(view, np.random.default_rng(seed))
        except Unavailable:
            return None

    def shape(modality: str) -> Callable[[], None]:
        def check() -> None:
            clean, _, _ = planted(modality, "label-flip", np.random.default_rng(1))
            started = time.process_time()
            scores = run(clean)
            if scores is None:
                return
            assert time.process_time() - started < SECONDS_PER_1000 * max(1, len(clean) / 1000), "too slow for its size"
            known = scores.suspicion[~np.isnan(scores.suspicion)]
            assert scores.suspicion.shape == (len(clean),)
            assert ((known >= 0) & (known <= 1)).all()
            again = run(clean)
            assert again is not None
            np.testing.assert_array_equal(scores.suspicion, again.suspicion, "same seed, same scores")
            back = scores_from_dict(json.loads(json.dumps(scores_to_dict(scores))))
            _same(scores, back)
            assert [g.title for g in back.groups] == [g.title for g in scores.groups]
            for g in scores.groups:
                assert g.threat in THREATS and g.title and 0 <= g.p_value <= 1
                assert (np.diff(g.members) > 0).all(), "members are sorted and unique"
                assert g.sure is None or (len(g.sure) == len(g.members) and g.sure.min() >= 0 and g.sure.max() <= 1)
        return check

    def quiet(modality: str) -> Callable[[], None]:
        def check() -> None:
            alarms = 0
            for seed in (11, 12, 13):
                clean, _, _ = planted(modality, "label-flip", np.random.default_rng(seed))
                scores = run(clean)
                alarms += scores is not None and any(g.p_value <= 0.01 and not g.advisory for g in scores.groups)
            assert alarms == 0, f"{alarms} of 3 clean sets raised an alarm"
        return check

    def odd(modality: str) -> Callable[[], None]:
        def check() -> None:
            clean, _, _ = planted(modality, "label-flip", np.random.default_rng(2))
            same = np.zeros(40, np.int64)
            first = clean.labels.codes[0] if clean.labels is not None else 0
            one_class = np.flatnonzero(clean.labels.codes == first)[:60] if clean.labels is not None else np.arange(60)
            for what, rows in [("one sample", same[:1]), ("two samples", np.arange(2)), ("one sample 40 times", same),
                               ("one class", one_class), ("no sample", same[:0])]:
                try:
                    run(clean.take(rows))
                except BezoarError as error:
                    raise AssertionError(f"{what}: {error}") from error
            run(replace(clean, labels=None))
        return check

    def floor(modality: str, threat: str) -> Callable[[], None]:
        def check() -> None:
            _, data, truth = planted(modality, threat, np.random.default_rng(3))
            scores = run(data)
            assert scores is not None, "the planted data has everything it needs"
            value = auroc(scores.suspicion, truth)
            assert value >= cls.info.floor, f"AUROC {value:.2f} on {threat} is under the floor {cls.info.floor}"
        return check

    for modality in fits:
        yield f"shape-{modality}", shape(modality)
        yield f"quiet-{modality}", quiet(modality)
        yield f"odd-sizes-{modality}", odd(modality)
        if cls.info.floor:
            yield f"floor-{modality}", floor(modality, cls.info.threats[0])


def _attack(cls: type[Attack], planted: Planted) -> Iterator[Check]:
    def poison(modality: str) -> Callable[[], None]:
        def check() -> None:
            clean, _, _ = planted(modality, "label-flip", np.random.default_rng(4))
            before = clean.fingerprint
            first = cls()(clean, np.random.default_rng(5))
            again = cls()(clean, np.random.default_rng(5))
            assert clean.take(np.arange(len(clean))).fingerprint == before, "the clean data stays as it was"
            assert first.data.fingerprint == again.data.fingerprint and (first.truth == again.truth).all(), "same rng, same poison"
            if cls.removes_rows:
                assert first.removed is not None and len(first.removed), "something was taken away"
                left = np.setdiff1d(np.arange(len(clean)), first.removed)
                assert not first.truth.any() and first.data.fingerprint == clean.take(left).fingerprint, "the rest is as it was"
                return
            assert first.removed is None, "only an attack that says so takes samples away"
            rest = np.flatnonzero(~first.truth)
            assert first.truth.any(), "something was poisoned"
            old = len(clean)
            assert list(first.data.ids[:old]) == list(clean.ids) and len(set(first.data.ids)) == len(first.data)
            assert cls.adds_rows or len(first.data) == old, "only an attack that says so adds samples"
            assert first.truth[old:].all() and not (cls.adds_rows and first.truth[:old].any()), "what is new is poison"
            assert (first.data.inputs.take(rest).row_keys() == clean.inputs.take(rest).row_keys()).all(), "untouched rows are the same"
            assert clean.labels is not None and first.data.labels is not None
            same = first.data.labels.codes[:old] == clean.labels.codes
            assert same[rest].all(), "labels of untouched rows are the same"
            if cls.clean_label:
                assert same.all(), "a clean-label attack never touches labels"
            if first.trigger is not None:
                applied = first.trigger.apply(clean.inputs.take(rest[:8]), np.random.default_rng(6))
                assert len(applied) == len(rest[:8])
                copy = trigger_from_dict(json.loads(json.dumps(first.trigger.to_dict())))
                assert copy.title() == first.trigger.title()
                copy.describe()
        return check

    for modality in MODALITIES:
        if cls().supports(modality):
            yield f"poison-{modality}", poison(modality)


def _victim(cls: type[Victim], planted: Planted) -> Iterator[Check]:
    def trains(modality: str) -> Callable[[], None]:
        def check() -> None:
            clean, _, _ = planted(modality, "label-flip", np.random.default_rng(4))
            part, fresh = clean.take(np.arange(300)), clean.take(np.arange(len(clean) - 50, len(clean)))
            assert part.labels is not None
            before = part.fingerprint
            with sealed():
                first, again = (cls()(part, np.random.default_rng(5)) for _ in range(2))
                p = first.predict(fresh.inputs)
            assert part.take(np.arange(len(part))).fingerprint == before, "the data stay as they were"
            assert p.shape == (50, len(part.labels.classes)) and np.isfinite(p).all(), "one column per class"
            np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-3)
            np.testing.assert_array_equal(p, again.predict(fresh.inputs), "same data and rng, same model")
            kept = cls().weights(first)
            if kept:
                np.testing.assert_allclose(cls().restored(part, kept).predict(fresh.inputs), p, atol=1e-6)
            assert first.predict(fresh.inputs.take(np.arange(0))).shape[0] == 0
        return check

    for modality in MODALITIES:
        if cls().supports(modality):
            yield f"trains-{modality}", trains(modality)


def _modality(cls: type[Modality], planted: Planted) -> Iterator[Check]:
    def views() -> None:
        data, _, _ = planted(cls.info.name, "label-flip", np.random.default_rng(7))
        made = cls()
        n = len(data)
        with sealed():
            e = made.embed(data.inputs)
            assert e.shape[0] == n and e.dtype == np.float32 and np.isfinite(e).all()
            np.testing.assert_array_equal(e, made.embed(data.inputs), "same input, same view")
            assert made.content(data.inputs).shape[0] == n
            assert made.features(data.inputs).shape[0] == n
            a = made.atoms(data.inputs)
            assert a.matrix.shape == (n, len(a.family)) == (n, len(a.expected))
            assert len(a.searched) == len(a.families)
            for j in range(min(a.n_atoms, 20)):
                assert a.name(j)
            try:
                s = made.signal(data.inputs)
                assert s.shape[0] == n and s.dtype == np.float32
            except Unavailable:
                pass
            made.show(data.inputs, 0, "a")

    def stateless() -> None:
        data, _, _ = planted(cls.info.name, "label-flip", np.random.default_rng(8))
        made = cls()
        whole, part = made.features(data.inputs)[:5], made.features(data.inputs.take(np.arange(5)))
        gap = abs(whole - part)
        assert gap.max() < 1e-5, "features of a row do not depend on the other rows"

    yield "views", views
    yield "stateless-features", stateless


def checks(cls: type[Ability], make: Make | None = None, planted: Planted | None = None) -> list[Check]:
    """All checks that hold for what `cls` is. `make` gives a modality by name; `planted` the data (default: ours)."""
    if make is None:
        from importlib import import_module

        registry = import_module("bezoar.registry")

        def make(name: str) -> Modality:
            return registry.make("modalities", name)
    if planted is None:
        from bezoar.testing.planted import planted as ours

        planted = ours
    found = list(_any_ability(cls))
    if issubclass(cls, Detector):
        found += _detector(cls, make, planted)
    elif issubclass(cls, Attack):
        found += _attack(cls, planted)
    elif issubclass(cls, ModelAttack):
        found += of_model_attack(cls)
    elif issubclass(cls, Auditor):
        found += of_auditor(cls)
    elif issubclass(cls, Victim):
        found += _victim(cls, planted)
    elif issubclass(cls, ModelRepair):
        found += of_model_repair(cls)
    elif issubclass(cls, Modality):
        found += _modality(cls, planted)
    elif issubclass(cls, Repair):
        def idle() -> None:
            clean, _, _ = planted("text", "label-flip", np.random.default_rng(9))
            done = cls().repair(clean, ())
            assert done.keep.all() and not done.changes, "no findings, no change"
        found.append(("no-findings-no-change", idle))
    elif issubclass(cls, Renderer):
        def named() -> None:
            assert cls.filename, "a renderer says which file it writes"
        found.append(("file-name", named))
    return found
