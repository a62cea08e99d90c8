"""`bezoar audit` before fine-tuning: is this encoder, or this adapter, one that somebody has prepared?"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bezoar import api, store
from bezoar.auditing import declared
from bezoar.core.ability import Reading
from bezoar.core.chance import generator
from bezoar.core.dataset import Dataset
from bezoar.core.errors import BezoarError, Unavailable, UsageError
from bezoar.core.events import Finished, Listener, Note, Started, deaf
from bezoar.core.evidence import Bars, Evidence, Facts, Picture, before_after
from bezoar.core.finding import Finding
from bezoar.core.image_triggers import Patch
from bezoar.core.inputs import Images
from bezoar.core.model_repair import stamped
from bezoar.core.report import OutcomeLine, Report
from bezoar.core.suspect import Encoder
from bezoar.core.trigger import Trigger
from bezoar.maths.standing_out import p_largest
from bezoar.networks import device as hardware
from bezoar.transplant import WORKS, control

IMITATIONS = {"quick": 0, "standard": 6, "deep": 12}
"""Effort to the number of clean imitations that are trained where no reference encoders are given."""
SMALLEST = 0.05
"""Pixels that a patch counts at least, so that its logarithm is finite."""
LEAST, LEAST_REFERENCES, MOST_REFERENCES, MOST = 20, 3, 200, 400
"""Clean samples, reference encoders or adapters, at least; reference files, clean samples that are looked at, at most."""


@hardware.switched
def audit_encoder(model: object, data: object, *, factory: str = "", reading: Reading | None = None, shape: Sequence[int] = (),
                  pixels: str = "", references: str | Path | Sequence[Any] | None = None, effort: str = "standard", alpha: float = 0.05,
                  seed: int = 0, controls: int = 99, baseline: str | Path | None = None, known: dict[str, float] | None = None,
                  device: str = "auto", out: str | Path | None = None, listener: Listener = deaf) -> Report:
    """Does a small patch gather all pictures at one place of this encoder's feature space, more easily than in clean ones?

    model       a weights file with or without a head, a torch module whose call gives (n, d) features, or an `Encoder`
    data        clean pictures that you trust, 20 or more; labels are not needed
    references  a folder of clean encoders of the same shape, or a list of what `model` can be. Without: clean imitations are trained on
                the pictures ('standard' 6, 'deep' 12, 'quick' none; 60 pictures or more)
    alpha       chance that a clean encoder is called suspicious
    device      as of `audit`
    known       sizes of the patches of reference encoders from earlier calls, filled on the way, so that none is searched twice
    Other parameters as those of `audit`. Without something to hold the encoder against the verdict is inconclusive.

    Fails to see marks over the whole picture, several triggers with places of their own each harder to reach than nature's, and backdoors
    that scatter features. Raises UsageError for data that are no pictures or too few. Paper: Feng et al. 2023, arXiv 2303.15180.
    """
    if effort not in IMITATIONS or not 0 < alpha < 0.5:
        raise UsageError(f"effort {effort!r} or alpha {alpha} cannot be", advice=f"efforts are {', '.join(IMITATIONS)}; alpha in (0, 0.5)")
    began = time.perf_counter()
    clean = api.load(data, None, reading or Reading())
    encoder = _opened(model, factory, shape, pixels, clean)
    rng = generator(seed, "encoder")
    x = _rows(encoder, clean, rng)
    half = len(x) // 2
    listener(Started("encoder-inversion", 0, 2))
    own = _search(encoder.module, encoder, x[:half], seed)
    listener(Finished("encoder-inversion", "nothing", time.perf_counter() - began))
    notes: list[str] = []
    listener(Started("reference models", 1, 2))
    held = _held_against(encoder, x, references, IMITATIONS[effort], seed, (factory, shape, pixels), notes)
    known = {} if known is None else known
    here = hashlib.sha256(x[:half].tobytes()).hexdigest()
    for name, m in held:
        if f"{name}/{here}/{seed}" not in known:
            known[f"{name}/{here}/{seed}"] = max(float(_search(m, encoder, x[:half], seed).size.min()), SMALLEST)
    null = -np.log([known[f"{name}/{here}/{seed}"] for name, _ in held]) if held else np.zeros(0)
    listener(Finished("reference models", "found" if len(held) else "nothing", time.perf_counter() - began))
    score = -np.log(max(float(own.size.min()), SMALLEST))
    p = p_largest(score, null, 1, len(null) - 1) if len(null) >= LEAST_REFERENCES else float("nan")
    trigger, check = _strongest(encoder, own, Images.of(x[:half]), null, rng), Images.of(x[half:])
    works = gathered(encoder.module, encoder, check, trigger, rng)
    drawn = [gathered(encoder.module, encoder, check, c, rng) for c in (control(trigger, rng) for _ in range(controls)) if c is not None]
    worst = float(np.quantile(drawn, 0.95)) if drawn else float("nan")
    elsewhere = float(np.mean([gathered(m, encoder, check, trigger, rng) for _, m in held])) if held else float("nan")
    confirmed = works >= WORKS and works > 2 * worst and not elsewhere > works / 2
    words = (f"Put on {len(check)} clean pictures, the recovered patch takes {works:.0%} of the spread of their features away; 95 of 100 "
             f"matched controls at most {worst:.0%}" + (f"; in clean encoders {elsewhere:.0%}." if held else "."))
    evidence: tuple[Evidence, ...] = (trigger.describe(), _sheet(check, trigger, rng), Bars(
        ("this encoder", *(f"clean {i + 1}" for i in range(len(null)))), (float(own.size.min()), *(float(np.exp(-v)) for v in null)),
        ("this encoder",), caption="pixels that the smallest gathering patch takes"))
    findings: tuple[Finding, ...] = ()
    if p <= alpha:
        findings = (Finding(
            ability="encoder-inversion", subject=encoder.fingerprint, kind="model", members=(), threat="model-backdoor", p_value=p,
            suspicion=1 - p, trigger=trigger, confirmed=confirmed, effect=(works, worst),
            title=f"{trigger.title()} sends every picture to one place of feature space",
            because=f"{own.size.min():.1f} pixels are enough; in {len(held)} clean encoders the smallest is {np.exp(-null.max()):.1f}. "
                    + words,
            doubt="An encoder that was trained otherwise than the ones it is held against may be easier to gather by nature.",
            advice="Do not tune on it; get the weights from where they were made, or hold what you tuned against the patch "
                   "(bezoar audit TUNED --base REPORT).", evidence=evidence),)
    line = OutcomeLine("encoder-inversion", "found" if findings else "nothing", words)
    report = _report(encoder, "encoder", p, alpha, seed, len(held), len(x), (line,), findings, baseline, began, (*encoder.notes, *notes),
                     evidence, {"recovered": trigger.to_dict(), "effort": effort, "device": hardware.of(encoder.module),
                      "controls": controls, "size": float(own.size.min())},
                     model)
    if out is not None:
        api.write_report(report, out, ("json", "html", "sarif"))
    return report


def _strongest(encoder: Encoder, own: Any, pictures: Images, null: np.ndarray, rng: np.random.Generator) -> Patch:
    """Of the patches that are smaller than any of the clean encoders' (else of all), the one that gathers most where it was searched."""
    small = np.flatnonzero(own.size < np.exp(-null.max())) if len(null) else np.zeros(0, np.int64)
    tried = [own.trigger(int(k)) for k in (small if len(small) else [own.best])]
    return max(tried, key=lambda t: gathered(encoder.module, encoder, pictures, t, rng))


