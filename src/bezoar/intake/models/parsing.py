"""Bytes of a model file -> a verdict, and arrays into a sink. Runs in the child; nothing of what it reads is called.

The answer is plain JSON: {"verdict", "kind", "reasons", "limit", "arrays": [[name, dtype, shape, offset]], "extra"}.
"""

from __future__ import annotations

from typing import Any

from bezoar.core.limits import MIB, Limits
from bezoar.intake.models import (
    exported_file,
    foreign,
    kinds,
    lightgbm_file,
    numpy_file,
    safetensors_file,
    script_scan,
    torch_file,
    xgboost_file,
)
from bezoar.intake.models.archive import Archive
from bezoar.intake.models.arrays import Kept, Sink
from bezoar.intake.models.verdicts import CONVERT, INCONCLUSIVE, SAFE, Hostile, Stopped, TooMuch, Unknown

SMALL = 64 * MIB


def most_bytes(size: int, limits: Limits) -> int:
    """Bytes that may be produced from a file of `size` bytes, once by unpacking and once as arrays.

    >>> most_bytes(1 << 20, Limits()) >> 20
    100
    """
    return int(min(limits.max_produced_bytes, max(SMALL, limits.max_model_ratio * size)))


class Nowhere:
    """A sink that keeps nothing: for scans."""

    def __init__(self, left: int) -> None:
        self.left = left

    def write(self, data: memoryview) -> int:
        return 0


def parse(raw: memoryview, suffix: str, limits: Limits, sink: Sink) -> dict[str, Any]:
    """The answer for the whole content of one file whose name ends in `suffix` (lower case)."""
    keep = Kept(sink, limits.max_arrays)
    answer: dict[str, Any] = {"verdict": SAFE, "kind": kinds.UNKNOWN, "reasons": [], "limit": False, "arrays": [], "extra": {}}
    try:
        answer["kind"] = kind = kinds.kind_of(raw)
        kinds.check_name(suffix, kind)
        _read(raw, kind, suffix, limits, keep, answer)
        answer["arrays"] = keep.rows
    except Stopped as stopped:
        answer.update(verdict=stopped.verdict, reasons=[str(stopped)[:600]], limit=isinstance(stopped, TooMuch))
    except MemoryError:
        answer.update(verdict=INCONCLUSIVE, reasons=["it needs more memory than the limits allow"], limit=True)
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError, OSError, ArithmeticError) as error:
        answer.update(verdict=INCONCLUSIVE, reasons=[f"it is damaged ({type(error).__name__})"])
    return answer


def _read(raw: memoryview, kind: str, suffix: str, limits: Limits, keep: Kept, answer: dict[str, Any]) -> None:
    extra = answer["extra"]
    if kind == kinds.ZIP:
        archive = Archive(raw, most_bytes(len(raw), limits))
        names = list(archive.members)
        if any(n.count("/") == 1 and n.endswith("/data.pkl") for n in names):
            answer["kind"] = "torchscript" if script_scan.is_script(names) else "torch"
            if suffix in (".npz", ".keras"):
                raise Hostile(f"its name ends in {suffix}, but it is a torch file")
            if answer["kind"] == "torchscript":
                script_scan.look(archive, limits)
                extra["opens as"] = "black box"
                raise Unknown(f"it is a TorchScript archive, which holds a program: it is only asked, in a process of its own; {CONVERT} "
                              "(torch.save(model.state_dict(), ...))")
            torch_file.read_zip(archive, limits, keep, extra)
        elif exported_file.is_exported(names):
            answer["kind"] = "exported"
            exported_file.read(archive, limits, keep, extra)
        elif names and all(n.endswith(".npy") for n in names):
            answer["kind"] = "npz"
            numpy_file.read_npz(archive, keep)
        else:
            foreign.other_zip(archive, suffix)
    elif kind == kinds.PICKLE:
        answer["kind"] = "torch legacy" if bytes(raw[:15]) == torch_file.HEAD else "pickle"
        torch_file.read_legacy(raw, limits, keep, extra)
    elif kind == kinds.SAFETENSORS:
        safetensors_file.read(raw, keep, extra)
    elif kind == kinds.NPY:
        numpy_file.read_npy(raw, "array", keep)
    elif kind == kinds.ONNX:
        foreign.onnx(raw, extra)
    elif kind == kinds.HDF5:
        foreign.hdf5(raw)
    elif kind == kinds.GGUF:
        foreign.gguf(raw, extra)
    elif kind == kinds.XGBOOST:
        xgboost_file.read(raw, limits, keep, extra)
    elif kind == kinds.LIGHTGBM:
        lightgbm_file.read(raw, limits, keep, extra)
    elif kind == kinds.SAVED_MODEL:
        foreign.saved_model(raw)
    elif kind == kinds.TEXT:
        foreign.text(raw, suffix, extra)
    elif kind == kinds.PACKED:
        raise Unknown("it is compressed (gzip, xz, zlib or the like), as joblib writes pickles; unpack it, and give it as safetensors")
    elif kind == kinds.ARCHIVE:
        raise Hostile("it is a 7z, rar or tar archive, which no reader of models opens as such; unpack it and look at what it holds")
    else:
        raise Unknown("it is of no kind that is read; convert it to safetensors where it was made")
