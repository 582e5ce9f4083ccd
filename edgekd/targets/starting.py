"""A new target file: its schema, and a copy of another target to start from."""

import re
from pathlib import Path
from typing import Any, Final

import msgspec

from edgekd.core.disk import disk_errors, write_atomically
from edgekd.core.errors import ConfigError
from edgekd.targets.facts import Target
from edgekd.targets.loading import load_target, target_path

_NAME: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_NAME_LINE: Final = re.compile(r'^name = "[^"]*"$', re.MULTILINE)
_TITLE_LINE: Final = re.compile(r'^title = "([^"]*)"$', re.MULTILINE)


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
    load_target(source)
    text = target_path(source).read_text(encoding="utf-8")
    path = folder / f"{name}.toml"
    if path.exists():
        message = f"{path}: exists already; choose another name, or remove it."
        raise ConfigError(message)
    named = _NAME_LINE.sub(f'name = "{name}"', text, count=1)
    titled = _TITLE_LINE.sub(rf'title = "{name}, started from \1"', named, count=1)
    with disk_errors(path):
        write_atomically(path, titled.encode())
    return path
