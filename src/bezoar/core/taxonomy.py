"""Public names of threats, with the edition they were taken from. Ids are emitted with legacy aliases where renamed."""

from __future__ import annotations

EDITIONS = {"atlas": "MITRE ATLAS 5.6.0 (2026-04-30)", "owasp_ml": "OWASP ML Top 10 (2023)",
            "owasp_llm": "OWASP LLM Top 10 (2025)", "nist": "NIST AI 100-2 E2025"}

_THREATS: dict[str, tuple[str, dict[str, list[str]]]] = {
    "backdoor-dirty-label": ("Backdoor planted with changed labels",
                             {"atlas": ["AML.T0020", "AML.T0043.004"], "nist": ["NISTAML.023"], "owasp_ml": ["ML02"],
                              "owasp_llm": ["LLM04:2025"]}),
    "backdoor-clean-label": ("Backdoor that its labels do not give away",
                             {"atlas": ["AML.T0020", "AML.T0043.004"], "nist": ["NISTAML.021", "NISTAML.012"],
                              "owasp_ml": ["ML02"], "owasp_llm": ["LLM04:2025"]}),
    "label-flip": ("Changed labels", {"atlas": ["AML.T0020"], "nist": ["NISTAML.013"], "owasp_ml": ["ML02"]}),
    "targeted": ("Targeted poisoning", {"atlas": ["AML.T0020"], "nist": ["NISTAML.024"], "owasp_ml": ["ML02"]}),
    "availability": ("Degraded training data", {"atlas": ["AML.T0059", "AML.T0031"], "nist": ["NISTAML.01"],
                                                "owasp_ml": ["ML02"]}),
    "source": ("A source whose data differs from the rest",
               {"atlas": ["AML.T0010.002", "AML.T0020"], "nist": ["NISTAML.05"], "owasp_ml": ["ML06"]}),
    "bias": ("Outcomes bent against one group", {"atlas": ["AML.T0059"], "nist": ["NISTAML.013"], "owasp_ml": ["ML02", "ML08"]}),
    "integrity": ("Damaged or disguised records", {"atlas": ["AML.T0059"], "nist": ["NISTAML.05"], "owasp_ml": ["ML06"]}),
    "duplicates": ("Repeated records", {"atlas": ["AML.T0020"], "nist": ["NISTAML.013"], "owasp_ml": ["ML02"]}),
    "model-backdoor": ("Backdoor in a model",
                       {"atlas": ["AML.T0018.000", "AML.T0010.003"], "nist": ["NISTAML.051", "NISTAML.026"], "owasp_ml": ["ML10"],
                        "owasp_llm": ["LLM04:2025"]}),
    "declared": ("Poison planted on purpose and declared", {"atlas": ["AML.T0020"]}),
}

THREATS = tuple(_THREATS)


def threat_record(key: str) -> dict[str, object]:
    """Name, ids and editions of a threat.

    >>> threat_record("label-flip")["atlas"]
    ['AML.T0020']
    """
    name, ids = _THREATS[key]
    return {"key": key, "name": name, **ids, "editions": {k: EDITIONS[k] for k in ids}}
