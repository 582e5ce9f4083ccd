"""NumPy archives as tasks: their keys, shapes and types, and what is said of the others."""

from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekd.core.errors import ConfigError
from edgekd.tasks.task import Rows, Task

Load = Callable[..., Task]
Numbers = Callable[[Rows], list[int]]
Arrays = Mapping[str, NDArray[Any]]


def samples(count: int = 20, row: tuple[int, ...] = (2,), dtype: str = "float32", start: int = 0) -> NDArray[Any]:
    """Return *count* rows, each filled with its number."""
    numbers = np.arange(start, start + count).reshape(count, *(1,) * len(row))
    return np.broadcast_to(numbers, (count, *row)).astype(dtype)


@pytest.fixture
def archive(tmp_path: Path) -> Callable[..., str]:
    """Give ``archive(**arrays)``, which writes a file and returns its spec."""

    def write(arrays: Arrays, *, compressed: bool = False) -> str:
        path = tmp_path / "sensors.npz"
        (np.savez_compressed if compressed else np.savez)(path, **arrays)  # type: ignore[arg-type]
        return f"npz:{path}"

    return write


@pytest.mark.parametrize("compressed", [False, True])
def test_samples_are_split_with_their_labels(
    archive: Callable[..., str], load: Load, numbers: Numbers, *, compressed: bool
) -> None:
    """Twenty samples, odd and even: all arrive once, each with its label, one of each class for validation and test."""
    task = load(archive({"x": samples(), "y": np.arange(20) % 2}, compressed=compressed))

    found = {part: numbers(split.inputs[0]) for part, split in task.splits.items()}
    assert sorted(chain.from_iterable(found.values())) == list(range(20))
    assert {part: len(rows) for part, rows in found.items()} == {"train": 16, "validation": 2, "test": 2}
    for part, split in task.splits.items():
        assert split.targets.tolist() == [number % 2 for number in found[part]]
    assert (task.name, task.labels, task.shapes) == ("sensors", ("0", "1"), ((2,),))


def test_rows_larger_than_a_piece_arrive_whole(archive: Callable[..., str], load: Load, numbers: Numbers) -> None:
    """20 rows of 2.4 MB are read one or two at a time; all of every row is there."""
    task = load(archive({"x": samples(row=(1, 600_000)), "y": np.arange(20) % 2}))

    for split in task.splits.values():
        assert all((split.inputs[0][i : i + 1] == number).all() for i, number in enumerate(numbers(split.inputs[0])))


def test_keys_with_parts_are_the_splits(archive: Callable[..., str], load: Load, numbers: Numbers) -> None:
    """``x_val`` and ``x_test`` stay what they are."""
    arrays = {}
    for number, part in enumerate(("test", "train", "val")):
        arrays[f"x_{part}"] = samples(4, start=10 * number)
        arrays[f"y_{part}"] = np.arange(4)[:, np.newaxis] % 2

    task = load(archive(arrays))

    found = {part: sorted(numbers(split.inputs[0])) for part, split in task.splits.items()}
    assert found == {"train": [10, 11, 12, 13], "validation": [20, 21, 22, 23], "test": [0, 1, 2, 3]}
    assert task.train.targets.tolist() == [number % 2 for number in numbers(task.train.inputs[0])]


def test_several_inputs_stay_together(archive: Callable[..., str], load: Load, numbers: Numbers) -> None:
    """Each sample's sound and motion come from the same row, under their own names and in the archive's order."""
    task = load(archive({"x:sound": samples(dtype="int16"), "x:motion": samples(row=(3, 8)), "y": np.arange(20) % 2}))

    assert [entry.name for entry in task.inputs] == ["sound", "motion"]
    assert [entry.preprocessing.layout for entry in task.inputs] == ["NC", "NCL"]
    assert task.inputs[0].preprocessing.scale == 1 / 32768
    for split in task.splits.values():
        assert numbers(split.inputs[0]) == numbers(split.inputs[1])


def test_samples_without_labels_are_unlabelled_in_every_part(archive: Callable[..., str], load: Load) -> None:
    """Also in the parts that are split off."""
    spec = archive({"x": samples()})

    task = load(spec, labels=("rest", "walk"))

    assert [split.labels for split in task.splits.values()] == [None, None, None]
    assert task.labels == ("rest", "walk")
    with pytest.raises(ConfigError, match=r"give data\.labels or data\.classes"):
        load(spec)