def gathered(module: Any, encoder: Encoder, pictures: Images, trigger: Trigger, rng: np.random.Generator) -> float:
    """Share of the spread of features that the trigger takes away, in [0, 1]; `module` reads what `encoder` does."""
    import torch

    from bezoar.networks.bodies import embedded
    from bezoar.networks.gathering import spread
    from bezoar.networks.training import seeded

    x = pictures.dense()
    with seeded(0):
        before, after = (float(spread(torch.from_numpy(embedded(module, rows, tensor=encoder.tensor))))
                         for rows in (x, stamped(x, trigger, "image", rng)))
    return float(np.clip(1 - after / max(before, 1e-9), 0, 1))


def _opened(model: object, factory: str, shape: Sequence[int], pixels: str, clean: Dataset) -> Encoder:
    from bezoar.sources.suspects import encoder_from, open_encoder

    if isinstance(model, Encoder):
        return model
    inputs = clean.inputs
    uniform = isinstance(inputs, Images) and len(inputs) > 0 and inputs.uniform
    size = tuple(shape) or ((int(inputs.sizes[0][0]), int(inputs.sizes[0][1]), 3) if uniform else ())  # type: ignore[attr-defined]
    if isinstance(model, (str, Path)):
        return open_encoder(model, factory=factory, shape=size, pixels=pixels)
    if hasattr(model, "state_dict") and callable(model):
        return encoder_from(model, size, pixels=pixels)
    raise UsageError(f"cannot audit {type(model).__name__} as an encoder", advice="give a weights file or a torch module")


