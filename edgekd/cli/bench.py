"""edgekd bench: how long a network really takes, here or on a device."""

import csv
import io
import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from edgekd.cli.options import JsonOption, TargetOption
from edgekd.core.units import memory, milliseconds, size
from edgekd.targets import load_target

if TYPE_CHECKING:
    from edgekd.bench.measurement import Measurement


def command(  # noqa: PLR0913 - one for each option
    model: Annotated[Path, typer.Argument(help="An ONNX file.")],
    target: TargetOption = None,
    *,
    on: Annotated[
        str, typer.Option("--on", help="Where: local, or ssh:HOST with your own ssh configuration.")
    ] = "local",
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, max=256, help="[default: the target's, or 1]")
    ] = None,
    runs: Annotated[int | None, typer.Option("--runs", min=1, help="[default: the target's, or 200]")] = None,
    warmup_runs: Annotated[int | None, typer.Option("--warmup-runs", min=1, help="At least so many.")] = None,
    python: Annotated[str, typer.Option("--python", help="The device's Python with ONNX Runtime.")] = "python3",
    batch: Annotated[int, typer.Option("--batch", min=1, help="Samples at once, where the file leaves it open.")] = 1,
    sustained: Annotated[float, typer.Option("--sustained", min=0, help="Go on for so many minutes.")] = 0.0,
    profile: Annotated[bool, typer.Option("--profile", help="Also the time of each operator.")] = False,
    history: Annotated[bool, typer.Option("--history", help="Also what was measured of this file before.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the raw samples as CSV.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure the latency of a network: raw samples, and what speaks against them."""
    facts = None if target is None else load_target(target).benchmark
    places = import_module("edgekd.bench.places")
    asked = places.Request(
        model=str(model),
        threads=threads or (facts.threads if facts else 1),
        runs=runs or (facts.runs if facts else 200),
        warmup_runs=warmup_runs or (facts.warmup_runs if facts else 50),
        python=python,
        batch=batch,
        seconds=60 * sustained,
        profile=profile,
    )
    found = import_module("edgekd.bench.measuring").measure(model, asked, where=on, target=target)
    stored = import_module("edgekd.bench.history")
    folder = stored.history_folder(os.environ)
    earlier = stored.recall(folder, found.model) if history else ()
    stored.remember(folder, found)
    if as_json:
        known = msgspec.to_builtins(found) | {"summary": found.summary(), "fingerprint": found.fingerprint}
        typer.echo(msgspec.json.format(msgspec.json.encode(known), indent=1).decode())
    elif as_csv:
        typer.echo(_csv(found), nl=False)
    else:
        _tell(found, earlier)


def _csv(found: "Measurement") -> str:
    """Return the raw samples, a row for each."""
    lines = io.StringIO()
    writer = csv.writer(lines)
    writer.writerow(["model", "where", "threads", "batch", "started_ms", "latency_ms"])
    for started, taken in zip(found.run.started_ms, found.run.samples_ms, strict=True):
        writer.writerow([found.model, found.where, found.threads, found.batch, started, taken])
    return lines.getvalue()


def _tell(found: "Measurement", earlier: tuple["Measurement", ...]) -> None:
    """Print what was measured, what speaks against it, and what was measured before."""
    said, run = found.summary(), found.run
    typer.echo(
        f"{found.model} ({size(found.size_bytes)}) on {found.where}: {run.before.cpu}, {found.threads} thread(s),"
    )
    typer.echo(f"ONNX Runtime {run.onnxruntime}, {run.providers[0]}, batch {found.batch}. Measured, not estimated.")
    times = ", ".join(
        f"{name} {milliseconds(said[f'{key}_ms'])}"
        for name, key in (("median", "median"), ("p90", "p90"), ("p95", "p95"), ("p99", "p99"), ("minimum", "minimum"))
    )
    typer.echo(f"{times}; n = {len(run.samples_ms)}")
    peak = "" if run.peak_memory_bytes is None else f", peak memory {memory(run.peak_memory_bytes)}"
    typer.echo(
        f"load {milliseconds(run.load_ms)}, first inference {milliseconds(run.first_ms)}, "
        f"{said['samples_per_s']:.4g} samples/s{peak}"
    )
    for row in run.profile[:12]:
        typer.echo(f"  {row['operator']}: {row['calls']} calls, {row['microseconds'] / 1e3:.3f} ms in all")
    for sentence in import_module("edgekd.bench.measurement").criticism(found):
        typer.echo(f"beware: {sentence}.")
    for one in earlier:
        why = import_module("edgekd.bench.history").comparable(one, found)
        median = milliseconds(one.summary()["median_ms"])
        said_then = f"not comparable: {why}" if why else f"median {median}, n = {len(one.run.samples_ms)}"
        typer.echo(f"before, {one.date}: {said_then}")
