"""A data set of Hugging Face ``datasets``, from the hub or a folder, as a task."""

import hashlib
import importlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekd.core.digest import bytes_digest, canonical_json
from edgekd.core.errors import ConfigError
from edgekd.core.progress import Progress
from edgekd.core.strict import suggestion
from edgekd.tasks.cache import Origin, cached_task
from edgekd.tasks.images import Pictures, stored_images
from edgekd.tasks.naming import classes_named, classes_numbered, task_name
from edgekd.tasks.reading import read_file
from edgekd.tasks.source import Data
from edgekd.tasks.stored import Stored
from edgekd.tasks.task import Task

VERSION: Final = 1
SPLITS: Final[Mapping[str, str]] = MappingProxyType(
    {"train": "train", "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation"}
    | {"test": "test"}
)
"""What a data set's splits are called, and which part each is."""

LABEL_NAMES: Final = ("label", "labels")
_SAVED: Final = ("dataset_dict.json", "state.json")

Indices = NDArray[np.int64]
Library = Any
"""What comes from ``datasets``, which has no types."""


class Columns(msgspec.Struct, frozen=True, kw_only=True):
    """Which columns are used. *label* is empty for unlabelled data; *names* are the classes, where the features say."""

    image: str
    label: str
    names: tuple[str, ...]


def load_huggingface(data: Data, *, cache: Path, progress: Progress) -> Task:
    """Return the task of the data set ``data.rest``: a folder that ``save_to_disk`` wrote, or what the hub calls so.

    Only features of images and class labels are used; code that comes with a data set is never run. Every image is
    hashed at every start.
    """
    splits = _splits(_opened(data), data, progress)
    columns = _columns(splits["train"].features, data)
    tables = {part: _encoded(split, columns, data) for part, split in splits.items()}
    numbers = {part: _labels(split, columns, f"{data.rest}: {part}") for part, split in splits.items()}
    labels = np.concatenate(list(numbers.values()))
    classes, labels = _classes(labels, columns, data)
    starts = np.cumsum([0, *(len(split) for split in splits.values())])
    given = {part: np.arange(starts[i], starts[i + 1]) for i, part in enumerate(tables)}

    def read(index: int) -> bytes:
        number = int(np.searchsorted(starts, index, side="right")) - 1
        return _content(list(tables.values())[number][int(index - starts[number])][columns.image])

    pictures = Pictures(
        title=task_name(Path(data.rest)),
        root=data.rest,
        names=[f"{part}[{row}]" for part, split in splits.items() for row in range(len(split))],
        read=read,
        labels=labels,
    )

    def build(folder: Path) -> Stored:
        return stored_images(pictures, given, classes, data, folder, progress)

    origin = Origin(name=pictures.title, version=VERSION, sources=_sources(pictures, classes, progress))
    return cached_task(data, origin, build, cache=cache, progress=progress)


def _opened(data: Data) -> Library:
    """Return what ``datasets`` opens under the name or folder; ConfigError where it cannot, or is not installed."""
    datasets = _library(data)
    path = Path(data.rest).expanduser()
    try:
        if any((path / name).is_file() for name in _SAVED):
            return datasets.load_from_disk(str(path))
        return datasets.load_dataset(str(path) if path.exists() else data.rest, data.subset or None)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().split("\n")[0].removesuffix(".")
        message = (
            f"{data.source}: cannot be opened: {reason}; expected a folder from save_to_disk, or a name on the hub."
        )
        raise ConfigError(message) from error


def _library(data: Data) -> Library:
    """Return the module ``datasets``, an extra that takes a second to load and has no types."""
    try:
        return importlib.import_module("datasets")
    except ImportError as error:
        message = f"{data.source}: needs Hugging Face datasets; pip install 'edgekd[datasets]'."
        raise ConfigError(message) from error


def _splits(opened: Library, data: Data, progress: Progress) -> dict[str, Library]:
    """Return the data set's splits by part; those with other names are left alone, and *progress* is told."""
    named = opened if isinstance(opened, dict) else {"train": opened}
    found: dict[str, Library] = {}
    for name, split in named.items():
        part = SPLITS.get(name)
        if part is None or part in found:
            progress.say(f"{data.rest}: the split '{name}' is not used")
        else:
            found[part] = split
    if "train" not in found or not len(found["train"]):
        message = f"{data.source}: has the splits {sorted(map(str, named))}; expected a 'train' with samples."
        raise ConfigError(message)
    return {part: found[part] for part in ("train", "validation", "test") if part in found}


