"""Encoded images decoded into the row files of the parts."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekd.core.errors import ConfigError
from edgekd.core.progress import Progress, Step
from edgekd.tasks.decoding import Look, UnreadableError, decode, look
from edgekd.tasks.rows import RowWriter
from edgekd.tasks.source import Data
from edgekd.tasks.splitting import complete, rule
from edgekd.tasks.stored import Column, Part, Stored, column_of, rows_file, spreads_of, write_labels
from edgekd.tasks.threads import attempts

Indices = NDArray[np.int64]
Reasons = dict[int, str]
"""Why an image cannot be read, by its index."""


class Pictures(msgspec.Struct, frozen=True, kw_only=True):
    """Encoded images: *names* within *root*, ``read(index)`` for the bytes of one, by any thread.

    *labels* (n,) holds class numbers, -1 where there is none. *root* is for messages only: what is stored does not
    depend on where the images are.
    """

    title: str
    root: str
    names: Sequence[str]
    read: Callable[[int], bytes]
    labels: Indices

    def path(self, index: int) -> str:
        """Return where an image is."""
        return f"{self.root}/{self.names[index]}"


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """What every image is stored as; *size* is (height, width)."""

    gray: bool
    size: tuple[int, int]

    @property
    def row(self) -> tuple[int, ...]:
        """Return the shape of one stored image."""
        return (1 if self.gray else 3, *self.size)


def stored_images(
    pictures: Pictures,
    given: Mapping[str, Indices],
    classes: tuple[str, ...],
    data: Data,
    folder: Path,
    progress: Progress,
) -> Stored:
    """Return what was written to *folder*: the images in the parts *given*, and in those split off ``train``."""
    shares = {"validation": data.validation, "test": data.test}
    parts = complete(given, pictures.labels, shares, seed=data.split_seed, where=pictures.root)
    written, notes = store_images(pictures, parts, data, folder, progress)
    return Stored(
        labels=classes,
        inputs=("",),
        parts=written,
        spreads=spreads_of(folder, written["train"]),
        split_rule="; ".join((rule(given, shares, seed=data.split_seed), *notes)),
        notes=notes,
    )


def store_images(
    pictures: Pictures, parts: Mapping[str, Indices], data: Data, folder: Path, progress: Progress
) -> tuple[dict[str, Part], tuple[str, ...]]:
    """Return what was written to *folder* for each of *parts*, and notes about what was left out.

    The images of a part are in the order of its indices. Raises ConfigError for images that cannot be read, unless
    ``data.skip_unreadable``, and for images of different sizes where no size is asked for.
    """
    looks, unreadable = _look_at_all(pictures, progress)
    stored_as = _format(looks, pictures, data, unreadable)
    columns = {}
    with progress.step(f"{pictures.title}: decoding", len(pictures.names)) as step:
        done = 0
        for part, indices in parts.items():
            readable = [index for index in indices.tolist() if index in looks]
            with RowWriter(folder / rows_file(part, 0), dtype="uint8", row=stored_as.row) as writer:
                unreadable |= _decode_all(pictures, readable, stored_as, writer, (step, done))
            done += len(indices)
            columns[part] = column_of(writer)
    _refuse(pictures, data, unreadable)
    kept = {part: indices[~np.isin(indices, list(unreadable))] for part, indices in parts.items()}
    _check_kept(pictures, parts, kept)
    written = {
        part: Part(inputs=(column,), labels=_labels(folder, part, pictures.labels[kept[part]]))
        for part, column in columns.items()
    }
    return written, _notes(pictures, unreadable)


def _look_at_all(pictures: Pictures, progress: Progress) -> tuple[dict[int, Look], Reasons]:
    """Return the header of each image by index, and why some have none."""
    looks: dict[int, Look] = {}
    unreadable: Reasons = {}
    count = len(pictures.names)
    with progress.step(f"{pictures.title}: reading headers", count) as step:
        for block in attempts(lambda index: look(pictures.read(index)), range(count)):
            looks |= {index: found for index, found in block if isinstance(found, Look)}
            unreadable |= {index: str(found) for index, found in block if isinstance(found, UnreadableError)}
            step.advance(len(looks) + len(unreadable))
    return looks, unreadable


def _decode_all(
    pictures: Pictures, indices: Sequence[int], stored_as: Format, writer: RowWriter, counted: tuple[Step, int]
) -> Reasons:
    """Write the images *indices* in order and return why some cannot be; *counted* is who is told, from where on."""
    step, done = counted
    unreadable: Reasons = {}

    def decode_one(index: int) -> NDArray[np.uint8]:
        return decode(pictures.read(index), gray=stored_as.gray, size=stored_as.size)

    for block in attempts(decode_one, indices):
        images = [found for _, found in block if not isinstance(found, UnreadableError)]
        unreadable |= {index: str(found) for index, found in block if isinstance(found, UnreadableError)}
        if images:
            writer.append(np.stack(images))
        done += len(block)
        step.advance(done)
    return unreadable


def _format(looks: Mapping[int, Look], pictures: Pictures, data: Data, unreadable: Mapping[int, str]) -> Format:
    """Return what all images are stored as; ConfigError where that does not follow from them."""
    if not looks:
        broken = min(unreadable)
        message = f"{pictures.path(broken)}: {unreadable[broken]}; none of {len(unreadable)} images can be read."
        raise ConfigError(message)
    first, seen = next(iter(looks.items()))
    other = next((index for index, found in looks.items() if found.size != seen.size), None)
    if data.size is None and other is not None:
        message = (
            f"{pictures.title}: images of different sizes: {pictures.path(first)} is {_shown(seen.size)}, "
            f"{pictures.path(other)} is {_shown(looks[other].size)} (height x width); give data.size."
        )
        raise ConfigError(message)
    all_gray = all(found.gray for found in looks.values())
    return Format(
        gray=all_gray if data.channel_order == "auto" else data.channel_order == "gray", size=data.size or seen.size
    )


def _refuse(pictures: Pictures, data: Data, unreadable: Mapping[int, str]) -> None:
    """Raise ConfigError where images cannot be read and nobody said to go on without them."""
    if unreadable and not data.skip_unreadable:
        first = min(unreadable)
        message = (
            f"{pictures.path(first)}: {unreadable[first]}; {len(unreadable)} of {len(pictures.names)} images cannot "
            "be read: repair or remove them, or go on without them with --skip-unreadable."
        )
        raise ConfigError(message)


def _check_kept(pictures: Pictures, parts: Mapping[str, Indices], kept: Mapping[str, Indices]) -> None:
    """Raise ConfigError where leaving images out leaves a part, or a class of the training part, without any."""
    for part, indices in parts.items():
        if not len(kept[part]):
            message = f"{pictures.title}: {part}: none of its {len(indices)} images can be read."
            raise ConfigError(message)
    lost = np.setdiff1d(pictures.labels[parts["train"]], pictures.labels[kept["train"]])
    if len(lost):
        example = next(index for index in parts["train"].tolist() if pictures.labels[index] == lost[0])
        message = (
            f"{pictures.title}: train: no image of the class of {pictures.path(example)} can be read; repair one, or "
            "remove the class."
        )
        raise ConfigError(message)


def _labels(folder: Path, part: str, labels: Indices) -> Column | None:
    """Write the *labels* of a part, which has them for all images or for none."""
    return None if (labels < 0).any() else write_labels(folder, part, labels)


def _notes(pictures: Pictures, unreadable: Mapping[int, str]) -> tuple[str, ...]:
    """Return what a person is told of the images that were left out."""
    if not unreadable:
        return ()
    first = pictures.names[min(unreadable)]
    return (f"{len(unreadable)} of {len(pictures.names)} images cannot be read and were left out (the first: {first})",)


def _shown(size: tuple[int, int]) -> str:
    """Return a size as people write it."""
    return f"{size[0]}x{size[1]}"
