"""What torch.save writes: the zip format since 1.6 and the one before it. Weights are found beside optimiser states and counters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bezoar.core.limits import Limits
from bezoar.intake.models.allowed import WIDTHS, Global, Named, NumpyArray, NumpyType, Opaque, Storage, Tensor, look_up
from bezoar.intake.models.archive import Archive
from bezoar.intake.models.arrays import Keep, strided
from bezoar.intake.models.kinds import OLD_GLOBAL
from bezoar.intake.models.opcodes import Reader
from bezoar.intake.models.verdicts import CONVERT, Hostile, TooMuch, Unknown

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
HEAD = b"\x80\x02\x8a\n" + MAGIC.to_bytes(10, "little") + b"."
HOUSEKEEPING = {"data.pkl", "version", "byteorder", ".format_version", ".storage_alignment", ".data/serialization_id"}
NAMES = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights", "params", "module", "model_ema", "ema")
"""Where weights stand in a checkpoint, the likeliest first."""
MOST_PICKLE = 256 << 20
LONGEST_TEXT = 200


def read_zip(archive: Archive, limits: Limits, keep: Keep, extra: dict[str, Any]) -> None:
    """Every array of the state dict into `keep`, plain values beside it into `extra`."""
    root, every, storage, swap, rest = _unzipped(archive, limits)
    _keep(root, every, keep, extra, storage, swap)
    rest()


def look_zip(archive: Archive, limits: Limits) -> None:
    """Passes where the archive holds tensors and plain values only, whatever they are arranged in; as `read_zip` raises."""
    _, every, storage, _, rest = _unzipped(archive, limits)
    for tensor in every:
        storage(tensor.storage)
    rest()


def _unzipped(archive: Archive, limits: Limits) -> tuple[Any, list[Tensor], Callable[[Storage], memoryview], bool, Callable[[], None]]:
    """What the pickle of an archive builds, its tensors, where their numbers are, whether bytes stand the other way round, and what
    verifies the checksums of all members that nothing asked for."""
    tops = {name.split("/", 1)[0] for name in archive.members}
    if len(tops) != 1:
        raise Hostile("its archive has more than one top folder")
    top = tops.pop()
    inside = {name[len(top) + 1:] for name in archive.members}
    odd = [n for n in sorted(inside - HOUSEKEEPING) if not (n.startswith("data/") and n[5:].isalnum() and n.isascii())]
    if odd:
        raise Hostile(f"its archive holds {odd[0][:60]!r}, which torch.save does not write")
    if "data.pkl" not in inside:
        raise Hostile("its archive has no pickle, which torch.save always writes")
    order = bytes(archive.read(f"{top}/byteorder", 16)) if "byteorder" in inside else b"little"
    if order not in (b"little", b"big"):
        raise Hostile("its archive states an unknown order of bytes")
    raw = archive.read(f"{top}/data.pkl", MOST_PICKLE)
    reader = Reader(raw, limits)
    root = _whole(reader, len(raw))
    bytes_of: dict[str, memoryview] = {}
    kinds: dict[str, tuple[str, int]] = {}

    def storage(wanted: Storage) -> memoryview:
        _same(kinds, wanted)
        if f"data/{wanted.key}" not in inside:
            raise Hostile("it has a tensor whose numbers are not in the file")
        if wanted.key not in bytes_of:
            bytes_of[wanted.key] = archive.read(f"{top}/data/{wanted.key}")
        return bytes_of[wanted.key]

    def rest() -> None:
        for name in sorted(inside):
            if not name.startswith("data/") or name[5:] not in bytes_of:
                archive.read(f"{top}/{name}")

    return root, _tensors(root, limits, reader.steps), storage, order == b"big", rest


def read_legacy(raw: memoryview, limits: Limits, keep: Keep, extra: dict[str, Any]) -> None:
    """As `read_zip`, for the format of before torch 1.6: five pickles, then the storages one after the other."""
    if raw[0] != 0x80:
        named: list[Named] = []
        for module, name in OLD_GLOBAL.findall(raw):
            look_up(Global(module.decode(), name.decode()), named)
        raise foreign(named) or Unknown(f"it is a pickle of protocol 0 or 1; {CONVERT}")
    at = 0
    parts: list[Any] = []
    steps = 0
    for wanted in ("magic", "protocol", "system", "object", "keys"):
        reader = Reader(raw, limits, at)
        parts.append(_whole(reader, None))
        at, steps = reader.end, steps + reader.steps
        if wanted == "magic" and parts[0] != MAGIC:
            _plain_pickle(parts[0], at, len(raw))
    _, protocol, system, root, keys = parts
    if protocol != PROTOCOL or not isinstance(system, dict) or type(system.get("little_endian")) is not bool:
        raise Hostile("its head is not what torch.save writes")
    if type(keys) is not list or any(type(k) is not str for k in keys) or len(set(keys)) != len(keys):
        raise Hostile("its list of storages is not what torch.save writes")
    kinds: dict[str, tuple[str, int]] = {}
    every = _tensors(root, limits, steps)
    for tensor in every:
        _same(kinds, tensor.storage)
    if set(keys) != set(kinds):
        raise Hostile("its list of storages is not that of its tensors")
    swap = not system["little_endian"]
    where: dict[str, memoryview] = {}
    for key in keys:
        kind, count = kinds[key]
        if at + 8 > len(raw) or int.from_bytes(raw[at:at + 8], "big" if swap else "little") != count:
            raise Hostile("it has a storage of another length than it states")
        length = count * WIDTHS[kind]
        where[key] = raw[at + 8:at + 8 + length]
        at += 8 + length
    if at != len(raw):
        raise Hostile("there are bytes behind its last storage" if at < len(raw) else "it is shorter than its storages")
    _keep(root, every, keep, extra, lambda s: where[s.key], swap)


def _plain_pickle(value: Any, end: int, size: int) -> None:
    if end != size:
        raise Hostile("it is a pickle with more bytes behind its end")
    raise Unknown(f"it is a pickle that torch.save did not write; {CONVERT}")


def _whole(reader: Reader, size: int | None) -> Any:
    """The value of a stream; Hostile or Unknown where it names foreign globals, all of them listed."""
    try:
        value = reader.value()
    except (Hostile, Unknown, TooMuch) as stopped:
        raise foreign(reader.found, str(stopped)) or stopped from None
    if problem := foreign(reader.found):
        raise problem
    if size is not None and reader.end != size:
        raise Hostile("there are bytes behind the end of its pickle: a second stream, or something hidden")
    return value


def foreign(found: list[Named], also: str = "") -> Hostile | Unknown | None:
    """The error for foreign globals, the active ones first; None where there are none."""
    if not found:
        return None
    lines = list(dict.fromkeys(f"{n.what}({n.argument!r})" if n.argument else n.what for n in sorted(found, key=lambda n: not n.active)))
    called = [x for x in lines if "(" in x]
    lines = [x for x in lines if not any(c.startswith(f"{x}(") for c in called)]
    listed = ", ".join(lines[:5]) + (f" and {len(lines) - 5} more" if len(lines) > 5 else "") + (f"; also, {also}" if also else "")
    if any(n.active for n in found):
        return Hostile(f"opening it would run code: {listed}")
    return Unknown(f"it needs code that is not in it: {listed}; save the state dict alone, or {CONVERT}")


def _same(kinds: dict[str, tuple[str, int]], storage: Storage) -> None:
    if kinds.setdefault(storage.key, (storage.kind, storage.count)) != (storage.kind, storage.count):
        raise Hostile("it has one storage of two kinds")


def _tensors(root: Any, limits: Limits, steps: int) -> list[Tensor]:
    """All tensors below `root`, which `steps` opcodes built; bounds on nesting and on what sharing expands to."""
    out: list[Tensor] = []
    seen: set[int] = set()
    todo: list[tuple[Any, int]] = [(root, 0)]
    visits, most = 0, 10_000 + 4 * steps
    while todo:
        value, depth = todo.pop()
        visits += 1
        if depth > limits.max_json_depth or visits > most:
            raise Hostile("it is nested too deep, or in itself")
        if isinstance(value, Tensor):
            if id(value) not in seen:
                seen.add(id(value))
                out.append(value)
        elif isinstance(value, dict):
            todo.extend((v, depth + 1) for v in value.values())
        elif isinstance(value, (list, tuple)):
            todo.extend((v, depth + 1) for v in value)
        elif isinstance(value, Opaque):
            raise Unknown(f"it needs code that is not in it: {value}")
    return out


def _keep(root: Any, every: list[Tensor], keep: Keep, extra: dict[str, Any], storage: Callable[[Storage], memoryview], swap: bool) -> None:
    for tensor in every:
        storage(tensor.storage)
    name, weights = state_dict(root)
    if name:
        extra["found under"] = name
    kinds: dict[str, int] = {}
    for key, t in weights.items():
        kinds[t.kind] = kinds.get(t.kind, 0) + 1
        count = t.storage.count * WIDTHS[t.storage.kind] // WIDTHS[t.kind]
        array = strided(storage(t.storage), t.kind, count, t.offset, t.size, t.stride, swap)
        keep.add(key, array, t.kind, (t.storage.key, t.kind, t.offset, t.size, t.stride))
    extra["kinds"] = kinds
    extra["tensors beside"] = len(every) - len({id(t) for t in weights.values()})
    if isinstance(root, dict):
        extra["values"] = {k[:80]: plain for k, v in list(root.items())[:1000] if type(k) is str and (plain := _plain(v)) is not None}


def _plain(value: Any) -> Any:
    """Short texts, numbers and short lists of them; None for all else."""
    if type(value) in (int, float, bool):
        return value if type(value) is not int or abs(value) < 1 << 63 else None
    if type(value) is str:
        return value if len(value) <= LONGEST_TEXT else None
    if type(value) in (list, tuple) and 0 < len(value) <= 1000:
        items = [_plain(v) if type(v) not in (list, tuple) else None for v in value]
        return items if None not in items else None
    return None


def state_dict(root: Any) -> tuple[str, dict[str, Tensor]]:
    """The weights and the path to them ("" for the root). Raises Unknown where there are none, or several and no usual name."""
    if isinstance(root, Tensor):
        return "", {"tensor": root}
    if isinstance(root, (list, tuple)) and root and all(isinstance(v, Tensor) for v in root):
        return "", {str(i): v for i, v in enumerate(root)}
    if not isinstance(root, dict) or isinstance(root, (NumpyArray, NumpyType)):
        raise Unknown("it holds no state dict; save model.state_dict()")
    if own := _named(root):
        return "", own
    inner = {k: found for k, v in root.items() if type(k) is str and isinstance(v, dict) and (found := _named(v))}
    for name in NAMES:
        if name in inner:
            return name, inner[name]
    deeper = {f"{k}.{n}": found for k, v in root.items() if type(k) is str and isinstance(v, dict) for n in NAMES
              if isinstance(v.get(n), dict) and (found := _named(v[n]))}
    both = {**{k: v for k, v in inner.items() if k not in ("state", "optimizer")}, **deeper}
    if len(both) == 1:
        return next(iter(both.items()))
    if both:
        raise Unknown(f"it holds several state dicts ({', '.join(sorted(both))[:120]}); save the one to be audited alone")
    raise Unknown("it holds no state dict; save model.state_dict()")


def _named(value: dict[Any, Any]) -> dict[str, Tensor]:
    """The tensors of a dict from names to tensors (a few plain values may stand among them), else nothing."""
    tensors = {k: v for k, v in value.items() if isinstance(v, Tensor)}
    if not tensors or any(type(k) is not str for k in value) or any(isinstance(v, (dict, list)) and v for v in value.values()):
        return {}
    return tensors
