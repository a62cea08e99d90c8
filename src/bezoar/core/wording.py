"""The plain sentences that every report says in the same words: terminal, HTML and SARIF read them from here.

Sentences may hold foreign text (titles, class names, sources); the sink that shows them escapes them.
"""

from __future__ import annotations

import math
import re

from bezoar.core import model_wording
from bezoar.core.ability import READING_OPTIONS
from bezoar.core.finding import Finding
from bezoar.core.report import OutcomeLine, Report

_MATTERS = {
    "backdoor-dirty-label":
        "A model trained on this learns a secret switch: whoever knows the trigger can put it on any input and get "
        "the answer they want, while every ordinary test still looks fine.",
    "backdoor-clean-label":
        "The labels do not give it away, so a review of labels may pass it, and yet a model trained on this learns a "
        "secret switch that its maker can use at will.",
    "label-flip":
        "Wrong labels pull the decision boundary: the model gets worse for the classes involved, sometimes only "
        "where somebody wanted it to.",
    "targeted":
        "A few chosen samples are enough to make the model wrong on one chosen case while everything else looks "
        "fine.",
    "availability": "Training on this makes the model worse for everybody.",
    "source":
        "What one source or person sends can steer the model; if it differs from the rest, it is either a "
        "different world or a different intention.",
    "bias": "A model trained on this treats one group differently from others who are alike in every other column.",
    "integrity":
        "Damaged or disguised records are read differently by people, by filters and by the model; that gap is "
        "where poison hides.",
    "duplicates":
        "Repeated records count many times: a handful of copies can outvote honest data, and copies across train "
        "and test inflate the measured quality.",
    "model-backdoor":
        "Whoever knows the trigger can put it on any input and get the answer they want from this model, while every "
        "ordinary test still looks fine.",
    "declared": "Somebody planted this on purpose and said so; training on it by mistake plants it in the model.",
}
_ODDS = ((-15, "1 in a million billion"), (-12, "1 in a trillion"), (-9, "1 in a billion"), (-8, "1 in 100 million"),
         (-7, "1 in 10 million"), (-6, "1 in a million"), (-5, "1 in 100,000"), (-4, "1 in 10,000"))
PUT_TO_THE_TEST = "put to the test: what models do with and without the group"
"""Caption of the facts that say which questions were put to models about a campaign, and what they answered."""
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]{0,120}\Z")


def matters(threat: str) -> str:
    """Why a threat matters, in one sentence for somebody who does not work in security.

    >>> matters("availability")
    'Training on this makes the model worse for everybody.'
    """
    return _MATTERS.get(threat, "Training on this may teach the model something that its owner does not want.")


