"""A campaign in words and pictures: lift the trigger, confirm it, say what was seen, why, how sure, what next."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from bezoar.campaigns import Campaign, quarantine
from bezoar.causes import Causes
from bezoar.confirm import Confirmation
from bezoar.core.ability import Group
from bezoar.core.errors import Unavailable
from bezoar.core.evidence import LABELLED, Bars, Evidence, Facts, Plot, Scatter
from bezoar.core.finding import Finding
from bezoar.core.trigger import Trigger
from bezoar.core.view import View
from bezoar.core.wording import PUT_TO_THE_TEST
from bezoar.maths.multiple import least_members

SHOWN = 12
"""Members shown as thumbnails or excerpts."""

_DOUBT = {
    "backdoor-dirty-label": "A natural shortcut (a watermark, a template, a camera artefact) that comes with one class looks the same.",
    "backdoor-clean-label": "A natural shortcut (a watermark, a boilerplate line, a batch of near-copies) looks the same.",
    "label-flip": "Hard or ambiguous samples look mislabelled to a simple model.",
    "source": "Sources may differ for honest reasons: another season, camera, region or rule of labelling.",
}


def spread(view: View, rows: np.ndarray) -> dict[str, dict[str, int]]:
    """How the members are spread over each origin column, most frequent first, at most 20 names a column."""
    return {column: dict(Counter(str(v) for v in values[rows]).most_common(20)) for column, values in sorted(view.origins.items())}


def _lifted(view: View, group: Group) -> Trigger | None:
    if not group.liftable:
        return None
    outside = np.ones(len(view), bool)
    outside[group.members] = False
    background = np.flatnonzero(outside)
    if len(background) > 4000:
        background = background[np.linspace(0, len(background) - 1, 4000).astype(int)]
    try:
        return view.lift(group.members, background, group.place)
    except Unavailable:
        return None


def _title(view: View, group: Group, trigger: Trigger | None, origin: dict[str, dict[str, int]]) -> str:
    count = len(group.members)
    what = f"{count:,} sample{'s' if count != 1 else ''}"
    if group.target is not None:
        what += f" of class '{view.classes[group.target]}'"
    sole = [f"all from {column} '{next(iter(parts))}'" for column, parts in origin.items()
            if len(parts) == 1 and len(set(view.origins[column])) > 1]
    if sole:
        what += ", " + ", ".join(sole)
    return f"{what}: {trigger.title() if trigger is not None else group.title}"


def _story(group: Group, trigger: Trigger | None, confirmation: Confirmation | str) -> tuple[bool | None, str]:
    """Whether it was confirmed as a cause, and what was seen; how sure that is, each report says from the numbers."""
    seen = group.because or f"They share {group.title}."
    if group.advisory:
        return None, seen
    if isinstance(confirmation, str):
        if trigger is None:
            why = f": {confirmation}" if confirmation else ""
            return None, f"{seen} No trigger could be lifted from them, so the effect on a model was not tested{why}."
        return None, f"{seen} The effect on a model was not tested: {confirmation}."
    if not confirmation.transplanted:
        return confirmation.held, (f"{seen} No trigger that models learned could be lifted from them. One half of them moves the "
                                   f"log-odds of the other half towards their label by {confirmation.effect:+.2f} (others that look alike "
                                   f"{confirmation.control:+.2f}, p = {confirmation.p_value:.3f}).")
    numbers = f"{confirmation.effect:+.2f} on {confirmation.hosts} other samples ({confirmation.controls} controls "
    numbers += f"{confirmation.control:+.2f}; p = {confirmation.p_value:.3f} against these alone"
    return confirmation.held, (f"{seen} Because of them the trigger moves the target's log-odds by {numbers}).")


def _steps(confirmation: Confirmation) -> Facts:
    """Each question that was put to a model, with its answer."""
    word = {True: "yes", False: "no", None: "not asked"}
    return Facts(("step", "asked of", "answer", "holds"), tuple((s.what, s.model, s.measured, word[s.held]) for s in confirmation.steps),
                 caption=PUT_TO_THE_TEST)


def _labelled(view: View, row: int, seen: Evidence, target: int | None) -> Evidence:
    """The member with its label in the caption, where the members do not all carry the same."""
    labels = view.dataset.labels
    if target is not None or labels is None or labels.codes[row] < 0 or isinstance(seen, (Plot, Scatter)):
        return seen
    return replace(seen, caption=f"{LABELLED}{view.classes[labels.codes[row]]}")


def as_finding(view: View, campaign: Campaign, causes: Causes, alpha: float, fdr: float) -> Finding:
    """The finding of a campaign, put to the test."""
    group = campaign.group
    rows = group.members
    trigger = _lifted(view, group)
    origin = spread(view, rows)
    at_least = least_members(len(rows), group.expected, alpha) if not group.advisory else 0
    answer = causes(campaign, trigger, max(alpha, 0.01))
    if isinstance(answer, Confirmation) and not answer.transplanted:
        trigger = None  # what could be lifted is not what models learned
    confirmed, story = _story(group, trigger, answer)
    out = quarantine(group, fdr) if not group.advisory else np.zeros(len(rows), bool)
    order = np.argsort(-(group.sure if group.sure is not None else np.ones(len(rows))), kind="stable")
    evidence: list[Evidence] = [_labelled(view, int(r), view.show(int(r), trigger), group.target) for r in rows[order[:SHOWN]]]
    evidence += [Bars(tuple(parts), tuple(float(v) for v in parts.values()), caption=f"members by {column}")
                 for column, parts in origin.items() if len(set(view.origins[column])) > 1]
    if isinstance(answer, Confirmation):
        evidence.append(_steps(answer))
    ids = view.dataset.ids
    suspicion = float(1 - campaign.p_value) if not group.advisory else min(0.49, float(1 - campaign.p_value))
    return Finding(
        ability=campaign.ability, subject=view.dataset.fingerprint, kind=group.kind, title=_title(view, group, trigger, origin),
        members=tuple(str(i) for i in ids[rows]), quarantined=tuple(str(i) for i in ids[rows[order[out[order]]]]), threat=group.threat,
        p_value=float(campaign.p_value), suspicion=suspicion, target=None if group.target is None else view.classes[group.target],
        at_least=at_least, trigger=trigger, confirmed=confirmed, advisory=group.advisory, because=story,
        doubt=group.doubt or _DOUBT.get(group.threat, ""),
        advice=group.advice or ("Look at the members; `bezoar clean` sets them aside and can undo it." if not group.advisory
                                else "Worth a look; nothing is removed for this."),
        origin=origin, evidence=(*evidence, *group.evidence), agreeing=campaign.agreeing,
        effect=(answer.flipped, answer.control_flipped) if isinstance(answer, Confirmation) and answer.transplanted else None)
