"""What every auditor and every model repair promises; part of the contract suite."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import numpy as np

from bezoar.core.audit import Auditor, AuditView
from bezoar.core.errors import Unavailable, UsageError
from bezoar.core.inputs import Images
from bezoar.core.model_attack import AttackCase, ModelAttack
from bezoar.core.model_repair import ModelRepair, RepairCase, Samples
from bezoar.core.trigger import trigger_from_dict
from bezoar.testing.sealing import Check, sealed


def of_model_repair(cls: type[ModelRepair]) -> Iterator[Check]:
    short = {k: 4 for k in ("steps", "rounds", "epochs") if k in cls.signature()}

    def case(**known: object) -> RepairCase:
        from bezoar.core.image_triggers import Patch
        from bezoar.networks.builds import resnet
        from bezoar.networks.training import pictures, seeded

        rng = np.random.default_rng(3)
        samples = Samples(rng.integers(0, 256, (40, 16, 16, 3), dtype=np.uint8), np.arange(40) % 4)
        patch = Patch(np.full((3, 3, 3), 255, np.uint8), np.ones((3, 3), np.float32), 0.8, 0.8)
        with seeded(0):
            module = resnet(4, 4).eval()
        everything = {"clean": samples, "training": samples, "flagged": np.arange(40) < 5, "trigger": patch, "target": 0}
        return RepairCase(module, pictures, 4, "image", **(known or everything))  # type: ignore[arg-type]

    def mends() -> None:
        import torch

        given = case()
        before = {k: v.clone() for k, v in given.module.state_dict().items()}
        with sealed():
            first, again = (cls(**short)(given, np.random.default_rng(5)) for _ in range(2))
        assert all(torch.equal(v, before[k]) for k, v in given.module.state_dict().items()), "the module of the case stays as it was"
        assert first is not given.module and not first.training, "a copy, in evaluation mode"
        assert all(torch.equal(v, again.state_dict()[k]) for k, v in first.state_dict().items()), "same case and rng, same module"
        x = given.tensor(given.clean.x)  # type: ignore[union-attr]
        with torch.no_grad():
            assert first(x).shape == (40, 4) and bool(first(x).isfinite().all())

    def needs() -> None:
        try:
            cls(**short)(case(clean=None), np.random.default_rng(5))
        except Unavailable:
            return
        assert not cls.info.needs, "what it needs is missing, and it says so"

    def strange() -> None:
        from torch import nn

        bare = nn.Sequential(nn.Flatten(), nn.Tanh(), nn.Linear(768, 4))
        need = "nothing is missing"
        try:
            cls(**short)(replace(case(), module=bare), np.random.default_rng(5))
        except Unavailable as error:
            need = error.need
        assert need, "it says what the network lacks"

    yield "mends", mends
    yield "needs", needs
    yield "network-without-convolutions", strange


def of_model_attack(cls: type[ModelAttack]) -> Iterator[Check]:
    short = {k: 4 for k in ("steps",) if k in cls.signature()}

    def case(**other: object) -> AttackCase:
        from bezoar.networks.builds import vgg
        from bezoar.networks.training import pictures, seeded

        rng = np.random.default_rng(3)
        samples = Samples(rng.integers(0, 256, (40, 16, 16, 3), dtype=np.uint8), np.arange(40) % 4)
        with seeded(0):
            module = vgg(4, 4).eval()
        return replace(AttackCase(module, pictures, ("a", "b", "c", "d"), samples), **other)  # type: ignore[arg-type]

    def plants() -> None:
        import torch

        given = case()
        before = {k: v.clone() for k, v in given.module.state_dict().items()}
        with sealed():
            first, again = (cls(**short)(given, np.random.default_rng(5)) for _ in range(2))
        assert all(torch.equal(v, before[k]) for k, v in given.module.state_dict().items()), "the module of the case stays as it was"
        assert first.module is not given.module and not first.module.training, "a copy, in evaluation mode"
        twice = again.module.state_dict()
        assert all(torch.equal(v, twice[k]) for k, v in first.module.state_dict().items()), "same case and rng, same module"
        assert first.budget["numbers"] > 0 and 0 < first.budget["share"] <= 1, "it changed something, and says how much"
        assert cls.threat_model, "it says what the attacker has"
        assert 0 <= first.target < 4 and -1 <= first.reached <= 1
        copy = trigger_from_dict(json.loads(json.dumps(first.trigger.to_dict())))
        assert copy.title() == first.trigger.title()
        assert len(first.trigger.apply(Images.of(given.samples.x), np.random.default_rng(6))) == 40
        for name, array in (first.adapter or {}).items():
            assert ".lora_" in name and np.isfinite(array).all(), "an adapter by the usual names"

    def refuses() -> None:
        one_class = case().samples.take(np.arange(0, 40, 4))
        for other in ({"modality": "text"}, {"samples": one_class}, *(() if cls.bodies else ({"encoder": True},))):
            try:
                cls(**short)(case(**other), np.random.default_rng(5))
            except UsageError:
                continue
            raise AssertionError(f"it takes {sorted(other)} that it cannot work on")

    yield "plants", plants
    yield "refuses", refuses


def of_auditor(cls: type[Auditor]) -> Iterator[Check]:
    def says() -> None:
        from bezoar.testing.suspects import suspect_for

        suspect, clean = suspect_for(cls.info.modalities, 0)
        seen = suspect.module is not None
        before = {k: v.clone() for k, v in suspect.module.state_dict().items()} if seen else {}
        with sealed():
            first, again = (cls()(AuditView(suspect, clean), np.random.default_rng(5)) for _ in range(2))
        assert first.statistic.shape == (len(suspect.classes),)
        np.testing.assert_array_equal(first.statistic, again.statistic, "same view and rng, same statistic")
        after = suspect.module.state_dict() if seen else {}
        assert all((after[k] == v).all() for k, v in before.items()), "the model stays as it was"
        still = not seen or (not suspect.module.training and all(p.requires_grad for p in suspect.module.parameters()))
        assert still, "and in the mode that it was in"
        if first.trigger is not None:
            copy = trigger_from_dict(json.loads(json.dumps(first.trigger.to_dict())))
            assert copy.title() == first.trigger.title()
            assert len(first.trigger.apply(clean.inputs, np.random.default_rng(6))) == len(clean)
            assert first.success is None or 0 <= first.success <= 1

    def less() -> None:
        from bezoar.testing.suspects import suspect_for

        suspect, clean = suspect_for(cls.info.modalities, 0)
        one = clean.take(np.flatnonzero(clean.labels.codes == 0)[:3])  # type: ignore[union-attr]
        for view in (AuditView(suspect), AuditView(replace(suspect, module=None, tensor=None), clean),
                     AuditView(suspect, replace(clean, labels=None)), AuditView(suspect, one),
                     AuditView(suspect, clean.take(np.arange(0)))):
            with suppress(Unavailable):
                cls()(view, np.random.default_rng(5))

    yield "says-the-same-and-changes-nothing", says
    yield "black-box-no-data-one-class", less
