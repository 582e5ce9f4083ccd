"""A folder of images as a task: one folder for each class, or images that nobody has labelled."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekd.core.digest import bytes_digest
from edgekd.core.errors import ConfigError
from edgekd.core.progress import Progress
from edgekd.tasks.cache import Origin, cached_task
from edgekd.tasks.decoding import SUFFIXES
from edgekd.tasks.images import Pictures, stored_images
from edgekd.tasks.naming import classes_named, task_name
from edgekd.tasks.reading import entries, folder_at, read_file
from edgekd.tasks.source import Data
from edgekd.tasks.stored import Stored
from edgekd.tasks.task import Task

VERSION: Final = 1
SPLITS: Final[Mapping[str, str]] = MappingProxyType(
    {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}
)
"""Folders at the top that are splits where ``train`` is among them."""

_AT_ONCE: Final = 512
_Found = tuple[str, str, str | None]


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """The images of a folder: *names* relative to it, with the part and class of each.

    *classes* holds the name of the class folder, None for an image without. *ignored* are files that are no images
    by their names.
    """

    names: tuple[str, ...]
    parts: tuple[str, ...]
    classes: tuple[str | None, ...]
    ignored: tuple[str, ...]


def load_folder(data: Data, *, cache: Path, progress: Progress) -> Task:
    """Return the task of the images in the folder ``data.rest``.

    Every file is hashed at every start, so that a changed byte is never answered from the cache.
    """
    root = folder_at(data.rest)
    listing = list_images(root)
    named = {name for name in listing.classes if name is not None}
    labels = classes_named(named, data, where=str(root))
    if listing.ignored:
        progress.say(
            f"{root}: {len(listing.ignored)} files are no images by their names (the first: {listing.ignored[0]})"
        )
    paths = [f"{root}/{name}" for name in listing.names]
    digests = _digests(paths, f"{task_name(root)}: checking files", progress)
    numbers = {name: number for number, name in enumerate(labels)}
    pictures = Pictures(
        title=task_name(root),
        root=str(root),
        names=listing.names,
        read=lambda index: _unchanged(paths[index], digests[index]),
        labels=np.array([-1 if name is None else numbers[name] for name in listing.classes], dtype=np.int64),
    )

    def build(folder: Path) -> Stored:
        return stored_images(pictures, _given(listing), labels, data, folder, progress)

    origin = Origin(name=task_name(root), version=VERSION, sources=_sources(listing, digests))
    return cached_task(data, origin, build, cache=cache, progress=progress)


def list_images(root: Path) -> Listing:
    """Return the images under *root*, sorted by name; ConfigError where they are not laid out as a task.

    Folders ``train``, ``val`` (or ``valid``, ``validation``) and ``test`` at the top are splits. In each split, or at
    the top where there is none, stands one folder for each class with images at any depth, or images alone, which
    then are unlabelled. Names that begin with a dot are left out.
    """
    found: list[_Found] = []
    ignored: list[str] = []
    for part, top in _tops(root).items():
        images = _images_of(top, ignored)
        if not images:
            message = f"{top}: holds no image and no folder of images; expected one folder for each class."
            raise ConfigError(message)
        inside = "" if top == root else f"{top.name}/"
        found += [(inside + name, part, label) for name, label in images]
    _check_classes(root, found)
    names, parts, classes = zip(*found, strict=True)
    return Listing(names=names, parts=parts, classes=classes, ignored=tuple(ignored))


def _images_of(top: Path, ignored: list[str]) -> list[tuple[str, str | None]]:
    """Return the images under *top*, relative to it, each with its class folder; all other files go to *ignored*."""
    folders, files = entries(top)
    found: list[tuple[str, str | None]] = [(name, None) for name in files if _is_image(name)]
    ignored += [str(top / name) for name in files if not _is_image(name)]
    if found and folders:
        message = f"{top}: holds images ({found[0][0]}) beside the folder '{folders[0]}'; expected one or the other."
        raise ConfigError(message)
    for label in folders:
        inside = _walk(top / label)
        images = [name for name in inside if _is_image(name)]
        ignored += [str(top / label / name) for name in inside if not _is_image(name)]
        if not images:
            message = f"{top / label}: holds no image; every folder is a class: remove it, or put its images there."
            raise ConfigError(message)
        found += [(f"{label}/{name}", label) for name in images]
    return found


def _tops(root: Path) -> dict[str, Path]:
    """Return the folder of each split, or *root* itself as ``train`` where there are none."""
    folders, files = entries(root)
    splits = [name for name in folders if name in SPLITS]
    if not splits:
        return {"train": root}
    others = [name for name in folders if name not in SPLITS] + [name for name in files if _is_image(name)]
    if "train" not in splits or others:
        problem = f"beside '{others[0]}'" if others else "without 'train'"
        message = f"{root}: has '{splits[0]}' {problem}; expected train, val and test, or one folder for each class."
        raise ConfigError(message)
    tops: dict[str, Path] = {}
    for name in sorted(splits, key=list(SPLITS).index):
        if SPLITS[name] in tops:
            message = f"{root}: '{tops[SPLITS[name]].name}' and '{name}' are both the {SPLITS[name]} split; keep one."
            raise ConfigError(message)
        tops[SPLITS[name]] = root / name
    return tops


def _walk(folder: Path) -> list[str]:
    """Return the names, relative to *folder*, of all files at any depth, sorted."""
    folders, files = entries(folder)
    return sorted([*files, *(f"{inner}/{name}" for inner in folders for name in _walk(folder / inner))])


def _is_image(name: str) -> bool:
    """Say whether *name* is that of an image."""
    return os.path.splitext(name)[1].lower() in SUFFIXES  # noqa: PTH122 - a Path for each name takes seconds


def _check_classes(root: Path, found: list[_Found]) -> None:
    """Raise ConfigError for a class that another split has and the labelled training split has not."""
    train = {name for _, part, name in found if part == "train"}
    for image, part, name in found:
        if None not in train and name is not None and name not in train:
            message = f"{root}: {part} has the class '{name}' ({image}), train has not; add images of it, or remove it."
            raise ConfigError(message)


def _given(listing: Listing) -> dict[str, NDArray[np.int64]]:
    """Return the indices of each part that the folder itself has."""
    parts = np.array(listing.parts)
    return {part: np.flatnonzero(parts == part).astype(np.int64) for part in dict.fromkeys(listing.parts)}


def _digests(paths: list[str], title: str, progress: Progress) -> list[str]:
    """Return the SHA-256 of each file."""
    digests: list[str] = []
    with progress.step(title, len(paths)) as step:
        for start in range(0, len(paths), _AT_ONCE):
            digests += [bytes_digest(read_file(path)) for path in paths[start : start + _AT_ONCE]]
            step.advance(len(digests))
    return digests


def _sources(listing: Listing, digests: list[str]) -> str:
    """Return one digest over the names and contents of all files; no name holds the zero byte that ends it."""
    digest = hashlib.sha256()
    for name, content in zip(listing.names, digests, strict=True):
        digest.update(f"{content} {name}\0".encode())
    return digest.hexdigest()


def _unchanged(path: str, digest: str) -> bytes:
    """Return the bytes of *path*; ConfigError where they are no longer those of *digest*."""
    content = read_file(path)
    if bytes_digest(content) != digest:
        message = f"{path}: changed while it was read; run the same command again."
        raise ConfigError(message)
    return content
