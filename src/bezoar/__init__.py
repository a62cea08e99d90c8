"""Bezoar answers one question: has this been poisoned?

In the order of use:

    import bezoar

    report = bezoar.scan("photos/")                  # a path, arrays, a data frame, a torch dataset
    report = bezoar.scan(x, y)                       # report.verdict, report.findings, report.scores
    bezoar.write_report(report, "out/")              # report.json, report.html, report.sarif, scores.parquet
    bezoar.clean("photos/", "out/report.json", "safe/")
    bezoar.restore("safe/", "photos-again/")
    bezoar.trace_prediction("odd.png", "photos/")    # which samples made a model's answer, and who sent them
    bezoar.attack("badnets", "photos/", "poisoned/", rate=0.01)
    bezoar.audit("model.safetensors", data="trusted/")    # may I use this model?
    bezoar.redteam("photos/", attacks=["badnets"], out="scoreboard/")
    bezoar.repair("model.safetensors", "photos/", report="audit/report.json", out="repaired/")
    watched = bezoar.guard("model.safetensors", "photos/")     # watched(inputs).flagged
    bezoar.sign("photos/", "private.pem")            # photos.sig, which OpenSSF model-signing verifies too
    data = bezoar.open_verified("photos/", "photos.sig", public_key="public.pem")    # only bytes that were signed
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bezoar.api import accept, catalogue, clean, explain, load, read_report, restore, scan, write_report
    from bezoar.attribution import trace_prediction
    from bezoar.auditing import audit
    from bezoar.core.dataset import Dataset
    from bezoar.core.errors import BezoarError, ExitCode
    from bezoar.core.report import Report
    from bezoar.guarding import guard
    from bezoar.planting import attack, poison
    from bezoar.provenance.guard import open_verified
    from bezoar.provenance.verbs import keygen, sign, verify
    from bezoar.red import redteam
    from bezoar.remedy import repair

__all__ = ["BezoarError", "Dataset", "ExitCode", "Report", "accept", "attack", "audit", "catalogue", "clean", "explain", "guard", "keygen",
           "load", "open_verified", "poison", "read_report", "redteam", "repair", "restore", "scan", "sign", "trace_prediction", "verify",
           "write_report"]

_HOMES = {"BezoarError": "bezoar.core.errors", "ExitCode": "bezoar.core.errors", "Dataset": "bezoar.core.dataset",
          "Report": "bezoar.core.report", "redteam": "bezoar.red", "attack": "bezoar.planting", "poison": "bezoar.planting",
          "audit": "bezoar.auditing", "guard": "bezoar.guarding", "repair": "bezoar.remedy", "trace_prediction": "bezoar.attribution",
          "open_verified": "bezoar.provenance.guard",
          **dict.fromkeys(("keygen", "sign", "verify"), "bezoar.provenance.verbs")}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'bezoar' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES.get(name, "bezoar.api")), name)


def __dir__() -> list[str]:
    return sorted(__all__)
