"""The function that a factory's import string names, taken from a package or from a file of the user's."""

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from edgekd.core.digest import bytes_digest
from edgekd.core.errors import ConfigError
from edgekd.networks.catalog import EXPECTED, FILE_SUFFIX, file_of, split_factory

_PREFIX: Final = "edgekd_factory_"


def import_factory(factory: str) -> Callable[..., Any]:
    """Return the callable that *factory* names (``package.module:function`` or ``path/to/file.py:function``).

    Raises ConfigError where there is none, and with file and line where the user's own code fails.
    """
    place, attribute = split_factory(factory)
    module = _module_from_file(factory) if place.endswith(FILE_SUFFIX) else _module_from_package(factory, place)
    try:
        found = getattr(module, attribute)
    except AttributeError as error:
        message = f"factory '{factory}': {_plain(error)}; expected the name of a function in it."
        raise ConfigError(message) from error
    if not callable(found):
        message = f"factory '{factory}': is not callable."
        raise ConfigError(message)
    return _among_neighbours(found, place) if place.endswith(FILE_SUFFIX) else found


def _module_from_package(factory: str, name: str) -> ModuleType:
    """Return the module *name*; ConfigError where it cannot be found or does not run."""
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:  # a user's module can raise anything
        message = f"factory '{factory}': {_explained(error)}; expected an importable {EXPECTED}."
        raise ConfigError(message) from error


def _module_from_file(factory: str) -> ModuleType:
    """Return the module in the file of *factory*, run once for each content and kept in ``sys.modules``.

    Its name comes from the digest of its path and its content, so that two files called ``net.py``, and one file
    before and after an edit, are different modules.
    """
    path = file_of(factory).resolve()
    name = _PREFIX + bytes_digest(bytes(path) + path.read_bytes())
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None  # noqa: S101 - the file ends in .py, for which Python has a loader
    assert spec.loader is not None  # noqa: S101 - the same
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        with _neighbours(path.parent):
            spec.loader.exec_module(module)
    except BaseException as error:  # also an interrupt must not leave half a module behind
        del sys.modules[name]
        if not isinstance(error, Exception | SystemExit):
            raise
        message = f"factory '{factory}': {_explained(error)}; expected a file that Python can run."
        raise ConfigError(message) from error
    return module


def _among_neighbours(function: Callable[..., Any], file: str) -> Callable[..., Any]:
    """Return *function*, which may import what lies beside its *file* when it is called, too."""

    def called(*positional: object, **named: object) -> object:
        with _neighbours(Path(file).resolve().parent):
            return function(*positional, **named)

    return called


@contextmanager
def _neighbours(folder: Path) -> Iterator[None]:
    """Let ``import x`` find ``x.py`` in *folder*, first of all, for as long as the block runs.

    Modules of the same names that another user's file took from its own folder are forgotten before: they would be
    given in place of the ones that are meant.
    """
    others = {Path(str(module.__file__)).parent for name, module in sys.modules.items() if name.startswith(_PREFIX)}
    for name, module in tuple(sys.modules.items()):
        file = getattr(module, "__file__", None)
        foreign = file is not None and any(Path(file).is_relative_to(other) for other in others - {folder})
        if foreign and not name.startswith(_PREFIX) and _has(folder, name.partition(".")[0]):
            del sys.modules[name]
    importlib.invalidate_caches()
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _has(folder: Path, name: str) -> bool:
    """Tell whether *folder* holds a module or a package called *name*."""
    return (folder / f"{name}{FILE_SUFFIX}").is_file() or (folder / name).is_dir()


def _explained(error: BaseException) -> str:
    """Return what went wrong: the words alone for a module that is not there, else file, line, kind and words."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_machinery(frame.filename)]
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}: {type(error).__name__}: {error.msg}"
    if not frames:
        return _plain(error)
    return f"{frames[-1].filename}:{frames[-1].lineno}: {type(error).__name__}: {_plain(error)}"


def _is_machinery(filename: str) -> bool:
    """Tell whether a line of code belongs to this file or to Python's import."""
    return filename in {__file__, importlib.__file__} or filename.startswith("<frozen importlib")


def _plain(error: BaseException) -> str:
    """Return *error*'s words on one line."""
    return " ".join(str(error).split()) or type(error).__name__
