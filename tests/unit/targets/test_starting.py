"""Laws of starting a target of one's own."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from edgekd.core.errors import ConfigError
from edgekd.core.strict import read_toml
from edgekd.targets import load_target, new_target, target_file, target_names, target_schema
from edgekd.targets.facts import Target

Edit = Callable[[str, Mapping[str, object]], Path]


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


def test_a_target_of_ones_own_is_a_start_too(tmp_path: Path) -> None:
    """--from takes a path as --target does."""
    first = new_target("my-board", "rk3588", tmp_path)
    second = load_target(str(new_target("other-board", str(first), tmp_path)))
    assert (second.name, second.title) == ("other-board", "other-board, started from " + load_target(str(first)).title)


@pytest.mark.parametrize("line", ["name = 'rk3588'", 'name="rk3588"'])
def test_a_start_may_be_written_in_other_words(line: str, tmp_path: Path) -> None:
    """TOML has two kinds of quotes and any spaces; the runtime, which has a name too, keeps its own."""
    (tmp_path / "base.toml").write_text(target_file("rk3588").read_text().replace('name = "rk3588"', line))
    made = load_target(str(new_target("my-board", str(tmp_path / "base.toml"), tmp_path)))
    assert (made.name, made.runtime.name) == ("my-board", "onnxruntime")


def test_a_start_whose_title_spans_lines_is_refused(tmp_path: Path) -> None:
    """Nothing is written that would not load."""
    text = target_file("rk3588").read_text()
    title = load_target("rk3588").title
    (tmp_path / "base.toml").write_text(text.replace(f'"{title}"', f'"""\n{title}"""'))
    with pytest.raises(ConfigError, match=r'expected a line title = "\.\.\."'):
        new_target("my-board", str(tmp_path / "base.toml"), tmp_path)
    assert not (tmp_path / "my-board.toml").exists()


def test_a_start_that_is_no_good_is_refused(tmp_path: Path) -> None:
    """A copy of a broken file would only move the mistake."""
    broken = tmp_path / "broken.toml"
    broken.write_text(target_file("rk3588").read_text().replace("threads = 4", "threads = 5"))
    with pytest.raises(ConfigError, match="threads that span clusters"):
        new_target("my-board", str(broken), tmp_path)
    assert not (tmp_path / "my-board.toml").exists()


def test_the_schema_knows_every_field_and_demands_the_required_ones() -> None:
    """Top-level tables, their types by reference, and no other field allowed."""
    schema = target_schema()
    target = schema["$defs"]["Target"]
    assert set(target["properties"]) == {field.name for field in msgspec.structs.fields(Target)}
    assert {"name", "device", "runtime", "precision", "sources"} <= set(target["required"])
    assert "quantization" not in target["required"]
    assert target["additionalProperties"] is False


def test_an_editor_can_explain_every_field_and_table() -> None:
    """Each has a description, and no table takes a field that is none."""
    for name, table in target_schema()["$defs"].items():
        assert table["description"], name
        assert table["additionalProperties"] is False, name
        for field, kind in table["properties"].items():
            assert kind.get("description"), f"{name}.{field}"


@pytest.mark.parametrize("name", target_names())
def test_every_bundled_file_obeys_the_schema(name: str) -> None:
    """What an editor checks by the schema is what edgekd reads; dates are text in JSON."""
    assert list(validator().iter_errors(as_json(read_toml(target_file(name))))) == []


@pytest.mark.parametrize(
    ("fact", "value"),
    [
        ("device.clusters.big.cpus", "four"),
        ("device.clusters.big.cores", 0),
        ("device.power_modes", {}),
        ("runtime.name", "tflite"),
        ("precision.int8.verdict", "quick"),
        ("precision.fp32", None),
        ("channels.multipel", 8),
        ("benchmark.cool_down_s", -1),
        ("sources", "none"),
    ],
)
def test_the_schema_refuses_what_loading_refuses(edited: Edit, fact: str, value: object) -> None:
    """Wrong words, ranges and types, a missing field and an unknown one are marked in the editor already."""
    path = edited("rk3588", {fact: value})
    assert list(validator().iter_errors(as_json(read_toml(path))))
    with pytest.raises(ConfigError):
        load_target(str(path))


def validator() -> Draft202012Validator:
    """Return what checks by the schema, which must itself be one."""
    schema = target_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def as_json(tables: dict[str, Any]) -> object:
    """Return *tables* as JSON would hold them: lists, and dates as text."""
    return json.loads(msgspec.json.encode(tables))
