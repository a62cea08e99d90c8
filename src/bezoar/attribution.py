"""`trace --prediction`: from one answer of a model back to the training samples that made it, with their sources.

A small network is trained on the data (or the user's model is read) and every sample's last-layer gradient is multiplied with that of the
input at a few checkpoints. What pulls towards the answer is shown first, then what pulls away, then which sources the pull comes from.
Fails      where the network trained here answers otherwise than the model in question (then say `called`, or give the model), and to
           tell a trigger from a natural likeness: both pull.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bezoar import api
from bezoar.core.ability import Modality, Reading
from bezoar.core.dataset import Dataset
from bezoar.core.errors import Unavailable, UnreadableInput, UsageError
from bezoar.core.inputs import Images, Inputs, Table, Texts
from bezoar.core.learned import Followed
from bezoar.core.pulls import Pull, Traced
from bezoar.maths.influence import pulls, shares
from bezoar.own_model import own_model

TOP = 20
"""Samples shown on each side."""
MOST_SOURCES = 20


def input_of(what: object, dataset: Dataset, reading: Reading) -> Inputs:
    """One input of the kind of `dataset`: a picture file or array, a text or a text file, a table of one row, or any data of which
    the first is taken. Raises UnreadableInput or UsageError.
    """
    if isinstance(what, (Images, Texts, Table)):
        found: Inputs = what
    elif isinstance(what, np.ndarray) and dataset.modality == "image":
        found = Images.of(np.asarray(what, np.uint8)[None])
    elif isinstance(what, (str, Path)) and dataset.modality == "text" and not _exists(what):
        found = Texts(np.array([str(what)], object))
    elif isinstance(what, (str, Path)) and dataset.modality == "image" and Path(what).suffix.lower() in _suffixes():
        found = Images.of(_picture(Path(what), reading)[None])
    elif isinstance(what, (str, Path)) and dataset.modality == "text" and Path(what).suffix.lower() == ".txt":
        found = Texts(np.array([_text(Path(what), reading)], object))
    else:
        found = api.load(what, None, reading).inputs
    if type(found) is not type(dataset.inputs):
        raise UsageError(f"the input is no {dataset.modality}, as the data are", advice="give one input of the same kind")
    if len(found) == 0:
        raise UnreadableInput("there is no input to ask about", advice="give a file that holds one")
    return found.take(np.array([0]))


def _exists(what: str | Path) -> bool:
    try:
        return Path(what).exists()
    except (OSError, ValueError):  # a text may be no possible name
        return False


def _suffixes() -> tuple[str, ...]:
    from bezoar.intake.pictures import SUFFIXES

    return SUFFIXES


def _bytes(path: Path, reading: Reading) -> bytes:
    most = reading.limits.max_sample_bytes
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise UnreadableInput(f"no input at {path}: {error.strerror}", advice="check the path") from None
    if len(data) > most:
        raise UnreadableInput(f"{path} is larger than {most:,} bytes", advice="give one input")
    return data


def _picture(path: Path, reading: Reading) -> np.ndarray:
    from bezoar.intake.pictures import Undecodable, decode, strict_decoding

    with strict_decoding():
        try:
            return decode(_bytes(path, reading), reading.limits)[0]
        except Undecodable as error:
            raise UnreadableInput(f"{path} cannot be read: {error}", advice="give a PNG or JPEG file") from None


def _text(path: Path, reading: Reading) -> str:
    try:
        return _bytes(path, reading).decode("utf-8")
    except UnicodeDecodeError:
        raise UnreadableInput(f"{path} is no UTF-8 text", advice="save it as UTF-8") from None


def trace_prediction(what: object, data: object, y: object = None, *, reading: Reading | None = None, model: object = None,
                     factory: str = "", called: str = "", top: int = TOP, seed: int = 0, **origin: Any) -> Traced:
    """Which samples of `data` made a model answer as it does about the input `what`.

    data     as for `scan`; `y`, `origin` likewise
    model    of the user's own (path, torch module, Suspect; read at its last state only), else a small network is trained
    called   the class to explain; '' takes the answer itself
    top      samples shown on each side, at least 1
    Raises UsageError where the data have no labels, for an unknown class, or without torch; UnreadableInput for an input that is none.
    """
    reading = reading or Reading()
    dataset = api.load(data, y, reading, **origin)
    if dataset.labels is None:
        raise UsageError("a prediction is traced to labels, and these data have none", advice="name the label column with --label")
    if top < 1:
        raise UsageError(f"{top} samples cannot be shown", advice="give 1 or more")
    classes = dataset.labels.classes
    if called and called not in classes:
        raise UsageError(f"no class {called!r}", advice="classes are: " + ", ".join(classes[:20]))
    asked, modality = input_of(what, dataset, reading), api.modality_of(dataset)
    try:
        seen = _seen(dataset, modality, asked, model, factory, seed, reading)
    except Unavailable as missing:
        raise UsageError(f"tracing a prediction needs {missing.need}", advice="pip install 'bezoar[torch]'") from None
    answer = seen.answers[-1][0]
    chances = np.exp(answer - answer.max())
    chances /= chances.sum()
    code = classes.index(called) if called else int(chances.argmax())
    pull = pulls(seen.features, seen.logits, dataset.labels.codes, [a[0] for a in seen.asked], [a[0] for a in seen.answers], code,
                 seen.rates)
    notes = [*dataset.notes]
    if called and code != int(chances.argmax()):
        notes.append(f"the network itself calls it '{classes[int(chances.argmax())]}' ({chances.max():.0%})")
    labels = np.array([*classes, ""], object)[dataset.labels.codes]
    columns = {**dataset.origin, "label": labels}
    parts = {k: dict(list(shares(pull, np.asarray(v)).items())[:MOST_SOURCES]) for k, v in sorted(columns.items())
             if k == "label" or len(set(v)) > 1}
    return Traced(called=classes[code], chance=float(chances[code]), towards=_strongest(dataset, modality, pull, labels, top),
                  against=_strongest(dataset, modality, -pull, labels, top), shares=parts, model=seen.name, name=dataset.name,
                  samples=len(dataset), fingerprint=dataset.fingerprint, shown=modality.show(asked, 0, "the input"), notes=tuple(notes))


def _seen(dataset: Dataset, modality: Modality, asked: Inputs, model: object, factory: str, seed: int, reading: Reading) -> Followed:
    assert dataset.labels is not None
    codes, classes = dataset.labels.codes, dataset.labels.classes
    if model is None:
        return modality.follow(dataset.inputs, codes, len(classes), asked, seed)
    suspect = own_model(model, dataset, factory, reading.limits)
    from bezoar.networks.own import taught

    shown = taught(suspect, dataset.inputs, codes, classes).learned
    other = taught(suspect, asked, np.array([-1]), classes).learned
    return Followed((shown.layers[-1],), (shown.logits,), (other.layers[-1],), (other.logits,), (1.0,),
                    f"your model {suspect.name}, as it is")


def _strongest(dataset: Dataset, modality: Modality, pull: np.ndarray, labels: np.ndarray, top: int) -> tuple[Pull, ...]:
    whole = max(float(np.maximum(pull, 0).sum()), 1e-300)
    rows = [int(r) for r in np.argsort(-pull, kind="stable")[:top] if pull[r] > 0]
    return tuple(Pull(str(dataset.ids[r]), str(labels[r]), float(pull[r] / whole),
                      {k: str(v[r]) for k, v in sorted(dataset.origin.items())}, modality.show(dataset.inputs, r, str(dataset.ids[r])))
                 for r in rows)
