"""The command line.

Exit codes: 0 done, 1 task failures recorded, 2 bad usage or config, 75 temporary trouble, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import logging
import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from emseg.pipeline import cli_data, cli_run, cli_stitch
from emseg.pipeline.cli_errors import OUTSIDE, described
from emseg.pipeline.output import keep_stdout, log_to_stderr, note_stop, same_command
from emseg.tasks.volume.errors import EmsegError

USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]  # typer's own click: it does not export UsageError
STOPPED = 130  # what typer, too, makes of Ctrl-C
ASKING = {"--help", "--version"}  # their answer is text of typer's own, on standard output

app = typer.Typer(
    name="emseg",
    help="From an electron-microscopy volume to neurons; the chunk grid never shows in the result.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
cli_run.register(app)
cli_stitch.register(app)
cli_data.register(app)


@app.callback(invoke_without_command=True)
def _root(
    show_version: Annotated[bool, typer.Option("--version", help="print the version")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="structured log lines on standard error")] = False,
) -> None:
    log_to_stderr(logging.INFO if verbose else logging.ERROR)
    if show_version:
        typer.echo(version("emseg"))
        raise typer.Exit


def usage_line(error: Exception) -> str:
    """One line of a usage error, with the option that it is about."""
    described = getattr(error, "format_message", error.__str__)
    return " ".join(str(described()).split())


def main() -> None:
    """Run a command; an error of ours is one line on standard error."""
    if "AWS_ACCESS_KEY_ID" in os.environ:
        os.environ.setdefault("AWS_SESSION_TOKEN", "")  # cloud-files 6.4.3 reads it unasked
    if not ASKING.intersection(sys.argv):
        keep_stdout()
    try:
        code = app(standalone_mode=False)
    except EmsegError as error:
        typer.echo(f"emseg: {error}", err=True)
        sys.exit(error.exit_code)
    except USAGE_ERROR as error:
        typer.echo(f"emseg: {usage_line(error)}", err=True)
        sys.exit(2)
    except OUTSIDE as error:
        line, code = described(error)
        typer.echo(f"emseg: {line}", err=True)
        sys.exit(code)
    except (typer.Abort, KeyboardInterrupt):
        code = STOPPED
    if code == STOPPED:
        note_stop(f"; run the same command again: {same_command()}")
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
