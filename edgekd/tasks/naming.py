"""Which classes there are, and in which order: from the data's own names or numbers, and from what was asked for."""

from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekd.core.errors import ConfigError
from edgekd.tasks.source import LEAST_CLASSES, Data


def task_name(path: Path) -> str:
    """Return what a task from *path* is called: its last part, so that data which was moved stays the same task."""
    return path.resolve().name or "data"


def classes_named(found: Collection[str], data: Data, *, where: str) -> tuple[str, ...]:
    """Return the classes of data that names them itself: *found* sorted, or in the order of ``data.labels``.

    Data that names none takes them from the settings. Raises ConfigError where both are there and differ, and for
    fewer than two classes.
    """
    if not found:
        return _asked_for(data, where)
    if data.labels and set(data.labels) != set(found):
        odd = min(set(data.labels) ^ set(found))
        side = "the data has no such class" if odd in data.labels else "the data has it, data.labels does not"
        message = f"{where}: class '{odd}': {side}; data.labels may give the order of the classes, not other names."
        raise ConfigError(message)
    if data.classes not in {0, len(found)}:
        message = f"{where}: {len(found)} classes; data.classes says {data.classes}: correct it, or leave it out."
        raise ConfigError(message)
    return _at_least_two(data.labels or tuple(sorted(found)), where)


def classes_numbered(
    labels: NDArray[np.int64], data: Data, *, where: str, names: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """Return the classes of data that numbers them: the settings' names, the data's *names*, or the numbers themselves.

    *labels* are all that there are, in the data's order. Raises ConfigError for one out of range; without names or
    count, also where a number between 0 and the largest never occurs, because then the largest may be a mistake.
    """
    if data.labels or data.classes or names or not len(labels):
        found = data.labels or (names if data.classes in {0, len(names)} else ()) or _asked_for(data, where)
    else:
        missing = sorted(set(range(int(labels.max()) + 1)) - set(np.unique(labels).tolist()))
        if missing:
            message = (
                f"{where}: labels go up to {int(labels.max())}, but {missing[0]} never occurs; correct them, or give "
                "data.classes."
            )
            raise ConfigError(message)
        found = tuple(str(number) for number in range(int(labels.max(initial=-1)) + 1))
    _check_range(labels, len(found), where)
    return _at_least_two(found, where)


def _check_range(labels: NDArray[np.int64], classes: int, where: str) -> None:
    """Raise ConfigError for the first of *labels* that is no class."""
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        message = (
            f"{where}: label {labels[wrong[0]]} of sample {wrong[0]} ({len(wrong)} such); "
            f"expected 0 to {classes - 1} for {classes} classes."
        )
        raise ConfigError(message)


def _asked_for(data: Data, where: str) -> tuple[str, ...]:
    """Return the classes that the settings name or count."""
    if not data.labels and not data.classes:
        message = f"{where}: the data does not say which classes there are; give data.labels or data.classes."
        raise ConfigError(message)
    return data.labels or tuple(str(number) for number in range(data.classes))


def _at_least_two(names: tuple[str, ...], where: str) -> tuple[str, ...]:
    """Return *names*; ConfigError for fewer than two."""
    if len(names) < LEAST_CLASSES:
        message = f"{where}: one class only ('{names[0]}'); expected at least 2: there is nothing to tell apart."
        raise ConfigError(message)
    return names
