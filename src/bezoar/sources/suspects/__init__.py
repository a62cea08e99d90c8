"""Suspects: models that somebody else may have made, opened without running what is in their files.

    open_suspect(path)             a weights file, trees, a program (torch.export, ONNX, TorchScript), or an address
    suspect_from(module)           a torch module in memory
    suspect_from_callable(fn)      any function from inputs to probabilities
    with_module(suspect, module)   the same suspect with another module: what a repair leaves
    save_safetensors(model, path)  back to a file that opens again
    open_encoder(path)             a network without a head; `encoder_from(module)` one in memory
    open_adapter(path)             low-rank matrices for the layers of a network
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bezoar.core.inputs import Inputs
from bezoar.core.limits import Limits
from bezoar.core.suspect import Suspect
from bezoar.intake.models import read_weights
from bezoar.sources.suspects.black_boxes import open_onnx, suspect_from_callable
from bezoar.sources.suspects.encoders import encoder_from, looks_like_adapter, open_adapter, open_encoder, save_adapter, weights_of
from bezoar.sources.suspects.endpoint import open_endpoint
from bezoar.sources.suspects.exported import open_exported
from bezoar.sources.suspects.modules import arrays_of, open_weights_file, save_safetensors, suspect_from, with_module
from bezoar.sources.suspects.scripts import open_script

__all__ = ["arrays_of", "encoder_from", "looks_like_adapter", "open_adapter", "open_encoder", "open_endpoint", "open_exported",
           "open_onnx", "open_script", "open_suspect", "open_weights_file", "save_adapter", "save_safetensors", "suspect_from",
           "suspect_from_callable", "weights_of", "with_module"]


def open_suspect(path: str | Path, *, factory: str = "", classes: Sequence[str] = (), shape: tuple[int, ...] | None = None,
                 modality: str = "", pixels: str = "", limits: Limits | None = None, like: Inputs | None = None) -> Suspect:
    """The model of a file (weights as safetensors, torch state dict or npz; torch.export; ONNX; TorchScript; trees of XGBoost or
    LightGBM), or behind an http(s) address.

    factory   "package.module:function" of the user's own that returns the network without weights; imported only because it is named
    classes   K names; what the file says, else numbers; an address needs them
    shape     of one input: (h, w, 3); what the file or the network says, else (32, 32, 3)
    modality  "image", "text", "tabular"; inferred where the network is known
    pixels    how pictures are scaled: "-1..1", "0..1", "imagenet"; inferred where the network is known
    like      inputs that it will be asked about: a program that does not say what it reads is tried on their kind
    Raises Refused for files that would run code or lie about themselves, LimitExceeded beyond the limits, UnreadableInput and
    UsageError with what to do, Unavailable where torch or onnxruntime is missing.
    """
    if str(path).startswith(("http://", "https://")):
        return open_endpoint(str(path), classes, shape=shape or (), modality=modality or "image")
    if Path(path).suffix.lower() == ".onnx":
        return open_onnx(path, classes=classes, shape=shape, pixels=pixels or "0..1", limits=limits)
    weights = read_weights(path, limits)
    if weights.kind == "torchscript" and not factory and weights.extra.get("opens as") == "black box":
        return open_script(path, classes=classes, shape=shape or (), modality=modality, pixels=pixels or "0..1", like=like, limits=limits)
    if weights.kind == "exported" and not factory:
        return open_exported(path, classes=classes, shape=shape or (), modality=modality, pixels=pixels, like=like, limits=limits,
                             weights=weights)
    return open_weights_file(path, factory=factory, classes=classes, shape=shape, modality=modality, pixels=pixels, limits=limits,
                             weights=weights)
