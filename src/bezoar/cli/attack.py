"""`bezoar attack NAME DATA --out DIR`: one sub-command per attack, its options read off its constructor.

Attacks on models take MODEL in the place of DATA, and clean samples with --data.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import typer

from bezoar.cli import columns
from bezoar.cli.show import say_json
from bezoar.core.ability import Ability
from bezoar.core.model_attack import ModelAttack

PLAIN = (int, float, str, bool)


def _plain(hint: Any) -> Any:
    """The type that an option has on the command line: X for X | None, str for anything else."""
    if hint in PLAIN:
        return hint
    inner = [a for a in get_args(hint) if a is not type(None)]
    if type(None) in get_args(hint) and len(inner) == 1 and inner[0] in PLAIN:
        return inner[0] | None
    return str


def explained(cls: type[Ability]) -> dict[str, str]:
    """Parameter name to its words in the class docstring: lines of the form "name   words"."""
    found: dict[str, str] = {}
    last = ""
    for row in (inspect.getdoc(cls) or "").splitlines():
        match = re.match(r"(\w+) {2,}(\S.*)", row)
        if match and match[1] in cls.signature():
            last = match[1]
            found[last] = match[2]
        elif last and row.startswith("   "):
            found[last] += " " + row.strip()
        else:
            last = ""
    return found


def command(cls: type[Ability]) -> Callable[..., int]:
    """A function whose signature is DATA, --out, --seed, the reading options and the attack's own parameters."""
    hints = get_type_hints(cls.__init__)
    words = explained(cls)
    own = {k: p for k, p in cls.signature().items() if _plain(hints.get(k, str)) is not str or hints.get(k) in (str, str | None)}

    def run(data: str, out: Path, seed: int, as_json: bool, modality: str, label: str, text: str, id_column: str, source: str,
            contributor: str, time: str, **parameters: Any) -> int:
        from bezoar import planting

        how = columns.reading(modality, label, text, id_column, source, contributor, time)
        done = planting.attack(cls.info.name, data, out, seed=seed, reading=how, **parameters)
        if as_json:
            say_json({"out": str(done.out), **done.truth})
        else:
            gone = done.truth.get("removed", [])
            what = f"{len(gone):,} samples removed" if gone else f"{len(done.truth['poisoned']):,} samples poisoned"
            print(f"{what} ({done.truth['attack']}, target {done.truth['target']}): {done.out}")  # noqa: T201
            print(f"truth: {out / 'truth.json'}")  # noqa: T201
        return 0

    def parameter(name: str, hint: Any, default: Any) -> inspect.Parameter:
        return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)

    parameters = [
        inspect.Parameter("data", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Annotated[str, columns.data("Clean data.")]),
        parameter("out", Annotated[Path, typer.Option(help="New folder for the poisoned copy and truth.json.")], inspect.Parameter.empty),
        parameter("seed", Annotated[int, typer.Option(min=0, help="Seed.")], 0),
        parameter("as_json", Annotated[bool, typer.Option("--json", help="Machine output on stdout.")], False),
        *(parameter(k, getattr(columns, t), "") for k, t in [("modality", "Modality"), ("label", "Label"), ("text", "Text"),
                                                             ("id_column", "Id"), ("source", "SourceColumn"),
                                                             ("contributor", "Contributor"), ("time", "Time")] if k not in own),
        *(parameter(k, Annotated[_plain(hints.get(k, str)), typer.Option(help=words.get(k, k))], p.default)
          for k, p in own.items())]
    missing = dict.fromkeys(own.keys() & {"modality", "label", "text", "id_column", "source", "contributor", "time"}, "")

    def face(**given: Any) -> int:
        return run(**{**missing, **given})

    face.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    face.__annotations__ = {p.name: p.annotation for p in parameters}
    face.__doc__ = f"{cls.info.summary}\n\n{cls.info.reference}"
    return face


