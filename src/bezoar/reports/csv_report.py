"""findings.csv: one row per campaign for people who work in a spreadsheet.

RFC 4180 with CRLF; no cell can start a formula (OWASP ASVS 5.0, 1.2.10), hidden characters are written out, numbers stay
numbers. Members are counted and the first 20 are named; report.json has them all. Cost: milliseconds.
"""

from __future__ import annotations

import csv
import io
import math

from bezoar.core.ability import Info, Renderer
from bezoar.core.escape import cell
from bezoar.core.report import Report

HEADER = ("id", "counts", "title", "target", "threat", "channel", "members", "at_least", "quarantined", "p_value", "suspicion",
          "confirmed", "first_members")


class CsvReport(Renderer):
    """Report -> findings.csv.

    >>> CsvReport().render(Report({"name": "x"}, "no evidence", 0.01, 0, (), ()))[:9]
    b'id,counts'
    """

    info = Info(name="csv", summary="findings.csv: one row per campaign, for spreadsheets")
    filename = "findings.csv"

    def __init__(self, *, members: int = 20) -> None:
        self.members = members

    def render(self, report: Report) -> bytes:
        """UTF-8 bytes."""
        sink = io.StringIO(newline="")
        writer = csv.writer(sink, lineterminator="\r\n")
        writer.writerow(HEADER)
        counted = {f.id for f in report.counted}
        for f in report.findings:
            row = (f.id, "yes" if f.id in counted else "no", f.title, f.target or "", f.threat, f.ability, len(f.members), f.at_least,
                   len(f.quarantined), f.p_value if math.isfinite(f.p_value) else "", f.suspicion if math.isfinite(f.suspicion) else "",
                   {True: "yes", False: "no", None: "not tested"}[f.confirmed], "; ".join(f.members[:self.members]))
            writer.writerow([cell(v) for v in row])
        return sink.getvalue().encode("utf-8", "backslashreplace")
