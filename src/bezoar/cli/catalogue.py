"""`bezoar list` and `bezoar explain`: the registry, read aloud."""

from __future__ import annotations

from typing import Annotated

import typer

from bezoar.cli.show import say_json

LIST_EPILOG = """Examples:

  bezoar list

  bezoar list --shelf attacks --json"""
EXPLAIN_EPILOG = """Examples:

  bezoar explain association

  bezoar explain badnets --json"""


def list_all(shelf: Annotated[str, typer.Option(help="Only this shelf.")] = "",
             as_json: Annotated[bool, typer.Option("--json", help="Machine output on stdout.")] = False) -> int:
    """Everything bezoar can do: detectors, attacks, repairs, sources, reports, modalities."""
    from bezoar import api, registry

    if shelf:
        registry.shelf(shelf)
    cards = api.catalogue(shelf)
    if as_json:
        say_json(cards)
        return 0
    width = max((len(c["name"]) for c in cards), default=0)
    last = ""
    for c in cards:
        if c["shelf"] != last:
            last = c["shelf"]
            print(("" if c is cards[0] else "\n") + last)  # noqa: T201
        later = "" if c["effort"] == "quick" else f" (from --effort {c['effort']} on)"
        print(f"  {c['name']:<{width}}  {c['summary']}{later}")  # noqa: T201
    return 0


def explain(name: Annotated[str, typer.Argument(help="An ability; see `bezoar list`.")],
            as_json: Annotated[bool, typer.Option("--json", help="Machine output on stdout.")] = False) -> int:
    """What an ability looks for or does, when it fails, what it costs, and the paper."""
    from bezoar import api

    cards = api.explain(name)
    if as_json:
        say_json(cards)
        return 0
    for c in cards:
        print(f"{c['name']} ({c['shelf']}): {c['summary']}\n")  # noqa: T201
        print(c["story"])  # noqa: T201
        for key in ("modalities", "needs", "threats", "extras", "cost", "reference"):
            value = c[key]
            if value:
                print(f"\n{key}: {', '.join(value) if isinstance(value, list) else value}", end="")  # noqa: T201
        if c["parameters"]:
            print("\nparameters: " + ", ".join(f"{k}={v!r}" for k, v in c["parameters"].items()), end="")  # noqa: T201
        print()  # noqa: T201
    return 0


def register(app: typer.Typer) -> None:
    """Put the commands on the app."""
    app.command("list", epilog=LIST_EPILOG)(list_all)
    app.command(epilog=EXPLAIN_EPILOG)(explain)
