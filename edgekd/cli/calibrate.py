"""edgekd targets calibrate: time what kernels cost on a device, so that `edgekd predict` has its own numbers."""

import os
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, get_args

import msgspec
import typer

from edgekd.bench.request import CPU
from edgekd.cli.finite import require_finite
from edgekd.cli.options import JsonOption
from edgekd.core.disk import require_room
from edgekd.core.errors import ConfigError
from edgekd.core.progress import PlainProgress
from edgekd.core.strict import suggestion
from edgekd.predict.tables import table_file, tables_folder
from edgekd.targets import PlacementName, load_target

if TYPE_CHECKING:
    from edgekd.predict.table import Table

_BOTH: Final = "both"
_NEAR: Final = 0.1
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]*")


def command(  # noqa: PLR0913 - one for each option
    target: Annotated[str | None, typer.Argument(help="A name from `edgekd targets list`, or a TOML file.")] = None,
    *,
    name: Annotated[str | None, typer.Option("--name", help="What to call a device that no target describes.")] = None,
    on: Annotated[str, typer.Option("--on", help="Where it is: local, or ssh:HOST.")] = "local",
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, max=256, help="[default: the target's, or 1]")
    ] = None,
    precision: Annotated[str, typer.Option("--precision", help="fp32, int8 or both.")] = _BOTH,
    placement: Annotated[
        str | None, typer.Option("--placement", help="The form of INT8 [default: the target's, or onnxruntime-x86].")
    ] = None,
    seconds: Annotated[
        float, typer.Option("--seconds", min=5, help="How long it may take; longer is more exact.")
    ] = 250.0,
    python: Annotated[str, typer.Option("--python", help="The device's Python with ONNX Runtime.")] = "python3",
    out: Annotated[Path | None, typer.Option("--out", help="Write the table there [default: the user's own].")] = None,
    as_json: JsonOption = False,
) -> None:
    """Time kernels on a device, in under five minutes, and write a table for `edgekd predict`."""
    if (target is None) == (name is None):
        message = "calibrate: give a target, or --name NAME for a device that no target describes, and not both."
        raise ConfigError(message)
    require_finite({"--seconds": seconds})
    facts = None if target is None else load_target(target)
    if facts is not None and facts.runtime.execution_provider != CPU:
        message = (
            f"{facts.name}: its runtime is {facts.runtime.name} with {facts.runtime.execution_provider}; only kernels "
            f"of ONNX Runtime's {CPU} can be timed: use `edgekd bench` there."
        )
        raise ConfigError(message)
    called = facts.name if facts is not None else str(name)
    if not _NAME.fullmatch(called):
        message = f"--name: {called!r} given; expected lower case letters, digits and hyphens."
        raise ConfigError(message)
    import_module("edgekd.bench.places").place_of(on)  # before anything heavy is loaded
    tables = import_module("edgekd.predict.table")
    precisions = _one_of(precision, (_BOTH, *tables.PRECISIONS), "--precision")
    form = placement or (
        facts.quantization.placement if facts is not None and facts.quantization else "onnxruntime-x86"
    )
    work = import_module("edgekd.predict.calibrating")
    request = import_module("edgekd.bench.kernel_run").KernelRequest(
        seconds=seconds, threads=threads or (facts.benchmark.threads if facts else 1), python=python
    )
    job = work.Job(
        target=called,
        device=None if facts is None else facts.device,
        where=on,
        precisions=tables.PRECISIONS if precisions == _BOTH else (precisions,),
        placement=_one_of(form, get_args(PlacementName), "--placement"),
        request=request,
        seconds=seconds,
    )
    path = out or table_file(tables_folder(os.environ), called, request.threads)
    require_room(path, advice="give another file with --out")
    table = work.calibrate(job, PlainProgress(sys.stderr))
    tables.write_table(path, table)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(_summary(table, path)), indent=1).decode())
    else:
        _tell(table, path)


def _one_of(given: str, choices: tuple[str, ...], option: str) -> str:
    """Return *given*; ConfigError where it is none of *choices*."""
    if given not in choices:
        message = f"{option}: {given!r} given; {suggestion(given, choices)}"
        raise ConfigError(message)
    return given


class Foretold(msgspec.Struct, frozen=True, kw_only=True):
    """How many random networks of a precision were timed, and how near they are foretold without their own kernels."""

    networks: int
    median_error: float
    within_10_percent: float


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to say of a table without its samples."""

    table: str
    target: str
    date: str
    fingerprint: dict[str, str]
    others_busy: float
    not_target: str | None
    left_out: dict[str, Foretold]


def _summary(table: "Table", path: Path) -> Summary:
    """Return the summary of *table*, which lies at *path*."""
    foretold: dict[str, Foretold] = {}
    for precision in table.precisions:
        errors = sorted(abs(error) for error in table.errors(precision).tolist())
        foretold[precision] = Foretold(
            networks=sum(network.precision == precision for network in table.networks),
            median_error=errors[len(errors) // 2],
            within_10_percent=sum(error <= _NEAR for error in errors) / len(errors),
        )
    return Summary(
        table=str(path),
        target=table.target,
        date=table.date,
        fingerprint=dict(table.fingerprint),
        others_busy=table.others_busy,
        not_target=table.not_target,
        left_out=foretold,
    )


def _tell(table: "Table", path: Path) -> None:
    """Print what was timed and how well it foretells."""
    cpu, threads = table.fingerprint["cpu"], table.threads
    typer.echo(f"Written: {path}: {table.target}, {cpu}, {table.runtime}, {threads} thread(s).")
    for precision, one in _summary(table, path).left_out.items():
        typer.echo(
            f"{precision}: {one.networks} random networks; foretold without their own kernels, half of them are within "
            f"{one.median_error:.1%} of what they took, {one.within_10_percent:.0%} within 10 %"
        )
    if table.not_target is not None:
        typer.echo(f"beware: this is not shown to be {table.target}: {table.not_target}.")
    if table.others_busy > import_module("edgekd.bench.criticism").BUSY_PART:
        typer.echo(f"beware: other processes used {table.others_busy:.0%} of a core meanwhile.")
