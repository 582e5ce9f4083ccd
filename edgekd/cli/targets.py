"""edgekd targets: the devices that are known, and what is known of them."""

from pathlib import Path
from typing import Annotated, get_args

import msgspec
import typer

from edgekd.cli import calibrate
from edgekd.cli.options import JsonOption
from edgekd.targets import (
    PrecisionName,
    Target,
    load_target,
    new_target,
    target_names,
    target_path,
    target_schema,
)

app = typer.Typer(help="List, show or check devices.", rich_markup_mode=None)
app.command("calibrate")(calibrate.command)

NameArgument = Annotated[str, typer.Argument(help="A name from `edgekd targets list`, or the path of a TOML file.")]


@app.command("list")
def list_targets(*, as_json: JsonOption = False) -> None:
    """List the devices: what is shipped to each, and whether each precision is fast there, works, or is refused."""
    rows = [_row(load_target(name)) for name in target_names()]
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(rows), indent=1).decode())
        return
    widths = {column: max(len(column), *(len(row[column]) for row in rows)) for column in rows[0]}
    for row in ({column: column for column in widths}, *rows):
        typer.echo("  ".join(row[column].ljust(width) for column, width in widths.items()).rstrip())


@app.command("show")
def show(name: NameArgument, *, as_json: JsonOption = False) -> None:
    """Show every fact of a device with its source."""
    target = load_target(name)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(target), indent=1).decode())
        return
    typer.echo(target_path(name).read_text(encoding="utf-8"), nl=False)


@app.command("schema")
def schema() -> None:
    """Print the JSON Schema of a target file, for editors that complete and check."""
    typer.echo(msgspec.json.format(msgspec.json.encode(target_schema()), indent=1).decode())


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="The new target's name: lower case, digits and hyphens.")],
    *,
    source: Annotated[
        str, typer.Option("--from", help="The target that it starts from, a name or the path of a TOML file.")
    ],
) -> None:
    """Write NAME.toml here, a copy of another target to change; nothing is replaced."""
    path = new_target(name, source, Path.cwd())
    typer.echo(
        f"Written: {path.name}. Its facts are those of {source}: change each with its source and date, then "
        f"`edgekd targets check {path.name}`; targets/README.md says how."
    )


@app.command("check")
def check(name: NameArgument) -> None:
    """Check a target file: its fields, its sources, and that its facts do not contradict each other."""
    target = load_target(name)
    typer.echo(f"{name}: good; {target.title} ships {target.precision.default}.")


def _row(target: Target) -> dict[str, str]:
    """Return what the list says of *target*, by column."""
    verdicts = {name: getattr(target.precision, name).verdict for name in get_args(PrecisionName)}
    return {"name": target.name, "ships": target.precision.default} | verdicts | {"title": target.title}
