"""Tasks from the user's own code."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edgekd.core.errors import ConfigError
from edgekd.tasks.task import Task

Load = Callable[..., Task]

USERS_FILE = """
import numpy as np
from edgekd.tasks.making import make_task
from edgekd.tasks.preprocessing import Preprocessing
from edgekd.tasks.task import Input, Split

def windows():
    recipe = Preprocessing(scale=1.0, mean=(0.0,), std=(1.0,), layout="NCL", channel_order="none")
    split = Split(inputs=(np.zeros((4, 1, 8), dtype=np.float32),), labels=np.arange(4) % 2)
    return make_task("windows", inputs=(Input(name="input", shape=(1, 8), preprocessing=recipe),),
                     labels=("rest", "walk"), train=split, validation=split, test=split)

ready = windows()
nothing = 3

def broken():
    return 1 / 0

def asks(name):
    return name
"""


@pytest.fixture
def mine(tmp_path: Path) -> str:
    """Give the spec of a user's file, up to the colon."""
    (tmp_path / "mine.py").write_text(USERS_FILE)
    return f"module:{tmp_path}/mine.py"


@pytest.mark.parametrize("name", ["windows", "ready"])
def test_an_object_or_a_function_gives_the_task(mine: str, load: Load, name: str) -> None:
    """A Task as it is, or whatever Task a function without arguments returns."""
    assert load(f"{mine}:{name}").name == "windows"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "is int; expected an edgekd Task, or a function"),
        ("window", "has no 'window'; did you mean 'windows'?"),
        ("broken", r"mine\.py, line 17: ZeroDivisionError: division by zero\."),
        ("asks", "TypeError: asks\\(\\) missing 1 required positional argument"),
    ],
)
def test_an_object_that_is_no_task_is_one_sentence(mine: str, load: Load, name: str, message: str) -> None:
    """Another type, another name, an error of its own, a function that wants something."""
    with pytest.raises(ConfigError, match=message):
        load(f"{mine}:{name}")
