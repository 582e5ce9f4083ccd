"""edgekd targets: the devices that are known, and what is known of them."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from edgekd.cli.options import JsonOption
from edgekd.targets import (
    exported_precisions,
    load_target,
    new_target,
    target_file,
    target_names,
    target_schema,
)

app = typer.Typer(help="List, show or check devices.", rich_markup_mode=None)

NameArgument = Annotated[str, typer.Argument(help="A name from `edgekd targets list`, or the path of a TOML file.")]


@app.command("list")
def list_targets(*, as_json: JsonOption = False) -> None:
    """List the devices with what is shipped to each."""
    targets = [load_target(name) for name in target_names()]
    if as_json:
        rows = [{"name": t.name, "title": t.title, "ships": t.precision.default} for t in targets]
        typer.echo(msgspec.json.format(msgspec.json.encode(rows), indent=1).decode())
        return
    for target in targets:
        others = ", ".join(p for p in exported_precisions(target) if p != target.precision.default)
        typer.echo(f"{target.name:<18} {target.title}; ships {target.precision.default}, also {others}")


@app.command("show")
def show(name: NameArgument, *, as_json: JsonOption = False) -> None:
    """Show every fact of a device with its source."""
    target = load_target(name)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(target), indent=1).decode())
        return
    path = target_file(name) if name in target_names() else Path(name)
    typer.echo(path.read_text(encoding="utf-8"), nl=False)


@app.command("schema")
def schema() -> None:
    """Print the JSON Schema of a target file, for editors that complete and check."""
    typer.echo(msgspec.json.format(msgspec.json.encode(target_schema()), indent=1).decode())


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="The new target's name: lower case, digits and hyphens.")],
    *,
    source: Annotated[str, typer.Option("--from", help="The target that it starts from.")],
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
