"""The command line: one command per verb. The only place that turns errors into exit codes."""

from __future__ import annotations

import errno
import os
import sys
from typing import Annotated

import typer

from bezoar.cli import attack, audit, catalogue, demo, log, mend, pin, policy, redteam, repair, scan, sign, trace, versions
from bezoar.cli.show import complain
from bezoar.cli.streams import prepare
from bezoar.core.errors import BezoarError, ExitCode
from bezoar.core.escape import line

FULL = {errno.ENOSPC, errno.EDQUOT}
REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOENT}
"""What the file system says no to, whatever the command; the files that a command is about have sentences of their own."""

STOPPED = 130
"""What the parser of commands returns when Ctrl-C was pressed inside one."""

app = typer.Typer(name="bezoar", no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False,
                  help="Has this been poisoned? Scan data you did not make yourself, see the evidence, put it right.",
                  context_settings={"help_option_names": ["-h", "--help"]})


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"bezoar {version('bezoar')}")
        raise typer.Exit()


@app.callback()
def top(version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
        debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False) -> None:
    """Exit codes: 0 nothing at or above the gate, 1 findings, 2 wrong use or unreadable input, 3 incomplete or inconclusive."""


scan.register(app)
audit.register(app)
repair.register(app)
mend.register(app)
attack.register(app)
redteam.register(app)
catalogue.register(app)
demo.register(app)
sign.register(app)
policy.register(app)
log.register(app)
versions.register(app)
pin.register(app)
trace.register(app)


def run(argv: list[str] | None = None) -> None:
    """The console script: exits with an `ExitCode`."""
    argv = sys.argv[1:] if argv is None else argv
    prepare()
    debug = "--debug" in argv
    as_json = "--json" in argv
    try:
        code = app(argv, prog_name="bezoar", standalone_mode=False)
        if code == STOPPED:
            raise KeyboardInterrupt
        sys.exit(int(code or 0))
    except BezoarError as error:
        if debug:
            raise
        complain(error.message, error.advice, as_json)
        sys.exit(int(error.exit_code))
    except (KeyboardInterrupt, typer.Abort):
        complain("stopped", "run the same command again to resume", as_json)
        sys.exit(int(ExitCode.INCOMPLETE))
    except Exception as error:
        if debug:
            raise
        if isinstance(error, OSError) and error.errno in REFUSED | FULL:
            full = error.errno in FULL
            what = line(str(error.filename), 200) if error.filename else "a file"
            complain(f"{what} cannot be written or read: {os.strerror(error.errno or 0)}",
                     "make room and run the same command again" if full else "give another place, or the right to use this one", as_json)
            sys.exit(int(ExitCode.INCOMPLETE if full else ExitCode.WRONG_USE))
        if hasattr(error, "format_message"):  # what the parser of options raises
            context = getattr(error, "ctx", None)
            if type(error).__name__ == "NoArgsIsHelpError" and context is not None:
                sys.stderr.write(context.get_help() + "\n")
                sys.exit(int(ExitCode.WRONG_USE))
            complain(error.format_message(), f"see `{'bezoar' if context is None else context.command_path} --help`", as_json)
            sys.exit(int(ExitCode.WRONG_USE))
        complain(f"unexpected {type(error).__name__}: {error}", "this is a defect of bezoar; --debug shows where", as_json)
        sys.exit(int(ExitCode.INCOMPLETE))


if __name__ == "__main__":
    run()
