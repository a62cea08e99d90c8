"""A small network trained on the suspect data itself, and what it shows of every row: the learned tier's one view.

Sharpness-aware steps (Foret et al. 2021, arXiv 2010.01412) are on: they keep the network from learning single rows by heart and
let it lean on what many rows share, which sets triggers apart from content. Rows are put in the order of their content first, so that
the order of a file does not matter; the same rows and seed give the same bytes on one thread. Rows without a label are read, not learned.
Fails      to show what the network does not learn: poison for which the data or the passes are too few.
Cost       about 100,000 rows passed over, twice each: for pictures of 32x32 about 2 min on one free core, tables and texts seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bezoar.core.errors import Unavailable
from bezoar.core.inputs import Images, Inputs
from bezoar.core.learned import FEWEST, MOST, Ask, Confuse, Learned, Taught, epochs_for
from bezoar.networks import builds, device, reading, training
from bezoar.networks.confusing import confused

RHO = 0.1
"""How far a sharpness-aware step climbs, in units of the weights."""
EARLY = 0.2
"""Early features are those after this part of the epochs, at least one."""
SMALL = 3000
"""Fewer pictures get a network of half the width."""
BATCH = 64
"""Rows per step."""
AGAIN = 50_000
"""Rows that a network which is only asked passes over in all."""
COLUMNS = 4096
"""Sparse features are folded to so many columns."""


def learn(build: Callable[[], Any], x: Any, codes: np.ndarray, keys: np.ndarray, seed: int, *, tensor: Callable[[Any], Any],
          rate: float = 0.01, shift: int = 0, rho: float = RHO, read_at_once: int = 512) -> tuple[Learned, Any]:
    """Train what `build` makes on the rows `x` (n, ...) that have a label and read it; what it shows, and the module.

    codes   (n,) int64, -1 for no label
    keys    (n,) what to order rows by: equal keys, equal rows
    read_at_once  rows that are read together, half as many with slopes
    tensor  some rows of `x` -> an input of the network
    Raises Unavailable where fewer than two rows have a label.
    """
    rows = ordered(keys, codes)
    x, own = x[rows], codes[rows]
    enough(own)
    epochs = epochs_for(len(own))
    early: list[np.ndarray] = []
    losses: list[np.ndarray] = []
    with training.seeded(seed):
        module = build()
        where = reading.places(module, tensor(x[:min(5, len(own))]))

        def note(epoch: int) -> None:
            features, logits = reading.shown(module, x, where[-1], tensor=tensor, batch=read_at_once)
            losses.append(_loss(logits, own))
            if epoch + 1 == max(1, round(EARLY * epochs)):
                early.append(features)

        training.fit(module, x, own, np.random.default_rng(seed), tensor=tensor, epochs=epochs, rate=rate, shift=shift, rho=rho, after=note,
                     batch=BATCH, on=device.current())
        found = reading.read(module, x, own, tensor=tensor, where=where, batch=read_at_once // 2)
    back = np.argsort(rows, kind="stable")
    return Learned(tuple(a[back] for a in found.layers), tuple(a[back] for a in found.slopes), found.logits[back],
                   np.stack(losses, axis=1)[back], early[0][back]), module


def again(build: Callable[[], Any], x: Any, codes: np.ndarray, keys: np.ndarray, seed: int, *, tensor: Callable[[Any], Any],
          rate: float = 0.01, shift: int = 0) -> Any:
    """A module trained as in `learn`, by plain steps over at most `AGAIN` rows in all; arguments as there."""
    rows = ordered(keys, codes)
    rows = rows[codes[rows] >= 0]
    own = codes[rows]
    enough(own)
    with training.seeded(seed):
        return training.fit(build(), x[rows], own, np.random.default_rng(seed), tensor=tensor, rate=rate, shift=shift,
                            epochs=int(np.clip(AGAIN // len(own), FEWEST, MOST)), batch=BATCH, on=device.current())


def ordered(keys: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Row numbers by label, then by content: the order of a file does not matter."""
    rows = np.argsort(keys, kind="stable")
    return np.asarray(rows[np.argsort(codes[rows], kind="stable")])


def enough(codes: np.ndarray) -> None:
    if (codes >= 0).sum() < 2:
        raise Unavailable("at least two labelled rows to learn from")


def _loss(logits: np.ndarray, codes: np.ndarray) -> np.ndarray:
    top = logits.max(axis=1)
    own = logits[np.arange(len(codes)), np.maximum(codes, 0)]
    loss = top + np.log(np.exp(logits - top[:, None]).sum(axis=1)) - own
    return np.where(codes >= 0, loss, np.nan).astype(np.float32)


def of_pictures(inputs: Images, codes: np.ndarray, classes: int, seed: int, side: int, number: int = 0) -> Taught:
    """A narrow network on pictures brought to at most `side` pixels: residual, without shortcuts, of patches, by turns of `number`.

    Raises Unavailable without torch.
    """
    there()
    x, bring, build = pictures_for(inputs, classes, side, number)
    keys, shift = inputs.row_keys(), 1 if x.shape[1] >= 16 else 0
    learned, module = learn(build, x, codes, keys, seed, tensor=training.pictures_fast, shift=shift, read_at_once=128 if number else 512)
    return Taught(learned, asking(module, bring, training.pictures_fast),
                  confuse=confusing(module, x, bring, codes, keys, training.pictures_fast, shift))


