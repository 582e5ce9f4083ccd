"""edgekd verify: that a bundle is what was written, and that its model answers as it did."""

from importlib import import_module
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from edgekd.cli.options import JsonOption


def command(
    bundle: Annotated[Path, typer.Argument(help="A folder that `edgekd compress` wrote.")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Check every digest of a bundle, load its models and replay the golden inputs."""
    checked = import_module("edgekd.report.verify").verify(bundle)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(checked), indent=1).decode())
        return
    typer.echo(
        f"{checked.bundle}: {checked.files} files as written; {checked.golden_samples} golden samples replayed, "
        f"largest difference {checked.largest_difference:.2g} (at most {checked.tolerance:.2g})."
    )
