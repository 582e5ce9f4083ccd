"""A CIFAR batch in its Python form, a pickle, read without unpickling it.

Unpickling runs whatever a file says. Here the file's instructions are listed by ``pickletools`` and only those that
these batches hold are followed, over plain data; the names of three NumPy functions are compared as text and never
looked up, and what is "called" is written down as data. A file with anything else in it is refused.
"""

import pickletools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

Value = Any  # whatever a batch may hold: numbers, bytes, text, lists, dicts, tuples and the marks below

_NUMPY: Final = frozenset({"numpy.core.multiarray _reconstruct", "numpy ndarray", "numpy dtype"})


class _Name(msgspec.Struct, frozen=True):
    """The name of a function that the file wants called."""

    text: str


class _Made(msgspec.Struct):
    """What such a call would make: its arguments, and the state it would be given."""

    function: _Name
    arguments: tuple[Value, ...]
    state: Value = None


class _Mark:
    """The place on the stack from which a list or tuple is collected."""


class ForeignError(Exception):
    """A batch with an instruction or a name that no CIFAR batch has."""


def read_batch(content: bytes) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the images (n, 3072) and labels (n,) of a batch; ForeignError where it is not one."""
    try:
        batch = _followed(content)
        made = batch[b"data"]
        count, width = made.state[1]
        pixels = np.frombuffer(made.state[4], dtype=np.uint8).reshape(count, width)
        labels = np.array(batch[b"labels"], dtype=np.int64)
        if (
            made.function.text != "numpy.core.multiarray _reconstruct"
            or made.state[3]
            or made.state[2].arguments[0] != b"u1"
        ):
            message = "its data is no array of bytes"
            raise ForeignError(message)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        message = f"not laid out as a CIFAR batch: {error}"
        raise ForeignError(message) from error
    return pixels, labels


def _followed(content: bytes) -> Value:
    """Return what the instructions in *content* build."""
    stack: list[Value] = []
    memo: dict[Value, Value] = {}
    for opcode, argument, position in pickletools.genops(content):
        if opcode.name == "STOP":
            return stack.pop()
        if opcode.name in {"BINPUT", "LONG_BINPUT"}:
            memo[argument] = stack[-1]
        elif opcode.name in {"BINGET", "LONG_BINGET"}:
            stack.append(memo[argument])
        elif opcode.name in _STEPS:
            _STEPS[opcode.name](stack, argument)
        else:
            message = f"instruction {opcode.name} at byte {position}"
            raise ForeignError(message)
    message = "it has no end"
    raise ForeignError(message)


def _since_mark(stack: list[Value]) -> list[Value]:
    """Take everything off *stack* down to the last mark, and return it in order."""
    start = max(index for index, value in enumerate(stack) if isinstance(value, _Mark))
    found = stack[start + 1 :]
    del stack[start:]
    return found


def _push_name(stack: list[Value], text: str) -> None:
    """Push a function's name if it is one of NumPy's three."""
    if text not in _NUMPY:
        message = f"the name '{text}'"
        raise ForeignError(message)
    stack.append(_Name(text))


def _reduce(stack: list[Value], _: Value) -> None:
    """Write down a call instead of making it."""
    arguments = stack.pop()
    stack.append(_Made(stack.pop(), arguments))


def _build(stack: list[Value], _: Value) -> None:
    """Write down the state of what a call would have made."""
    state = stack.pop()
    stack[-1].state = state


def _set_items(stack: list[Value], _: Value) -> None:
    """Put keys and values into the dict below the mark."""
    items = _since_mark(stack)
    stack[-1].update(zip(items[::2], items[1::2], strict=True))


def _set_item(stack: list[Value], _: Value) -> None:
    """Put one key and value into the dict below them."""
    value, key = stack.pop(), stack.pop()
    stack[-1][key] = value


def _appends(stack: list[Value], _: Value) -> None:
    """Put what follows the mark at the end of the list below it."""
    items = _since_mark(stack)
    stack[-1].extend(items)


def _bytes(stack: list[Value], text: str) -> None:
    """Push a Python 2 string, which ``pickletools`` gives as Latin-1 text."""
    stack.append(text.encode("latin-1"))


def _tuple(count: int) -> Callable[[list[Value], Value], None]:
    """Return what makes the last *count* values into a tuple."""

    def collect(stack: list[Value], _: Value) -> None:
        found = tuple(stack[len(stack) - count :])
        del stack[len(stack) - count :]
        stack.append(found)

    return collect


def _push(stack: list[Value], value: Value) -> None:
    """Push a plain value."""
    stack.append(value)


_STEPS: Final[Mapping[str, Callable[[list[Value], Value], None]]] = MappingProxyType(
    {
        "PROTO": lambda _stack, _argument: None,
        "MARK": lambda stack, _: stack.append(_Mark()),
        "EMPTY_DICT": lambda stack, _: stack.append({}),
        "EMPTY_LIST": lambda stack, _: stack.append([]),
        "NONE": lambda stack, _: stack.append(None),
        "NEWFALSE": lambda stack, _: stack.append(False),
        "NEWTRUE": lambda stack, _: stack.append(True),
        "BININT": _push,
        "BININT1": _push,
        "BININT2": _push,
        "BINUNICODE": _push,
        "SHORT_BINSTRING": _bytes,
        "BINSTRING": _bytes,
        "GLOBAL": _push_name,
        "TUPLE": lambda stack, _: stack.append(tuple(_since_mark(stack))),
        "EMPTY_TUPLE": _tuple(0),
        "TUPLE1": _tuple(1),
        "TUPLE2": _tuple(2),
        "TUPLE3": _tuple(3),
        "REDUCE": _reduce,
        "BUILD": _build,
        "SETITEM": _set_item,
        "SETITEMS": _set_items,
        "APPEND": lambda stack, _: stack[-2].append(stack.pop()),
        "APPENDS": _appends,
    }
)
"""What each instruction of a batch does to the stack."""
