"""What the keys of a NumPy archive mean: ``npz.py`` says which there are."""

import re
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekd.core.errors import ConfigError
from edgekd.core.strict import suggestion
from edgekd.tasks.archive import Member, read_members, whole

PARTS: Final = {"": "train", "_train": "train", "_val": "validation", "_test": "test"}
LABELS: Final = "labels"

_KEY: Final = re.compile(r"(?P<role>[xy])(?P<part>|_train|_val|_test)(?::(?P<name>.+))?", re.DOTALL)
_KEYS: Final = (*(f"{role}{part}" for role in "xy" for part in PARTS), LABELS)

Indices = NDArray[np.int64]


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What an archive's keys mean: for each part its arrays of samples by input name, and its labels."""

    samples: dict[str, dict[str, Member]]
    labels: dict[str, Member]
    names: tuple[str, ...]

    @property
    def inputs(self) -> tuple[str, ...]:
        """Return the inputs' names ("" for one without), in the archive's order."""
        return tuple(self.samples["train"])

    def ranges(self) -> dict[str, Indices]:
        """Return the row numbers of each part, counted through all of them."""
        found, start = {}, 0
        for part, members in self.samples.items():
            end = start + next(iter(members.values())).shape[0]
            found[part] = np.arange(start, end)
            start = end
        return found


def read_contents(path: Path) -> Contents:
    """Return what the keys of the archive at *path* mean; ConfigError where they do not make a task."""
    samples: dict[str, dict[str, Member]] = {}
    labels: dict[str, Member] = {}
    names: tuple[str, ...] = ()
    members = read_members(path)
    for member in members:
        match = _KEY.fullmatch(member.key)
        if member.key == LABELS:
            names = _names(path, member)
        elif match is None or (match["role"] == "y" and match["name"]):
            message = f"{path}: '{member.key}': unknown array; {suggestion(member.key, _KEYS)}"
            raise ConfigError(message)
        else:
            part = PARTS[match["part"]]
            if match["role"] == "y":
                labels[part] = member
            else:
                samples.setdefault(part, {})[match["name"] or ""] = member
    roles = {member.key.partition(":")[0] for member in members} - {LABELS}
    if "train" not in samples or (roles & {"x", "y"} and roles - {"x", "y"}):
        message = (
            f"{path}: holds {', '.join(member.key for member in members)}; expected x and y, or x_train and y_train "
            "with x_val, y_val, x_test and y_test."
        )
        raise ConfigError(message)
    ordered = {part: samples[part] for part in PARTS.values() if part in samples}
    contents = Contents(samples=ordered, labels=labels, names=names)
    _check_counts(path, contents)
    return contents


def _check_counts(path: Path, contents: Contents) -> None:
    """Raise ConfigError unless every part has the same inputs, as many rows in each, and as many labels."""
    for part in contents.labels.keys() - contents.samples.keys():
        message = f"{path}: {contents.labels[part].key}: labels of samples that are not there."
        raise ConfigError(message)
    for part, members in contents.samples.items():
        if set(members) != set(contents.inputs):
            message = f"{path}: {part} has the inputs {sorted(members)}; train has {sorted(contents.inputs)}."
            raise ConfigError(message)
        both = [*members.values(), *([contents.labels[part]] if part in contents.labels else [])]
        for member in both:
            if not member.shape or member.shape[0] != both[0].shape[0]:
                message = (
                    f"{path}: {member.key} has the shape {member.shape}, {both[0].key} {both[0].shape}; "
                    "expected as many rows in both."
                )
                raise ConfigError(message)


def _names(path: Path, member: Member) -> tuple[str, ...]:
    """Return the names of the classes that the archive holds."""
    if member.dtype.kind != "U" or len(member.shape) != 1:
        message = (
            f"{path}: {member.key}: {member.dtype} of shape {member.shape}; expected the classes' names, as text (k,)."
        )
        raise ConfigError(message)
    return tuple(whole(path, member).tolist())
