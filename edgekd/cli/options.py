"""Options that more than one command takes."""

from pathlib import Path
from typing import Annotated

import typer

TargetOption = Annotated[
    str | None,
    typer.Option("--target", help="A device: a name from `edgekd targets list`, or the path of a TOML file."),
]
RecipeOption = Annotated[Path | None, typer.Option("--recipe", help="A TOML file with the settings to change.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="STAGE.FIELD=VALUE", help="Change one setting, for instance prune.ratio=0.4."),
]
SeedOption = Annotated[int | None, typer.Option("--seed", help="Where every random number comes from [default: 0].")]
DataOption = Annotated[
    str | None,
    typer.Option("--data", help="folder:DIR, npz:FILE, cifar10:DIR, hf:NAME_OR_DIR or module:package.module:task."),
]
SkipOption = Annotated[bool, typer.Option("--skip-unreadable", help="Leave out images that cannot be decoded.")]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model", help="The network to ship: a built-in name, package.module:factory, file.py:factory or timm:NAME."
    ),
]
ModelArgOption = Annotated[
    list[str] | None,
    typer.Option("--model-arg", metavar="NAME=VALUE", help="An argument of its factory, for instance width=0.5."),
]
WeightsOption = Annotated[
    Path | None, typer.Option("--weights", help="Its tensors: a .safetensors file, or a .pt with tensors only.")
]
TeacherOption = Annotated[
    list[str] | None,
    typer.Option(
        "--teacher",
        help="Who teaches it: an ONNX file, a saved network's folder (several are averaged), or a name as in --model.",
    ),
]
TeacherArgOption = Annotated[
    list[str] | None, typer.Option("--teacher-arg", metavar="NAME=VALUE", help="An argument of the teacher's factory.")
]
TeacherWeightsOption = Annotated[Path | None, typer.Option("--teacher-weights", help="The teacher's tensors.")]
DeviceOption = Annotated[str, typer.Option("--device", help="Where training runs: cpu, cuda or mps.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text.")]
