"""edgekd predict: how long a network would take on a device that did not run it, with its error bar."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from edgekd.cli.options import JsonOption
from edgekd.core.errors import ConfigError
from edgekd.core.units import count, milliseconds
from edgekd.targets import load_target

if TYPE_CHECKING:
    from edgekd.predict.estimate import Estimate

_SLOWEST_SHOWN = 15


def command(  # noqa: PLR0913 - one for each option
    model: Annotated[Path, typer.Argument(help="An ONNX file.")],
    *,
    target: Annotated[
        str, typer.Option("--target", help="A device: a name from `edgekd targets list`, or the path of a TOML file.")
    ],
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
    """Estimate a network's latency from published points of the device or of cores like it. Nothing is measured."""
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
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(found), indent=1).decode())
    else:
        _tell(found, all_layers=all_layers)


def _tell(found: "Estimate", *, all_layers: bool) -> None:
    """Print the estimate, what it rests on, what speaks against it, and its layers."""
    typer.echo(
        f"ESTIMATE, not measured: {found.estimated_network} on {found.estimated_for}, {found.estimated_precision}, "
        f"{found.estimated_threads} thread(s)"
    )
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
    for caveat in found.caveats:
        typer.echo(f"beware: {caveat}.")
    shown = found.estimated_layers
    if not all_layers:
        shown = tuple(sorted(shown, key=lambda layer: -layer.estimated_ms)[:_SLOWEST_SHOWN])
    title = "every layer" if all_layers else f"the slowest {len(shown)} of {len(found.estimated_layers)} layers"
    typer.echo(f"{title} (estimated ms, part, kind, MACs, name):")
    for layer in shown:
        typer.echo(
            f"{layer.estimated_ms:>10.4f} {layer.estimated_ms / found.estimated_ms:>6.1%}  {layer.kind:<13} "
            f"{count(layer.layer_macs):>8}  {layer.layer} ({layer.operator})"
        )
