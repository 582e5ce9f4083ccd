"""Small data sets of real files, and somebody who listens."""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from PIL import Image

from edgekd.core.progress import PlainProgress
from edgekd.tasks.load import load_task
from edgekd.tasks.source import Data
from edgekd.tasks.task import Rows, Task

Load = Callable[..., Task]

_NOBODY = 65534


@pytest.fixture
def said() -> io.StringIO:
    """Give the stream that everything said about loading goes to."""
    return io.StringIO()


@pytest.fixture
def load(tmp_path_factory: pytest.TempPathFactory, said: io.StringIO) -> Load:
    """Give ``load(source, **settings)``, with a cache that lasts for the test."""
    cache = tmp_path_factory.mktemp("cache")

    def load_from(source: str, **settings: object) -> Task:
        return load_task(Data(source=source, **settings), cache=cache, progress=PlainProgress(said))  # type: ignore[arg-type]

    return load_from


@pytest.fixture
def draw() -> Callable[..., Path]:
    """Give ``draw(path, number, mode, size)``: an image of one colour, written losslessly where the name says PNG."""

    def draw_at(path: Path, number: int, mode: str = "RGB", size: tuple[int, int] = (4, 4)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        colour = number if mode in {"L", "I;16"} else (number,) * len(Image.new(mode, (1, 1)).getbands())
        Image.new(mode, (size[1], size[0]), colour).save(path)
        return path

    return draw_at


@pytest.fixture
def pets(tmp_path: Path, draw: Callable[..., Path]) -> Path:
    """Give a folder of two classes, ten images each: cats are 0 to 9, dogs 100 to 109."""
    for number in range(10):
        draw(tmp_path / "pets" / "cat" / f"{number}.png", number)
        draw(tmp_path / "pets" / "dog" / f"{number}.png", 100 + number)
    return tmp_path / "pets"


@pytest.fixture
def numbers() -> Callable[[Rows], list[int]]:
    """Give ``numbers(rows)``: the first number of each row, in order, which tells small test samples apart."""

    def first_numbers(rows: Rows) -> list[int]:
        return [int(row.flat[0]) for row in rows[:]]

    return first_numbers


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], AbstractContextManager[None]]:
    """Give a block, inside the test's folder, that runs as somebody to whom files can be forbidden: not as root."""
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o777)

    @contextmanager
    def as_stranger() -> Iterator[None]:
        before = os.geteuid()
        if before == 0:
            os.seteuid(_NOBODY)
        try:
            yield
        finally:
            os.seteuid(before)

    return as_stranger
