"""Laws of starting a target of one's own."""

from pathlib import Path

import msgspec
import pytest

from edgekd.core.errors import ConfigError
from edgekd.targets import load_target, new_target, target_names, target_schema
from edgekd.targets.facts import Target


@pytest.mark.parametrize("source", target_names())
def test_a_new_target_is_good_at_once_and_says_where_it_comes_from(source: str, tmp_path: Path) -> None:
    """It loads from its path; every fact but name and title is that of its source."""
    path = new_target("my-board", source, tmp_path)
    made, base = load_target(str(path)), load_target(source)
    assert made.name == "my-board"
    assert source in path.read_text() or base.title in made.title
    assert msgspec.structs.replace(made, name=base.name, title=base.title) == base


def test_nothing_is_replaced(tmp_path: Path) -> None:
    """A file of that name stays as it is."""
    (tmp_path / "my-board.toml").write_text("mine")
    with pytest.raises(ConfigError, match="exists already"):
        new_target("my-board", "raspberry-pi-5", tmp_path)
    assert (tmp_path / "my-board.toml").read_text() == "mine"


@pytest.mark.parametrize("name", ["My Board", "../board", "board.toml", "", "-board", "a--b"])
def test_a_name_that_is_none_is_refused(name: str, tmp_path: Path) -> None:
    """It would become a path; nothing is written."""
    with pytest.raises(ConfigError, match="expected lower-case"):
        new_target(name, "raspberry-pi-5", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_source_is_refused_with_the_nearest(tmp_path: Path) -> None:
    """As everywhere."""
    with pytest.raises(ConfigError, match="raspberry-pi-5"):
        new_target("my-board", "raspbery-pi-5", tmp_path)


def test_the_schema_knows_every_field_and_demands_the_required_ones() -> None:
    """Top-level tables, their types by reference, and no other field allowed."""
    schema = target_schema()
    target = schema["$defs"]["Target"]
    assert set(target["properties"]) == {field.name for field in msgspec.structs.fields(Target)}
    assert {"name", "device", "runtime", "precision", "sources"} <= set(target["required"])
    assert "quantization" not in target["required"]
    assert target["additionalProperties"] is False
