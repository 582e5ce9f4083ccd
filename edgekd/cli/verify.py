"""edgekd verify: that a bundle is what was written, and that its model answers as it did."""

import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from edgekd.cli.options import JsonOption

if TYPE_CHECKING:
    from edgekd.stages.parity import Ladder


def command(
    bundle: Annotated[Path, typer.Argument(help="A folder that `edgekd compress` or `edgekd quantize` wrote.")],
    *,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also compute the INT8 file in torch and on emulated ARM cores.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check every digest of a bundle, load its models and replay the golden inputs."""
    checked = import_module("edgekd.report.verify").verify(bundle)
    ladder: Ladder | None = None
    if deep:
        folder = import_module("edgekd.bench.emulator").emulator_folder(os.environ)
        ladder = import_module("edgekd.report.deep").verify_deeply(bundle, folder)
    if as_json:
        known = msgspec.to_builtins(checked) | ({"ladder": ladder} if ladder else {})
        typer.echo(msgspec.json.format(msgspec.json.encode(known), indent=1).decode())
        return
    typer.echo(
        f"{checked.bundle}: {checked.files} files as written; {checked.golden_samples} golden samples replayed, "
        f"largest difference {checked.largest_difference:.2g} (at most {checked.tolerance:.2g})."
    )
    for line in _lines(ladder) if ladder else ():
        typer.echo(line)


def _lines(ladder: "Ladder") -> Iterator[str]:
    """Return what is said of each rung, and the notes."""
    for rung in ladder.rungs:
        first = f", first in {rung.first_difference}" if rung.first_difference else ""
        yield (
            f"{rung.name}: same class for {rung.top1:.2%} of {rung.samples} samples, outputs off by "
            f"{rung.largest_lsb:.2g} steps, {rung.differing:.2g} of {rung.levels} activations differ{first}."
        )
    yield from ladder.notes
