"""More than 300 genuine model files of all kinds that are read, with what they hold."""

from __future__ import annotations

import argparse
import io
import warnings
from collections import OrderedDict

import numpy as np
import torch
from safetensors.numpy import save as save_numpy
from safetensors.torch import save as save_torch
from torch import nn

from bezoar.networks import builds

TYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool,
         torch.complex64, torch.complex128, torch.uint16, torch.uint32, torch.uint64)
OPTIMISERS = {"sgd": (torch.optim.SGD, {}), "momentum": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}), "adam": (torch.optim.Adam, {}),
              "amsgrad": (torch.optim.Adam, {"amsgrad": True}), "adamw": (torch.optim.AdamW, {}), "rmsprop": (torch.optim.RMSprop, {"centered": True}),
              "adagrad": (torch.optim.Adagrad, {}), "adadelta": (torch.optim.Adadelta, {}), "nadam": (torch.optim.NAdam, {}),
              "radam": (torch.optim.RAdam, {}), "adamax": (torch.optim.Adamax, {}), "rprop": (torch.optim.Rprop, {}), "asgd": (torch.optim.ASGD, {}),
              "lbfgs": (torch.optim.LBFGS, {})}


def saved(value, **options):
    out = io.BytesIO()
    torch.save(value, out, **options)
    return out.getvalue()


def _numbers(shape, kind, rng):
    raw = torch.from_numpy(rng.normal(0, 3, shape))
    if kind.is_complex:
        return torch.complex(raw, raw + 1).to(kind)
    return (raw > 0) if kind == torch.bool else raw.abs().to(torch.int64).to(kind) if "uint" in str(kind) else raw.to(kind)


def _plain(tensor):
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().numpy()


def _torch_formats(name, state, value=None):
    want = {k: _plain(v) for k, v in state.items()}
    value = state if value is None else value
    yield f"{name}-zip", "m.pt", saved(value), want
    yield f"{name}-legacy", "m.pth", saved(value, _use_new_zipfile_serialization=False), want


def _views():
    base = torch.arange(240, dtype=torch.float32)
    yield "scalar", torch.tensor(3.5)
    yield "nothing", torch.zeros(0)
    yield "nothing-by-three", torch.zeros(0, 3)
    yield "one", torch.ones(1)
    yield "vector", torch.arange(5.0)
    yield "matrix", base[:12].reshape(3, 4)
    yield "four", base[:120].reshape(2, 3, 4, 5)
    yield "six", base[:4].reshape(2, 1, 1, 1, 1, 2)
    yield "transposed", base[:12].reshape(3, 4).T
    yield "slice", base.reshape(20, 12)[2:15:3, 1::2]
    yield "tail", base[230:]
    yield "spread", torch.tensor([1.0]).expand(7, 3)
    yield "channels-last", base[:120].reshape(2, 3, 4, 5).to(memory_format=torch.channels_last)
    yield "parameter", nn.Parameter(base[:6].reshape(2, 3))


def _checkpoints(rng):
    for name, (kind, options) in OPTIMISERS.items():
        module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(72, 3))
        optimiser = kind(module.parameters(), lr=0.01, **options)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 5)

        def closure(module=module, optimiser=optimiser):
            optimiser.zero_grad()
            loss = module(torch.from_numpy(rng.normal(0, 1, (4, 1, 8, 8))).float()).square().mean()
            loss.backward()
            return loss

        optimiser.step(closure)
        schedule.step()
        state = module.state_dict()
        for place in ("state_dict", "model_state_dict", "model"):
            value = {"epoch": 3, place: state, "optimizer": optimiser.state_dict(), "scheduler": schedule.state_dict(), "best": 0.5, "arch": "small"}
            yield from _torch_formats(f"optimiser-{name}-{place}", state, value)