def again_pictures(inputs: Images, codes: np.ndarray, classes: int, seed: int, side: int) -> Ask:
    """The network of `of_pictures` after a shorter training."""
    there()
    x, bring, build = pictures_for(inputs, classes, side)
    return asking(again(build, x, codes, inputs.row_keys(), seed, tensor=training.pictures_fast, shift=1 if x.shape[1] >= 16 else 0),
                  bring, training.pictures_fast)


def pictures_for(inputs: Images, classes: int, side: int,
                 number: int = 0) -> tuple[np.ndarray, Callable[[Inputs], np.ndarray], Callable[[], Any]]:
    from bezoar.networks.image_victim import brought

    side, width = _size(inputs, side)

    def bring(some: Inputs) -> np.ndarray:
        assert isinstance(some, Images)
        return brought(some, side)

    def build() -> Any:
        if number % 3 == 0:
            return training.fast(builds.resnet18(classes) if device.large(len(inputs)) else builds.resnet(classes, width))
        return training.fast(builds.vgg(classes, width) if number % 3 == 1 else builds.convmixer(classes, 3 * width))

    return bring(inputs), bring, build


def _size(inputs: Images, side: int) -> tuple[int, int]:
    """Pixels of a side, at most `side`, and width of the network of `of_pictures`."""
    from bezoar.networks.image_victim import side_of

    return min(side_of(inputs), side), 16 if len(inputs) >= SMALL else 8


def seconds_for(inputs: Images, side: int) -> float:
    """In about so many seconds the network of `of_pictures` passes forth and back over 1,000 of these pictures on one core of 2020s' make.

    Measured for sides of 8 to 32 and both widths: what every step costs, and what every pixel and channel does.
    """
    side, width = _size(inputs, side)
    return 0.1 + 0.0235 * width * (side / 32) ** 2


def of_rows(inputs: Inputs, features: Callable[[Any], Any], codes: np.ndarray, classes: int, seed: int) -> Taught:
    """A perceptron on the rows of a dense or sparse matrix, the `features` of the inputs. Raises Unavailable without torch."""
    there()
    x, bring = rows_for(inputs, features)
    learned, module = learn(lambda: builds.perceptron(classes, x.shape[1]), x, codes, inputs.row_keys(), seed, tensor=dense, rate=0.003)
    return Taught(learned, asking(module, bring, dense))


def again_rows(inputs: Inputs, features: Callable[[Any], Any], codes: np.ndarray, classes: int, seed: int) -> Ask:
    """The network of `of_rows` after a shorter training."""
    there()
    x, bring = rows_for(inputs, features)
    return asking(again(lambda: builds.perceptron(classes, x.shape[1]), x, codes, inputs.row_keys(), seed, tensor=dense, rate=0.003),
                  bring, dense)


def rows_for(inputs: Inputs, features: Callable[[Any], Any]) -> tuple[Any, Callable[[Inputs], Any]]:
    def bring(some: Inputs) -> Any:
        x = features(some)
        return _folded(x) if hasattr(x, "indptr") else x

    return bring(inputs), bring


def asking(module: Any, bring: Callable[[Inputs], Any], tensor: Callable[[Any], Any], batch: int = 512) -> Ask:
    """A function of inputs that gives the logits of `module`, in evaluation mode and on one thread."""
    def ask(inputs: Inputs) -> np.ndarray:
        x = bring(inputs)
        with training.seeded(0):
            return reading.answered(module, x, tensor=tensor, batch=batch)

    return ask


def confusing(module: Any, x: Any, bring: Callable[[Inputs], Any], codes: np.ndarray, keys: np.ndarray, tensor: Callable[[Any], Any],
              shift: int = 0) -> Confuse:
    """A function that confuses copies of `module`, trained on the rows `x` (n, ...); arguments as of `learn`."""
    def confuse(base: np.ndarray, others: Inputs | None, seed: int) -> np.ndarray:
        rows = ordered(keys, codes)
        out = np.isin(rows, base) if others is None else np.zeros(len(rows), bool)
        mine = x[rows]
        even = mine[out] if others is None else bring(others)
        said = confused(module, mine, np.where(out, -1, codes[rows]), even, seed, tensor=tensor, shift=shift)
        return said[np.argsort(rows, kind="stable")]

    return confuse


def there() -> None:
    """Raises Unavailable without torch."""
    try:
        import torch  # noqa: F401
    except ImportError:
        raise Unavailable("a network trained on the data", advice="pip install 'bezoar[torch]'") from None


def _folded(x: Any) -> Any:
    from scipy.sparse import csr_array

    if x.shape[1] <= COLUMNS:
        return x
    out = csr_array((x.data, x.indices % COLUMNS, x.indptr), shape=(x.shape[0], COLUMNS))
    out.sum_duplicates()
    return out


def dense(rows: Any) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(rows.toarray() if hasattr(rows, "toarray") else rows, np.float32))
