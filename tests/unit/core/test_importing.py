"""Objects of the user's, by module or by file, and errors that lead back to a line."""

import re
import sys
from pathlib import Path

import pytest

from edgekd.core.errors import ConfigError
from edgekd.core.importing import import_object, user_code


def written(folder: Path, text: str, name: str = "mine.py") -> str:
    """Write a user's file and return its path."""
    (folder / name).write_text(text)
    return str(folder / name)


def test_an_object_of_a_module_is_found() -> None:
    """As ``from pathlib import Path`` finds it."""
    assert import_object("pathlib:Path", where="--model") is Path


def test_an_object_of_a_file_is_found_with_what_lies_beside_it(tmp_path: Path) -> None:
    """The file may import its neighbours; afterwards the search path is what it was."""
    written(tmp_path, "VALUE = 41", name="edgekd_test_neighbour.py")
    path = written(tmp_path, "import edgekd_test_neighbour\nvalue = edgekd_test_neighbour.VALUE + 1")
    before = list(sys.path)

    assert import_object(f"{path}:value", where="--model") == 42
    assert sys.path == before


def test_a_file_is_executed_once_for_each_content(tmp_path: Path) -> None:
    """Asked twice, the same object; after an edit, the new one."""
    path = written(tmp_path, "thing = [1]")
    first = import_object(f"{path}:thing", where="x")

    assert import_object(f"{path}:thing", where="x") is first
    written(tmp_path, "thing = [2]")
    assert import_object(f"{path}:thing", where="x") == [2]


def test_a_file_may_define_dataclasses(tmp_path: Path) -> None:
    """They look their own module up while it is being executed."""
    path = written(
        tmp_path,
        "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass A:\n    x: int = 1\n",
    )

    assert import_object(f"{path}:A", where="x").__name__ == "A"  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["", "pathlib", ":Path", "pathlib:", "file.py"])
def test_a_name_without_two_halves_is_refused(name: str) -> None:
    """Both forms are shown."""
    with pytest.raises(ConfigError, match=r"--model: '.*' given; expected 'package\.module:attribute' or"):
        import_object(name, where="--model")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("edgekd_no_such:thing", "--model: no module named 'edgekd_no_such'; install it, or give its file"),
        ("pathlib.nothing:thing", "--model: no module named 'pathlib.nothing'"),
        ("pathlib:Pth", "--model: pathlib has no 'Pth'; did you mean 'Path'?"),
        ("no/such/file.py:thing", "--model: no/such/file.py: No such file or directory; expected a Python file."),
        ("..:thing", "--model: "),
    ],
)
def test_what_is_not_there_is_one_sentence(name: str, message: str) -> None:
    """A module, an attribute, a file."""
    with pytest.raises(ConfigError) as error:
        import_object(name, where="--model")

    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("x = 1\ny = x / 0\n", 2, "ZeroDivisionError: division by zero"),
        ("def f(:\n", 1, "SyntaxError: invalid syntax"),
        ("import edgekd_no_such_thing\n", 1, "ModuleNotFoundError: No module named 'edgekd_no_such_thing'"),
        ("\n\nraise SystemExit('no')\n", 3, "SystemExit: no"),
        ("import json\n\njson.loads('{')\n", 3, "JSONDecodeError: "),
        ("def f():\n    raise ValueError\nf()\n", 2, "ValueError: no message"),
    ],
)
def test_whatever_a_file_raises_names_its_line(tmp_path: Path, text: str, line: int, said: str) -> None:
    """Its own line also where the error comes out of a library that it calls; nothing of it stays loaded."""
    path = written(tmp_path, text)
    loaded = set(sys.modules)

    with pytest.raises(ConfigError, match=re.escape(f"--model: {path}, line {line}: {said}")):
        import_object(f"{path}:thing", where="--model")

    assert not {name for name in set(sys.modules) - loaded if name.startswith("edgekd_user_")}


def test_edgekds_own_sentences_pass_unchanged() -> None:
    """A task that refuses its data says it in its own words."""
    said = ConfigError("data: empty.")

    with pytest.raises(ConfigError) as error, user_code("--data"):
        raise said

    assert error.value is said


def test_a_key_press_ends_the_run() -> None:
    """It is no error of the user's code."""
    with pytest.raises(KeyboardInterrupt), user_code("--data"):
        raise KeyboardInterrupt
