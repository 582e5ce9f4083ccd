"""edgekd predict: how long a network would take on a device that did not run it, with its error bar."""

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from edgekd.cli.options import JsonOption, TargetOption
from edgekd.core.errors import ConfigError
from edgekd.core.units import count, milliseconds
from edgekd.predict.tables import table_file, tables_folder
from edgekd.targets import PlacementName, Target, load_target

if TYPE_CHECKING:
    from edgekd.predict.calibrated import CalibratedEstimate
    from edgekd.predict.estimate import Estimate
    from edgekd.predict.table import Table

AUTO, NONE = "auto", "none"
_SLOWEST_SHOWN = 15


def command(  # noqa: PLR0913 - one for each option
    model: Annotated[Path, typer.Argument(help="An ONNX file.")],
    *,
    target: TargetOption = None,
    table: Annotated[
        str,
        typer.Option("--table", help="auto: what `edgekd targets calibrate` stored of it; none; or a table's path."),
    ] = AUTO,
    precision: Annotated[
        str, typer.Option("--precision", help="auto, fp32, fp16 or int8: what the device would run. auto: the file's.")
    ] = "auto",
    threads: Annotated[int | None, typer.Option("--threads", min=1, max=256, help="[default: the target's]")] = None,
    cluster: Annotated[str | None, typer.Option("--cluster", help="Which cores [default: the target's].")] = None,
    all_layers: Annotated[
        bool, typer.Option("--all-layers", help="Print every layer, in the network's order.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Estimate a network's latency, from the device's own table or from published points. Nothing is measured."""
    if not model.is_file():
        message = f"{model}: no such file; give an ONNX file."
        raise ConfigError(message)
    import_module("edgekd.bench.inputs").require_network(model)
    own = _own_table(table, target, threads)
    if own is not None:
        _require_its_cluster(cluster, target)
        asked_of = import_module("edgekd.predict.calibrated")
        form = {} if target is None else _form(load_target(target))
        wish = asked_of.Asked(path=model, precision=precision, threads=threads, **form)
        costs = import_module("edgekd.predict.table").costs_of(own[1])
        mine = asked_of.calibrated_estimate(wish, own[1], costs, where=str(own[0]))
        _give(mine, lambda: _tell_calibrated(mine), all_layers=all_layers, as_json=as_json)
        return
    if target is None:
        message = "no device given; use --target NAME, see `edgekd targets list`, or --table FILE."
        raise ConfigError(message)
    facts = load_target(target)
    chosen = cluster or facts.benchmark.cluster
    if chosen not in facts.device.clusters:
        message = f"--cluster {chosen}: {facts.name} has {', '.join(facts.device.clusters)}."
        raise ConfigError(message)
    layers = import_module("edgekd.predict.graph_layers").read_layers(model)
    asked = import_module("edgekd.predict.precision").asked_precision(precision, layers, where=str(model))
    found = import_module("edgekd.predict.estimate").estimate(
        layers,
        facts,
        network=model.name,
        precision=asked,
        threads=threads or facts.benchmark.threads,
        cluster=chosen,
    )
    _give(found, lambda: _tell_published(found), all_layers=all_layers, as_json=as_json)


def _own_table(asked: str, target: str | None, threads: int | None) -> "tuple[Path, Table] | None":
    """Return the table that is asked for and where it lies, None where there is none or none is wanted."""
    if asked == NONE:
        return None
    name = None
    if target is not None:
        facts = load_target(target)
        name, threads = facts.name, threads or facts.benchmark.threads
    path = Path(asked)
    if asked == AUTO:
        if name is None:
            return None
        path = table_file(tables_folder(os.environ), name, threads or 1)
        if not path.is_file():
            return None
    found = import_module("edgekd.predict.table").read_table(path)
    if name is not None and found.target != name:
        message = f"{path}: a table of {found.target}, asked is {name}; give its own table, or --table none."
        raise ConfigError(message)
    return path, found


def _require_its_cluster(cluster: str | None, target: str | None) -> None:
    """Raise ConfigError for other cores than those that a table is of: the target's own."""
    if cluster is not None and (target is None or cluster != load_target(target).benchmark.cluster):
        message = f"--cluster {cluster}: the table is of the default cores; leave it out, or give --table none."
        raise ConfigError(message)


def _form(facts: Target) -> dict[str, PlacementName]:
    """Return the form of INT8 that *facts* ask for, as an argument."""
    return {} if facts.quantization is None else {"placement": facts.quantization.placement}


def _give(
    found: "Estimate | CalibratedEstimate", tell_number: Callable[[], None], *, all_layers: bool, as_json: bool
) -> None:
    """Print the estimate, for a program or for a person; *tell_number* says the number and what it rests on."""
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(found), indent=1).decode())
        return
    typer.echo(
        f"ESTIMATE, not measured: {found.estimated_network} on {found.estimated_for}, {found.estimated_precision}, "
        f"{found.estimated_threads} thread(s)"
    )
    tell_number()
    for caveat in found.caveats:
        typer.echo(f"beware: {caveat}.")
    _tell_layers(found, all_layers=all_layers)


def _tell_calibrated(found: "CalibratedEstimate") -> None:
    """Print the estimate of a calibrated device and what it rests on."""
    typer.echo(
        f"estimated {milliseconds(found.estimated_ms)}; {found.probability:.0%} interval "
        f"{milliseconds(found.least_ms)} to {milliseconds(found.most_ms)}, as with {found.left_out} random networks "
        "that were left out"
    )
    typer.echo(
        f"rests on: {found.calibrated_kernels} kernels of {found.calibrated_networks} networks, timed on "
        f"{found.calibrated_where} ({found.calibrated_on}) with {found.calibrated_with}, {found.calibrated_at}"
    )


def _tell_published(found: "Estimate") -> None:
    """Print the estimate from published points and what it rests on."""
    typer.echo(
        f"estimated {milliseconds(found.estimated_ms)}; {found.probability:.0%} interval "
        f"{milliseconds(found.least_ms)} to {milliseconds(found.most_ms)} "
        f"({milliseconds(found.least_as_published_ms)} to {milliseconds(found.most_as_published_ms)} "
        "with the runtime of the published points)"
    )
    for ground in found.ground:
        typer.echo(
            f"rests on: {ground.published_device}: {ground.published_networks} networks, {ground.published_precision}, "
            f"{ground.published_threads} thread(s), {ground.published_with}, {ground.published_on}; "
            f"{ground.published_in}"
        )


def _tell_layers(found: "Estimate | CalibratedEstimate", *, all_layers: bool) -> None:
    """Print the slowest layers, or all in the network's order."""
    shown = found.estimated_layers
    if not all_layers:
        shown = tuple(sorted(shown, key=lambda layer: -layer.estimated_ms)[:_SLOWEST_SHOWN])
    title = "every layer" if all_layers else f"the slowest {len(shown)} of {len(found.estimated_layers)} layers"
    typer.echo(f"{title} (estimated, part, kind, MACs, name):")
    for layer in shown:
        typer.echo(
            f"{milliseconds(layer.estimated_ms):>10} {layer.estimated_ms / found.estimated_ms:>6.1%}  {layer.kind:<13} "
            f"{count(layer.layer_macs):>8}  {layer.layer} ({layer.operator})"
        )