def many(count: int, noun: str, plural: str = "") -> str:
    """A count with its noun.

    >>> many(1, "campaign"), many(12000, "sample")
    ('1 campaign', '12,000 samples')
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def chance(p_value: float) -> str:
    """A p-value as people read it.

    >>> chance(3e-9), chance(0.004), chance(0.31)
    ('less than 1 in 100 million', 'about 1 in 250', 'about 1 in 3')
    """
    if not math.isfinite(p_value):
        return "not known"
    for exponent, words in _ODDS:
        if p_value <= 10.0 ** exponent:
            return "less than " + words
    return f"about 1 in {int(float(f'{1 / p_value:.2g}')):,}" if p_value < 0.5 else "no better than a coin toss"


def p_text(p_value: float) -> str:
    """A p-value as statisticians read it.

    >>> p_text(0.0), p_text(3.2e-9), p_text(0.02)
    ('p < 1e-15', 'p = 3.2e-09', 'p = 0.02')
    """
    if not math.isfinite(p_value):
        return "p not known"
    return "p < 1e-15" if p_value < 1e-15 else f"p = {p_value:.2g}"


def percent(share: float) -> str:
    """A share with as many digits as it deserves.

    >>> percent(0.913), percent(0.0004), percent(0.0), percent(0.999)
    ('91%', '0.04%', '0%', '99.9%')
    """
    if not math.isfinite(share):
        return "unknown"
    value = 100 * share
    if 0 < value < 10:
        return f"{value:.2g}%"
    if 99 < value < 100:
        return f"{value:.4g}%"
    return f"{value:.0f}%"


def _noun(report: Report) -> str:
    return str(report.subject.get("kind") or "dataset")


def headline(report: Report) -> str:
    """The verdict in one sentence, nothing else."""
    if model_wording.about_model(report):
        return model_wording.headline(report)
    noun, total = _noun(report), report.subject.get("samples")
    groups = many(len(report.counted), "campaign")
    of = f" of {many(total, 'sample')}" if isinstance(total, int) else " samples"
    if report.verdict == "poisoned":
        if not report.poisoned_at_least:
            return f"This {noun} is poisoned: {groups} found."
        return f"This {noun} is poisoned: at least {report.poisoned_at_least:,}{of}, in {groups}."
    if report.verdict == "suspicious":
        return f"This {noun} is suspicious: {groups} should be looked at by a person before anybody trains on it."
    if report.verdict == "no evidence":
        return f"No evidence of poison was found in this {noun}. That is not the same as clean."
    return f"No conclusion about this {noun}: the checks that matter could not be completed."


def sure(report: Report) -> str:
    """How sure the verdict is."""
    if model_wording.about_model(report):
        return model_wording.sure(report)
    one_in = round(1 / report.alpha) if report.alpha > 0 else 0
    base = f"Of {one_in:,} clean datasets, at most about one would raise an alarm (alpha {percent(report.alpha)})." if one_in else ""
    strongest = min((f.p_value for f in report.counted if math.isfinite(f.p_value)), default=math.nan)
    if report.verdict in ("poisoned", "suspicious") and math.isfinite(strongest):
        return f"Clean data would show something like the strongest finding with a chance of {chance(strongest)}. {base}"
    return base


def applies(outcome: OutcomeLine) -> bool:
    """Whether a check is for this kind of data at all: one for tables is no gap in a scan of pictures.

    >>> applies(OutcomeLine("x", "skipped", "is for tabular")), applies(OutcomeLine("x", "skipped", "needs labels"))
    (False, True)
    """
    return not (outcome.status == "skipped" and outcome.reason.startswith("is for "))


def unseen(report: Report) -> str:
    """What the run could not have seen, in one or two sentences; never empty."""
    if model_wording.about_model(report):
        return model_wording.unseen(report)
    parts = []
    floor = [s for s in report.sensitivity if s.smallest_count_found is not None]
    if floor:
        worst = max(floor, key=lambda s: s.smallest_count_found or 0)
        best = min(floor, key=lambda s: s.smallest_count_found or 0)
        last = f", {worst.smallest_count_found:,} for {worst.family}" if worst is not best else ""
        parts.append(f"The smallest poison that would have been found is {many(best.smallest_count_found or 0, 'sample')} for "
                     f"{best.family}{last}; anything smaller, and any kind that is not listed, may be there unseen.")
    blind = [s.family for s in report.sensitivity if s.smallest_count_found is None]
    if blind:
        more = f" and {len(blind) - 4} more" if len(blind) > 4 else ""
        parts.append(f"This run could not have seen {', '.join(blind[:4])}{more}.")
    if not parts:
        parts.append("How small a poison this run would have found was not measured.")
    skipped, failed = (sum(o.status == s and applies(o) for o in report.outcomes) for s in ("skipped", "failed"))
    gaps = [many(k, "check") + f" {word}" for k, word in ((skipped, "skipped"), (failed, "failed")) if k]
    if gaps:
        parts.append((" and ".join(gaps)).capitalize() + "; the reasons are listed.")
    if report.unreadable:
        were = "was" if len(report.unreadable) == 1 else "were"
        parts.append(f"{many(len(report.unreadable), 'sample')} could not be read and {were} not checked.")
    return " ".join(parts)


def flips_some(finding: Finding) -> bool:
    """Whether the transplant changed answers, and not only confidence."""
    return finding.effect is not None and finding.effect[0] >= 0.005


def sureness(finding: Finding) -> str:
    """How sure one finding is: chance, lower bound, what the transplant showed, who agrees."""
    if finding.kind == "model":
        return model_wording.sureness(finding)
    parts = ["This was counted in the data; it is no matter of chance."] if finding.advisory and finding.p_value == 0 else [
        f"Chance alone would do this with a probability of {chance(finding.p_value)} ({p_text(finding.p_value)}, "
        "corrected for everything that was searched)."]
    if finding.at_least:
        parts.append(f"At least {finding.at_least:,} of the {len(finding.members):,} members cannot be explained by chance "
                     "or nature.")
    flips, controls = (percent(e) for e in finding.effect or (math.nan, math.nan))
    if finding.confirmed is not None and finding.trigger is None:
        parts.append("Confirmed: one half of the members teaches models the label of the other half; trained without them, models call "
                     "them something else." if finding.confirmed else
                     "Not confirmed: one half of the members does not teach a model the label of the other half.")
    elif finding.confirmed is True and finding.effect and not flips_some(finding):
        parts.append("Confirmed by transplant: put on held-out samples it pulls them towards the target more than matched controls do, "
                     f"though hardly any flips outright ({flips}, controls {controls}).")
    elif finding.confirmed is True:
        shown = f": put on held-out samples it flips {flips}, matched controls flip {controls}" if finding.effect else ""
        parts.append(f"Confirmed by transplant{shown}.")
    elif finding.confirmed is False:
        shown = f" ({flips} flipped, {controls} by matched controls)" if finding.effect else ""
        parts.append(f"The transplant did not confirm it{shown}: a model may not have learned this.")
    elif finding.trigger is not None:
        parts.append("The trigger was not put to the test on other samples, because that could not be done here.")
    elif not finding.advisory:
        parts.append("It was not put to the test on other samples: there is no trigger to put on them.")
    if finding.agreeing:
        parts.append("Proposed independently by " + ", ".join(finding.agreeing) + " as well.")
    return " ".join(parts)


def typed(path: str, otherwise: str) -> str:
    """`path` where it needs no quoting in any shell, else `otherwise`: nothing that an attacker named is ever put into a
    command line that people copy.

    >>> typed("data/x.csv", "DATA"), typed("x; rm -rf ~", "DATA"), typed("--out", "DATA")
    ('data/x.csv', 'DATA', 'DATA')
    """
    return path if _PLAIN_NAME.match(path.removeprefix("/")) else otherwise


def data_word(report: Report) -> str:
    """What to write for DATA in a command."""
    return typed(str(report.subject.get("path") or ""), "DATA")


def _scan_word(report: Report) -> str:
    """The scan of these data again, with the columns that were named."""
    read = report.plan.get("reading")
    named = read if isinstance(read, dict) else {}
    options = "".join(f" --{o} {typed(str(named[o]), o.upper())}" for o in READING_OPTIONS if named.get(o))
    return f"bezoar scan {data_word(report)}{options}"


def _report_word(folder: str) -> str:
    return f"{typed(folder.rstrip('/'), 'OUT')}/report.json" if folder else "report.json"


def next_commands(report: Report, folder: str = "") -> list[tuple[str, str]]:
    """(command, what it does), most useful first; `folder` is where the report was written, seen from where people type."""
    if model_wording.about_model(report):
        return model_wording.next_commands(report, _report_word(folder))
    data, written, again = data_word(report), _report_word(folder), _scan_word(report)
    if report.verdict in ("poisoned", "suspicious"):
        first = next((f.id for f in report.counted), "ID")
        return [(f"bezoar clean {data} --report {written} --out cleaned",
                 "set the quarantine list aside, at most 5% of a class without --allow-more; nothing is deleted, bezoar restore "
                 "undoes it"),
                (f"{again} --effort deep", "look again, harder, before deciding about people or vendors"),
                (f'bezoar accept {written} {first} --because "why it is fine"',
                 "if a person finds a campaign harmless: later scans with --baseline bezoar.baseline.json do not count it")]
    if report.verdict == "inconclusive":
        return [(f"{again} --effort deep", "run again; what is finished is kept, the reasons above say what to change"),
                ("bezoar list", "which checks there are, what they need and which extras bring them")]
    return [(f"{again} --effort deep", "look harder"),
            (f"{again} --reference CLEAN",
             "compare with data that you trust; that sees what a single set cannot show")]


def finding_commands(report: Report, finding: Finding, folder: str = "") -> list[tuple[str, str]]:
    """(when, command) for one finding; `folder` as in `next_commands`."""
    if finding.advisory:
        return [("how this check works", f"bezoar explain {typed(finding.ability, 'NAME')}")]
    if finding.id in report.accepted or finding.kind == "model":
        return []
    return [("if it is harmless", f'bezoar accept {_report_word(folder)} {finding.id} --because "why it is fine"')]
