"""Samples to calibrate with: read again and again, a batch at a time, so that any number of them fits into memory."""

from collections.abc import Callable, Iterator
from typing import Final

import msgspec
import torch
from torch import Tensor

from edgekd.tasks.task import Split, Task

BATCH: Final = 64

Batch = tuple[Tensor, ...]
"""One tensor (n, ...) for each input of the graph."""


class Samples(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """*count* samples; each call of *batches* gives all of them, in the same order."""

    count: int
    batches: Callable[[], Iterator[Batch]]


def held(*inputs: Tensor, size: int = BATCH) -> Samples:
    """Return the samples in *inputs*, each (n, ...), *size* at a time."""

    def batches() -> Iterator[Batch]:
        for start in range(0, len(inputs[0]), size):
            yield tuple(tensor[start : start + size] for tensor in inputs)

    return Samples(count=len(inputs[0]), batches=batches)


def read(task: Task, split: Split, *, first: int = 0, count: int) -> Samples:
    """Return up to *count* samples of *split* from number *first* on, normalized; they are read when asked for.

    Rows are stored in mixed order, so the first ones are a fair sample.
    """
    end = min(first + count, len(split))

    def batches() -> Iterator[Batch]:
        for start in range(first, end, BATCH):
            yield tuple(torch.from_numpy(array) for array in task.read(split, slice(start, min(start + BATCH, end))))

    return Samples(count=max(0, end - first), batches=batches)


def first_of(samples: Samples, count: int) -> Samples:
    """Return the first *count* of *samples*."""

    def batches() -> Iterator[Batch]:
        left = count
        for batch in samples.batches():
            if left <= 0:
                return
            yield tuple(tensor[:left] for tensor in batch)
            left -= len(batch[0])

    return Samples(count=min(count, samples.count), batches=batches)
