"""The function that a factory's import string names, taken from a package or from a file of the user's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgekd.core.errors import ConfigError
from edgekd.core.importing import import_object, neighbours
from edgekd.networks.catalog import FILE_SUFFIX, file_of, split_factory


def import_factory(factory: str) -> Callable[..., Any]:
    """Return the callable that *factory* names (``package.module:function`` or ``path/to/file.py:function``).

    One from a file may import what lies beside it when it is called, too. Raises ConfigError where there is none, and
    with file and line where the user's own code fails.
    """
    place, _ = split_factory(factory)
    is_file = place.endswith(FILE_SUFFIX)
    folder = file_of(factory).resolve().parent if is_file else Path()
    found = import_object(factory, where=f"factory '{factory}'")
    if not callable(found):
        message = f"factory '{factory}': is not callable; expected a function or a class."
        raise ConfigError(message)
    function: Callable[..., Any] = found

    def among_neighbours(*positional: object, **named: object) -> object:
        with neighbours(folder):
            return function(*positional, **named)

    return among_neighbours if is_file else function
