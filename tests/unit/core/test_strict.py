"""Strict TOML: every refusal names the file, the field, what came and what was expected."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest

from edgekd.core.errors import ConfigError
from edgekd.core.strict import convert, nearest, read_toml, suggestion


class Inner(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table in a table."""

    ratio: Annotated[float, msgspec.Meta(ge=0, le=0.95)] = 0.5
    kind: Literal["l1", "l2", "taylor"] = "l2"


class Even(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table that judges itself."""

    count: int

    def __post_init__(self) -> None:
        """Refuse odd counts."""
        if self.count % 2:
            message = "count must be even."
            raise ValueError(message)


class Outer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of everything that a recipe or target holds."""

    steps: Annotated[int, msgspec.Meta(ge=1)]
    inner: Inner = Inner()
    maybe: Inner | None = None
    size: int | None = None
    several: tuple[Inner, ...] = ()
    shape: tuple[int, int] = (1, 1)
    named: dict[str, Inner] = {}
    listed: dict[Literal["fp32", "int8"], Inner] = {}
    even: Even = Even(count=2)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({}, "steps: missing; expected an integer at least 1."),
        ({"steps": 0}, "steps: 0 given; expected an integer at least 1."),
        ({"steps": "ten"}, "steps: 'ten' given; expected an integer at least 1."),
        ({"steps": 1.5}, "steps: 1.5 given; expected an integer at least 1."),
        ({"steps": True}, "steps: true given; expected an integer at least 1."),
        ({"steps": 1, "stepz": 1}, "stepz: unknown field; did you mean 'steps'?"),
        ({"steps": 1, "inner": {"ratoi": 1}}, "inner.ratoi: unknown field; did you mean 'ratio'?"),
        ({"steps": 1, "inner": {"zzz": 1}}, "inner.zzz: unknown field; expected one of 'ratio', 'kind'."),
        (
            {"steps": 1, "inner": {"ratio": 2}},
            "inner.ratio: 2 given; expected a number at least 0 and at most 0.95.",
        ),
        ({"steps": 1, "inner": {"kind": "tailor"}}, "inner.kind: 'tailor' given; did you mean 'taylor'?"),
        (
            {"steps": 1, "inner": {"kind": "fpgm"}},
            "inner.kind: 'fpgm' given; expected one of 'l1', 'l2', 'taylor'.",
        ),
        ({"steps": 1, "inner": 3}, "inner: 3 given; expected a table."),
        ({"steps": 1, "maybe": {"kinds": 1}}, "maybe.kinds: unknown field; did you mean 'kind'?"),
        ({"steps": 1, "maybe": 3}, "maybe: 3 given; expected a table."),
        ({"steps": 1, "size": "big"}, "size: 'big' given; expected an integer."),
        ({"steps": 1, "several": [{}, {"kynd": 1}]}, "several[1].kynd: unknown field; did you mean 'kind'?"),
        ({"steps": 1, "several": {}}, "several: a table given; expected a list, each a table."),
        ({"steps": 1, "shape": [1, 2, 3]}, "shape: a list of 3 given; expected a list of exactly 2."),
        ({"steps": 1, "shape": [1, "x"]}, "shape[1]: 'x' given; expected an integer."),
        (
            {"steps": 1, "named": {"a": {}, "b": {"ratio": -1}}},
            "named.b.ratio: -1 given; expected a number at least 0 and at most 0.95.",
        ),
        ({"steps": 1, "listed": {"int9": {}}}, "listed.int9: unknown field; did you mean 'int8'?"),
        ({"steps": 1, "listed": {"int8": {"kind": 1}}}, "listed.int8.kind: 1 given; "),
        ({"steps": 1, "even": {"count": 3}}, "even: count must be even."),
        ({"steps": 1, "inner": {"ratio": float("nan")}}, "inner.ratio: nan given; expected a finite number."),
        ([], "a list of 0 given; expected a table."),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(data: object, sentence: str) -> None:
    """The message is the origin, the dotted path, what came and what was expected."""
    with pytest.raises(ConfigError) as error:
        convert(data, Outer, where="recipe.toml")
    assert str(error.value).startswith(f"recipe.toml: {sentence}")


def test_good_data_becomes_the_struct() -> None:
    """Whole numbers count as floats; lists become tuples; what is left out takes its default."""
    data = {"steps": 3, "inner": {"ratio": 0}, "several": [{"kind": "l1"}], "shape": [2, 3]}
    expected = Outer(steps=3, inner=Inner(ratio=0.0), several=(Inner(kind="l1"),), shape=(2, 3))
    assert convert(data, Outer, where="x") == expected


def test_a_toml_file_becomes_its_tables(tmp_path: Path) -> None:
    """A good file is read as tables."""
    path = tmp_path / "a.toml"
    path.write_text("[prune]\nratio = 0.4\n")
    assert read_toml(path) == {"prune": {"ratio": 0.4}}


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"[prune\n", "line 1"), (b"a = 1\na = 2\n", "line 2"), (b"a = '\xff'\n", "UTF-8 (byte 5)")],
)
def test_malformed_toml_is_refused_with_its_place(tmp_path: Path, content: bytes, words: str) -> None:
    """The message names the file and where in it the fault is."""
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as error:
        read_toml(path)
    assert str(error.value).startswith(f"{path}: ")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """A missing file, a folder and a path through a file each get their own sentence."""
    file = tmp_path / "file"
    file.write_text("")
    for path, words in (
        (tmp_path / "none.toml", "no such file"),
        (tmp_path, "is a folder"),
        (file / "inside.toml", "cannot be read"),
    ):
        with pytest.raises(ConfigError, match=words):
            read_toml(path)


def test_nearest_gives_the_likeliest_name_or_none() -> None:
    """One slip finds the name; nonsense finds nothing."""
    names = ("jetson-nano", "jetson-orin-nano", "raspberry-pi-4")
    assert nearest("jetson-nana", names) == "jetson-nano"
    assert nearest("rasberry-pi4", names) == "raspberry-pi-4"
    assert nearest("toaster", names) is None
    assert suggestion("toaster", ()) == "nothing is expected there."