def model_command(cls: type[ModelAttack]) -> Callable[..., int]:
    """A function whose signature is MODEL, --data, --out, --seed, how the model is opened and the attack's own parameters."""
    hints = get_type_hints(cls.__init__)
    words = explained(cls)

    def face(model: str, data: str, out: Path, seed: int, as_json: bool, encoder: bool, factory: str, classes: str, shape: str, pixels: str,
             label: str, **parameters: Any) -> int:
        from bezoar import auditing, implanting

        names = [c.strip() for c in classes.split(",")] if classes else ()
        done = implanting.implant(cls.info.name, model, data, out, seed=seed, encoder=encoder, factory=factory, classes=names,
                                  shape=auditing.shape_of(shape), pixels=pixels, reading=columns.reading("", label, "", "", "", "", ""),
                                  **parameters)
        if as_json:
            say_json({"out": str(done.out), **done.truth})
        else:
            told = done.truth
            how = f"mean cosine {told['reached']:.2f} to its place" if encoder else f"{told['reached']:.0%} of clean samples go there"
            changed = f"{told['budget']['share']:.1%} of the numbers changed"
            print(f"{told['attack']}, target {told['target']}: {how}, {changed}: {done.out}")  # noqa: T201
            print(f"truth: {out / 'truth.json'}")  # noqa: T201
        return 0

    def parameter(name: str, hint: Any, default: Any) -> inspect.Parameter:
        return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)

    empty = inspect.Parameter.empty
    parameters = [
        inspect.Parameter("model", inspect.Parameter.POSITIONAL_OR_KEYWORD,
                          annotation=Annotated[str, typer.Argument(help="A weights file.")]),
        parameter("data", Annotated[str, typer.Option(help="Clean samples with labels, in any format DATA can have.")], empty),
        parameter("out", Annotated[Path, typer.Option(help="New folder for the backdoored file, trigger/ and truth.json.")], empty),
        parameter("seed", Annotated[int, typer.Option(min=0, help="Seed.")], 0),
        parameter("as_json", Annotated[bool, typer.Option("--json", help="Machine output on stdout.")], False),
        parameter("encoder", Annotated[bool, typer.Option("--encoder", help="The file is an encoder without a head.")], False),
        parameter("factory", Annotated[str, typer.Option("--model", help="package.module:function that builds the network.")], ""),
        parameter("classes", Annotated[str, typer.Option(help="Names of the model's classes in their order, with commas between.")], ""),
        parameter("shape", Annotated[str, typer.Option(help="Height x width of the pictures it reads, such as 32x32.")], ""),
        parameter("pixels", Annotated[str, typer.Option(help="How pictures are scaled: -1..1, 0..1 or imagenet.")], ""),
        parameter("label", columns.Label, ""),
        *(parameter(k, Annotated[_plain(hints.get(k, str)), typer.Option(help=words.get(k, k))], p.default)
          for k, p in cls.signature().items())]
    face.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    face.__annotations__ = {p.name: p.annotation for p in parameters}
    face.__doc__ = f"{cls.info.summary}\n\nThe attacker {cls.threat_model}.\n\n{cls.info.reference}"
    return face


def register(app: typer.Typer) -> None:
    """One sub-command per attack on the shelf."""
    from bezoar import registry

    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None,
                        help="Poison a copy of your data or your model, to see what would be found.")
    for name, cls in registry.shelf("attacks").items():
        if issubclass(cls, ModelAttack):
            group.command(name, epilog=f"Examples:\n\n  bezoar attack {name} MODEL --data CLEAN --out poisoned\n\n  "
                                       f"bezoar attack {name} MODEL --data CLEAN --out poisoned --seed 7 --json")(model_command(cls))
            continue
        group.command(name, epilog=f"Examples:\n\n  bezoar attack {name} DATA --out poisoned\n\n  "
                                   f"bezoar attack {name} DATA --out poisoned --seed 7 --json")(command(cls))
    app.add_typer(group, name="attack")
