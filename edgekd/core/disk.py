"""Writing to disk so that nothing is half written and every refusal of the disk is one sentence."""

import errno
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from edgekd.core.errors import ConfigError


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what the operating system refuses at *path* into a ConfigError that says what to do.

    Put it around everything that writes. Only the refusals that a person can cure are turned (no space, no
    permission, read-only, a file where a folder must be ...); any other OSError is a bug and passes through.
    """
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno) if error.errno is not None else None
        if advice is None:
            raise
        message = f"{path}: {error.strerror}; {advice}."
        raise ConfigError(message) from error


def write_atomically(path: Path, data: bytes) -> None:
    """Write *data* to *path* so that a reader, or a power cut, finds the old file or the new one, never half.

    The bytes go to a temporary file in the same folder, reach the disk, and take the name by one rename.
    Raises ConfigError when the disk refuses (see ``disk_errors``); the temporary file is then removed.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with disk_errors(path):
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync(path.parent)


def require_room(path: Path, *, advice: str) -> None:
    """Raise ConfigError, with *advice*, where no file *path* could be written, before time is spent on its content.

    Folders that are missing are taken as made.
    """
    existing = next(folder for folder in path.absolute().parents if folder.exists())
    if path.is_dir() or not (existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)):
        message = f"{path}: cannot be written, because of {path if path.is_dir() else existing}; {advice}."
        raise ConfigError(message)


def sync(path: Path) -> None:
    """Force what the operating system holds of the file or folder at *path* onto the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_NO_PERMISSION = "name a folder that you may write to, or change its permissions"
_IN_THE_WAY = "remove what is in the way or name another folder"

_ADVICE: Mapping[int, str] = MappingProxyType(
    {
        errno.ENOSPC: "free some space or name a folder on another disk, and run the same command again",
        errno.EDQUOT: "your quota is used up: free some of it or name a folder on another disk",
        errno.EFBIG: "raise the limit on file sizes (ulimit -f) or name a folder on another disk",
        errno.EACCES: _NO_PERMISSION,
        errno.EPERM: _NO_PERMISSION,
        errno.EROFS: "its file system is read-only: name another folder",
        errno.ENOTDIR: "a part of this path is a file, not a folder: name another folder",
        errno.EISDIR: "a folder has the name that a file needs: " + _IN_THE_WAY,
        errno.EEXIST: "a file has the name that a folder needs: " + _IN_THE_WAY,
        errno.ENOENT: "the folder is gone or cannot be made there: name another folder",
        errno.ENAMETOOLONG: "name a folder with a shorter path",
        errno.ELOOP: "its symbolic links lead in a circle: name another folder",
        errno.ENOLCK: "its file system cannot lock files: name a folder on a local disk",
        errno.EOPNOTSUPP: "its file system cannot do this: name a folder on a local disk",
        errno.EIO: "the disk itself failed: name a folder on another disk",
    },
)
