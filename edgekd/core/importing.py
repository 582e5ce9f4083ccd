"""Getting an object that a user wrote, by the name of its module or the path of its file."""

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Final

from edgekd.core.digest import bytes_digest
from edgekd.core.errors import ConfigError, EdgekdError
from edgekd.core.strict import suggestion

_MODULE_PREFIX: Final = "edgekd_user_"

_OURS: Final = Path(__file__).resolve().parents[1]


def import_object(name: str, *, where: str) -> object:
    """Return what *name* means: ``package.module:attribute`` or ``path/to/file.py:attribute``.

    *where* starts every message. A file is executed once for each content it has; its folder is on ``sys.path`` only
    while that lasts. Whatever its code raises, and a module or attribute that is not there, is a ConfigError.
    """
    module_name, _, attribute = name.rpartition(":")
    if not module_name or not attribute:
        message = f"{where}: '{name}' given; expected 'package.module:attribute' or 'path/to/file.py:attribute'."
        raise ConfigError(message)
    is_file = module_name.endswith(".py")
    module = _module_in(Path(module_name), where) if is_file else _module_called(module_name, where)
    if not hasattr(module, attribute):
        public = [known for known in vars(module) if not known.startswith("_")]
        message = f"{where}: {module_name} has no '{attribute}'; {suggestion(attribute, public)}"
        raise ConfigError(message)
    return getattr(module, attribute)


@contextmanager
def user_code(where: str) -> Iterator[None]:
    """Turn whatever a user's code raises inside the block into a ConfigError that names its file and line.

    edgekd's own errors pass as they are, and so does a key press that ends the run.
    """
    try:
        yield
    except EdgekdError:
        raise
    except (Exception, SystemExit) as error:  # a user's code can raise anything
        message = f"{where}: {_place(error)}{type(error).__name__}: {_said(error)}."
        raise ConfigError(message) from error


def _module_called(name: str, where: str) -> ModuleType:
    """Return the module *name* as ``import`` finds it."""
    with user_code(where):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise  # the module is there, and what it imports is not
            message = (
                f"{where}: no module named '{error.name}'; install it, or give its file: path/to/file.py:attribute."
            )
            raise ConfigError(message) from error


def _module_in(path: Path, where: str) -> ModuleType:
    """Return the module in the file at *path*, under a name made of its path and content."""
    try:
        content = path.read_bytes()
    except OSError as error:
        message = f"{where}: {path}: {error.strerror}; expected a Python file."
        raise ConfigError(message) from error
    resolved = path.resolve()
    digest = bytes_digest(f"{resolved}\n".encode() + content)
    name = f"{_MODULE_PREFIX}{path.stem}_{digest[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, resolved)
    assert spec is not None  # noqa: S101 - a path that ends in .py always has a loader
    assert spec.loader is not None  # noqa: S101 - the same
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickles look their module up here
    try:
        with user_code(where), neighbours(resolved.parent):
            exec(compile(content, str(resolved), "exec"), module.__dict__)  # noqa: S102 - the user's own file, on request
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextmanager
def neighbours(folder: Path) -> Iterator[None]:
    """Let ``import x`` find ``x.py`` in *folder*, first of all, for as long as the block runs.

    Modules of the same names that another user's file took from its own folder are forgotten before: they would be
    given in place of the ones that are meant.
    """
    users = [module for name, module in sys.modules.items() if name.startswith(_MODULE_PREFIX)]
    others = {Path(str(module.__file__)).parent for module in users} - {folder}
    for name, module in tuple(sys.modules.items()):
        file = getattr(module, "__file__", None)
        is_foreign = file is not None and any(Path(file).is_relative_to(other) for other in others)
        if is_foreign and not name.startswith(_MODULE_PREFIX) and _has(folder, name.partition(".")[0]):
            del sys.modules[name]
    importlib.invalidate_caches()
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _has(folder: Path, name: str) -> bool:
    """Tell whether *folder* holds a module or a package called *name*."""
    return (folder / f"{name}.py").is_file() or (folder / name).is_dir()


def _place(error: BaseException) -> str:
    """Return ``file, line n: `` for the innermost line of code outside edgekd and Python's import machinery."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}: "
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_machinery(frame.filename)]
    inside = [frame for frame in frames if _is_users(frame.filename)] or frames
    return f"{inside[-1].filename}, line {inside[-1].lineno}: " if inside else ""


def _is_machinery(filename: str) -> bool:
    """Say whether *filename* is one of the files that a frame passes on its way to the user's code."""
    return filename.startswith("<") or filename == importlib.__file__ or Path(filename).is_relative_to(_OURS)


def _is_users(filename: str) -> bool:
    """Say whether *filename* is a file of neither an installed package nor Python itself."""
    library = Path(importlib.__file__).parents[1]
    return not Path(filename).is_relative_to(library) and "site-packages" not in Path(filename).parts


def _said(error: BaseException) -> str:
    """Return the first line of what *error* says, without its full stop."""
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return text.strip().split("\n")[0].removesuffix(".") or "no message"
