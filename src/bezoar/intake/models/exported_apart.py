"""Programs of `torch.export` in the child of `asked_apart`: read again, put together and asked behind the lock only."""

from __future__ import annotations

import numpy as np

from bezoar.core.limits import Limits
from bezoar.intake.models import exported_module, parsing
from bezoar.intake.models.arrays import RESULTS
from bezoar.intake.models.asked_apart import Batch, Session

LOCKED_FIRST = True


def prepare() -> None:
    """Import torch, and take the steps at which it looks at the machine."""
    import torch

    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    shape = {"arrays": {"w": "l.weight", "b": "l.bias"}, "learned": ["w", "b"], "given": "x", "shape": [None, 2], "answer": "y",
             "steps": [["linear.default", ["y"], {"input": {"is": "x"}, "weight": {"is": "w"}, "bias": {"is": "b"}}]]}
    module = exported_module.module_of(shape, {"l.weight": np.zeros((2, 2), np.float32), "l.bias": np.zeros(2, np.float32)})
    with torch.no_grad():
        x = torch.nn.functional.conv2d(torch.zeros(1, 3, 8, 8), torch.zeros(2, 3, 3, 3)).flatten(1)
        module(torch.nn.functional.linear(torch.relu(x), torch.zeros(2, 72))).numpy()


class _Memory:
    """A sink in memory."""

    def __init__(self, left: int) -> None:
        self.left, self.parts, self.at = left, [], 0  # type: int, list[bytes], int

    def write(self, data: memoryview) -> int:
        place, self.at = self.at, self.at + len(data)
        self.parts.append(bytes(data))
        return place


def opened(raw: bytes) -> Session:
    """The module in evaluation mode. Raises ValueError for what is not read, and what building it raises."""
    import torch

    sink = _Memory(parsing.most_bytes(len(raw), Limits()))
    told = parsing.parse(memoryview(raw), ".pt2", Limits(), sink)
    if told["verdict"] != "safe":
        raise ValueError((told["reasons"] or ["it is no program of torch.export"])[0])
    whole, arrays = b"".join(sink.parts), {}
    for name, code, shape, place in told["arrays"]:
        count = int(np.prod(shape, dtype=np.int64))
        if code in RESULTS:
            arrays[name] = np.frombuffer(whole, code, count, place).reshape(shape)
    module = exported_module.module_of(told["extra"]["program"], arrays)

    def answers(batch: Batch) -> list[np.ndarray]:
        with torch.no_grad():
            found = module(torch.from_numpy(np.array(batch, np.float32)))
        return [np.asarray(found.float().contiguous().numpy())]

    return Session("tensor(float)", list(module.program.shape), answers)
