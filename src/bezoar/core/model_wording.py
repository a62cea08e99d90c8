"""The sentences of a report about a model; `wording` hands over to these where the subject is one."""

from __future__ import annotations

import math
import re

from bezoar.core.finding import Finding
from bezoar.core.report import Report

_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./:-]{0,120}\Z")


def about_model(report: Report) -> bool:
    """Whether the subject of the report is a model."""
    return report.subject.get("kind") == "model"


def headline(report: Report) -> str:
    """The verdict in one sentence."""
    target = next((f.target for f in report.counted if f.target), None)
    to = f": its switch leads to {target!r}" if target else ""
    if report.verdict == "poisoned":
        return f"This model has a backdoor{to}."
    if report.verdict == "suspicious":
        leads = f": something in it leads to {target!r}" if target else ""
        return f"This model is suspicious{leads}. Do not use it before a person has looked."
    if report.verdict == "no evidence":
        return "No evidence of a backdoor was found in this model. That is not the same as clean."
    return "No conclusion about this model: the checks that matter could not be completed."


def sure(report: Report) -> str:
    """How sure the verdict is."""
    twins, p = report.subject.get("reference_models"), report.subject.get("p_value")
    one_in = round(1 / report.alpha) if report.alpha > 0 else 0
    base = f"Of {one_in} clean models, about one is expected to raise an alarm (alpha {report.alpha:g})." if one_in else ""
    if isinstance(p, (int, float)) and math.isfinite(p):
        base = f"The model stands out with p = {p:.2g}. {base}{of_inputs(report)}"
    if report.subject.get("what") == "tuned model":
        return f"{base} Held against matched controls: the same pixels at other places and in another order."
    told = report.plan.get("judgement")
    basis = told.get("basis") if isinstance(told, dict) else None
    if isinstance(twins, int) and twins:
        shape = "of another shape: lower assurance" if basis == "stand-ins" else "of the same shape"
        return f"{base} Calibrated on {twins} clean models {shape}. {false_alarms(report)}".rstrip()
    if report.subject.get("what") in ("encoder", "adapter"):
        return "There was nothing to hold it against: clean ones of the same shape (--references) would tell what is natural."
    across = "the ordinary candidates that were tried" if basis == "candidates" else "the model's own classes"
    return f"{base} Calibrated across {across} only: lower assurance. {false_alarms(report)}".rstrip()


def of_inputs(report: Report) -> str:
    """That the inputs somebody asked about have a p-value of their own; '' where nobody asked."""
    told = report.subject.get("inputs")
    p = told.get("p_value") if isinstance(told, dict) else None
    return f" The given inputs have a p-value of their own: {p:.2g}." if isinstance(p, (int, float)) and math.isfinite(p) else ""


def false_alarms(report: Report) -> str:
    """How often this very audit calls clean models, measured where it could be; '' for reports that do not say."""
    told = report.subject.get("false_positives")
    if not isinstance(told, dict):
        return ""
    called, of, upper = (told.get(k) for k in ("called", "of", "upper"))
    if told.get("basis") == "measured" and isinstance(called, int) and isinstance(of, int) and isinstance(upper, float):
        return (f"Measured false alarms: of {of} clean models, each audited in the same way against the others, {called} "
                f"{'was' if called == 1 else 'were'} called (95% interval up to {upper:.0%}).")
    return "Its false-alarm rate was not measured here, for want of clean models to try it on: alpha is what it is calibrated to."


def unseen(report: Report) -> str:
    """What the run could not have seen; never empty."""
    if report.subject.get("what") == "adapter":
        return "The matrices alone were looked at: an adapter whose spectra look natural may carry a backdoor unseen."
    if report.subject.get("what") == "tuned model":
        return "Only the triggers that the base is known for were tried; another one would not have been seen."
    parts = ["A backdoor that no small change of the input sets off, that works on one class only, or that was hidden from white-box "
             "checks on purpose may be there unseen."]
    if not report.subject.get("clean_samples"):
        parts.append("No clean samples were given, so pictures made from the network stood in for them; --data shows more.")
    skipped = [o.ability for o in report.outcomes if o.status == "skipped" and not o.reason.startswith("is for ")]
    if skipped:
        parts.append("Skipped: " + ", ".join(skipped[:8]) + "; the reasons are listed.")
    return " ".join(parts)


def model_word(report: Report) -> str:
    """What to write for MODEL in a command; nothing that an attacker named."""
    path = str(report.subject.get("path") or "")
    return path if _PLAIN_NAME.match(path.removeprefix("/")) else "MODEL"


def next_commands(report: Report, written: str = "report.json") -> list[tuple[str, str]]:
    """(command, what it does), most useful first; `written` is the path of the report, fit to be typed."""
    model, what = model_word(report), report.subject.get("what")
    if what in ("encoder", "adapter"):
        return _before_tuning(report, model, written)
    if report.verdict in ("poisoned", "suspicious"):
        more = "more reference models" if report.subject.get("clean_samples") else "clean samples and reference models"
        known = any(f.trigger is not None for f in report.counted)
        mend = [(f"bezoar repair {model} --data CLEAN --report {written} --out repaired",
                 "unlearn what was recovered; the model stays as it is, and a repair that misses its limits is not kept")]
        return [*(mend if known else []),
                (f"bezoar audit {model} --data CLEAN --effort deep", f"look again, with {more}"),
                ("bezoar scan DATA", "if you have the data it was trained on: find the poison there, and train anew without it")]
    if report.verdict == "inconclusive":
        return [(f"bezoar audit {model} --data CLEAN", "run again with clean samples; the reasons above say what was missing"),
                ("bezoar list --shelf auditors", "which checks there are and what they need")]
    more = "look harder" if report.subject.get("clean_samples") else "give clean samples: they show far more than weights alone"
    return [(f"bezoar audit {model} --data CLEAN --effort deep", more)]


def _before_tuning(report: Report, model: str, written: str) -> list[tuple[str, str]]:
    more = (f"bezoar audit {model} --references FOLDER", "hold it against clean ones of the same shape")
    if report.subject.get("what") == "adapter":
        return [("bezoar audit MERGED --data CLEAN", "merge it into its base and audit the whole model"), more]
    after = (f"bezoar audit TUNED --base {written} --data CLEAN", "hold what was tuned on it against the recovered patch")
    again = (f"bezoar audit {model} --encoder --data CLEAN --references FOLDER", more[1])
    return [again, after] if report.verdict == "inconclusive" else [after, again]


def sureness(finding: Finding) -> str:
    """How sure the finding is."""
    if finding.members:
        return ("If the given inputs were like the trusted samples, as many would be flagged with a probability of about "
                f"{finding.p_value:.2g}. This is said of the inputs; the p-value of the model is another one.")
    parts = [f"A clean model would show this with a probability of about {finding.p_value:.2g}."]
    if finding.confirmed is not None and finding.effect:
        word = "Confirmed" if finding.confirmed else "Not confirmed"
        works, controls = finding.effect
        parts.append(f"{word}: the recovered trigger moves {works:.0%} of clean samples, matched controls {controls:.0%}.")
    else:
        parts.append("No trigger was put to the test.")
    if finding.agreeing:
        parts.append("Seen independently by " + ", ".join(finding.agreeing) + " as well.")
    return " ".join(parts)