def _columns(features: Mapping[str, Library], data: Data) -> Columns:
    """Return the columns of images and labels, found by their types where they are not given."""
    images = [name for name, feature in features.items() if type(feature).__name__ == "Image"]
    image = _chosen(data.image_column, images, "image_column", features, data) or ""
    if not image:
        message = (
            f"{data.source}: no column of images among {list(features)}; save other data with numpy.savez, as npz:FILE."
        )
        raise ConfigError(message)
    classes = [name for name, feature in features.items() if type(feature).__name__ == "ClassLabel"]
    label = _chosen(
        data.label_column, classes or [name for name in LABEL_NAMES if name in features], "label_column", features, data
    )
    return Columns(
        image=image, label=label, names=tuple(getattr(features[label], "names", None) or ()) if label else ()
    )


def _chosen(asked: str, candidates: list[str], field: str, features: Mapping[str, Library], data: Data) -> str:
    """Return the column *asked* for or the only one of *candidates*, nothing where there is none."""
    if asked:
        if asked not in features:
            message = f"{data.source}: data.{field}: no column '{asked}'; {suggestion(asked, features)}"
            raise ConfigError(message)
        return asked
    if len(candidates) > 1:
        message = f"{data.source}: the columns {', '.join(candidates)} could all be meant; give data.{field}."
        raise ConfigError(message)
    return candidates[0] if candidates else ""


def _encoded(split: Library, columns: Columns, data: Data) -> Library:
    """Return *split* with its images only, as the bytes they are stored as."""
    images = split.with_format(None).select_columns([columns.image])
    return images.cast_column(columns.image, _library(data).Image(decode=False))


def _content(image: Mapping[str, Library] | None) -> bytes:
    """Return an image's bytes, from the table or the file it names; none for a missing one, which is unreadable."""
    if image is None:
        return b""
    content = image["bytes"]
    return content if isinstance(content, bytes) else read_file(str(image["path"]))


def _labels(split: Library, columns: Columns, where: str) -> Indices | NDArray[np.str_]:
    """Return the labels of *split*: class numbers, -1 for none in all of them, or names."""
    if not columns.label:
        return np.full(len(split), -1, dtype=np.int64)
    found = np.array(split.with_format(None)[columns.label][:])
    if found.dtype.kind not in "iuU" or found.ndim != 1:
        message = f"{where}: column '{columns.label}' holds {found.dtype}; expected a number or name for each image."
        raise ConfigError(message)
    if found.dtype.kind != "U" and (found < 0).any() and not (found == -1).all():
        wrong = int(np.flatnonzero(found < 0)[0])
        message = (
            f"{where}: label {found[wrong]} of sample {wrong}; expected a class from 0 on, or -1 for every sample."
        )
        raise ConfigError(message)
    return found


def _classes(labels: NDArray[Any], columns: Columns, data: Data) -> tuple[tuple[str, ...], Indices]:
    """Return the names of the classes and all labels as numbers."""
    if labels.dtype.kind == "U":
        names = classes_named(set(labels.tolist()), data, where=data.rest)
        numbers = {name: number for number, name in enumerate(names)}
        return names, np.array([numbers[label] for label in labels.tolist()], dtype=np.int64)
    labels = labels.astype(np.int64)
    return classes_numbered(labels[labels >= 0], data, where=data.rest, names=columns.names), labels


def _sources(pictures: Pictures, classes: tuple[str, ...], progress: Progress) -> str:
    """Return one digest over all images, their labels and the names of the classes."""
    digest = hashlib.sha256(canonical_json(list(classes)) + pictures.labels.tobytes())
    with progress.step(f"{pictures.title}: checking images", len(pictures.names)) as step:
        for index in range(len(pictures.names)):
            digest.update(bytes_digest(pictures.read(index)).encode())
            step.advance(index + 1)
    return digest.hexdigest()
