"""CIFAR-10 in its two standard forms, binary and Python batches, as a task."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekd.core.digest import bytes_digest, json_digest
from edgekd.core.errors import ConfigError
from edgekd.core.progress import Progress
from edgekd.tasks.batchfile import ForeignError, read_batch
from edgekd.tasks.cache import Origin, cached_task
from edgekd.tasks.naming import classes_numbered
from edgekd.tasks.placing import Placing
from edgekd.tasks.reading import entries, folder_at, read_file
from edgekd.tasks.source import Data
from edgekd.tasks.splitting import complete, rule
from edgekd.tasks.stored import Stored, spreads_of
from edgekd.tasks.task import Task

VERSION: Final = 1
CLASSES: Final = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
IMAGE: Final = (3, 32, 32)
IMAGE_BYTES: Final = 3 * 32 * 32

Batch = tuple[NDArray[np.uint8], NDArray[np.int64]]


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """One form of the data set: where its archive unpacks to, how its files' names end, and how one is read."""

    folder: str
    suffix: str
    read: Callable[[bytes, str], Batch]


def load_cifar10(data: Data, *, cache: Path, progress: Progress) -> Task:
    """Return CIFAR-10 from the folder ``data.rest``, or the one inside it that its archive unpacks to.

    ``test_batch`` is the test split; validation is split off the five training batches.
    """
    folder, form = _form_in(folder_at(data.rest))
    paths = [folder / f"{name}{form.suffix}" for name in (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch")]
    digests = [bytes_digest(read_file(str(path))) for path in paths]

    def build(out: Path) -> Stored:
        shares = {"validation": data.validation}
        batches = []
        with progress.step("cifar10: reading", len(paths)) as step:
            for path in paths:
                batches.append(form.read(read_file(str(path)), str(path)))
                step.advance(len(batches))
        labels = np.concatenate([numbers for _, numbers in batches])
        count = len(labels) - len(batches[-1][1])
        given = {"train": np.arange(count), "test": np.arange(count, len(labels))}
        parts = complete(given, labels, shares, seed=data.split_seed, where=str(folder))
        with Placing(out, parts, [("uint8", IMAGE)]) as placing:
            first = 0
            for images, _ in batches:
                placing.put(0, first, images)
                first += len(images)
        written = placing.parts(labels)
        return Stored(
            labels=CLASSES,
            inputs=("",),
            parts=written,
            spreads=spreads_of(out, written["train"]),
            split_rule=rule(given, shares, seed=data.split_seed),
        )

    origin = Origin(name="cifar10", version=VERSION, sources=json_digest(digests))
    return cached_task(data, origin, build, cache=cache, progress=progress)


def _form_in(root: Path) -> tuple[Path, Form]:
    """Return the folder that holds the batches, and their form; ConfigError where any of the six is missing."""
    for form in FORMS:
        for folder in (root, root / form.folder):
            present = set(entries(folder)[1]) if folder.is_dir() else set()
            names = [f"{name}{form.suffix}" for name in (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch")]
            missing = [name for name in names if name not in present]
            if len(missing) == len(names):
                continue
            if missing:
                message = f"{folder}: {missing[0]} is missing; expected {', '.join(names)}."
                raise ConfigError(message)
            return folder, form
    message = (
        f"{root}: no batches of CIFAR-10; expected data_batch_1.bin to data_batch_5.bin and test_batch.bin, "
        "or the same without .bin."
    )
    raise ConfigError(message)


def _read_binary(content: bytes, where: str) -> Batch:
    """Return a binary batch's images (n, 3, 32, 32) and labels: records of one byte and 3,072 bytes."""
    if not content or len(content) % (1 + IMAGE_BYTES):
        message = f"{where}: {len(content)} bytes; expected records of {1 + IMAGE_BYTES} bytes: copy the file again."
        raise ConfigError(message)
    records = np.frombuffer(content, dtype=np.uint8).reshape(-1, 1 + IMAGE_BYTES)
    return _checked(records[:, 1:], records[:, 0].astype(np.int64), where)


def _read_python(content: bytes, where: str) -> Batch:
    """Return a Python batch's images and labels; nothing in it is executed."""
    try:
        pixels, labels = read_batch(content)
    except ForeignError as error:
        message = f"{where}: {error}; expected a batch as published: use the binary version, which needs no pickle."
        raise ConfigError(message) from error
    return _checked(pixels, labels, where)


def _checked(pixels: NDArray[np.uint8], labels: NDArray[np.int64], where: str) -> Batch:
    """Return images (n, 3, 32, 32) and labels (n,), after a look at their number and range."""
    if pixels.shape != (len(labels), IMAGE_BYTES):
        message = (
            f"{where}: images of shape {pixels.shape} and {len(labels)} labels; expected (n, {IMAGE_BYTES}) and n."
        )
        raise ConfigError(message)
    classes_numbered(labels, Data(source="cifar10:any"), where=where, names=CLASSES)
    return pixels.reshape(-1, *IMAGE), labels


FORMS: Final = (
    Form(folder="cifar-10-batches-bin", suffix=".bin", read=_read_binary),
    Form(folder="cifar-10-batches-py", suffix="", read=_read_python),
)
"""The forms that are looked for, in this order."""
