"""What a folder of decoded data holds, and the task that it becomes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekd.core.errors import ConfigError
from edgekd.tasks.making import make_task
from edgekd.tasks.preprocessing import DIMENSIONS, Layout, Preprocessing
from edgekd.tasks.rows import RowFile, RowWriter
from edgekd.tasks.source import Data
from edgekd.tasks.spread import Spread, scaled, spread
from edgekd.tasks.task import Input, Split, Task

DEFAULT_SCALE: Final[Mapping[str, float]] = MappingProxyType({"uint8": 1 / 255, "int16": 1 / 32768, "float32": 1.0})
"""What stored numbers are multiplied with where nothing is asked for: the largest becomes about 1."""

_LAYOUTS: Final[Mapping[int, Layout]] = MappingProxyType({count: layout for layout, count in DIMENSIONS.items()})
_CHANNEL_ORDERS: Final[Mapping[int, Literal["gray", "rgb"]]] = MappingProxyType({1: "gray", 3: "rgb"})


class Column(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row file: its name in the folder, and its *shape* (n, ...)."""

    file: str
    dtype: str
    shape: tuple[int, ...]


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The files of one split; *labels* is None where the source has none."""

    inputs: tuple[Column, ...]
    labels: Column | None


class Stored(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that is known of decoded data: its *parts* by name, the *spreads* of the training rows for each input.

    *inputs* are the names that the source gives its inputs ("" for one without). *notes* are what a person is told
    at every start, such as how many images were left out.
    """

    labels: tuple[str, ...]
    inputs: tuple[str, ...]
    parts: dict[str, Part]
    spreads: tuple[Spread, ...]
    split_rule: str
    notes: tuple[str, ...] = ()


def rows_file(part: str, number: int) -> str:
    """Return the file name of input *number* of a part."""
    return f"{part}.{number}.rows"


def column_of(writer: RowWriter) -> Column:
    """Return the description of the file that *writer* wrote."""
    return Column(file=writer.path.name, dtype=writer.dtype.name, shape=(writer.count, *writer.row))


def write_labels(folder: Path, part: str, labels: NDArray[np.int64]) -> Column:
    """Write *labels* (n,) beside the rows of *part*."""
    with RowWriter(folder / f"{part}.labels.rows", dtype="int64", row=()) as writer:
        writer.append(labels)
    return column_of(writer)


def open_rows(folder: Path, column: Column) -> RowFile:
    """Return the rows that *column* describes."""
    return RowFile(folder / column.file, dtype=column.dtype, shape=column.shape)


def spreads_of(folder: Path, train: Part) -> tuple[Spread, ...]:
    """Return mean and deviation of each input's training rows; they are not empty."""
    return tuple(spread(open_rows(folder, column)) for column in train.inputs)


def task_of(folder: Path, stored: Stored, data: Data, *, name: str) -> Task:
    """Return the task called *name* over the rows in *folder*, which stay on the disk."""
    inputs = tuple(
        Input(
            name=_input_name(own, data, name),
            shape=column.shape[1:],
            preprocessing=_preprocessing(column, found, data, f"{name}: {own or data.input_name}"),
        )
        for own, column, found in zip(stored.inputs, stored.parts["train"].inputs, stored.spreads, strict=True)
    )
    return make_task(
        name,
        inputs=inputs,
        labels=stored.labels,
        outputs=(data.output_name,),
        split_rule=stored.split_rule,
        **{part: _split(folder, files) for part, files in stored.parts.items()},
    )


def _split(folder: Path, part: Part) -> Split:
    """Return a split over the files of *part*, its labels in memory."""
    rows = tuple(open_rows(folder, column) for column in part.inputs)
    return Split(inputs=rows, labels=None if part.labels is None else open_rows(folder, part.labels)[:])


def _input_name(own: str, data: Data, where: str) -> str:
    """Return an input's name in ONNX: the source's own, or the one in the settings."""
    if own and data.input_name != Data().input_name:
        message = f"{where}: data.input_name: '{data.input_name}' given; the data names its own inputs ('{own}' ...)."
        raise ConfigError(message)
    return own or data.input_name


def _preprocessing(column: Column, found: Spread, data: Data, where: str) -> Preprocessing:
    """Return how *column* is normalized: as asked for, otherwise by the training rows' own mean and deviation."""
    channels = column.shape[1]
    scale = data.scale if data.scale is not None else DEFAULT_SCALE[column.dtype]
    mean, std = scaled(found, scale)
    _check_channels(("mean", data.mean), ("std", data.std), channels=channels, where=where)
    if data.std is None and min(std) <= 0:
        message = (
            f"{where}: every training sample has the same number in channel {std.index(min(std))}, which tells "
            "nothing; remove the channel, or give data.std."
        )
        raise ConfigError(message)
    layout = _LAYOUTS[len(column.shape)]
    return Preprocessing(
        scale=scale,
        mean=data.mean if data.mean is not None else mean,
        std=data.std if data.std is not None else std,
        layout=layout,
        channel_order=_CHANNEL_ORDERS.get(channels, "none") if layout == "NCHW" else "none",
    )


def _check_channels(*given: tuple[str, Sequence[float] | None], channels: int, where: str) -> None:
    """Raise ConfigError where mean or std are given for another number of channels."""
    for field, numbers in given:
        if numbers is not None and len(numbers) != channels:
            message = (
                f"{where}: data.{field} has {len(numbers)} numbers, the data has {channels} channels; give one each."
            )
            raise ConfigError(message)
