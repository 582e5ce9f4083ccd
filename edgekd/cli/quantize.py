"""edgekd quantize: post-training quantization of an ONNX file, without its training code."""

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from edgekd.cli.options import DataOption, JsonOption, SkipOption, TargetOption
from edgekd.core.errors import ConfigError
from edgekd.core.progress import PlainProgress
from edgekd.core.strict import convert
from edgekd.plan import read_recipe
from edgekd.quantize.recipe import PostTraining
from edgekd.targets import Target, build_command, load_target, why_refused
from edgekd.tasks.source import Data

OUT = Path("edgekd-out")


def command(  # noqa: PLR0913 - one for each option
    model: Annotated[Path, typer.Argument(help="The float network: an ONNX file. It is only read.")],
    target: TargetOption = None,
    data: DataOption = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="data.FIELD=VALUE", help="Say more of the data, for instance data.size=[224,224]."
        ),
    ] = None,
    *,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the result [default: edgekd-out/<model>-int8].")
    ] = None,
    store: Annotated[Path, typer.Option("--store", help="Folder of decoded data.")] = OUT / ".store",
    form: Annotated[
        str,
        typer.Option(
            "--form", help="static; without calibration: dynamic (wins in perceptrons) or weights (size alone)."
        ),
    ] = "static",
    method: Annotated[str, typer.Option("--method", help="Ranges: mse, percentile, entropy or min-max.")] = "mse",
    equalize: Annotated[str, typer.Option("--equalize", help="auto, yes or no.")] = "auto",
    bias_correction: Annotated[str, typer.Option("--bias-correction", help="auto, yes or no.")] = "auto",
    adaround: Annotated[str, typer.Option("--adaround", help="auto, yes or no; takes a minute or more.")] = "no",
    samples: Annotated[int, typer.Option("--samples", help="Training samples to calibrate with.")] = 512,
    drop_budget: Annotated[
        float | None, typer.Option("--drop-budget", help="Points that may be lost before layers stay in float.")
    ] = None,
    cost: Annotated[str, typer.Option("--cost", help="What a layer in float costs: macs or bytes.")] = "macs",
    seed: Annotated[int, typer.Option("--seed", help="Where every random number comes from.")] = 0,
    skip_unreadable: SkipOption = False,
    as_json: JsonOption = False,
) -> None:
    """Quantize an ONNX file for a device, with real samples and no training."""
    given = {
        "form": form,
        "method": method,
        "equalize": equalize,
        "bias_correction": bias_correction,
        "adaround": adaround,
        "samples": samples,
        "drop_budget": drop_budget,
        "cost": cost,
        "seed": seed,
    }
    settings = convert(given, PostTraining, where="command line")
    facts = _target(target, model)
    source = _data(data, assignments or (), skip_unreadable=skip_unreadable)
    destination = out or OUT / f"{model.stem}-int8"
    progress = PlainProgress(sys.stderr)
    import_module("edgekd.report.before_quantizing").check_out(destination)
    import_module("edgekd.stages.onnx_file").read_float_network(model)
    task = import_module("edgekd.tasks.load").load_task(source, cache=store / "cache" / "data", progress=progress)
    if settings.form == "static":
        emulator = import_module("edgekd.bench.emulator").emulator_folder(os.environ)
        heavy = import_module("edgekd.report.quantized")
        report = heavy.quantize_file(
            model, task, facts, settings, out=destination, progress=progress, emulator=emulator
        )
        text = import_module("edgekd.report.quantized_content").markdown(report, details=False)
    else:
        light = import_module("edgekd.report.compacted")
        report = light.compact_file(model, task, facts, settings.form, out=destination, progress=progress)
        text = light.markdown(report)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(report), indent=1).decode())
        return
    typer.echo(text)
    typer.echo(f"Written: {destination} (read {destination / 'report.md'})")


def _target(name: str | None, model: Path) -> Target:
    """Return the facts of the device; ConfigError where it is unknown or takes no INT8, with the way out."""
    if name is None:
        message = "no target given; use --target NAME, see `edgekd targets list`."
        raise ConfigError(message)
    target = load_target(name)
    why = why_refused(target, "int8")
    if why is not None:
        precision = target.precision.default
        build = build_command(target, model=str(model), precision=precision)
        way_out = f"ship the float file and let it run in {precision.upper()}"
        message = f"{target.name}: INT8 asked, but {why}; {way_out}{f': {build}' if build else '.'}"
        raise ConfigError(message)
    return target


def _data(source: str | None, assignments: list[str] | tuple[()], *, skip_unreadable: bool) -> Data:
    """Return where the samples are; ConfigError where nobody said so: random numbers are no samples."""
    if source is None:
        message = "no data to calibrate with; use --data with real samples: random numbers would give wrong ranges."
        raise ConfigError(message)
    tables = read_recipe(None, assignments)
    other = sorted(tables.keys() - {"data"})
    if other:
        message = f"--set {other[0]}: means nothing here; only data.FIELD=VALUE does."
        raise ConfigError(message)
    fields: dict[str, Any] = dict(tables.get("data", {})) | {"source": source}
    if skip_unreadable:
        fields["skip_unreadable"] = True
    return convert(fields, Data, where="command line: data")
