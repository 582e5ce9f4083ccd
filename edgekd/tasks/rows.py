"""Rows of one type and shape in a plain file, read and written a few at a time."""

import os
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from edgekd.core.disk import disk_errors
from edgekd.core.errors import ConfigError

Indices = NDArray[np.int64]


class RowFile:
    """Rows (n, ...) in the file at *path*, one after the other without a header; indexed like a NumPy array.

    Every read copies the rows it was asked for into a fresh array by ``preadv``, so memory stays constant however
    large the file is, and threads may read at once: no position is shared. Not ``numpy.memmap``: a mapping of the
    whole file counts against a limit on address space (``ulimit -v``), its pages count as the process's own memory
    while they stay, and a file that shrank kills the process with SIGBUS, where this raises ConfigError.
    """

    def __init__(self, path: Path, *, dtype: str, shape: tuple[int, ...]) -> None:
        """Open the file of ``shape[0]`` rows; ConfigError where it is missing or has another size."""
        self.path: Final = path
        self.dtype: Final[np.dtype[Any]] = np.dtype(dtype)
        self.shape: Final = shape
        self._row_bytes = _row_bytes(self.dtype, shape[1:])
        with disk_errors(path):
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._descriptor)
        found, expected = os.fstat(self._descriptor).st_size, len(self) * self._row_bytes
        if found != expected:
            message = (
                f"{path}: {found} bytes; expected {expected} for {len(self)} rows: the file is damaged, "
                "remove it and run the same command again."
            )
            raise ConfigError(message)

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.shape[0]

    def __getitem__(self, index: slice | Indices) -> NDArray[Any]:
        """Return the rows of a slice or of an array of integers (k,), in its order, as (k, ...).

        Negative indices count from the end. Raises IndexError out of range and TypeError for anything else, as a
        boolean mask. Rows that lie one behind the other are read in one go.
        """
        rows = _indices(index, len(self))
        result = np.empty((len(rows), *self.shape[1:]), dtype=self.dtype)
        if result.size == 0:
            return result
        view = result.data.cast("B")
        for start, end in _runs(rows):
            self._fill(view[start * self._row_bytes : end * self._row_bytes], int(rows[start]) * self._row_bytes)
        return result

    def _fill(self, view: memoryview, offset: int) -> None:
        """Read bytes from *offset* until *view* is full: one read may bring fewer than it was asked for."""
        while view:
            count = os.preadv(self._descriptor, [view], offset)
            if count == 0:
                message = (
                    f"{self.path}: ends at byte {offset}; it was longer when it was opened: run the command again."
                )
                raise ConfigError(message)
            view, offset = view[count:], offset + count


class RowWriter:
    """Writes a file that ``RowFile`` reads. Use as a context; the disk's refusals are ConfigErrors."""

    def __init__(self, path: Path, *, dtype: str, row: tuple[int, ...]) -> None:
        """Begin the file, which must not exist, for rows of the shape *row*."""
        self.path: Final = path
        self.dtype: Final[np.dtype[Any]] = np.dtype(dtype)
        self.row: Final = row
        self.count = 0
        self._row_bytes = _row_bytes(self.dtype, row)
        with disk_errors(path):
            self._file = path.open("xb", buffering=0)

    def __enter__(self) -> Self:
        """Return the writer itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._file.close()

    def append(self, rows: NDArray[Any]) -> None:
        """Write *rows* (k, ...) after those that were appended before."""
        self.place(rows, np.arange(self.count, self.count + len(rows)))

    def place(self, rows: NDArray[Any], at: Indices) -> None:
        """Write row i of *rows* (k, ...) as the file's row ``at[i]``; the file grows to the largest of them."""
        if rows.dtype != self.dtype or rows.shape[1:] != self.row or at.shape != rows.shape[:1]:
            message = f"rows of {rows.dtype} {rows.shape} for {at.shape} places; the file takes {self.dtype} {self.row}"
            raise ValueError(message)
        if rows.size == 0:
            return
        view = np.ascontiguousarray(rows).data.cast("B")
        with disk_errors(self.path):
            for start, end in _runs(at):
                self._write(view[start * self._row_bytes : end * self._row_bytes], int(at[start]) * self._row_bytes)
        self.count = max(self.count, int(at.max()) + 1)

    def _write(self, view: memoryview, offset: int) -> None:
        """Write all of *view* at *offset*: one write may take fewer bytes than it was given."""
        while view:
            count = os.pwrite(self._file.fileno(), view, offset)
            view, offset = view[count:], offset + count


def _row_bytes(dtype: np.dtype[Any], row: tuple[int, ...]) -> int:
    """Return the size of one row of the shape *row*."""
    return int(dtype.itemsize * np.prod(row, dtype=np.int64))


def _indices(index: slice | Indices, count: int) -> Indices:
    """Return *index* as row numbers from 0 to *count* - 1."""
    if isinstance(index, slice):
        return np.arange(*index.indices(count))
    rows = np.asarray(index)
    if rows.ndim != 1 or (rows.dtype.kind not in "iu" and rows.size):
        message = f"rows are read by a slice or an array of integers (k,); got {rows.dtype} of shape {rows.shape}"
        raise TypeError(message)
    rows = rows.astype(np.int64)
    rows = np.where(rows < 0, rows + count, rows)
    if rows.size and (rows.min() < 0 or rows.max() >= count):
        message = f"row {int(rows.max())} or {int(rows.min())} is out of range for {count} rows"
        raise IndexError(message)
    return rows


def _runs(rows: Indices) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of each stretch of *rows* in which every number is one more than the one before."""
    ends = np.flatnonzero(np.diff(rows) != 1) + 1
    return zip([0, *ends.tolist()], [*ends.tolist(), len(rows)], strict=True)
