"""The edgekd command: its sub-commands, and how every one of them ends."""

import sys
from typing import Annotated

import typer

from edgekd import __version__
from edgekd.cli import compress, plan, report, targets, verify
from edgekd.core.errors import EdgekdError

INTERRUPTED = 130

app = typer.Typer(
    name="edgekd",
    help="Make a network small and fast for a named device, and prove what it costs and how well it works.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("compress")(compress.command)
app.command("plan")(plan.command)
app.command("report")(report.command)
app.command("verify")(verify.command)
app.add_typer(targets.app, name="targets")


def _show_version(value: bool) -> None:  # noqa: FBT001 - typer calls it with the flag's value
    if value:
        typer.echo(f"edgekd {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[  # noqa: ARG001 - handled by its callback
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and stop.")
    ] = False,  # noqa: FBT002 - a flag
) -> None:
    """Take the options that stand before a command."""


def main() -> None:
    """Run the command line; an expected failure is one sentence on the error stream and its exit code."""
    try:
        app()
    except EdgekdError as error:
        sys.stderr.write(f"edgekd: {error}\n")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("\nedgekd: interrupted; the same command goes on from the last saved step.\n")
        sys.exit(INTERRUPTED)
