"""Weights -> a torch module: which network they fit, and loading that misses nothing and leaves nothing over.

Known are our own builds and the families of `families.py`; all else needs a factory, a function of the user's own that returns the
module. What a file cannot tell (activations, heads, the size of pictures) is taken as usual and noted. Torch is imported inside.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bezoar.core.errors import AbilityFailed, Refused, Unavailable, UnreadableInput, UsageError
from bezoar.core.roles import listing
from bezoar.networks import builds, families
from bezoar.networks.families import Shapes, highest
from bezoar.networks.text_codes import SIGNS, WORDS

PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "backbone.")
OURS, IMAGENET, PLAIN = "-1..1", "imagenet", "0..1"
"""How pixels are scaled: by our own training; by mean and deviation of ImageNet; to [0, 1]."""
MOST_PARAMETERS = 2_000_000_000


@dataclass(frozen=True)
class Fit:
    """What weights fit: a module without numbers, its modality, how pixels are scaled, the size of one input where it is known."""

    family: str
    module: Any
    modality: str
    pixels: str = PLAIN
    shape: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


def _resnet(s: Shapes) -> Fit:
    width, channels, *_ = s["features.0.0.weight"]
    return Fit("resnet", builds.resnet(s["head.weight"][0], width, channels), "image", OURS)


def _vgg(s: Shapes) -> Fit:
    width, channels, *_ = s["features.0.weight"]
    return Fit("vgg", builds.vgg(s["head.weight"][0], width, channels), "image", OURS)


def _convmixer(s: Shapes) -> Fit:
    width, channels, *_ = s["features.0.weight"]
    depth = highest(s, r"features\.(\d+)\.0\.inner\.") - 3
    return Fit("convmixer", builds.convmixer(s["head.weight"][0], width, depth, channels), "image", OURS)


def _text_cnn(s: Shapes) -> Fit:
    vocabulary, width = s["features.embed.weight"]
    if vocabulary not in (WORDS + 1, SIGNS + 1):
        raise ValueError("another vocabulary")
    return Fit("text-cnn", builds.text_cnn(s["head.weight"][0], vocabulary, width), "text")


def _perceptron(s: Shapes) -> Fit:
    width, inputs = s["features.0.weight"]
    return Fit("perceptron", builds.perceptron(s["head.weight"][0], inputs, width), "tabular", shape=(inputs,))


def _residual(s: Shapes) -> Fit:
    small = s["conv1.weight"][2] == 3
    return Fit("residual network", families.residual(s), "image", IMAGENET, (32, 32, 3) if small else (224, 224, 3))


def _vgg_by_number(s: Shapes) -> Fit:
    small = "classifier.weight" in s
    return Fit("VGG", families.vgg(s), "image", IMAGENET, (32, 32, 3) if small else (224, 224, 3))


def _transformer(s: Shapes) -> Fit:
    module = families.transformer(s)
    return Fit("vision transformer", module, "image", IMAGENET, (module.side, module.side, 3),
               ("the number of attention heads is not in the file: 64 numbers per head were taken",))


def _convnext(s: Shapes) -> Fit:
    return Fit("ConvNeXt", families.convnext(s), "image", IMAGENET, (224, 224, 3))


def _by_number(s: Shapes) -> Fit:
    module = families.perceptron_by_number(s)
    first = min(int(n.split(".")[0]) for n in s)
    inputs = s[f"{first}.weight"][1]
    side = next((r for c in (3, 1) if (r := round((inputs / c) ** 0.5)) >= 4 and r * r * c == inputs), 0)
    note = "activations are not in the file: ReLU was taken"
    if first and side:
        return Fit("perceptron over pixels", module, "image", PLAIN, (side, side, 3), (note,))
    return Fit("perceptron", module, "tabular", shape=(inputs,), notes=(note,))


FAMILIES: tuple[Callable[[Shapes], Fit], ...] = (_resnet, _convmixer, _vgg, _text_cnn, _perceptron, _residual, _transformer, _convnext,
                                                 _vgg_by_number, _by_number)


def infer(shapes: Shapes) -> Fit | None:
    """The network that has exactly these parameters, on torch's meta device (no numbers yet); None where no known one has.

    >>> infer({"0.weight": (3,)}) is None
    True
    """
    import torch

    wanted = {n: tuple(s) for n, s in shapes.items()}
    for family in FAMILIES:
        try:
            with torch.device("meta"):
                fit = family(wanted)
        except (KeyError, ValueError, IndexError, TypeError, RuntimeError, ZeroDivisionError):
            continue
        if {n: tuple(t.shape) for n, t in fit.module.state_dict().items()} == wanted:
            return fit
    return None


def bare(arrays: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], str]:
    """The arrays without a prefix that all names share because the model was wrapped ("module."), and that prefix."""
    gone = ""
    out = dict(arrays)
    while (prefix := next((p for p in PREFIXES if out and all(n.startswith(p) for n in out)), "")):
        gone += prefix
        out = {n[len(prefix):]: a for n, a in out.items()}
    return out, gone


def module_of(arrays: Mapping[str, np.ndarray], factory: str = "") -> Fit:
    """The loaded network in evaluation mode on the CPU, from `factory` ("package.module:function", the user's own code) or inferred.

    Raises UnreadableInput where the weights do not fit: missing or unexpected names, other shapes, numbers that are not finite;
    UsageError where no known network fits and no factory is given; Unavailable without torch.
    """
    _torch()
    named, prefix = bare(arrays)
    check_finite(named)
    note = (f"all names began with {prefix!r}, which was left out",) if prefix else ()
    if factory:
        made = from_factory(factory)
        modality = str(getattr(made, "modality", ""))
        own = set(made.state_dict())
        return Fit(factory, filled(made, arrays if set(arrays) == own else named), modality, notes=note)
    fit = infer({n: a.shape for n, a in named.items()})
    if fit is None:
        raise UsageError(f"no known network has these weights ({listing(sorted(named), 4)})",
                         advice="name a function of yours that makes it: --model package.module:function, or save the model as ONNX")
    module = fit.module.to_empty(device="cpu")
    notes = (f"the weights are those of a {fit.family}", *note, *fit.notes)
    return Fit(fit.family, filled(module, named), fit.modality, fit.pixels, fit.shape, notes)


def check_finite(arrays: Mapping[str, np.ndarray]) -> None:
    """Raises Refused for NaN or infinite numbers, which make every answer worthless; UnreadableInput for absurd sizes."""
    for name, array in arrays.items():
        if array.dtype.kind in "fc" and not np.isfinite(array).all():
            raise Refused(f"the weights {name[:80]!r} hold numbers that are not finite", advice="the model is damaged; get another copy")
    if sum(a.size for a in arrays.values()) > MOST_PARAMETERS:
        raise UnreadableInput(f"the model has more than {MOST_PARAMETERS:,} parameters", advice="audit it as a black box")


def filled(module: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """The module with these weights, in evaluation mode, nothing missing and nothing left over. Raises UnreadableInput otherwise."""
    import torch

    own = module.state_dict()
    missing, over = sorted(set(own) - set(arrays)), sorted(set(arrays) - set(own))
    if missing or over:
        parts = [f"{len(missing)} are missing ({listing(missing, 3)})"] if missing else []
        parts += [f"{len(over)} are not in the network ({listing(over, 3)})"] if over else []
        raise UnreadableInput(f"the weights do not fit the network: {'; '.join(parts)}", advice="give the factory of exactly this model")
    for name, tensor in own.items():
        if tuple(tensor.shape) != arrays[name].shape:
            raise UnreadableInput(f"the weights {name!r} have the shape {arrays[name].shape}, the network has {tuple(tensor.shape)}",
                                  advice="give the factory of exactly this model, with its number of classes and width")
    whole = any(t.is_floating_point() != (arrays[n].dtype.kind in "f") for n, t in own.items() if arrays[n].dtype.kind in "fiu")
    if whole:
        raise UnreadableInput("some weights are whole numbers where the network has fractions, or the other way round",
                              advice="save the model in float32, not quantised")
    module.load_state_dict({n: torch.from_numpy(np.array(arrays[n])) for n in own}, strict=True)
    return module.float().eval()


def from_factory(factory: str) -> Any:
    """What the user's own function returns: a torch module. The only place that imports code by name, because the user said so."""
    torch = _torch()
    place, _, name = factory.partition(":")
    if not place or not name.isidentifier() or not all(p.isidentifier() for p in place.split(".")):
        raise UsageError(f"{factory!r} is no factory", advice="write package.module:function")
    try:
        function = getattr(importlib.import_module(place), name)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"{factory!r} cannot be imported: {error}",
                         advice="run where the module can be found, or set PYTHONPATH") from error
    if not callable(function):
        raise UsageError(f"{factory!r} is no function", advice="write package.module:function")
    try:
        made = function()
    except Exception as error:
        raise AbilityFailed(f"{factory} failed: {type(error).__name__}: {str(error)[:200]}",
                            advice="it is called without arguments") from error
    if not isinstance(made, torch.nn.Module):
        raise UsageError(f"{factory} returned {type(made).__name__}, not a torch module", advice="return the network, without weights")
    return made


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise Unavailable("torch", advice="pip install 'bezoar[torch]'") from None
    return torch
