"""A NumPy archive as a task: arrays of samples with their labels, streamed into row files.

Keys: ``x`` and ``y``, which are split, or ``x_train``, ``y_train``, ``x_val``, ``y_val``, ``x_test``, ``y_test``, of
which ``val`` and ``test`` are split off where they are missing. Without ``y`` the samples are unlabelled. Several
inputs are ``x:NAME`` or ``x_train:NAME``. ``labels`` may hold the names of the classes, as text.

Shapes: (n, features), (n, channels, length) or (n, channels, height, width). Two forms are rearranged: bytes (n,
height, width) are images of one channel, and (n, height, width, 1 or 3), where the second axis is neither 1 nor 3
long, has its channels moved forward. Types: uint8, int16 and float32 as they are, other floats as float32, other
integers in the smaller of uint8 and int16 that holds all of them.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgekd.core.digest import file_digest
from edgekd.core.errors import ConfigError
from edgekd.core.progress import Progress
from edgekd.tasks.archive import Member, pieces, whole
from edgekd.tasks.cache import Origin, cached_task
from edgekd.tasks.contents import Contents, read_contents
from edgekd.tasks.naming import classes_numbered, task_name
from edgekd.tasks.placing import Placing
from edgekd.tasks.reading import file_at, reading
from edgekd.tasks.source import Data
from edgekd.tasks.splitting import complete, rule
from edgekd.tasks.stored import Stored, spreads_of
from edgekd.tasks.task import STORED, Task

VERSION: Final = 1
_COLOURS: Final = frozenset({1, 3})

Indices = NDArray[np.int64]


def load_npz(data: Data, *, cache: Path, progress: Progress) -> Task:
    """Return the task of the arrays in the file ``data.rest``."""
    path = file_at(data.rest)
    contents = read_contents(path)
    labels, unlabelled = _labels(path, contents)
    classes = classes_numbered(
        labels[labels >= 0] if unlabelled else labels, data, where=str(path), names=contents.names
    )

    def build(folder: Path) -> Stored:
        shares = {"validation": data.validation, "test": data.test}
        given = contents.ranges()
        parts = complete(given, labels, shares, seed=data.split_seed, where=str(path))
        forms = [_form(path, contents, name) for name in contents.inputs]
        with Placing(folder, parts, forms) as placing, progress.step(f"{path.stem}: reading", len(labels)) as step:
            for number, (dtype, _) in enumerate(forms):
                for first, rows in _rows(path, contents, contents.inputs[number], np.dtype(dtype)):
                    placing.put(number, first, rows)
                    step.advance(first + len(rows))
        written = placing.parts(
            labels, unlabelled | (frozenset(parts) - given.keys() if "train" in unlabelled else set())
        )
        return Stored(
            labels=classes,
            inputs=contents.inputs,
            parts=written,
            spreads=spreads_of(folder, written["train"]),
            split_rule=rule(given, shares, seed=data.split_seed),
        )

    with reading(path, "a file"):
        origin = Origin(name=task_name(path.with_suffix("")), version=VERSION, sources=file_digest(path))
    return cached_task(data, origin, build, cache=cache, progress=progress)


def _labels(path: Path, contents: Contents) -> tuple[Indices, frozenset[str]]:
    """Return the labels of all rows, -1 in the parts that have none, and the names of those parts."""
    found = []
    for part, rows in contents.ranges().items():
        member = contents.labels.get(part)
        found.append(np.full(len(rows), -1, dtype=np.int64) if member is None else _numbers(path, member))
    return np.concatenate(found), frozenset(contents.samples.keys() - contents.labels.keys())


def _numbers(path: Path, member: Member) -> Indices:
    """Return the labels in *member*: class numbers (n,) or (n, 1)."""
    if member.dtype.kind not in "iu" or member.shape[1:] not in {(), (1,)}:
        message = (
            f"{path}: {member.key}: {member.dtype} of shape {member.shape}; expected class numbers: integers (n,)."
        )
        raise ConfigError(message)
    labels = whole(path, member).reshape(-1)
    wrong = np.flatnonzero((labels < 0) | (labels > np.iinfo(np.int32).max))
    if len(wrong):
        message = (
            f"{path}: {member.key}[{wrong[0]}] is {labels[wrong[0]]} ({len(wrong)} such); expected a class from 0 on."
        )
        raise ConfigError(message)
    return labels.astype(np.int64)


def _form(path: Path, contents: Contents, name: str) -> tuple[str, tuple[int, ...]]:
    """Return the type and the shape of the rows of the input *name*, which all parts must share."""
    members = [part[name] for part in contents.samples.values()]
    shapes = {member.key: _row(path, member) for member in members}
    first = members[0].key
    for key, shape in shapes.items():
        if shape != shapes[first]:
            message = (
                f"{path}: rows of {key} have the shape {shape}, those of {first} {shapes[first]}; expected the same."
            )
            raise ConfigError(message)
    return _type(path, members), shapes[first]


def _row(path: Path, member: Member) -> tuple[int, ...]:
    """Return the shape of a stored row of *member*, channels first."""
    row = member.shape[1:]
    if not 1 <= len(row) <= 3 or 0 in row:  # noqa: PLR2004 - features, (channels, length), (channels, height, width)
        message = (
            f"{path}: {member.key} has the shape {member.shape}; expected (n, features), (n, channels, length) or "
            "(n, channels, height, width)."
        )
        raise ConfigError(message)
    return _channels_first(np.empty((0, *row), dtype=member.dtype)).shape[1:]


def _channels_first(rows: NDArray[Any]) -> NDArray[Any]:
    """Return *rows* with the two forms of images without channels in front rearranged, as the file's head says."""
    shape = rows.shape
    if rows.dtype == np.uint8 and len(shape) == 3:  # noqa: PLR2004 - (n, height, width)
        return rows[:, np.newaxis]
    if len(shape) == 4 and shape[3] in _COLOURS and shape[1] not in _COLOURS:  # noqa: PLR2004 - (n, height, width, channels)
        return np.moveaxis(rows, 3, 1)
    return rows


