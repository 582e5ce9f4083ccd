"""Finding and reading the user's files: whatever the operating system refuses is one sentence."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgekd.core.errors import ConfigError


@contextmanager
def reading(path: Path | str, expected: str) -> Iterator[None]:
    """Turn what the operating system refuses while *path* is read into a ConfigError that says what was *expected*."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise _refusal(path, error, expected) from error


def folder_at(text: str) -> Path:
    """Return the folder that *text* names (``~`` is the home folder); ConfigError where there is none."""
    path = Path(text).expanduser()
    with reading(path, "a folder"):
        mode = path.stat().st_mode
    if not stat.S_ISDIR(mode):
        message = f"{path}: is a file; expected a folder."
        raise ConfigError(message)
    return path


def file_at(text: str) -> Path:
    """Return the file that *text* names (``~`` is the home folder); ConfigError where there is none."""
    path = Path(text).expanduser()
    with reading(path, "a file"):
        mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        message = f"{path}: is a folder; expected a file."
        raise ConfigError(message)
    return path


def read_file(path: str) -> bytes:
    """Return the bytes of the file at *path*; a text and no Path, because data sets are made of many small files."""
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - Path.open takes twice as long
            return file.read()
    except OSError as error:
        raise _refusal(path, error, "a file") from error


def entries(folder: Path | str) -> tuple[list[str], list[str]]:
    """Return the names of *folder*'s folders and of its files, sorted; what begins with a dot is left out."""
    folders: list[str] = []
    files: list[str] = []
    with reading(folder, "a folder"), os.scandir(folder) as found:
        for entry in found:
            if not entry.name.startswith("."):
                (folders if entry.is_dir() else files).append(entry.name)
    for name in (*folders, *files):
        if not name.isascii() and os.fsencode(name).decode(errors="replace") != name:
            message = f"{folder}: the name {os.fsencode(name)!r} is not UTF-8; rename it."
            raise ConfigError(message)
    return sorted(folders), sorted(files)


def _refusal(path: Path | str, error: OSError, expected: str) -> ConfigError:
    """Return the error that says what was refused at *path*."""
    return ConfigError(f"{path}: {error.strerror}; expected {expected} that can be read.")
