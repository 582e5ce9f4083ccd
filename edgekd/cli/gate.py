"""edgekd gate: whether a network became slower than the one before it."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from edgekd.cli.options import JsonOption
from edgekd.core.amounts import milliseconds_of, part_of
from edgekd.core.disk import disk_errors, write_atomically
from edgekd.core.errors import ConfigError


def command(  # noqa: PLR0913 - one for each option
    baseline: Annotated[Path, typer.Option("--baseline", help="The network to hold to: an ONNX file.")],
    candidate: Annotated[Path, typer.Option("--candidate", help="The new one.")],
    *,
    max_regression: Annotated[
        str, typer.Option("--max-regression", help="The slowdown that is allowed, such as 3% or 0.03.")
    ] = "3%",
    floor: Annotated[str, typer.Option("--floor", help="A slowdown that never counts, such as 0.2ms.")] = "0ms",
    threads: Annotated[int, typer.Option("--threads", min=1, max=256, help="Threads of each network.")] = 1,
    max_seconds: Annotated[float, typer.Option("--max-seconds", min=1, help="How long to look at most.")] = 60.0,
    seed: Annotated[int, typer.Option("--seed", help="Where the order of the runs comes from.")] = 0,
    junit: Annotated[Path | None, typer.Option("--junit", help="Write the answer as JUnit XML.")] = None,
    markdown: Annotated[Path | None, typer.Option("--markdown", help="Write a summary for a pull request.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two networks on this host: exit 0 no slower, 1 slower, 4 not sure."""
    for path in (baseline, candidate):
        if not path.is_file():
            message = f"{path}: no such file; give an ONNX file."
            raise ConfigError(message)
    gates, reports = import_module("edgekd.bench.gate"), import_module("edgekd.bench.gate_report")
    settings = gates.GateSettings(
        max_regression=part_of(max_regression, where="--max-regression"),
        floor_ms=milliseconds_of(floor, where="--floor"),
        threads=threads,
        max_seconds=max_seconds,
        seed=seed,
    )
    verdict = gates.gate(baseline, candidate, settings)
    for destination, text in ((junit, reports.junit), (markdown, reports.markdown)):
        if destination is not None:
            with disk_errors(destination):
                write_atomically(destination, text(verdict, candidate).encode())
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(verdict), indent=1).decode())
    else:
        typer.echo(reports.markdown(verdict, candidate))
    sys.exit(gates.EXIT_CODES[verdict.answer])
