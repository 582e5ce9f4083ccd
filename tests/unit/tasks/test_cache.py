"""Data is decoded once, whoever starts, and never answered from a copy that is not what was decoded."""

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekd.core.progress import PlainProgress
from edgekd.tasks.load import load_task
from edgekd.tasks.source import Data
from edgekd.tasks.task import Task

LOAD = """
import sys
from pathlib import Path
from edgekd.core.progress import PlainProgress
from edgekd.tasks.load import load_task
from edgekd.tasks.source import Data
print(load_task(Data(source=sys.argv[1]), cache=Path(sys.argv[2]), progress=PlainProgress(sys.stderr)).digest)
"""

KILLED_WHILE_DECODING = """
import os, sys
from pathlib import Path
from edgekd.core.progress import SilentProgress
from edgekd.tasks import images
from edgekd.tasks.load import load_task
from edgekd.tasks.source import Data
class Killer(SilentProgress):
    def step(self, name, total):
        if "decoding" in name:
            os.kill(os.getpid(), 9)
        return super().step(name, total)
load_task(Data(source=sys.argv[1]), cache=Path(sys.argv[2]), progress=Killer())
"""


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Give the folder of the cache."""
    return tmp_path / "cache"


def loaded(pets: Path, cache: Path, **settings: object) -> tuple[Task, str]:
    """Return the task of *pets*, and all that was said while it was loaded."""
    stream = io.StringIO()
    data = Data(source=f"folder:{pets}", **settings)  # type: ignore[arg-type]
    return load_task(data, cache=cache, progress=PlainProgress(stream)), stream.getvalue()


def row_files(cache: Path) -> list[Path]:
    """Return the files of decoded images in the cache."""
    return sorted(cache.rglob("*.0.rows"))


def test_a_second_start_decodes_nothing(pets: Path, cache: Path) -> None:
    """It is the same task, read from the same files."""
    first, said_first = loaded(pets, cache)
    second, said_second = loaded(pets, cache)

    assert "decoding" in said_first
    assert "decoding" not in said_second
    assert second.digest == first.digest


@pytest.mark.parametrize(
    "change",
    [
        lambda pets: (pets / "cat" / "0.png").write_bytes((pets / "cat" / "1.png").read_bytes()),
        lambda pets: (pets / "cat" / "0.png").rename(pets / "cat" / "00.png"),
        lambda pets: (pets / "cat" / "0.png").rename(pets / "dog" / "zero.png"),
        lambda pets: (pets / "cat" / "0.png").unlink(),
    ],
)
def test_a_changed_source_is_decoded_again(pets: Path, cache: Path, change: Callable[[Path], object]) -> None:
    """A byte, a name, a label, or one image fewer."""
    loaded(pets, cache)
    change(pets)

    _, said = loaded(pets, cache)

    assert "decoding" in said


def test_only_settings_that_decoding_depends_on_decode_again(pets: Path, cache: Path) -> None:
    """Mean and deviation are applied when a batch is read; the size of an image is not."""
    before, _ = loaded(pets, cache)

    other, said_of_mean = loaded(pets, cache, mean=(0.5, 0.5, 0.5))
    _, said_of_size = loaded(pets, cache, size=(2, 2))

    assert "decoding" not in said_of_mean
    assert other.digest != before.digest
    assert "decoding" in said_of_size


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:]),
        lambda path: path.unlink(),
        lambda path: (path.parent / "manifest.json").write_text("{}"),
    ],
)
def test_a_damaged_copy_is_made_again_and_that_is_said(
    pets: Path, cache: Path, damage: Callable[[Path], object]
) -> None:
    """Too short, a changed bit, missing, or without its manifest: none of it reaches a network."""
    before, _ = loaded(pets, cache)
    damage(row_files(cache)[0])

    after, said = loaded(pets, cache)

    assert "pets: the decoded copy is damaged" in said
    assert after.digest == before.digest


def test_a_start_that_is_killed_leaves_nothing_to_be_mistaken(pets: Path, cache: Path) -> None:
    """The next one decodes from the beginning, to the same task."""
    arguments = [f"folder:{pets}", str(cache)]
    killed = subprocess.run([sys.executable, "-c", KILLED_WHILE_DECODING, *arguments], check=False)
    task, said = loaded(pets, cache)

    assert killed.returncode == -9
    assert "decoding" in said
    assert "damaged" not in said
    assert task.digest == loaded(pets, cache.parent / "fresh")[0].digest


def test_what_cannot_be_decoded_leaves_no_files(pets: Path, cache: Path) -> None:
    """Half-written rows do not fill the disk of somebody who repairs their images."""
    (pets / "cat" / "0.png").write_text("no image")

    with pytest.raises(Exception, match="cannot be read"):
        loaded(pets, cache)

    assert list(cache.rglob("*.rows")) == []


def test_two_processes_decode_once(pets: Path, cache: Path) -> None:
    """Started together, both have the same task and one of them did the work."""
    command = [sys.executable, "-c", LOAD, f"folder:{pets}", str(cache)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    ended = [process.communicate() for process in both]

    assert len({digest for digest, _ in ended}) == 1
    assert sum("decoding: done" in said for _, said in ended) == 1
