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
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text.")]