def _around():
    state = nn.Linear(3, 2).state_dict()
    yield "values", state, {"state_dict": state, "loss": np.float64(0.25), "count": np.int64(3), "sure": np.bool_(True), "half": np.float32(0.5)}
    yield "namespace", state, {"model": state, "args": argparse.Namespace(lr=0.1, name="x", layers=[1, 2], flag=None)}
    yield "sizes", state, {"model": state, "size": torch.Size([3, 4]), "device": torch.device("cpu"), "second": torch.device("cuda", 1),
                           "dtype": torch.float32}
    yield "texts", state, {"model": state, "classes": ["cat", "dögg", "鳥"], "note": "a" * 3000, "raw": b"\x00\xff", "seen": {"a", "b"}}
    yield "generators", state, {"model": state, "torch": torch.get_rng_state(), "numpy": np.random.default_rng(0).integers(0, 9, 5)}
    yield "ordered", state, OrderedDict(state)
    yield "plain", state, dict(state)
    yield "long", state, {"model": state, "big": 1 << 62, "negative": -5, "fraction": -0.0, "none": None, "pair": (1, 2.5)}
    wrapped = {f"module.{k}": v for k, v in state.items()}
    yield "wrapped", wrapped, {"state_dict": wrapped, "epoch": 90}


def healthy():
    """Yields (name, file name, bytes, arrays by name)."""
    rng = np.random.default_rng(100)
    for kind in TYPES:
        state = {"a": _numbers((3, 4), kind, rng), "b": _numbers((7,), kind, rng)}
        label = str(kind).split(".")[1]
        yield from _torch_formats(f"type-{label}", state)
        if kind != torch.complex128:
            yield f"type-{label}-safetensors", "m.safetensors", save_torch(state), {k: _plain(v) for k, v in state.items()}
    for name, view in _views():
        yield from _torch_formats(f"view-{name}", {"w": view})
        yield f"view-{name}-safetensors", "m.safetensors", save_torch({"w": view.detach().contiguous()}, {"made": "here"}), {"w": _plain(view)}
    yield from _checkpoints(rng)
    for name, state, value in _around():
        yield from _torch_formats(f"around-{name}", state, value)
        for protocol in (3, 4, 5):
            want = {k: _plain(v) for k, v in state.items()}
            yield f"around-{name}-protocol-{protocol}", "m.bin", saved(value, pickle_protocol=protocol), want
            yield (f"around-{name}-legacy-protocol-{protocol}", "m.ckpt",
                   saved(value, pickle_protocol=protocol, _use_new_zipfile_serialization=False), want)
    for name, build in builds.IMAGE_BUILDS.items():
        for classes in (2, 10):
            for width in (4, 8):
                state = build(classes, width).state_dict()
                yield from _torch_formats(f"build-{name}-{classes}-{width}", state)
                yield f"build-{name}-{classes}-{width}-safetensors", "m.safetensors", save_torch(state), {k: _plain(v) for k, v in state.items()}
    tied = nn.Linear(4, 4)
    shared = {"in.weight": tied.weight, "out.weight": tied.weight, "half": tied.weight[:2], "bias": tied.bias}
    yield from _torch_formats("shared", shared)
    large = {f"layers.{i}.weight": torch.full((3,), float(i)) for i in range(2000)}
    yield from _torch_formats("many", large)
    for code in ("<f8", "<f4", "<f2", "<i8", "<i4", "<i2", "|i1", "|u1", "<u2", "<u4", "<u8", "|b1", "<c8", ">f4", ">i8"):
        array = (rng.normal(0, 3, (3, 5)) > 0 if code == "|b1" else np.abs(rng.normal(0, 9, (3, 5)))).astype(code)
        out = io.BytesIO()
        np.save(out, array)
        yield f"npy-{code}", "m.npy", out.getvalue(), {"array": array}
        for save in (np.savez, np.savez_compressed):
            out = io.BytesIO()
            save(out, a=array, b=np.asfortranarray(array), c=array[0], d=np.zeros((0, 2), code), e=array[0, 0])
            yield f"{save.__name__}-{code}", "m.npz", out.getvalue(), {"a": array, "b": array, "c": array[0], "d": np.zeros((0, 2), code), "e": array[0, 0]}
    yield "safetensors-numpy", "m.safetensors", save_numpy({"a": np.arange(4), "z": np.zeros((0, 3))}), {"a": np.arange(4), "z": np.zeros((0, 3))}


warnings.filterwarnings("ignore", message="TypedStorage is deprecated")