def test_an_unlabelled_part_beside_labelled_ones_stays_unlabelled(archive: Callable[..., str], load: Load) -> None:
    """Only the training samples are to be labelled by the teacher."""
    task = load(archive({"x_train": samples(), "x_test": samples(4), "y_test": np.arange(4) % 2}), classes=2)

    assert (task.train.labels, task.validation.labels) == (None, None)
    assert sorted(task.test.targets.tolist()) == [0, 0, 1, 1]


def test_names_of_classes_come_with_the_archive(archive: Callable[..., str], load: Load) -> None:
    """An array of text called ``labels``."""
    task = load(archive({"x": samples(), "y": np.arange(20) % 2, "labels": np.array(["rest", "walk"])}))

    assert task.labels == ("rest", "walk")


@pytest.mark.parametrize(
    ("given", "stored", "shape", "layout"),
    [
        (samples(row=(6, 5), dtype="uint8"), "uint8", (1, 6, 5), "NCHW"),
        (samples(row=(6, 5, 3), dtype="uint8"), "uint8", (3, 6, 5), "NCHW"),
        (samples(row=(3, 6, 5), dtype="uint8"), "uint8", (3, 6, 5), "NCHW"),
        (samples(row=(1, 6, 3), dtype="uint8"), "uint8", (1, 6, 3), "NCHW"),
        (samples(row=(6, 5), dtype="float64"), "float32", (6, 5), "NCL"),
        (samples(dtype="float16"), "float32", (2,), "NC"),
        (samples(dtype=">f4"), "float32", (2,), "NC"),
        (samples(dtype="int64"), "uint8", (2,), "NC"),
        (samples(dtype="int64", start=-3), "int16", (2,), "NC"),
        (samples(dtype="int32", start=1000), "int16", (2,), "NC"),
    ],
)
def test_shapes_and_types_are_stored_by_the_rule(
    archive: Callable[..., str], load: Load, given: NDArray[Any], stored: str, shape: tuple[int, ...], layout: str
) -> None:
    """Channels first, images of bytes get their axis, numbers the smallest type that holds them."""
    if given.ndim == 4 and given.shape[1] == 1:
        shape = given.shape[1:]

    task = load(archive({"x": given, "y": np.arange(20) % 2}))

    assert task.train.inputs[0].dtype == stored
    assert task.shapes == (shape,)
    assert task.inputs[0].preprocessing.layout == layout


