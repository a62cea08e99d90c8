"""Encoders from local files, which replace the default embedding: nothing is fetched, nothing is executed but arithmetic.

A folder as transformers or sentence-transformers save it (safetensors only: any pickle or Python file in it is refused),
or one ONNX file (which must not point at other files). Texts are pooled as `1_Pooling/config.json` says, else by their
mean; pictures are resized to what the model takes, with the mean and deviation of `preprocessor_config.json`, else [0, 1].
Equal inputs are encoded once and batches follow length and content, so the order of rows does not matter.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bezoar.core.errors import Refused, Unavailable, UnreadableInput, UsageError
from bezoar.core.inputs import Images, Inputs, Table, Texts
from bezoar.core.limits import MIB, Limits
from bezoar.core.roles import listing
from bezoar.intake.door import read_regular, size_of
from bezoar.intake.onnx_scan import has_external_data

Encoder = Callable[[Inputs], np.ndarray]
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".dill", ".h5", ".keras", ".msgpack", ".npy")
BATCH = 64
PIXELS = 8 * MIB


def load_encoder(path: Path, modality: str, limits: Limits | None = None) -> Encoder:
    """A callable: inputs -> (n, d) float32.

    Raises Refused for pickles, code or external data, UnreadableInput for anything that is no such model, UsageError
    where the model is for another kind of data, Unavailable where the optional install is missing.
    """
    limits = limits or Limits()
    path = Path(path)
    if not path.exists():
        raise UnreadableInput(f"nothing at {path}", advice="give a local model folder or an .onnx file")
    if path.is_file() and path.suffix.lower() == ".onnx":
        return _onnx(path, modality, limits)
    if not path.is_dir():
        raise UnreadableInput(f"{path.name} is neither a model folder nor an .onnx file",
                              advice="safetensors folders and ONNX files are read")
    _check_folder(path)
    if modality == "text":
        return _text_model(path)
    if modality == "image":
        return _image_model(path)
    raise UsageError(f"a transformers folder cannot encode {modality} data", advice="give an ONNX file that takes (n, columns)")


def _check_folder(path: Path) -> None:
    names = [p.relative_to(path).as_posix() for p in sorted(path.rglob("*"))[:10_000]]
    pickles = [n for n in names if n.lower().endswith(PICKLES)]
    if pickles:
        raise Refused(f"{path.name} holds files that can run code when read: {listing(pickles, 5)}",
                      advice="keep model.safetensors and delete these, or convert them where the model was made")
    code = [n for n in names if n.lower().endswith((".py", ".so"))]
    if code:
        raise Refused(f"{path.name} brings its own code: {listing(code, 5)}",
                      advice="use a model of an architecture that transformers knows")
    if "config.json" not in names or not any(n.endswith(".safetensors") for n in names):
        raise UnreadableInput(f"{path.name} is no model folder: it needs config.json and a .safetensors file",
                              advice="save the model with save_pretrained(..., safe_serialization=True)")


def _json(path: Path) -> Any:
    try:
        return json.loads(read_regular(path.resolve(), 16 * MIB)[0])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise UnreadableInput(f"{path.name} cannot be read: {error}", advice="copy the model folder again") from error


def _transformers() -> Any:
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
        os.environ[name] = "1"
    try:
        import torch  # noqa: F401
        import transformers
    except ImportError as error:
        raise Unavailable("transformers and torch", advice="pip install 'bezoar[text]'") from error
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers


def _model(path: Path) -> Any:
    transformers = _transformers()
    if _json(path / "config.json").get("auto_map"):
        raise Refused(f"{path.name} asks for code of its own (auto_map)", advice="use a model of an architecture that transformers knows")
    try:
        model = transformers.AutoModel.from_pretrained(str(path), local_files_only=True, trust_remote_code=False, use_safetensors=True)
    except Exception as error:
        raise UnreadableInput(f"{path.name} cannot be loaded: {_first_line(error)}", advice="copy the model folder again") from error
    return model.float().eval()


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def _once(values: Sequence[str], encode: Callable[[list[str]], np.ndarray]) -> np.ndarray:
    """Encode distinct strings in batches by length and content; (n, d)."""
    uniques = sorted(set(values), key=lambda v: (len(v), v))
    place = {v: i for i, v in enumerate(uniques)}
    parts = [encode(uniques[start:start + BATCH]) for start in range(0, len(uniques), BATCH)]
    flat = np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)
    return _sound(flat[np.array([place[v] for v in values], np.int64)])


def _sound(vectors: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors, np.float32)
    if not np.isfinite(vectors).all():
        raise UnreadableInput("the encoder returns NaN or infinite values", advice="use another model, or one saved in float32")
    return vectors


def _text_model(path: Path) -> Encoder:
    model = _model(path)
    import torch

    transformers = _transformers()
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(path), local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise UnreadableInput(f"the tokenizer in {path.name} cannot be loaded: {_first_line(error)}",
                              advice="save it beside the model with tokenizer.save_pretrained") from error
    steps = [str(m.get("type", "")).rsplit(".", 1)[-1] for m in _json(path / "modules.json") or []]
    strange = [s for s in steps if s not in ("Transformer", "Pooling", "Normalize")]
    if strange:
        raise UnreadableInput(f"{path.name} has the modules {listing(strange)}, which are not supported",
                              advice="Transformer, Pooling and Normalize are")
    pooling = _json(path / "1_Pooling" / "config.json")
    longest = int(_json(path / "sentence_bert_config.json").get("max_seq_length") or 256)
    longest = min(longest, int(tokenizer.model_max_length), int(getattr(model.config, "max_position_embeddings", 512)))
    first = bool(pooling.get("pooling_mode_cls_token")) or pooling.get("pooling_mode") == "cls"

    def encode(texts: list[str]) -> np.ndarray:
        tokens = tokenizer(texts, padding=True, truncation=True, max_length=longest, return_tensors="pt")
        with torch.inference_mode():
            states = model(**tokens).last_hidden_state
        if first:
            pooled = states[:, 0]
        else:
            mask = tokens["attention_mask"].unsqueeze(-1).to(states.dtype)
            pooled = (states * mask).sum(1) / mask.sum(1).clamp(min=1)
        if "Normalize" in steps:
            pooled = torch.nn.functional.normalize(pooled, dim=1)
        return np.asarray(pooled.numpy(), np.float32)

    def encoder(inputs: Inputs) -> np.ndarray:
        return _once(_texts(inputs), encode)

    return encoder


def _image_model(path: Path) -> Encoder:
    model = _model(path)
    import torch

    told = _json(path / "preprocessor_config.json")
    size = told.get("size", 224)
    if isinstance(size, dict):
        size = size.get("height") or size.get("shortest_edge") or 224
    size = int(getattr(model.config, "image_size", None) or size)
    mean = np.array(told.get("image_mean", [0.0] * 3), np.float32)
    deviation = np.array(told.get("image_std", [1.0] * 3), np.float32)

    def encode(batch: np.ndarray) -> np.ndarray:
        scaled = (batch.astype(np.float32) / 255.0 - mean) / deviation
        with torch.inference_mode():
            done = model(pixel_values=torch.from_numpy(np.ascontiguousarray(np.moveaxis(scaled, -1, 1))))
        pooled = getattr(done, "pooler_output", None)
        states = done.last_hidden_state if pooled is None else pooled
        states = states.flatten(2).mean(2) if states.ndim == 4 else states.mean(1) if states.ndim == 3 else states
        return np.asarray(states.numpy(), np.float32)

    return lambda inputs: _pictures(inputs, (size, size), encode)


def _texts(inputs: Inputs) -> Sequence[str]:
    if not isinstance(inputs, Texts):
        raise UsageError("this encoder is for texts", advice="leave --encoder out, or give one for your kind of data")
    return list(inputs.values.tolist())


def _pictures(inputs: Inputs, size: tuple[int, int] | None, encode: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    if not isinstance(inputs, Images):
        raise UsageError("this encoder is for images", advice="leave --encoder out, or give one for your kind of data")
    if size is None:
        size = tuple(inputs.sizes[0].tolist()) if inputs.uniform and len(inputs) else (224, 224)
    assert size is not None
    batch = max(1, min(256, PIXELS // (size[0] * size[1])))
    parts = [encode(np.stack([_resized(p, size) for p in pictures])) for _, pictures in inputs.chunks(batch)]
    return _sound(np.concatenate(parts)) if parts else np.zeros((0, 1), np.float32)


def _resized(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if pixels.shape[:2] == size:
        return pixels
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def _onnx(path: Path, modality: str, limits: Limits) -> Encoder:
    size_of(path, limits)
    try:
        raw = read_regular(path.resolve(), min(limits.max_file_bytes, 2048 * MIB))[0]
        outside = has_external_data(raw)
    except (OSError, ValueError) as error:
        raise UnreadableInput(f"{path.name} is not a readable ONNX file: {error}",
                              advice="export it again as one file below 2 GiB") from error
    if outside:
        raise Refused(f"{path.name} keeps its weights in other files, named by the model itself", advice="export it again as one file")
    try:
        import onnxruntime
    except ImportError as error:
        raise Unavailable("onnxruntime", advice="pip install 'bezoar[onnx]'") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 2, 4
    try:
        session = onnxruntime.InferenceSession(raw, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise UnreadableInput(f"{path.name} cannot be loaded: {_first_line(error)}", advice="export it again") from error
    return _session_encoder(session, modality, path)


def _session_encoder(session: Any, modality: str, path: Path) -> Encoder:
    wanted = session.get_inputs()[0]
    shape = [d if isinstance(d, int) and d > 0 else None for d in wanted.shape]
    what = f"{path.name} takes {wanted.type} {wanted.shape}"

    def run(batch: np.ndarray) -> np.ndarray:
        count = len(batch)
        fixed = shape[0] if shape else None
        if fixed and fixed != count:
            if count > fixed:
                return np.concatenate([run(batch[i:i + fixed]) for i in range(0, count, fixed)])
            batch = np.concatenate([batch, np.repeat(batch[-1:], fixed - count, axis=0)])
        try:
            done = session.run(None, {wanted.name: batch})
        except Exception as error:
            raise UnreadableInput(f"{what} and cannot encode this data: {_first_line(error)}",
                                  advice="use a model for this kind and size of input") from error
        found = next((np.asarray(o) for o in done if getattr(o, "ndim", 0) >= 2 and len(o) == len(batch)), None)
        if found is None:
            raise UnreadableInput(f"{path.name} has no output with one row per input", advice="export the embedding as an output")
        found = found.astype(np.float32)
        found = found.mean(axis=tuple(range(2, found.ndim))) if found.ndim == 4 else found.mean(axis=1) if found.ndim == 3 else found
        return found[:count]

    if modality == "text" and wanted.type == "tensor(string)":
        return lambda inputs: _once(_texts(inputs), lambda t: run(np.array(t, object).reshape([-1] + [1] * (len(shape) - 1))))
    if modality == "image" and len(shape) == 4 and ("float" in wanted.type or wanted.type == "tensor(uint8)"):
        last = shape[3] in (1, 3) and shape[1] not in (1, 3)
        height, width, depth = (shape[1], shape[2], shape[3]) if last else (shape[2], shape[3], shape[1])
        size = (height, width) if height and width else None

        def pictures(batch: np.ndarray) -> np.ndarray:
            batch = batch if wanted.type == "tensor(uint8)" else batch.astype(np.float32) / np.float32(255)
            if depth == 1:
                batch = batch.mean(axis=-1, keepdims=True).astype(batch.dtype)
            batch = batch if last else np.moveaxis(batch, -1, 1)
            return run(np.ascontiguousarray(batch.astype(np.float16) if wanted.type == "tensor(float16)" else batch))

        return lambda inputs: _pictures(inputs, size, pictures)
    if modality == "tabular" and len(shape) == 2 and "float" in wanted.type:
        return lambda inputs: _rows(inputs, shape[1], run, what)
    raise UsageError(f"{what}, which does not fit {modality} data",
                     advice="images: float (n, 3, h, w); tables: float (n, columns); texts: string (n,), or a transformers folder")


def _rows(inputs: Inputs, width: int | None, run: Callable[[np.ndarray], np.ndarray], what: str) -> np.ndarray:
    if not isinstance(inputs, Table) or (width is not None and len(inputs.names) != width):
        raise UsageError(f"{what}; the data has {len(getattr(inputs, 'names', ()))} columns",
                         advice="the columns must be those of the model")
    matrix = np.stack([np.nan_to_num(inputs[c].values.astype(np.float32)) for c in inputs.names], axis=1)
    return _sound(np.concatenate([run(matrix[i:i + 4096]) for i in range(0, len(matrix), 4096)]))
