"""edgekd quantize: post-training quantization of an ONNX file, without its training code."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from edgekd.cli.options import DataOption, JsonOption, SetOption, TargetOption
from edgekd.core.errors import ConfigError
from edgekd.core.progress import PlainProgress
from edgekd.core.strict import convert
from edgekd.plan import read_recipe
from edgekd.targets import load_target
from edgekd.tasks.source import Data


def command(  # noqa: PLR0913 - one for each option
    model: Annotated[Path, typer.Argument(help="The float network: an ONNX file. It is only read.")],
    target: TargetOption = None,
    data: DataOption = None,
    assignments: SetOption = None,
    *,
    out: Annotated[Path, typer.Option("--out", help="Folder for the INT8 file and its report.")] = Path("edgekd-int8"),
    method: Annotated[str, typer.Option("--method", help="Ranges: mse, percentile, entropy or min-max.")] = "mse",
    equalize: Annotated[str, typer.Option("--equalize", help="auto, yes or no.")] = "auto",
    bias_correction: Annotated[str, typer.Option("--bias-correction", help="auto, yes or no.")] = "auto",
    adaround: Annotated[str, typer.Option("--adaround", help="auto, yes or no.")] = "no",
    samples: Annotated[int, typer.Option("--samples", help="Training samples to calibrate with.")] = 512,
    drop_budget: Annotated[
        float | None, typer.Option("--drop-budget", help="Points that may be lost before layers stay in float.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Where every random number comes from.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Quantize an ONNX file for a device, with real samples and no training."""
    if target is None:
        message = "no target given; use --target NAME, see `edgekd targets list`."
        raise ConfigError(message)
    if data is None:
        message = "no data to calibrate with; use --data with real samples: random numbers would give wrong ranges."
        raise ConfigError(message)
    recipe = import_module("edgekd.quantize.recipe")
    given = {
        "method": method,
        "equalize": equalize,
        "bias_correction": bias_correction,
        "adaround": adaround,
        "samples": samples,
        "drop_budget": drop_budget,
        "seed": seed,
    }
    settings = convert(given, recipe.PostTraining, where="command line")
    tables = read_recipe(None, assignments or ())
    source = convert(dict(tables.get("data", {})) | {"source": data}, Data, where="command line: data")
    facts = load_target(target)
    progress = PlainProgress(sys.stderr)
    task = import_module("edgekd.tasks.load").load_task(
        source, cache=Path("edgekd-out/.store/cache/data"), progress=progress
    )
    heavy = import_module("edgekd.report.quantized")
    found = heavy.quantize_file(model, task, facts, settings, out=out, progress=progress)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(found), indent=1).decode())
        return
    for line in heavy.lines_of(found):
        typer.echo(line)
    typer.echo(f"Written: {out}")