def test_channels_that_move_forward_keep_their_numbers(archive: Callable[..., str], load: Load) -> None:
    """Row i, pixel (h, w), channel c is found at (c, h, w)."""
    images = np.arange(20 * 4 * 5 * 3, dtype=np.int64).reshape(20, 4, 5, 3) % 251
    task = load(archive({"x": images.astype(np.uint8), "y": np.arange(20) % 2}))

    known = {image.transpose(2, 0, 1).tobytes() for image in images.astype(np.uint8)}
    assert {image.tobytes() for image in task.train.inputs[0][:]} < known


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": samples()}, "'a': unknown array; expected one of 'x'"),
        ({"x": samples(), "y_trian": np.zeros(3)}, "'y_trian': unknown array; did you mean 'y_train'?"),
        ({"y": np.zeros(3, dtype=int)}, "expected x and y, or x_train and y_train"),
        ({"x": samples(), "x_train": samples()}, "expected x and y, or x_train and y_train"),
        ({"x_test": samples()}, "expected x and y, or x_train and y_train"),
        ({"x": samples(), "y": np.arange(19) % 2}, "y has the shape (19,), x (20, 2); expected as many rows"),
        ({"x": samples(), "y": np.arange(20) % 2 + 0.5}, "y: float64 of shape (20,); expected class numbers"),
        ({"x": samples(), "y": np.eye(20, dtype=int)}, "y: int64 of shape (20, 20); expected class numbers"),
        ({"x": samples(), "y": np.arange(20) % 2 - 1}, "y[0] is -1 (10 such); expected a class from 0 on"),
        ({"x": samples(), "y": np.zeros(20, dtype=int)}, "one class only ('0')"),
        ({"x": samples(), "y": np.arange(20) % 2 * 7}, "labels go up to 7, but 1 never occurs"),
        ({"x": samples(row=()), "y": np.arange(20) % 2}, "x has the shape (20,); expected (n, features)"),
        ({"x": samples(row=(1, 2, 3, 4)), "y": np.arange(20) % 2}, "expected (n, features)"),
        (
            {"x": samples(dtype="int32", start=99_999), "y": np.arange(20) % 2},
            "go from 0 to 100018; expected what fits",
        ),
        ({"x": samples(dtype="complex64"), "y": np.arange(20) % 2}, "complex64; expected integers or floats"),
        ({"x": np.full((20, 2), "a"), "y": np.arange(20) % 2}, "expected integers or floats"),
        ({"x": np.array([None] * 20), "y": np.arange(20) % 2}, "x: holds Python objects, which are never loaded"),
        ({"x": np.asfortranarray(samples()), "y": np.arange(20) % 2}, "x: saved column by column"),
        ({"x": samples(0), "y": np.zeros(0, dtype=int)}, "give data.labels or data.classes"),
        ({"x": samples(), "y": np.arange(20) % 2, "labels": np.arange(2)}, "expected the classes' names, as text"),
        (
            {"x_train": samples(), "x_val": samples(row=(3,)), "y_train": np.arange(20) % 2},
            "rows of x_val have the shape",
        ),
        ({"x_train:a": samples(), "x_val:b": samples()}, "validation has the inputs ['b']; train has ['a']."),
        ({"x_train": samples(), "y_test": np.arange(20) % 2}, "y_test: labels of samples that are not there"),
    ],
)
def test_an_archive_that_is_no_task_is_one_sentence(
    archive: Callable[..., str], load: Load, arrays: Arrays, message: str
) -> None:
    """Unknown keys, missing arrays, other counts, types and shapes."""
    with pytest.raises(ConfigError) as error:
        load(archive(arrays))

    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("number", [np.nan, np.inf, 1e39])
def test_a_number_that_is_none_is_named_by_its_place_in_the_file(
    archive: Callable[..., str], load: Load, number: float
) -> None:
    """Row 17 as the user counts, not as the split shuffles; what float32 cannot hold counts too."""
    rows = samples(dtype="float64")
    rows[17, 1] = number

    with pytest.raises(ConfigError, match=r"x\[17\] holds NaN, or a number too large for float32"):
        load(archive({"x": rows, "y": np.arange(20) % 2}))


@pytest.mark.parametrize("classes", [2, 3])
def test_labels_out_of_range_are_refused(archive: Callable[..., str], load: Load, classes: int) -> None:
    """Class 9 where there are only a few."""
    labels = np.arange(20) % 2
    labels[5] = 9

    with pytest.raises(ConfigError, match=rf"label 9 of sample 5 \(1 such\); expected 0 to {classes - 1}"):
        load(archive({"x": samples(), "y": labels}), classes=classes)


def test_a_file_that_is_no_archive_or_damaged_is_one_sentence(
    archive: Callable[..., str], load: Load, tmp_path: Path
) -> None:
    """Text, half a file, a changed byte, a single array, a folder, nothing."""
    content = Path(archive({"x": samples(row=(50,)), "y": np.arange(20) % 2}).removeprefix("npz:")).read_bytes()
    middle = len(content) // 2
    changed = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    path = tmp_path / "broken.npz"

    for broken in (b"text", content[:middle], changed, b""):
        path.write_bytes(broken)
        with pytest.raises(ConfigError, match="cannot be read as a NumPy archive"):
            load(f"npz:{path}")
    with pytest.raises(ConfigError, match="is a folder; expected a file"):
        load(f"npz:{tmp_path}")
    with pytest.raises(ConfigError, match="No such file"):
        load(f"npz:{tmp_path}/none.npz")


def test_an_input_name_for_inputs_that_have_names_is_refused(archive: Callable[..., str], load: Load) -> None:
    """It would be ignored."""
    with pytest.raises(ConfigError, match="the data names its own inputs"):
        load(archive({"x:a": samples(), "y": np.arange(20) % 2}), input_name="other")
