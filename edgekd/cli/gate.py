"""edgekd gate: whether a network became slower than the one before it."""

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from edgekd.cli.finite import require_finite
from edgekd.cli.options import JsonOption
from edgekd.core.amounts import milliseconds_of, part_of
from edgekd.core.disk import disk_errors, write_atomically
from edgekd.core.errors import ConfigError

if TYPE_CHECKING:
    from edgekd.bench.gate import Verdict
    from edgekd.bench.gate_instructions import Counted
    from edgekd.bench.gate_stored import StoredVerdict

_LOCAL: Final = "local"
_EMULATOR: Final = "emulator"
_ALLOWED: Final = (
    "The slowdown that is allowed. One clearly above it fails, one of just so much ends as not sure: "
    "to find a slowdown of 5%, allow 3% [default: 3%; 0.5% of instructions]."
)


def command(  # noqa: PLR0913 - one for each option
    baseline: Annotated[
        Path, typer.Option("--baseline", help="The network to hold to: an ONNX file, or samples that --save wrote.")
    ],
    candidate: Annotated[
        Path | None, typer.Option("--candidate", help="The new one: an ONNX file, or its samples on the same host.")
    ] = None,
    *,
    save: Annotated[
        Path | None, typer.Option("--save", help="Judge nothing: write samples of --baseline to this JSON file.")
    ] = None,
    like: Annotated[
        Path | None, typer.Option("--like", help="With --save: take them as these samples were, to be judged by them.")
    ] = None,
    on: Annotated[str, typer.Option("--on", help="local, or emulator:CORE to count instructions.")] = "local",
    max_regression: Annotated[str | None, typer.Option("--max-regression", help=_ALLOWED)] = None,
    floor: Annotated[str, typer.Option("--floor", help="A slowdown that never counts, such as 0.2ms.")] = "0ms",
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, max=256, help="Of each network [default: 1, or the samples'].")
    ] = None,
    max_seconds: Annotated[
        float, typer.Option("--max-seconds", min=1, help="How long to look; four blocks are timed in any case.")
    ] = 60.0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Where the order of the runs comes from.")] = 0,
    junit: Annotated[Path | None, typer.Option("--junit", help="Write the answer as JUnit XML.")] = None,
    markdown: Annotated[Path | None, typer.Option("--markdown", help="Write a summary for a pull request.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two networks on this host: exit 0 no slower, 1 slower, 4 not sure."""
    place, _, core = on.partition(":")
    if on != _LOCAL and place != _EMULATOR:
        message = f"--on: {on!r} given; expected local or emulator:CORE, such as emulator:cortex-a76."
        raise ConfigError(message)
    require_finite({"--max-seconds": max_seconds})
    gates, files = import_module("edgekd.bench.gate"), import_module("edgekd.bench.gate_files")
    settings = gates.GateSettings(
        max_regression=part_of(
            max_regression if max_regression is not None else "3%" if on == _LOCAL else "0.5%", where="--max-regression"
        ),
        floor_ms=milliseconds_of(floor, where="--floor"),
        max_seconds=max_seconds,
        seed=seed,
    )
    if save is not None:
        judging = {"--junit": junit, "--markdown": markdown, "--json": as_json, "--max-regression": max_regression}
        others = [name for name, given in judging.items() if given]
        if candidate is not None or on != _LOCAL or others:
            left_out = ", ".join(["--candidate", *others])
            message = f"--save: times --baseline alone, on this host; leave out {left_out} and --on."
            raise ConfigError(message)
        files.save_samples(baseline, save, settings, threads=threads, like=like)
        typer.echo(f"{save}: samples of {baseline}; judge a network with edgekd gate --baseline {save} --candidate ...")
        return
    if like is not None:
        message = "--like: it says how --save takes samples; give it with --save, or leave it out."
        raise ConfigError(message)
    if candidate is None:
        message = "--candidate: not given; name the network to judge, or with --save a file for the baseline's samples."
        raise ConfigError(message)
    for path in (junit, markdown):
        if path is not None:
            _require_writable(path)
    reports = import_module("edgekd.bench.gate_report")
    found: Verdict | StoredVerdict | Counted
    if place == _EMULATOR:
        if settings.floor_ms or threads not in {None, 1}:
            message = "--floor and --threads: instructions are counted in one thread and take no time; leave them out."
            raise ConfigError(message)
        found = _count(baseline, candidate, core, settings.max_regression)
        summary = reports.markdown_of_counts(found, candidate)
    else:
        found = files.judge_files(baseline, candidate, settings, threads=threads)
        summary = reports.markdown(found, candidate)
    _write({junit: reports.junit(found, candidate), markdown: summary})
    typer.echo(msgspec.json.format(msgspec.json.encode(found), indent=1).decode() if as_json else summary)
    sys.exit(gates.EXIT_CODES[found.answer])


def _count(baseline: Path, candidate: Path, core: str, max_regression: float) -> "Counted":
    """Return the answer by instructions."""
    files = import_module("edgekd.bench.gate_files")
    for path in (baseline, candidate):
        files.require_network(path, why="instructions are counted of networks")
    counts = import_module("edgekd.bench.gate_instructions")
    counted: Counted = counts.count_and_judge(
        baseline, candidate, core or "cortex-a76", max_regression, environment=os.environ
    )
    return counted


def _require_writable(path: Path) -> None:
    """Raise ConfigError where *path* cannot become a file, before the answer that it is for has taken its time."""
    if path.is_dir() or not path.absolute().parent.is_dir():
        message = f"{path}: expected a file's name in a folder that is there; make the folder, or give another name."
        raise ConfigError(message)


def _write(texts: Mapping[Path | None, str]) -> None:
    """Write each text to its path; None is nowhere."""
    for path, text in texts.items():
        if path is not None:
            with disk_errors(path):
                write_atomically(path, text.encode())
