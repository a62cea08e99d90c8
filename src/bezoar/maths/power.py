"""From how many on is something found? Few trials at counts chosen on the way; the posterior of the count that is found in 80%.

The chance to find rises with the logarithm of the count as a logistic curve of unknown place and steepness; both stand on a grid.
Each next trial is made near the count that is sought, where it tells most. Paper: Watson and Pelli 1983 (QUEST).
"""

from __future__ import annotations

import numpy as np

SLIP = 0.02
"""Chance that a trial tells nothing about the curve."""


class Power:
    """The count between 1 and `most` that is found with probability `wanted`, after the trials told so far.

    Counts are whole numbers from 1 on. The prior is even over the logarithm of the count from 1 to four times `most`.

    >>> p = Power(100)
    >>> for _ in range(12):
    ...     count = p.next()
    ...     p.tell(count, count >= 20)
    >>> 16 <= p.least() <= 24, p.interval()[0] <= 20 <= p.interval()[1]
    (True, True)
    """

    def __init__(self, most: int, wanted: float = 0.8) -> None:
        self.most = max(int(most), 1)
        place, spread = np.meshgrid(np.linspace(0, np.log2(4 * self.most), 241), np.array([0.05, 0.1, 0.2, 0.4]), indexing="ij")
        self._place, self._spread = place.ravel(), spread.ravel()
        self._sought = self._place + self._spread * np.log(wanted / (1 - wanted))
        self._order = np.argsort(self._sought)
        self._log = np.zeros(self._place.size)

    def tell(self, count: int, found: bool) -> None:
        """One trial."""
        rise = 1 / (1 + np.exp(-(np.log2(max(count, 1)) - self._place) / self._spread))
        chance = SLIP / 2 + (1 - SLIP) * rise
        self._log += np.log(chance if found else 1 - chance)

    def _quantile(self, q: float) -> float:
        weight = np.exp(self._log - self._log.max())[self._order]
        total = np.cumsum(weight)
        return float(2 ** self._sought[self._order][np.searchsorted(total, q * total[-1])])

    def next(self) -> int:
        """The count to try now."""
        return int(np.clip(np.rint(self._quantile(0.5)), 1, self.most))

    def least(self) -> int | None:
        """The count sought: the next whole one to the posterior's median; None where that is above `most`."""
        middle = int(np.ceil(self._quantile(0.5) - 1e-9))
        return None if middle > self.most else max(middle, 1)

    def interval(self, level: float = 0.95) -> tuple[int, int]:
        """The middle `level` of the posterior, ends in whole counts; the upper one can be above `most`."""
        low, high = self._quantile((1 - level) / 2), self._quantile((1 + level) / 2)
        return max(1, int(np.floor(low))), int(np.ceil(high))

    def settled(self) -> bool:
        """Whether the interval is no wider than a factor of 2, or lies above `most`."""
        low, high = self.interval()
        return high <= 2 * low or low > self.most
