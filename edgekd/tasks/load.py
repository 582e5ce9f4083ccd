"""The task that ``--data`` asks for."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, Protocol

from edgekd.core.progress import Progress
from edgekd.tasks.cifar10 import load_cifar10
from edgekd.tasks.digits import load_digits
from edgekd.tasks.folder import load_folder
from edgekd.tasks.huggingface import load_huggingface
from edgekd.tasks.module import load_module
from edgekd.tasks.npz import load_npz
from edgekd.tasks.source import Data
from edgekd.tasks.task import Task


class Loader(Protocol):
    """How one kind of source becomes a task."""

    def __call__(self, data: Data, *, cache: Path, progress: Progress) -> Task:
        """Return the task; ConfigError for whatever is wrong with the data."""
        ...


def load_task(data: Data, *, cache: Path, progress: Progress) -> Task:
    """Return the task that *data* describes, decoded into *cache* where that is needed and not yet done.

    Raises ConfigError, one sentence, for whatever is wrong with the data.
    """
    return LOADERS[data.kind](data, cache=cache, progress=progress)


def _load_digits(data: Data, *, cache: Path, progress: Progress) -> Task:  # noqa: ARG001 - a loader's arguments
    """Return the digits, which come decoded."""
    return load_digits()


def _load_module(data: Data, *, cache: Path, progress: Progress) -> Task:  # noqa: ARG001 - a loader's arguments
    """Return the user's own task, which keeps its rows where it likes."""
    return load_module(data)


LOADERS: Final[Mapping[str, Loader]] = MappingProxyType(
    {
        "digits": _load_digits,
        "folder": load_folder,
        "npz": load_npz,
        "cifar10": load_cifar10,
        "hf": load_huggingface,
        "module": _load_module,
    }
)
"""Every kind of source, as in ``source.KINDS``."""
