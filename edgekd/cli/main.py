"""The edgekd command: its sub-commands, and how every one of them ends."""

import sys
from typing import Annotated, Final

import click
import typer

from edgekd import __version__
from edgekd.cli import bench, compress, gate, plan, predict, quantize, report, targets, verify
from edgekd.core.errors import ConfigError, EdgekdError

INTERRUPTED = 130
"""What typer makes of Ctrl-C."""

app = typer.Typer(
    name="edgekd",
    help="Make a network small and fast for a named device, and prove what it costs and how well it works.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("bench")(bench.command)
app.command("compress")(compress.command)
app.command("gate")(gate.command)
app.command("plan")(plan.command)
app.command("predict")(predict.command)
app.command("quantize")(quantize.command)
app.command("report")(report.command)
app.command("verify")(verify.command)
app.add_typer(targets.app, name="targets")


_OUT_OF_MEMORY: Final = ("can't allocate memory", "out of memory")


def _show_version(value: bool) -> None:  # noqa: FBT001 - typer calls it with the flag's value
    if value:
        typer.echo(f"edgekd {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Take the options that stand before a command; the version's callback has ended the program if it was asked."""
    del version


def main() -> None:
    """Run the command line; an expected failure is one sentence on the error stream and its exit code."""
    try:
        code = app(args=sys.argv[1:] or ["--help"], standalone_mode=False)
    except click.ClickException as error:
        code = _fail(f"{error.format_message()} See --help.", error.exit_code)
    except EdgekdError as error:
        code = _fail(str(error), error.exit_code)
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        code = _fail(
            "not enough memory; lower batch_size of the stage above with --set, or close other programs. "
            "What was done is kept: the same command goes on from there.",
            ConfigError.exit_code,
        )
    if code == INTERRUPTED:
        _fail("interrupted; the same command goes on from the last saved step.", code)
    sys.exit(code)


def _is_out_of_memory(error: MemoryError | RuntimeError) -> bool:
    """Tell whether *error* is Python's, numpy's or torch's way to say so; torch's has no type of its own on a CPU."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in _OUT_OF_MEMORY)


def _fail(sentence: str, code: int) -> int:
    """Write *sentence* to the error stream and return *code*."""
    sys.stderr.write(f"edgekd: {sentence}\n")
    return code


if __name__ == "__main__":
    main()