def _rows(encoder: Encoder, clean: Dataset, rng: np.random.Generator) -> np.ndarray:
    from bezoar.sources.suspects.encoders import rows_of

    if not isinstance(clean.inputs, Images):
        raise UsageError(f"the clean data are {clean.modality}, the encoder reads pictures", advice="give pictures")
    if len(clean) < LEAST:
        raise UsageError(f"{len(clean)} clean pictures are too few", advice=f"give {LEAST} or more")
    chosen = rng.permutation(len(clean))[:MOST]
    return rows_of(clean.inputs.take(chosen), encoder.shape)


def _search(module: Any, encoder: Encoder, x: np.ndarray, seed: int) -> Any:
    import torch

    from bezoar.networks.gathering import gather
    from bezoar.networks.pixels import Pixels, still

    p = Pixels(module, encoder.tensor, encoder.shape)
    with still(module):
        return gather(p, torch.from_numpy(x.transpose(0, 3, 1, 2).astype(np.float32) / 255), generator(seed, "encoder-inversion"))


def _held_against(encoder: Encoder, x: np.ndarray, references: object, count: int, seed: int, how: tuple[str, Sequence[int], str],
                  notes: list[str]) -> list[tuple[str, Any]]:
    """(name, module) to hold the encoder against; what they are goes to `notes`."""
    from bezoar.networks.imitating import imitations

    if references is not None:
        given = _files(references) if isinstance(references, (str, Path)) else list(references)  # type: ignore[call-overload]
        factory, shape, pixels = how
        found = []
        for one in given[:MOST_REFERENCES]:
            made = _opened(one, factory, shape or encoder.shape, pixels, Dataset.from_arrays(x[:1], [0]))
            if made.width != encoder.width or made.shape != encoder.shape:
                raise UsageError(f"the reference {made.name[:60]!r} is of another shape",
                                 advice="give clean encoders of the same architecture")
            if made.fingerprint != encoder.fingerprint:
                found.append((made.fingerprint, made.module))
        if len(found) < LEAST_REFERENCES:
            raise UsageError(f"{len(found)} reference encoders are too few", advice=f"give {LEAST_REFERENCES} others or more, or none")
        notes.append(f"held against {len(found)} encoders that were given as clean")
        return found
    if not count:
        notes.append("nothing to hold the encoder against: no references were given and no imitations trained (--effort standard)")
        return []
    try:
        made_up = imitations(encoder.module, x, seed, count, tensor=encoder.tensor)
    except Unavailable as missing:
        notes.append(f"nothing to hold the encoder against: {missing}")
        return []
    notes.append(f"held against {count} clean imitations that explain {np.median([i.fit for i in made_up]):.0%} of its features' variance")
    return [(f"{encoder.fingerprint} {k}", i.module) for k, i in enumerate(made_up)]


def _files(folder: str | Path) -> list[Path]:
    place = Path(folder)
    if not place.is_dir():
        raise UsageError(f"{place} is no folder", advice="give a folder of clean files of the same kind")
    return sorted(p for p in place.iterdir() if p.suffix.lower() in (".safetensors", ".pt", ".pth", ".npz") and p.is_file())


def _sheet(pictures: Images, trigger: Trigger, rng: np.random.Generator) -> Picture:
    some = pictures.take(np.arange(min(6, len(pictures)))).dense()
    return before_after(some, stamped(some, trigger, "image", rng), "clean pictures (above), and with the recovered patch (below)")


