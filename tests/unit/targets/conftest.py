"""Target files made from bundled ones by changing a few facts."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from edgekd.core.strict import read_toml
from edgekd.targets import target_file

Edit = Callable[[str, Mapping[str, object]], Path]


@pytest.fixture
def edited(tmp_path: Path) -> Edit:
    """Give a function that writes the target *name* with dotted facts changed (None removes one)."""

    def write(name: str, changes: Mapping[str, object]) -> Path:
        tables = read_toml(target_file(name))
        for fact, value in changes.items():
            _set(tables, fact.split("."), value)
        path = tmp_path / "my-board.toml"
        path.write_text(tomli_w.dumps(tables))
        return path

    return write


def _set(tables: dict[str, Any], parts: list[str], value: object) -> None:
    """Set or remove the fact that *parts* lead to, in place."""
    *parents, last = parts
    for parent in parents:
        tables = tables.setdefault(parent, {})
    if value is None:
        del tables[last]
    else:
        tables[last] = value
