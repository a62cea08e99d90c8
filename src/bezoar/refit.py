"""Counterfactual refit for a group from which no trigger can be lifted: what do models call its members that never saw the group?

Half of the group is left in and the other half is asked about, by a model that learned from the first half and by one that learned
from none of it. Where the members share a cause that a model learns, the first half teaches it the label of the other half, and
of nothing else: it must not move samples that look like the members by their content, as labels that are wrong one by one do. Without
the group, models must call its members another class more often than as many random samples of the class, which are left out too.
A network alone is asked where one may be trained: a linear probe learns nothing from triggers made for each sample.
Fails      where half of the group is too little to teach a model, and for near-copies, which teach each other without any poison.
Cost       two probes of each kind, or two to three shorter trainings of a network for all groups together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bezoar.confirm import MOST_MEMBERS, REPLICATION, Confirmation, Prober, Step, towards
from bezoar.core.errors import Unavailable
from bezoar.core.learned import Ask
from bezoar.core.view import View
from bezoar.core.wording import p_text, percent
from bezoar.maths.paired import lower_bound, mixed_p
from bezoar.probes import SQUARES, Halves

FEWEST = 10
"""Members, and controls, that a refit needs."""


@dataclass(frozen=True, eq=False)
class Controls:
    """Rows of no group: `same` (k,) have the label of the members, `alike` (l,) the label that the members' content speaks for."""

    same: np.ndarray
    alike: np.ndarray

    @classmethod
    def of(cls, view: View, members: np.ndarray, target: int, taken: np.ndarray, rng: np.random.Generator) -> Controls:
        """As many as there are members, if no class loses more than half of its rows; `taken` are the rows of all groups.

        Raises Unavailable where there are fewer than `FEWEST` members or controls.
        """
        free = np.setdiff1d(np.arange(len(view)), taken)
        free = free[view.labels[free] >= 0]
        wanted = [np.array([target]).repeat(min(len(members), MOST_MEMBERS))]
        guess = view.content_probabilities()[members[:MOST_MEMBERS]].copy()
        guess[:, target] = -1
        wanted.append(guess.argmax(axis=1))
        found = []
        for codes in wanted:
            rows = [rng.choice(pool, min(int(count), len(pool) // 2), replace=False)
                    for code, count in zip(*np.unique(codes, return_counts=True), strict=True)
                    if len(pool := free[view.labels[free] == code]) > 1]
            found.append(np.sort(np.concatenate([*rows, free[:0]])))
        if min(len(members), *map(len, found)) < FEWEST:
            raise Unavailable(f"{FEWEST} members, {2 * FEWEST} others of their class and as many that look like them")
        return cls(*found)


@dataclass(frozen=True, eq=False)
class Refits:
    """Networks trained without the groups: `none` saw no member, `first` those where `half` is 0, `second` (if any) those where it is 1."""

    none: Ask
    half: np.ndarray
    first: Ask
    second: Ask | None

    @classmethod
    def of(cls, view: View, groups: Sequence[np.ndarray], controls: np.ndarray, rng: np.random.Generator, none: Ask | None,
           both: bool) -> Refits:
        """Train them: a row is left out where it is in a group or among the controls."""
        out = np.unique(np.concatenate([*groups, controls]))
        half = rng.permutation(len(view)) % 2

        def trained(back: np.ndarray) -> Ask:
            codes = view.labels.copy()
            codes[np.setdiff1d(out, back)] = -1
            return view.modality.retrained(view.dataset.inputs, codes, len(view.classes), view.seed)

        members = np.unique(np.concatenate(groups))
        return cls(none or trained(out[:0]), half, trained(members[half[members] == 0]),
                   trained(members[half[members] == 1]) if both else None)

    def changes(self, view: View, rows: np.ndarray, target: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of those `rows` that a model with half of the group did not see: (k,) change of the target's log-odds that the half
        causes, (k,) the class given without the group, (k,) bool whether the target is given with the half."""
        parts = []
        for seen, ask in ((0, self.first), (1, self.second)):
            asked = rows[self.half[rows] != seen]
            if ask is None or not len(asked):
                continue
            inputs = view.dataset.inputs.take(asked)
            without, with_half = self.none(inputs), ask(inputs)
            parts.append((towards(with_half, target) - towards(without, target), without.argmax(axis=1),
                          with_half.argmax(axis=1) == target))
        if not parts:
            raise Unavailable(f"{FEWEST} members to ask about")
        a, b, c = (np.concatenate(column) for column in zip(*parts, strict=True))
        return a, b, c


def by_network(view: View, members: np.ndarray, controls: Controls, target: int, refits: Refits, calls: np.ndarray, name: str,
               rng: np.random.Generator, alpha: float) -> Confirmation:
    """Asks networks; `calls` (n,) is what the network that saw everything calls each sample."""
    inside, called, taught = refits.changes(view, members, target)
    outside, _, _ = refits.changes(view, controls.alike, target)
    called_others = refits.none(view.dataset.inputs.take(controls.same)).argmax(axis=1)
    if min(len(inside), len(outside)) < FEWEST:
        raise Unavailable(f"{FEWEST} members to ask about")
    return _told(view, name, target, inside, outside, called, called_others, float((calls[members] == target).mean()), float(taught.mean()),
                 rng, alpha, ())


def by_probes(prober: Prober, members: np.ndarray, controls: Controls, target: int, rng: np.random.Generator,
              alpha: float) -> Confirmation:
    """Asks the two kinds of linear probes, each row by the probes of the half that it is not in."""
    if len(members) > MOST_MEMBERS:
        members = np.sort(rng.choice(members, MOST_MEMBERS, replace=False))

    def changes(halves: Halves, rows: np.ndarray, pairs: list[tuple[Any, Any]]) -> np.ndarray:
        return halves.asked(pairs, prober.rows.features(rows), rows)

    pairs = prober.first.pairs(target, members)
    inside, outside, same = (changes(prober.first, rows, pairs) for rows in (members, controls.alike, controls.same))
    more: tuple[Step, ...] = ()
    try:
        pairs = prober.second.pairs(target, members)
        a, b = (changes(prober.second, rows, pairs) for rows in (members, controls.alike))
        a, b = a[0] - a[1], b[0] - b[1]
        p, least = mixed_p(a, b, rng), lower_bound(a - b.mean(), alpha)
        more = (Step("replication", SQUARES.name, f"half of the group moves the other half by {a.mean():+.3f}, samples that "
                     f"look alike by {b.mean():+.3f}, {p_text(p)}", p <= REPLICATION and least > 0),)
    except Unavailable as missing:
        more = (Step("replication", SQUARES.name, f"could not be asked: {missing}", None),)
    other = np.where(inside[1] > 0, target, -1), np.where(same[1] > 0, target, -1)
    return _told(prober.view, prober.first.kind.name, target, inside[0] - inside[1], outside[0] - outside[1], *other, None,
                 float((inside[0] > 0).mean()), rng, alpha, more)


def _told(view: View, name: str, target: int, inside: np.ndarray, outside: np.ndarray, called: np.ndarray, called_others: np.ndarray,
          before: float | None, taught: float, rng: np.random.Generator, alpha: float, more: tuple[Step, ...]) -> Confirmation:
    """The confirmation from changes of members and of their like, and calls of members and of others of the class."""
    away, away_others = float((called != target).mean()), float((called_others != target).mean())
    strangers = np.bincount(called[(called != target) & (called >= 0)], minlength=len(view.classes))
    mostly = f" (mostly '{view.classes[int(strangers.argmax())]}')" if strangers.any() else ""
    p, least = mixed_p(inside, outside, rng), lower_bound(inside - outside.mean(), alpha)
    was = "" if before is None else f"; with all of them it called {percent(before)} by their label"
    swayed = mixed_p((called != target).astype(np.float64), (called_others != target).astype(np.float64), rng)
    steps = (Step("half of the group left in", name,
                  f"the target's log-odds of the other half rise by {inside.mean():+.2f}, of others that look alike by "
                  f"{outside.mean():+.2f}, {p_text(p)}; {percent(taught)} get the label", p <= alpha and least > 0),
             Step("trained without the group", name,
                  f"it calls {percent(away)} of them another class{mostly}, of as many others of the class {percent(away_others)}, "
                  f"{p_text(swayed)}{was}", swayed <= alpha), *more)
    return Confirmation(p, float(inside.mean()), float(outside.mean()), taught, 1 - away, len(inside), len(outside), steps,
                        transplanted=False)


