"""CIFAR-10 in both standard forms; the Python form is a pickle, and is never unpickled."""

import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekd.core.errors import ConfigError
from edgekd.tasks.batchfile import ForeignError, read_batch
from edgekd.tasks.task import Rows, Task

Load = Callable[..., Task]
Numbers = Callable[[Rows], list[int]]

NAMES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")


def batch(number: int) -> tuple[NDArray[np.uint8], list[int]]:
    """Return ten images whose every byte is 10 * *number* + i, of the classes 0 to 9."""
    images = np.repeat(np.arange(10 * number, 10 * number + 10, dtype=np.uint8), 3072).reshape(10, 3072)
    images[:, 1024:] += 1  # green and blue differ from red
    return images, list(range(10))


def binary(images: NDArray[np.uint8], labels: list[int]) -> bytes:
    """Return a batch of the binary version: a label and an image, one after the other."""
    return b"".join(bytes([label]) + image.tobytes() for label, image in zip(labels, images, strict=True))


def string(text: bytes) -> bytes:
    """Return the instruction that Python 2 writes for a string."""
    return b"U" + bytes([len(text)]) + text if len(text) < 256 else b"T" + struct.pack("<i", len(text)) + text


def python(images: NDArray[np.uint8], labels: list[int]) -> bytes:
    """Return a batch of the Python version, with the instructions of Python 2's cPickle, as it was published."""
    count = struct.pack("<H", images.shape[0])
    width = struct.pack("<H", images.shape[1])
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85" + string(b"b") + b"\x87Rq\x05("
        b"K\x01M"
        + count
        + b"M"
        + width
        + b"\x86cnumpy\ndtype\nq\x07"
        + string(b"u1")
        + b"K\x00K\x01\x87Rq\x08(K\x03"
        + string(b"|")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        + string(images.tobytes())
        + b"tb"
    )
    numbers = b"]q\x09(" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    names = b"](" + b"".join(string(b"image.png") for _ in labels) + b"e"
    return (
        b"\x80\x02}q\x01(" + string(b"data") + array + string(b"labels") + numbers + string(b"batch_label")
        + string(b"training batch 1 of 5") + string(b"filenames") + names + b"u."
    )  # fmt: skip


@pytest.fixture(params=["binary", "python"])
def cifar(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Give a folder with six batches of ten images, in one of the two forms."""
    for number, name in enumerate(NAMES):
        if request.param == "binary":
            (tmp_path / f"{name}.bin").write_bytes(binary(*batch(number)))
        else:
            (tmp_path / name).write_bytes(python(*batch(number)))
    return tmp_path


def test_both_forms_give_the_same_task(cifar: Path, load: Load, numbers: Numbers) -> None:
    """Five batches are train and validation, the sixth is test; bytes stay planes; classes have their names."""
    task = load(f"cifar10:{cifar}", validation=0.2)

    found = {part: sorted(numbers(split.inputs[0])) for part, split in task.splits.items()}
    assert found["test"] == list(range(50, 60))
    assert sorted(found["train"] + found["validation"]) == list(range(50))
    assert len(found["validation"]) == 10
    assert np.bincount(task.validation.targets).tolist() == [1] * 10
    assert [number % 10 for number in numbers(task.train.inputs[0])] == task.train.targets.tolist()
    assert task.shapes == ((3, 32, 32),)
    first = task.test.inputs[0][:1].astype(int)
    assert np.unique(first[0, 1:] - first[0, :1]).tolist() == [1]
    assert task.labels[:2] == ("airplane", "automobile")


def test_the_folder_that_the_archive_unpacks_to_is_found(tmp_path: Path, load: Load) -> None:
    """``cifar10:DIR`` may name the folder above."""
    inside = tmp_path / "cifar-10-batches-bin"
    inside.mkdir()
    for number, name in enumerate(NAMES):
        (inside / f"{name}.bin").write_bytes(binary(*batch(number)))

    assert len(load(f"cifar10:{tmp_path}", validation=0.2).test) == 10


def test_reading_agrees_with_unpickling() -> None:
    """What the instructions say is what pickle and NumPy make of them; here, where this test wrote them itself."""
    images, labels = batch(2)
    content = python(images, labels)

    found, numbers = read_batch(content)

    trusted = pickle.loads(content, encoding="bytes")  # noqa: S301 - written by this test
    assert np.array_equal(found, trusted[b"data"])
    assert numbers.tolist() == trusted[b"labels"] == labels


def test_a_batch_that_wants_something_executed_is_refused(tmp_path: Path) -> None:
    """A pickle that would make a file when it is unpickled: it is refused, and there is no file."""
    target = tmp_path / "made"
    content = b"cbuiltins\nopen\n(" + string(str(target).encode()) + string(b"w") + b"tR."

    with pytest.raises(ForeignError, match="the name 'builtins open'"):
        read_batch(content)

    assert not target.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        b"\x80\x02}.",
        b"\x80\x02].",
        pickle.dumps({"data": [1], "labels": [2]}, protocol=4),
        python(*batch(0))[:-200],
        python(*batch(0)).replace(b"U\x02u1", b"U\x02f8"),
        b"\x80\x02}q\x01(U\x04dataK\x01U\x06labels](K\x01eu.",
    ],
)
def test_a_batch_of_anything_else_is_refused(content: bytes) -> None:
    """Nothing, text, an empty dict, another protocol, a cut file, another type of number."""
    with pytest.raises(ForeignError):
        read_batch(content)


def test_a_foreign_python_batch_is_one_sentence(tmp_path: Path, load: Load) -> None:
    """It names the file and the way out."""
    for name in NAMES:
        (tmp_path / name).write_bytes(pickle.dumps(["no", "batch"]))

    with pytest.raises(ConfigError) as error:
        load(f"cifar10:{tmp_path}")

    assert str(error.value).startswith(f"{tmp_path}/data_batch_1: ")
    assert "use the binary version, which needs no pickle." in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "data_batch_3.bin").unlink(), "data_batch_3.bin is missing; expected data_batch_1"),
        (lambda folder: (folder / "test_batch.bin").write_bytes(bytes(100)), "100 bytes; expected records of 3073"),
        (lambda folder: (folder / "test_batch.bin").write_bytes(b"\x0a" + bytes(3072)), "label 10 of sample 0"),
        (lambda folder: [path.unlink() for path in folder.iterdir()], "no batches of CIFAR-10; expected"),
    ],
)
def test_batches_that_are_not_right_are_one_sentence(
    tmp_path: Path, load: Load, change: Callable[[Path], object], message: str
) -> None:
    """Missing, cut, with a label that there is not, or none."""
    for number, name in enumerate(NAMES):
        (tmp_path / f"{name}.bin").write_bytes(binary(*batch(number)))
    change(tmp_path)

    with pytest.raises(ConfigError, match=message):
        load(f"cifar10:{tmp_path}")