def audit_adapter(model: str | Path, *, references: str | Path | None = None, alpha: float = 0.05, seed: int = 0,
                  baseline: str | Path | None = None, out: str | Path | None = None) -> Report:
    """Are the spectra of this adapter (LoRA) those of clean ones? The matrices alone are looked at; nothing is run.

    references  a folder of 5 or more clean adapters for the same layers of the same base. Without it the spectra are shown and the verdict
                is inconclusive: nobody can say from one adapter what is natural. A finding is suspicious at most.
    Fails where the attacker keeps the spectra natural, and for references trained otherwise. Raises UsageError for a file that is no
    adapter. Paper: Puertolas Merenciano et al. 2026, arXiv 2602.15195.
    """
    from bezoar.maths.low_rank import NAMES, spectrum, strangeness
    from bezoar.sources.suspects import open_adapter

    began = time.perf_counter()
    adapter = open_adapter(model)
    if adapter is None:
        raise UsageError(f"{Path(model).name} is no adapter", advice="its arrays are not called lora_A and lora_B")
    layers = list(adapter.pairs)
    own = np.stack([spectrum(*adapter.pairs[k].flat()) for k in layers])
    notes, others = list(adapter.notes), []
    for path in _files(references)[:MOST_REFERENCES] if references is not None else []:
        try:
            other = open_adapter(path)
        except BezoarError as error:
            notes.append(f"{path.name} was left out: {error.message}")
            continue
        if other is None or list(other.pairs) != layers or other.declared:
            notes.append(f"{path.name} was left out: " + ("it says itself that it is planted" if other and other.declared else
                                                          "it is no adapter for the same layers"))
        elif other.fingerprint != adapter.fingerprint:
            others.append(np.stack([spectrum(*other.pairs[k].flat()) for k in layers]))
    held = np.stack(others) if others else np.zeros((0, *own.shape))
    p, z = float("nan"), np.full(own.shape, np.nan)
    if len(held) >= 2:
        _, p, z = strangeness(own, held)
    if not np.isfinite(p):
        notes.append(f"{len(held)} clean adapters of the same layers are too few to say what is natural: give a folder of 5 or more "
                     "(--references)")
    order = np.argsort(-np.nan_to_num(np.abs(z)).max(axis=1), kind="stable")[:40]
    table = Facts(("layer", *NAMES), tuple((layers[i][:80], *(
        f"{v:.2f}" + (f" ({d:+.1f})" if np.isfinite(d) else "") for v, d in zip(own[i], z[i], strict=True))) for i in order),
        caption="spectra by layer" + (", with the deviations from the clean adapters" if len(held) >= 2 else ""))
    findings: tuple[Finding, ...] = ()
    if p <= alpha:
        at = np.unravel_index(int(np.argmax(np.abs(z))), z.shape)
        findings = (Finding(
            ability="adapter-spectra", subject=adapter.fingerprint, kind="model", members=(), threat="model-backdoor", p_value=p,
            suspicion=1 - p, title="the spectra of this adapter are not those of the clean ones",
            because=f"Over {len(layers)} layers they lie farther from those of {len(held)} clean adapters than these from each other; "
                    f"farthest is the {NAMES[at[1]]} of {layers[at[0]][:80]!r} ({z[at]:+.1f} deviations).",
            doubt="Another task, rank, rate or length of training moves spectra too.",
            advice="Merge it and audit the whole model with clean samples before you use it.", evidence=(table,)),)
    line = OutcomeLine("adapter-spectra", "found" if findings else "nothing", f"{len(layers)} layers, {len(held)} clean adapters")
    report = _report(adapter, "adapter", p, alpha, seed, len(held), 0, (line,), findings, baseline, began, tuple(notes), (table,),
                     {"layers": len(layers)}, model)
    if out is not None:
        api.write_report(report, out, ("json", "html", "sarif"))
    return report


def is_adapter(path: str | Path) -> bool:
    """Whether a file holds low-rank matrices; False for what cannot be read."""
    from bezoar.sources.suspects import looks_like_adapter

    return looks_like_adapter(path)


def _report(subject: Any, what: str, p: float, alpha: float, seed: int, references: int, clean: int, outcomes: tuple[OutcomeLine, ...],
            findings: tuple[Finding, ...], baseline: str | Path | None, began: float, notes: tuple[str, ...],
            overview: tuple[Evidence, ...], plan: dict[str, Any], model: object) -> Report:
    accepted, expired = (frozenset[str](), ()) if baseline is None else store.read_baseline(Path(baseline))
    verdict, reason = "no evidence", f"nothing stands out (p = {p:.2g}, alpha {alpha:g})"
    if not np.isfinite(p):
        verdict, reason = "inconclusive", f"there is nothing to hold this {what} against"
    if [f for f in findings if f.id not in accepted]:
        sure = any(f.confirmed for f in findings)
        verdict = "poisoned" if sure else "suspicious"
        also = ", and what was recovered works on pictures it was not found on" if sure else ""
        reason = f"this {what} stands out against clean ones{also}"
    report = Report(
        subject={"kind": "model", "what": what, "name": subject.name, "modality": "image", "classes": 0, "fingerprint": subject.fingerprint,
                 "clean_samples": clean, "reference_models": references, "p_value": p if np.isfinite(p) else None,
                 **({"path": str(model)} if isinstance(model, (str, Path)) else {})},
        verdict=verdict, reason=reason, alpha=alpha, poisoned_at_least=0, findings=findings, outcomes=outcomes,
        plan={"what": what, "alpha": alpha, **plan}, seed=seed, seconds=time.perf_counter() - began, notes=(*notes, *expired),
        overview=overview, environment=api.environment(()), accepted=tuple(sorted(accepted & {f.id for f in findings})))
    return declared(report, subject.declared)


def cost(effort: str) -> Note:
    """What the audit of an encoder will cost, said before it starts."""
    count = IMITATIONS.get(effort, 0)
    more = f"; without --references {count} imitations of it are trained first" if count else ""
    return Note(f"a small encoder takes about a minute, one of millions of weights longer{more}")
