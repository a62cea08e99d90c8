"""Scores of one detector as JSON and back: what an interrupted run leaves behind for the next one."""

from __future__ import annotations

from typing import Any

import numpy as np

from bezoar.core.ability import Group, Scores
from bezoar.core.evidence import evidence_from_dict, evidence_to_dict, pack, unpack

_WORDS = ("threat", "title", "target", "expected", "kind", "liftable", "advisory", "because", "doubt", "advice", "p_value")


def _plain(value: Any) -> Any:
    """A `place` value as JSON; arrays are packed."""
    if isinstance(value, np.ndarray):
        return pack(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value


def _rich(value: Any) -> Any:
    if isinstance(value, dict):
        return unpack(value) if "zlib" in value else {k: _rich(v) for k, v in value.items()}
    if isinstance(value, list):
        return tuple(_rich(v) for v in value)
    return value


def scores_to_dict(scores: Scores) -> dict[str, Any]:
    """JSON form.

    >>> s = Scores(np.array([0.5]), (Group(np.array([0]), 0.001, "label-flip", "x"),))
    >>> scores_from_dict(scores_to_dict(s)).groups[0].members.tolist()
    [0]
    """
    return {"suspicion": pack(np.asarray(scores.suspicion, np.float64)), "notes": list(scores.notes), "smallest": scores.smallest,
            "overview": [evidence_to_dict(e) for e in scores.overview],
            "groups": [_group_to_dict(g) for g in scores.groups], "kin": [_group_to_dict(g) for g in scores.kin]}


def scores_from_dict(data: dict[str, Any]) -> Scores:
    """The inverse of `scores_to_dict`; raises KeyError or ValueError on anything else."""
    groups, kin = (tuple(_group_from_dict(g) for g in data[name]) for name in ("groups", "kin"))
    return Scores(unpack(data["suspicion"], 1 << 30), groups, tuple(data["notes"]), dict(data["smallest"]),
                  tuple(evidence_from_dict(e) for e in data["overview"]), kin)


def _group_to_dict(g: Group) -> dict[str, Any]:
    return {**{k: _plain(getattr(g, k)) for k in _WORDS}, "members": pack(np.asarray(g.members, np.int64)),
            "sure": None if g.sure is None else pack(np.asarray(g.sure, np.float64)),
            "evidence": [evidence_to_dict(e) for e in g.evidence], "place": _plain(g.place)}


def _group_from_dict(g: dict[str, Any]) -> Group:
    return Group(**{k: g[k] for k in _WORDS}, members=unpack(g["members"]), sure=None if g["sure"] is None else unpack(g["sure"]),
                 evidence=tuple(evidence_from_dict(e) for e in g["evidence"]), place=_rich(g["place"]))
