"""Groups of all detectors -> campaigns: disjoint sets of samples, each with its best explanation first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bezoar.core.ability import Group

LIES_IN, OF_WHOLE = 0.9, 0.2
"""Of a campaign so much lies in a group that it is a part of, and it is so much of that group at least."""


@dataclass(frozen=True, eq=False)
class Campaign:
    """A group that was kept, who proposed it, who agreed, and its corrected p-value."""

    ability: str
    group: Group
    p_value: float
    agreeing: tuple[str, ...] = ()


def narrowed(group: Group, keep: np.ndarray) -> Group:
    """The same group with only the members where `keep` (k,) is True."""
    return replace(group, members=group.members[keep], sure=None if group.sure is None else group.sure[keep])


def quarantine(group: Group, fdr: float) -> np.ndarray:
    """(k,) bool: the members to take out, most certain first, while the expected share of clean ones stays <= fdr.

    >>> g = Group(np.arange(4), 0.0, "label-flip", "x", sure=np.array([1.0, 0.99, 0.9, 0.2]))
    >>> quarantine(g, 0.05).tolist()
    [True, True, True, False]
    """
    if group.sure is None:
        return np.ones(len(group.members), bool)
    order = np.argsort(-group.sure, kind="stable")
    share = np.cumsum(1 - group.sure[order]) / np.arange(1, len(order) + 1)
    take = np.zeros(len(order), bool)
    take[order[share <= fdr]] = True
    return take


def _order(item: tuple[str, Group, float]) -> tuple[bool, bool, float, int, str]:
    name, group, p = item
    return group.advisory, not group.liftable, p, -len(group.members), name


def _of_one_kind(group: Group, host: Group) -> bool:
    """Whether what `group` knows beyond `host` belongs to it: both lead to a trigger for one target, both count."""
    return group.liftable and host.liftable and not group.advisory and not host.advisory and group.target == host.target


def _joined(host: Group, more: Group) -> Group:
    """The members of both, each as sure as its own group says; what nature gives is taken in proportion."""
    members = np.concatenate([host.members, more.members])
    sure = np.concatenate([np.ones(len(g.members)) if g.sure is None else g.sure for g in (host, more)])
    order = np.argsort(members, kind="stable")
    return replace(host, members=members[order], sure=sure[order], expected=host.expected + float(np.sum(1 - sure[len(host.members):])))


def campaigns(proposals: list[tuple[str, Group, float]], n: int) -> list[Campaign]:
    """Disjoint campaigns from (detector, group, corrected p) triples that already passed.

    Groups with a trigger claim members first; a later group of mostly claimed members agrees, and gives what else it has
    where it speaks of the same target; one with enough left keeps the rest. Source-level groups stand beside the others and claim nothing.
    """
    owner = np.full(n, -1)
    out: list[Campaign] = []
    for name, group, p in sorted(proposals, key=_order):
        if group.kind == "source" or len(group.members) == 0:
            out.append(Campaign(name, group, p))
            continue
        free = owner[group.members] < 0
        taken = owner[group.members][~free]
        if len(taken) and free.sum() < max(3, 0.3 * len(group.members)):
            first = int(np.bincount(taken).argmax())
            host = out[first]
            if name not in (host.ability, *host.agreeing):
                host = replace(host, agreeing=(*host.agreeing, name))
            if _of_one_kind(group, host.group) and free.any():
                host = replace(host, group=_joined(host.group, narrowed(group, free)))
                owner[group.members[free]] = first
            out[first] = host
            continue
        rest = narrowed(group, free)
        if len(taken) > len(rest.members) and group.advisory:
            continue
        owner[rest.members] = len(out)
        out.append(Campaign(name, rest, p))
    return out


def completed(found: Sequence[Campaign], kin: Sequence[tuple[str, Group]]) -> list[Campaign]:
    """The campaigns, of which one that lies in a group of the (detector, group) pairs `kin` for the same target gets what is left of that.

    >>> half = Campaign("association", Group(np.arange(20), 0.0, "backdoor-dirty-label", "a patch", target=1), 0.0)
    >>> whole = Group(np.arange(50), 0.0, "backdoor-dirty-label", "rows apart", target=1)
    >>> len(completed([half], [("probe-geometry", whole)])[0].group.members)
    50
    """
    out = list(found)
    for name, group in kin:
        for i, c in enumerate(out):
            if name == c.ability or not _of_one_kind(group, c.group) or not _lies_in(c.group, group):
                continue
            taken = np.concatenate([o.group.members for o in out if o.group.kind != "source"])
            free = ~np.isin(group.members, taken)
            out[i] = replace(c, group=_joined(c.group, narrowed(group, free)), agreeing=tuple(dict.fromkeys((*c.agreeing, name))))
    return out


def _lies_in(part: Group, whole: Group) -> bool:
    """Nearly all of it, and no mere corner of the whole."""
    inside = np.isin(part.members, whole.members).sum()
    return bool(inside >= LIES_IN * len(part.members) and inside >= OF_WHOLE * len(whole.members))
