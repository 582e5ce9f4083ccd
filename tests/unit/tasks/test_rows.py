"""Row files read like NumPy arrays, in constant memory and by many threads."""

import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgekd.core.errors import ConfigError
from edgekd.tasks.rows import RowFile, RowWriter

READ_WITH_LITTLE_MEMORY = """
import sys
from pathlib import Path
import numpy as np
from edgekd.tasks.rows import RowFile
rows = RowFile(Path(sys.argv[1]), dtype="uint8", shape=(4096, 1 << 20))
print(int(rows[np.array([4095, 0])].sum()))
"""


@pytest.fixture(scope="module")
def array() -> NDArray[np.int16]:
    """Give 20 rows of 2 by 3 different numbers."""
    return np.arange(120, dtype=np.int16).reshape(20, 2, 3)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory, array: NDArray[np.int16]) -> RowFile:
    """Give the same numbers in a file, written in three pieces."""
    path = tmp_path_factory.mktemp("rows") / "numbers.rows"
    with RowWriter(path, dtype="int16", row=(2, 3)) as writer:
        for piece in (array[:7], array[7:7], array[7:]):
            writer.append(piece)
    return RowFile(path, dtype="int16", shape=(20, 2, 3))


@given(index=st.slices(20))
def test_a_slice_gives_what_numpy_gives(rows: RowFile, array: NDArray[np.int16], index: slice) -> None:
    """Any start, stop and step, backwards too."""
    found = rows[index]

    assert found.dtype == np.int16
    assert np.array_equal(found, array[index])


@given(index=st.lists(st.integers(-20, 19)))
def test_indices_give_what_numpy_gives(rows: RowFile, array: NDArray[np.int16], index: list[int]) -> None:
    """In any order, repeated, counted from the end, or none."""
    wanted = np.array(index, dtype=np.int64)

    assert np.array_equal(rows[wanted], array[wanted])


def test_what_was_read_belongs_to_the_reader(rows: RowFile, array: NDArray[np.int16]) -> None:
    """Writing into a batch changes no file."""
    found = rows[:2]
    found[:] = -1

    assert np.array_equal(rows[:2], array[:2])


@pytest.mark.parametrize("index", [20, -21])
def test_a_row_that_is_not_there_is_an_index_error(rows: RowFile, index: int) -> None:
    """As NumPy says it."""
    with pytest.raises(IndexError, match="out of range for 20 rows"):
        rows[np.array([0, index])]


def test_a_boolean_mask_is_refused(rows: RowFile) -> None:
    """It would be read as the rows 0 and 1."""
    with pytest.raises(TypeError, match="got bool"):
        rows[np.ones(20, dtype=bool)]


def test_rows_placed_one_by_one_are_those_appended(tmp_path: Path, array: NDArray[np.int16]) -> None:
    """Written in any order, each where it belongs, the file is the same."""
    order = np.random.default_rng(0).permutation(20)
    with RowWriter(tmp_path / "placed.rows", dtype="int16", row=(2, 3)) as writer:
        for part in np.array_split(order, 3):
            writer.place(array[part], part)

    assert writer.count == 20
    assert (tmp_path / "placed.rows").read_bytes() == array.tobytes()


def test_rows_of_another_shape_or_type_are_not_written(tmp_path: Path) -> None:
    """A file of rows holds nothing else."""
    with RowWriter(tmp_path / "x.rows", dtype="uint8", row=(2,)) as writer:
        for wrong in (np.zeros((1, 3), dtype=np.uint8), np.zeros((1, 2), dtype=np.int16)):
            with pytest.raises(ValueError, match="the file takes uint8"):
                writer.append(wrong)

    assert (tmp_path / "x.rows").read_bytes() == b""


def test_numbers_alone_are_rows_too(tmp_path: Path) -> None:
    """Labels are rows without an axis."""
    with RowWriter(tmp_path / "labels.rows", dtype="int64", row=()) as writer:
        writer.append(np.array([3, 1, 2]))

    assert RowFile(tmp_path / "labels.rows", dtype="int64", shape=(3,))[np.array([2, 0])].tolist() == [2, 3]


def test_a_file_of_another_size_is_refused(tmp_path: Path) -> None:
    """Half a row at the end is no row."""
    path = tmp_path / "short.rows"
    path.write_bytes(bytes(11))

    with pytest.raises(ConfigError, match=r"short\.rows: 11 bytes; expected 12 for 4 rows"):
        RowFile(path, dtype="uint8", shape=(4, 3))


def test_a_file_that_shrinks_while_it_is_open_is_a_sentence(tmp_path: Path) -> None:
    """A mapping would end the process with a signal here."""
    path = tmp_path / "shrinks.rows"
    path.write_bytes(bytes(12))
    rows = RowFile(path, dtype="uint8", shape=(4, 3))
    path.write_bytes(bytes(6))

    with pytest.raises(ConfigError, match=r"shrinks\.rows: ends at byte 6"):
        rows[:]


def test_threads_read_at_once_without_mixing_rows(rows: RowFile, array: NDArray[np.int16]) -> None:
    """Four threads, each with its own random rows, all get what they asked for."""
    draws = [np.random.default_rng(seed).integers(0, 20, 64) for seed in range(64)]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(rows.__getitem__, draws))

    assert all(np.array_equal(one, array[draw]) for one, draw in zip(found, draws, strict=True))


def test_a_file_larger_than_the_address_space_is_read(tmp_path: Path) -> None:
    """4 GiB of rows (a hole on the disk) are read by a process that may address 1 GiB."""
    path = tmp_path / "large.rows"
    with path.open("wb") as file:
        file.write(b"\x01")
        file.truncate(4096 << 20)

    finished = subprocess.run(
        [sys.executable, "-c", READ_WITH_LITTLE_MEMORY, str(path)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30)),
    )

    assert finished.stdout.strip() == "1", finished.stderr