def _type(path: Path, members: Sequence[Member]) -> str:
    """Return what the numbers of *members* are stored as; ConfigError for what does not fit."""
    types = {member.dtype.name for member in members}
    if len(types) == 1 and types <= set(STORED):
        return types.pop()
    if all(member.dtype.kind == "f" for member in members):
        return "float32"
    if not all(member.dtype.kind in "iub" for member in members):
        message = f"{path}: {members[0].key} and its like are {', '.join(sorted(types))}; expected integers or floats."
        raise ConfigError(message)
    least, most = 0, 0
    for member in members:
        for piece in pieces(path, member):
            least, most = min(least, int(piece.min())), max(most, int(piece.max()))
    for name in ("uint8", "int16"):
        if np.iinfo(name).min <= least and most <= np.iinfo(name).max:
            return name
    message = (
        f"{path}: {members[0].key} and its like go from {least} to {most}; expected what fits uint8 or int16: convert "
        "them to float32."
    )
    raise ConfigError(message)


def _rows(path: Path, contents: Contents, name: str, dtype: np.dtype[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield the rows of the input *name* in pieces as they are stored, each with the number of its first row."""
    start = 0
    for members in contents.samples.values():
        first = 0
        for piece in pieces(path, members[name]):
            with np.errstate(over="ignore"):  # what is too large for float32 is found below
                rows = _channels_first(piece).astype(dtype)
            _check_finite(path, members[name], first, rows)
            yield start + first, rows
            first += len(piece)
        start += first


def _check_finite(path: Path, member: Member, first: int, rows: NDArray[Any]) -> None:
    """Raise ConfigError for the first of *rows* with a number that is none."""
    if rows.dtype.kind != "f" or np.isfinite(rows).all():
        return
    row = first + int(np.flatnonzero(~np.isfinite(rows).reshape(len(rows), -1).all(axis=1))[0])
    message = f"{path}: {member.key}[{row}] holds NaN, or a number too large for float32; clean the data."
    raise ConfigError(message)
