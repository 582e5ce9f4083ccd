"""Writing rows, as a source gives them one after the other, to their places in the parts."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from edgekd.tasks.rows import RowWriter
from edgekd.tasks.stored import Part, column_of, rows_file, write_labels

Indices = NDArray[np.int64]


class Placing:
    """Row files for each part and input, filled in the source's order. Use as a context; ``parts`` ends it.

    The source is read once from front to back, while a part's rows are in mixed order: each row is written where it
    belongs, so no more than a piece is in memory.
    """

    def __init__(
        self, folder: Path, parts: Mapping[str, Indices], inputs: Sequence[tuple[str, tuple[int, ...]]]
    ) -> None:
        """Begin the files for *parts* (the source's row numbers, in order) and *inputs* (type and shape of a row)."""
        self._folder = folder
        self._parts = parts
        self._stack = ExitStack()
        count = sum(len(rows) for rows in parts.values())
        self._owner = np.empty(count, dtype=np.int64)
        self._place = np.empty(count, dtype=np.int64)
        for number, rows in enumerate(parts.values()):
            self._owner[rows] = number
            self._place[rows] = np.arange(len(rows))
        self._writers = {
            part: [
                self._stack.enter_context(RowWriter(folder / rows_file(part, number), dtype=dtype, row=row))
                for number, (dtype, row) in enumerate(inputs)
            ]
            for part in parts
        }

    def __enter__(self) -> Self:
        """Return the placing itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close all files."""
        self._stack.close()

    def put(self, number: int, first: int, rows: NDArray[Any]) -> None:
        """Write *rows* (k, ...) of input *number*, the source's rows from *first* on."""
        here = slice(first, first + len(rows))
        for owner, writers in enumerate(self._writers.values()):
            mine = self._owner[here] == owner
            writers[number].place(rows[mine], self._place[here][mine])

    def parts(self, labels: Indices, unlabelled: frozenset[str] = frozenset()) -> dict[str, Part]:
        """Return what was written, with the *labels* (of all rows of the source) beside all but *unlabelled* parts."""
        return {
            part: Part(
                inputs=tuple(column_of(writer) for writer in self._writers[part]),
                labels=None if part in unlabelled else write_labels(self._folder, part, labels[rows]),
            )
            for part, rows in self._parts.items()
        }
