"""Making a task: everything that could go wrong in data is looked for here, once, and named by its place."""

import hashlib
from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekd.core.errors import ConfigError
from edgekd.tasks.preprocessing import DIMENSIONS
from edgekd.tasks.task import STORED, Input, Rows, Split, Task

_CHUNK_BYTES = 1 << 24
LEAST_CLASSES = 2


def make_task(  # noqa: PLR0913 - a task is where everything about data meets
    name: str,
    *,
    inputs: tuple[Input, ...],
    labels: tuple[str, ...],
    train: Split,
    validation: Split,
    test: Split,
    outputs: tuple[str, ...] = ("logits",),
    split_rule: str = "",
) -> Task:
    """Return the task, after reading all of its data once.

    *labels* names the classes, *split_rule* says in words how the splits came about. The digest changes when a byte
    of data, its order, a label, a name, the split or the pre-processing does. Data is read in pieces, so a set larger
    than memory is no trouble. Raises ConfigError for rows that do not fit the inputs, NaN and infinite numbers, empty
    splits, labels out of range, and a training split of a single class.
    """
    splits = {"train": train, "validation": validation, "test": test}
    _check_names(name, inputs, outputs, labels)
    digest = hashlib.sha256(msgspec.json.encode([name, labels, inputs, outputs, split_rule]))
    for part, split in splits.items():
        _check_split(split, inputs, classes=len(labels), where=f"{name}: {part}")
        for entry, rows in zip(inputs, split.inputs, strict=True):
            _add(digest, rows, where=f"{name}: {part}: {entry.name}")
        _add(digest, np.zeros(0) if split.labels is None else split.labels, where=f"{name}: {part}: labels")
    _check_classes(train, labels, name)
    return Task(
        name=name,
        digest=digest.hexdigest(),
        labels=labels,
        inputs=inputs,
        outputs=outputs,
        train=train,
        validation=validation,
        test=test,
    )


def with_labels(task: Task, labels: Mapping[str, NDArray[np.int64]], *, by: str) -> Task:
    """Return *task* with *labels* (n,) int64 in the splits that had none; *by* says whose answers they are."""
    splits = {
        part: split if split.labels is not None else Split(inputs=split.inputs, labels=labels[part])
        for part, split in task.splits.items()
    }
    digest = hashlib.sha256(task.digest.encode())
    for part, split in splits.items():
        digest.update(part.encode() + split.targets.tobytes())
    return msgspec.structs.replace(task, digest=digest.hexdigest(), labelled_by=by, **splits)


def _check_names(name: str, inputs: tuple[Input, ...], outputs: tuple[str, ...], labels: tuple[str, ...]) -> None:
    """Raise ConfigError where names are missing or given twice, or an input's shape is not its layout's."""
    names = [entry.name for entry in inputs] + list(outputs)
    if not inputs or not outputs or len(set(names)) != len(names) or not all(names):
        message = f"{name}: inputs and outputs are named {names}; expected at least one of each, all different."
        raise ConfigError(message)
    if len(labels) < LEAST_CLASSES:
        message = f"{name}: one class only ({', '.join(labels) or 'none'}); expected at least 2, to tell them apart."
        raise ConfigError(message)
    for entry in inputs:
        recipe = entry.preprocessing
        if len(entry.shape) != DIMENSIONS[recipe.layout] - 1 or entry.shape[0] != len(recipe.mean):
            message = (
                f"{name}: {entry.name}: shape {entry.shape} with the layout {recipe.layout} and {len(recipe.mean)} "
                "channels in mean; expected (channels, ...) as the layout says."
            )
            raise ConfigError(message)


def _check_split(split: Split, inputs: tuple[Input, ...], *, classes: int, where: str) -> None:
    """Raise ConfigError unless every input has rows of its shape, and every row a label in range."""
    if len(split.inputs) != len(inputs):
        message = f"{where}: rows for {len(split.inputs)} inputs; the task has {len(inputs)}."
        raise ConfigError(message)
    count = len(split)
    if count == 0:
        message = f"{where}: empty; expected at least one sample."
        raise ConfigError(message)
    for entry, rows in zip(inputs, split.inputs, strict=True):
        if rows.shape != (count, *entry.shape) or rows.dtype.name not in STORED:
            message = (
                f"{where}: {entry.name}: {rows.dtype} of shape {rows.shape}; "
                f"expected {', '.join(STORED)} of shape {(count, *entry.shape)}."
            )
            raise ConfigError(message)
    if split.labels is None:
        return
    if split.labels.dtype != np.int64 or split.labels.shape != (count,):
        message = (
            f"{where}: labels: {split.labels.dtype} of shape {split.labels.shape}; "
            f"expected int64 of shape ({count},), one for each sample."
        )
        raise ConfigError(message)
    wrong = np.flatnonzero((split.labels < 0) | (split.labels >= classes))
    if len(wrong):
        message = (
            f"{where}: labels[{wrong[0]}] is {split.labels[wrong[0]]} ({len(wrong)} such); "
            f"expected 0 to {classes - 1} for {classes} classes."
        )
        raise ConfigError(message)


def _check_classes(train: Split, labels: tuple[str, ...], name: str) -> None:
    """Raise ConfigError where all training samples are of one class."""
    if train.labels is not None and len(np.unique(train.labels)) < LEAST_CLASSES:
        message = f"{name}: train: all samples are of the class '{labels[int(train.labels[0])]}'; expected at least 2."
        raise ConfigError(message)


def _add(digest: "hashlib._Hash", rows: Rows, *, where: str) -> None:
    """Add type, shape and bytes of *rows* to *digest*, in pieces; ConfigError for a number that is none."""
    digest.update(msgspec.json.encode([where, rows.dtype.str, rows.shape]))
    row_bytes = max(1, rows.dtype.itemsize * int(np.prod(rows.shape[1:], dtype=np.int64)))
    step = max(1, _CHUNK_BYTES // row_bytes)
    for start in range(0, len(rows), step):
        piece = np.ascontiguousarray(rows[start : start + step])
        if piece.dtype.kind == "f" and not np.isfinite(piece).all():
            row = start + int(np.flatnonzero(~np.isfinite(piece).reshape(len(piece), -1).all(axis=1))[0])
            message = f"{where}: sample {row} holds NaN or an infinite number; expected finite numbers: clean the data."
            raise ConfigError(message)
        digest.update(piece.data)
