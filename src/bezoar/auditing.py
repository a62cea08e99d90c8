"""`bezoar audit` as a function: is this model backdoored?"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bezoar import api, registry, store
from bezoar.audits import Options
from bezoar.audits import audit as run
from bezoar.core.ability import Reading
from bezoar.core.audit import Auditor, AuditView
from bezoar.core.chance import generator
from bezoar.core.dataset import Dataset, Labels
from bezoar.core.errors import UsageError
from bezoar.core.escape import line
from bezoar.core.events import Listener, Note, deaf
from bezoar.core.finding import Finding
from bezoar.core.inputs import Images, Inputs, Texts
from bezoar.core.report import OutcomeLine, Report
from bezoar.core.suspect import Suspect
from bezoar.given import told
from bezoar.networks import device as hardware
from bezoar.standins import standins

EFFORTS = {"quick": 0, "standard": 8, "deep": 16}
"""Effort to the number of clean twins that are trained where there are data for it."""


@hardware.switched
def audit(model: object, *, factory: str = "", data: object = None, y: object = None, reading: Reading | None = None,
          classes: Sequence[str] = (), shape: Sequence[int] = (), pixels: str = "", effort: str = "standard", alpha: float = 0.05,
          inputs: object = None, seed: int = 0, auditors: Sequence[str] | None = None, without: Sequence[str] = (),
          baseline: str | Path | None = None, device: str = "auto", out: str | Path | None = None, listener: Listener = deaf) -> Report:
    """Is this model backdoored, to which class, by what trigger?

    model     a file (safetensors, .pt or .pth weights, torch.export, ONNX, TorchScript, trees of XGBoost or LightGBM), a torch module, a
              function of an (n, h, w, 3) uint8 array that gives (n, K) probabilities, or a Suspect
    factory   'package.module:function' that builds the network the weights go into; inferred for known families
    data      clean samples that you trust, as `scan` takes them; a handful is enough, None audits without data
    classes   names of the model's classes, in order; taken from `data` when left out
    shape     (h, w, 3) of a picture it reads; taken from `data` when left out
    pixels    how pictures are scaled: '-1..1', '0..1' or 'imagenet'; inferred where the file or the network says so
    effort    'quick' trains no reference models, 'standard' 8, 'deep' 16, where there are at least 20 clean samples of each class
    alpha     chance that a clean model is called suspicious
    inputs    samples of unknown origin that the model is asked about, as `data` without labels: which of them carry a trigger? Needs `data`
    auditors  names to run (default: all that fit); `without` names to leave out
    device    where networks are trained and asked: 'auto' (a graphics card where torch has one) | 'cpu' | 'cuda'; a Suspect that is
              given stays where it is, and a black box has no place here
    out       a folder for report.json, report.html, report.sarif

    Fails to see a backdoor that no small change of the input sets off, and one that is undetectable by construction.
    """
    if effort not in EFFORTS:
        raise UsageError(f"no effort {effort!r}", advice="efforts are: " + ", ".join(EFFORTS))
    if not 0 < alpha < 0.5:
        raise UsageError(f"alpha {alpha} is an error rate", advice="alpha in (0, 0.5)")
    chosen, left = chosen_auditors(auditors, without)
    accepted, expired = (frozenset[str](), ()) if baseline is None else store.read_baseline(Path(baseline))
    given = None if data is None else api.load(data, y, reading or Reading())
    suspect, first = suspect_of(model, factory, classes, shape, given, pixels)
    clean = None if given is None else fitted(given, suspect, listener)
    view = AuditView(suspect, clean, references=reference_models(suspect, clean, EFFORTS[effort], seed), same_shape=trainable(suspect))
    odd = None if inputs is None else api.load(inputs, None, reading or Reading())
    report = run(view, chosen, Options(alpha=alpha, seed=seed, accepted=accepted), listener, first)
    if odd is not None:
        report = told(report, view, odd, generator(seed, "given-inputs"), alpha)
    path = str(model) if isinstance(model, (str, Path)) else ""
    report = replace(report, environment=api.environment(()), notes=(*report.notes, *expired), outcomes=(*report.outcomes, *left),
                     subject={**report.subject, "path": path} if path else report.subject,
                     plan={**report.plan, "effort": effort, "device": hardware.of(suspect.module), "factory": factory,
                           "data": "" if clean is None else clean.fingerprint})
    report = declared(report, suspect.declared)
    if out is not None:
        api.write_report(report, out, ("json", "html", "sarif"))
    return report


def declared(report: Report, attack: str) -> Report:
    """The report with one finding more where the file says itself that `attack` was planted in it; as it is for ""."""
    if not attack:
        return report
    name = line(attack, 60)
    told = Finding(ability="file-scan", subject=str(report.subject.get("fingerprint", "")), kind="model", members=(), threat="declared",
                   p_value=0.0, suspicion=1.0, title=f"the file says itself that the attack {name!r} was planted in it",
                   because="It stands in the header of the file, beside the weights.",
                   doubt="Whoever wrote the file could write anything there.",
                   advice="Keep it where poison made for tests belongs, and use the model that it was made from.")
    counts = told.id not in report.accepted
    return replace(report, findings=(*report.findings, told), verdict="poisoned" if counts else report.verdict,
                   reason=f"the file says itself that the attack {name!r} was planted in it; {report.reason}" if counts else report.reason)


def chosen_auditors(names: Sequence[str] | None = None, without: Sequence[str] = ()) -> tuple[list[Auditor], list[OutcomeLine]]:
    """Those named, or all; and a line for each that was left out by name. Raises UsageError for names that do not exist."""
    every = registry.shelf("auditors")
    for name in (*(names or ()), *without):
        registry.get("auditors", name)
    taken = [n for n in every if (names is None or n in names) and n not in without]
    if not taken:
        raise UsageError("no auditor is left to run", advice="auditors are: " + ", ".join(every))
    return [registry.make("auditors", n) for n in taken], [OutcomeLine(n, "skipped", api.NOT_ASKED) for n in every if n not in taken]


def suspect_of(model: object, factory: str = "", classes: Sequence[str] = (), shape: Sequence[int] = (),
               data: Dataset | None = None, pixels: str = "") -> tuple[Suspect, tuple[OutcomeLine, ...]]:
    """The model as auditors see it, and what the scan of its file said. Raises UsageError, UnreadableInput or Refused.

    Where neither the caller nor the file names classes or the size of pictures, those of `data` are taken.
    """
    if isinstance(model, Suspect):
        return model, ()
    size = tuple(int(v) for v in shape)
    if not size and data is not None and isinstance(data.inputs, Images) and len(data.inputs) and data.inputs.uniform:
        size = (int(data.inputs.sizes[0][0]), int(data.inputs.sizes[0][1]), 3)
    if isinstance(model, (str, Path)):
        from bezoar.intake.models import inspect
        from bezoar.sources.suspects import open_suspect

        if str(model).startswith(("http://", "https://")):
            names = tuple(classes) or (data.labels.classes if data is not None and data.labels is not None else ())
            return open_suspect(str(model), classes=names, shape=size or None, modality="" if data is None else data.modality), ()
        started = time.perf_counter()
        seen = inspect(model)
        found = open_suspect(model, factory=factory, classes=classes, shape=size or None, pixels=pixels,
                             like=None if data is None else data.inputs)
        said = f"{seen.verdict}: {seen.kind}"
        if seen.extra.get("opens as") == "black box":
            said += ", a program: it was only asked, in a process of its own that can open no file and reach no network"
        else:
            said += f", {seen.reasons[0]}" if seen.reasons else ", read as data, nothing in it was run"
        return found, (OutcomeLine("file-scan", "nothing", said, time.perf_counter() - started),)
    if hasattr(model, "state_dict") and callable(model):
        from bezoar.sources.suspects import suspect_from

        return suspect_from(model, classes, size, pixels=pixels), ()
    if callable(model):
        names = tuple(classes) or (data.labels.classes if data is not None and data.labels is not None else ())
        if not names:
            raise UsageError("a black box does not say its classes", advice="name them, or give clean samples of all of them")
        return _black_box(model, names, size, "image" if data is None else data.modality), ()
    raise UsageError(f"cannot audit {type(model).__name__}", advice="give a model file, a torch module or a function")


def _black_box(model: Callable[[Any], Any], classes: tuple[str, ...], shape: tuple[int, ...], modality: str) -> Suspect:
    name = str(getattr(model, "__name__", "black box"))

    def answer(inputs: Inputs) -> np.ndarray:
        if isinstance(inputs, Images):
            return np.asarray(model(inputs.dense()), np.float32)
        return np.asarray(model(inputs.values if isinstance(inputs, Texts) else inputs), np.float32)

    return Suspect(name, modality, classes, hashlib.sha256(f"black box\0{name}".encode()).hexdigest(), answer, shape=shape,
                   notes=("a black box: only its answers were seen",))


def fitted(data: Dataset, suspect: Suspect, listener: Listener = deaf) -> Dataset:
    """The clean data with its label codes in the order of the suspect's classes.

    Classes go by their names; where the suspect's are plain numbers and there are as many, by their order. Raises UsageError for
    another kind of data, for no labels, for one class only and for classes that the model has not.
    """
    if data.modality != suspect.modality:
        raise UsageError(f"the clean data are {data.modality}, the model reads {suspect.modality}", advice="give data of the same kind")
    if data.labels is None:
        raise UsageError("the clean data have no labels", advice="name the label column with --label")
    if data.modality == "tabular" and len(data):
        suspect.predict(data.inputs.take(np.arange(1)))  # columns that do not fit are said before anything begins
    names, k = data.labels.classes, len(suspect.classes)
    if len(np.unique(data.labels.codes[data.labels.codes >= 0])) < 2:
        raise UsageError("the clean data are of one class only", advice="give samples of several classes, a few of each")
    if not set(names) <= set(suspect.classes):
        numbered = suspect.classes == tuple(str(i) for i in range(k))
        if not numbered or len(names) != k:
            odd = next(n for n in names if n not in suspect.classes)
            raise UsageError(f"the model has no class {odd[:60]!r}, and the data have {len(names)} classes to its {k}",
                             advice="name the model's classes in their order with --classes")
        listener(Note("the model's classes are numbers; the classes of the data are taken in their order"))
        return replace(data, labels=Labels(data.labels.codes, suspect.classes))
    place = np.array([suspect.classes.index(n) for n in names] + [-1])
    return replace(data, labels=Labels(place[data.labels.codes], suspect.classes))


def trainable(suspect: Suspect) -> bool:
    """Whether clean models of its own shape can be made: pictures, and networks whose layers are seen."""
    return suspect.modality == "image" or suspect.module is not None


def reference_models(suspect: Suspect, clean: Dataset | None, count: int, seed: int) -> Callable[[], Sequence[Suspect]] | None:
    """What trains twins, or, for a black box of texts or tables, stand-ins; None where neither can be."""
    if not count or clean is None:
        return None
    if suspect.module is None:
        return None if suspect.modality == "image" else lambda: standins(suspect, clean, count, seed)

    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bezoar" / "twins"

    def make() -> Sequence[Suspect]:
        from bezoar.networks.twins import twins

        return twins(AuditView(suspect, clean), count, seed, cache)

    return make


def cost(effort: str, with_data: bool) -> str:
    """What an audit will cost, said before it starts."""
    if effort not in EFFORTS:
        raise UsageError(f"no effort {effort!r}", advice="efforts are: " + ", ".join(EFFORTS))
    twins = EFFORTS[effort] if with_data else 0
    more = f", where there are data for it {twins} clean networks of the same shape are trained first" if twins else ""
    return f"a small network takes about {'a minute' if with_data else '10 s'}, one of millions of weights longer{more}"


def shape_of(text: str) -> tuple[int, ...]:
    """'32x48' as (32, 48, 3); nothing for nothing. Raises UsageError.

    >>> shape_of("32x48")
    (32, 48, 3)
    """
    if not text:
        return ()
    parts = text.lower().replace(",", "x").split("x")
    if len(parts) not in (2, 3) or not all(p.isascii() and p.isdigit() and 0 < int(p) <= 4096 for p in parts):
        raise UsageError(f"{text[:40]!r} is no height x width", advice="such as 32x32")
    return (int(parts[0]), int(parts[1]), 3)
