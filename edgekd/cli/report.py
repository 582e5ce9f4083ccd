"""edgekd report: the report of a bundle, once more."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from edgekd.cli.options import JsonOption
from edgekd.core.disk import disk_errors
from edgekd.core.errors import ConfigError


def command(
    bundle: Annotated[Path, typer.Argument(help="A folder that `edgekd compress` or `edgekd quantize` wrote.")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Print the report of a bundle."""
    path = bundle / ("report.json" if as_json else "report.md")
    with disk_errors(path):
        if not path.is_file():
            message = f"{path}: no such file; expected a folder that `edgekd compress` or `edgekd quantize` wrote."
            raise ConfigError(message)
        content = path.read_bytes()
    try:
        text = content.decode()
        if as_json:
            msgspec.json.decode(content)
    except (UnicodeDecodeError, msgspec.DecodeError) as error:
        message = f"{path}: not as it was written ({error}); make the bundle again."
        raise ConfigError(message) from error
    typer.echo(text, nl=False)
