"""Texts that somebody might put into a sample, a name, a label or a source to attack whoever reads the report."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
from sample_report import sample_report

from bezoar.core.evidence import Bars, Excerpt, Facts, Picture, Plot
from bezoar.core.finding import Finding
from bezoar.core.report import OutcomeLine, Report, ScoreTable, Sensitivity
from bezoar.core.table_triggers import Values
from bezoar.core.text_triggers import Phrases

MARKUP = [
    "<script>alert(1)</script>", "</style><script>alert(1)</script>", "</title><h1>x", "<img src=x onerror=alert(1)>",
    "\"><svg onload=alert(1)>", "' onmouseover='alert(1)", "javascript:alert(1)", "</td></tr></table><h1>clean</h1>", "<!--", "-->",
    "]]>", "<![CDATA[x]]>", "&lt;b&gt;", "&#x3c;script&#x3e;", "{{ 7*7 }}", "{% raw %}", "{# x #}", "${7*7}", "<base href=//evil.example>",
    "<meta http-equiv=refresh content=0;url=//evil.example>", "<link rel=stylesheet href=//evil.example/x.css>", "<iframe srcdoc='x'>",
    "<details open ontoggle=alert(1)>", "<math><mi//xlink:href='data:x,<script>alert(1)</script>'>", "`<b`", "\\\"><b>", "<\x00script>",
    "＜script＞", "data:text/html,<script>alert(1)</script>", "x\" autofocus onfocus=\"alert(1)"]
TERMINAL = [
    "\x1b[2J\x1b[H", "\x1b]0;owned\x07", "\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\", "\x1b]52;c;cm0gLXJm\x07", "\x1b[31mred", "\x9b31m",
    "\x9d0;x\x9c", "a\rVERDICT clean", "a\nb\nfake line", "a\tb", "a\x08\x08b", "\x07", "\x0b\x0c", "\x7f\x7f", "\x85next", "[bold red]markup[/]",
    "[link=http://evil.example]x[/link]", ":skull:"]
UNSEEN = [
    "\u202egnp.exe", "\u2066abc\u2069", "pay\u200bpal", "a\u200d\u200cb", "\ufeffbom", "\u00adsoft", "\u2028line\u2029par", "\U000e0041\U000e0042tag",
    "a\u034fb", "\u115f\u3164", "a\ufe0fb", "\ud800", "\udcff\udc80", "a\ud83d", "\ue000private", "\u061c\u200e\u200f", "\u180e"]
FORMULAS = [
    "=HYPERLINK(\"http://evil.example\",\"x\")", "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\0=1", " =1", "＝1+1", "＋1", "－1", "＠A",
    "|calc", "%0A=1", "\u00a0=1", "\u200b=1", "\ufeff=1", "\u202e=1", "\u00ad=1", "\u2009=1", "=1\"\"", "\u3000@x"]
SHAPES = ["x" * 50_000, "\u0301" * 400, "../../etc/passwd", "/etc/passwd", "C:\\con.png", "a/../../b.png", "", " ", "𝔘𝔫𝔦", "שלום", "null", "NaN", "'", "\"", "\\", "\\x1b[31m",
          "--out=/etc", "$(rm -rf ~)", "`id`", "; rm -rf ~", "a b.png", "%2e%2e/x.png", "#frag?q", "http://evil.example/x.png", "[x](http://evil.example)", "{0}"]
HOSTILE = MARKUP + TERMINAL + UNSEEN + FORMULAS + [s for s in SHAPES if s.strip()]


@cache
def _base() -> Report:
    return dataclasses.replace(sample_report(), findings=(), accepted=())


def hostile_report(text: str) -> Report:
    """A report in which `text` stands wherever others can write."""
    base = _base()
    picture = Picture(np.zeros((4, 4, 3), np.uint8), text, text)
    evidence = (picture, Excerpt(text, ((0, 1),), text, text), Facts((text, text), ((text, text),), text, text),
                Bars((text,), (3.0,), (text,), text), Plot(np.arange(3.0), {text: np.arange(3.0), text + "'": np.arange(3.0)}, "line", text, text, text))
    common = {"ability": "shortcuts", "subject": "f" * 64, "kind": "group", "title": text, "members": (text, text + "2"), "threat": "label-flip",
              "p_value": 0.001, "suspicion": 0.9, "target": text, "because": text, "doubt": text, "advice": text, "agreeing": (text,),
              "origin": {text: {text: 2}, "source": {text: 1}}}
    findings = (Finding(**common, evidence=evidence, trigger=Phrases((text, "y")), confirmed=True, effect=(0.9, 0.1)),
                Finding(**{**common, "threat": "integrity"}, trigger=Values((text,), (text,)), quarantined=(text,)),
                Finding(**{**common, "threat": "duplicates"}, advisory=True))
    ids = np.array([text, "2"], object)
    scores = ScoreTable(ids, ids, np.zeros(2), np.ones(2), np.zeros(2, bool), np.array(["", findings[0].id], object), {text: np.zeros(2)})
    return dataclasses.replace(
        base, subject={**base.subject, "name": text, "modality": text, "fingerprint": text, "path": text}, findings=findings, reason=text,
        notes=(text,), unreadable=((text, text),), outcomes=(OutcomeLine(text, "skipped", text), OutcomeLine(text, "failed", text)),
        sensitivity=(Sensitivity(text, 3, (1, 5), text), Sensitivity(text, None)), plan={text: text}, environment={text: text}, scores=scores,
        overview=evidence)
