"""The arrays of an ``.npz`` file, read a piece at a time; nothing in it is ever unpickled."""

import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import msgspec
import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from edgekd.core.errors import ConfigError
from edgekd.tasks.reading import reading

_PIECE_BYTES: Final = 1 << 22
_HEADERS: Final = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One array of an archive, known by its header only."""

    key: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


def read_members(path: Path) -> tuple[Member, ...]:
    """Return the arrays of the archive at *path* in their order; ConfigError for one that cannot be read in pieces."""
    with _archive(path) as archive:
        members = []
        for name in archive.namelist():
            if not name.endswith(".npy"):
                message = f"{path}: holds '{name}'; expected NumPy arrays only, as numpy.savez writes them."
                raise ConfigError(message)
            with archive.open(name) as stream:
                members.append(_header(stream, path, name.removesuffix(".npy")))
    return tuple(members)


def pieces(path: Path, member: Member) -> Iterator[NDArray[Any]]:
    """Yield the rows of *member* in order, a few MiB at a time, whether the archive is compressed or not."""
    row = member.shape[1:]
    row_bytes = max(1, member.dtype.itemsize * math.prod(row))
    step = max(1, _PIECE_BYTES // row_bytes)
    with _archive(path) as archive, archive.open(f"{member.key}.npy") as stream:
        _header(stream, path, member.key)
        for start in range(0, member.shape[0], step):
            count = min(step, member.shape[0] - start)
            content = stream.read(count * row_bytes)
            if len(content) != count * row_bytes:
                message = f"{path}: {member.key}: ends after {start} of {member.shape[0]} rows; copy the file again."
                raise ConfigError(message)
            yield np.frombuffer(content, dtype=member.dtype).reshape(count, *row)
        stream.read(1)  # at its end the archive compares its checksum


def whole(path: Path, member: Member) -> NDArray[Any]:
    """Return all of *member*, which is small."""
    return np.concatenate([np.empty((0, *member.shape[1:]), dtype=member.dtype), *pieces(path, member)])


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open the archive at *path*; what is wrong with the file is a ConfigError."""
    try:
        with reading(path, "a NumPy archive"), zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        message = f"{path}: cannot be read as a NumPy archive ({error}); expected what numpy.savez writes."
        raise ConfigError(message) from error


def _header(stream: IO[bytes], path: Path, key: str) -> Member:
    """Return what the header at the beginning of *stream* says, with *stream* left behind it."""
    try:
        version = npy.read_magic(stream)
        shape, fortran, dtype = _HEADERS[version](stream)
    except (ValueError, KeyError) as error:
        message = f"{path}: {key}: no NumPy array ({error}); expected what numpy.savez writes."
        raise ConfigError(message) from error
    if dtype.hasobject:
        message = f"{path}: {key}: holds Python objects, which are never loaded; save numbers (or names as text)."
        raise ConfigError(message)
    if fortran and len(shape) > 1:
        message = f"{path}: {key}: saved column by column; save numpy.ascontiguousarray({key}) instead."
        raise ConfigError(message)
    return Member(key=key, dtype=dtype, shape=shape)
