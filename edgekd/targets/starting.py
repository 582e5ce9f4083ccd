"""A new target file: its schema, and a copy of another target to start from."""

import json
import re
from pathlib import Path
from typing import Any, Final

import msgspec

from edgekd.core.disk import disk_errors, write_atomically
from edgekd.core.errors import ConfigError
from edgekd.targets.facts import Target
from edgekd.targets.loading import load_target, target_path

_NAME: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def target_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a target file; what facts exclude each other only loading knows."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "edgekd target"} | msgspec.json.schema(
        Target
    )


def new_target(name: str, source: str, folder: Path) -> Path:
    """Write ``<name>.toml`` to *folder*, a copy of the target *source* under the new name, and return its path.

    Raises ConfigError for a name that is none, a source that is unknown or no good, and a file that is there already.
    """
    if not _NAME.fullmatch(name):
        message = (
            f"targets new: {name!r} given; expected lower-case letters, digits and single hyphens, as in my-board."
        )
        raise ConfigError(message)
    title = f"{name}, started from {load_target(source).title}"
    top, bracket, tables = target_path(source).read_text(encoding="utf-8").partition("\n[")
    path = folder / f"{name}.toml"
    if path.exists():
        message = f"{path}: exists already; choose another name, or remove it."
        raise ConfigError(message)
    top = _with_value(_with_value(top, "name", name, source), "title", title, source)
    with disk_errors(path):
        write_atomically(path, f"{top}{bracket}{tables}".encode())
    return path


def _with_value(text: str, field: str, value: str, source: str) -> str:
    """Return the lines of *text* with *value* for *field*; ConfigError where it is not written on a line of its own."""
    line = re.compile(rf"""^{field}\s*=\s*("[^"\n]*"|'[^'\n]*') *$""", re.MULTILINE)
    changed, lines = line.subn(lambda _: f"{field} = {json.dumps(value, ensure_ascii=False)}", text, count=1)
    if lines == 0:
        message = f'{source}: expected a line {field} = "..." above its tables; write it so to start from this file.'
        raise ConfigError(message)
    return changed
