"""Work on many items by a few threads, with results in order and few of them in memory."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from edgekd.tasks.decoding import UnreadableError

T = TypeVar("T")
Attempt = tuple[int, T | UnreadableError]

_THREADS: Final = 2  # Pillow decodes outside of Python's lock; more than two mostly wait for what is inside
_BLOCK: Final = 32  # handing over single small images takes longer than decoding them
_BLOCKS: Final = 8


def attempts(work: Callable[[int], T], indices: Sequence[int]) -> Iterator[list[Attempt[T]]]:
    """Yield ``(index, work(index))`` for each of *indices* in order, a block at a time.

    An UnreadableError takes its result's place; anything else that *work* raises ends the iteration.
    """

    def block(some: Sequence[int]) -> list[Attempt[T]]:
        return [(index, _attempt(work, index)) for index in some]

    blocks = [indices[start : start + _BLOCK] for start in range(0, len(indices), _BLOCK)]
    with ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, len(blocks), _BLOCKS):
            yield from pool.map(block, blocks[start : start + _BLOCKS])


def _attempt(work: Callable[[int], T], index: int) -> T | UnreadableError:
    """Return what *work* gives, or why there is nothing to give."""
    try:
        return work(index)
    except UnreadableError as error:
        return error
