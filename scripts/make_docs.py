"""Writes the reference pages from the code itself: docs/reference/cli.md, docs/reference/abilities.md, docs/reference/exit-codes.md.

`python scripts/make_docs.py --check` exits 1 when a page is not what the code says.
"""

from __future__ import annotations

import sys
from pathlib import Path

from typer.testing import CliRunner

from bezoar import api, registry
from bezoar.cli.main import app
from bezoar.core.errors import ExitCode

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "docs" / "reference"
COMMANDS = ("scan", "audit", "show", "accept", "clean", "restore", "list", "explain", "demo", "redteam", "repair", "attack",
            "keygen", "sign", "verify", "gate", "snapshot", "versions", "diff", "checkout", "rollback", "pin", "recheck",
            "trace", "export", "pointers")
GROUPS = ("policy", "record", "log", "sources", "incident")
_CODES = {ExitCode.NOTHING: "nothing at or above the gate", ExitCode.FINDINGS: "findings at or above the gate (`--fail-on`)",
          ExitCode.WRONG_USE: "wrong use or unreadable input",
          ExitCode.INCOMPLETE: "incomplete or inconclusive: a check failed, a limit was hit, nothing could run, or `--strict` and a check "
                               "was skipped"}


def _help(*words: str) -> str:
    result = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1"})
    return "\n".join(row.rstrip() for row in result.output.splitlines()).strip()


def cli() -> str:
    """Every command's help."""
    parts = ["# Command line\n\nGenerated from the program; do not edit."]
    for name in COMMANDS:
        parts.append(f"## bezoar {name}\n\n```text\n{_help(name)}\n```")
    for group in GROUPS:
        parts.append(f"## bezoar {group}\n\n```text\n{_help(group)}\n```")
        for info in next(g for g in app.registered_groups if g.name == group).typer_instance.registered_commands:
            parts.append(f"### bezoar {group} {info.name}\n\n```text\n{_help(group, info.name)}\n```")
    for name in registry.shelf("attacks"):
        parts.append(f"### bezoar attack {name}\n\n```text\n{_help('attack', name)}\n```")
    return "\n\n".join(parts) + "\n"


def abilities() -> str:
    """Every ability's card and story, shelf by shelf."""
    parts = ["# Abilities\n\nGenerated from the program; do not edit. `bezoar explain NAME` prints the same."]
    for shelf in registry.SHELVES:
        parts.append(f"## {shelf.capitalize()}")
        for card in (c for c in api.catalogue(shelf)):
            story = next(c for c in api.explain(card["name"]) if c["shelf"] == shelf)["story"]
            rows = [f"| {key} | {', '.join(value) if isinstance(value, list) else value} |"
                    for key in ("channel", "modalities", "needs", "threats", "extras", "cost", "effort", "reference")
                    if (value := card[key]) and (key, value) != ("effort", "quick")]
            rows += [f"| `{k}` | default `{v!r}` |" for k, v in card["parameters"].items()]
            head = f"### {card['name']}\n\n{card['summary'][0].upper()}{card['summary'][1:]}."
            parts.append(f"{head}\n\n{story}\n\n| | |\n|---|---|\n" + "\n".join(rows))
    return "\n\n".join(parts) + "\n"


def exit_codes() -> str:
    """The table of exit codes."""
    rows = "\n".join(f"| {int(code)} | {text} |" for code, text in _CODES.items())
    return ("# Exit codes\n\nGenerated from the program; do not edit.\n\n| code | meaning |\n|---|---|\n" + rows +
            "\n\nFindings win over gaps (1, and the gaps are printed); without findings gaps win over 0.\n")


PAGES = {"cli.md": cli, "abilities.md": abilities, "exit-codes.md": exit_codes}


def main() -> int:
    stale = []
    for name, make in PAGES.items():
        path, text = REFERENCE / name, make()
        if "--check" in sys.argv:
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                stale.append(name)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if stale:
        sys.stderr.write(f"not what the code says: {', '.join(stale)}; run `make docs`\n")
    return bool(stale)


if __name__ == "__main__":
    sys.exit(main())
