"""edgekd gate: whether a network became slower than the one before it."""

import os
import sys
from collections.abc import Mapping
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
    on: Annotated[str, typer.Option("--on", help="local, or emulator:CORE to count instructions.")] = "local",
    max_regression: Annotated[
        str | None,
        typer.Option("--max-regression", help="What is allowed, such as 3% [default: 3%, 0.5% of instructions]."),
    ] = None,
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
    counts = import_module("edgekd.bench.gate_instructions")
    place, _, core = on.partition(":")
    if place == "emulator":
        limit = part_of(max_regression or "0.5%", where="--max-regression")
        counted = counts.count_and_judge(baseline, candidate, core or "cortex-a76", limit, environment=os.environ)
        _tell(counted, reports.markdown_of_counts(counted, candidate), as_json=as_json)
        _write({junit: reports.junit(counted, candidate), markdown: reports.markdown_of_counts(counted, candidate)})
        sys.exit(gates.EXIT_CODES[counted.answer])
    if on != "local":
        message = f"--on: {on!r} given; expected local or emulator:CORE, such as emulator:cortex-a76."
        raise ConfigError(message)
    settings = gates.GateSettings(
        max_regression=part_of(max_regression or "3%", where="--max-regression"),
        floor_ms=milliseconds_of(floor, where="--floor"),
        threads=threads,
        max_seconds=max_seconds,
        seed=seed,
    )
    verdict = gates.gate(baseline, candidate, settings)
    summary = reports.markdown(verdict, candidate)
    _write({junit: reports.junit(verdict, candidate), markdown: summary})
    _tell(verdict, summary, as_json=as_json)
    sys.exit(gates.EXIT_CODES[verdict.answer])


def _write(texts: Mapping[Path | None, str]) -> None:
    """Write each text to its path; None is nowhere."""
    for path, text in texts.items():
        if path is not None:
            with disk_errors(path):
                write_atomically(path, text.encode())


def _tell(verdict: object, summary: str, *, as_json: bool) -> None:
    """Print the answer, for programs or for people."""
    typer.echo(msgspec.json.format(msgspec.json.encode(verdict), indent=1).decode() if as_json else summary)
