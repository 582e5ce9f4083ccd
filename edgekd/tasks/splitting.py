"""Splitting samples into train, validation and test: the same numbers give the same split, on any machine."""

import hashlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edgekd.core.errors import ConfigError

Indices = NDArray[np.int64]


def mixed(count: int, *, seed: int) -> Indices:
    """Return 0 to *count* - 1 in the order of ``SHA-256("seed:index")``.

    As good as random, and depends on no library's generator. Rows are stored in such an order, so that the first
    rows of a split are a fair sample of it even where the source is sorted by class.
    """
    keys = [hashlib.sha256(f"{seed}:{index}".encode()).digest() for index in range(count)]
    return np.array(sorted(range(count), key=keys.__getitem__), dtype=np.int64)


def split(labels: Indices, shares: Mapping[str, float], *, seed: int, where: str) -> dict[str, Indices]:
    """Return indices for ``train`` and for each of *shares*, of every class alike, each in the order of ``mixed``.

    Of a class of n samples the first ``floor(n * share + 0.5)`` in that order go to the first of *shares*, the next to
    the second, but never the last one: at least one sample of each class is left for ``train``. *labels* (n,) holds
    any number for each class; unlabelled samples count as one class. Raises ConfigError where a part would be empty.
    """
    order = mixed(len(labels), seed=seed)
    part_of = np.full(len(labels), "train", dtype=object)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        start = 0
        for part, share in shares.items():
            end = min(start + int(len(members) * share + 0.5), len(members) - 1)
            part_of[members[start:end]] = part
            start = end
    parts = {part: order[part_of[order] == part] for part in ("train", *shares)}
    for part, share in shares.items():
        if not len(parts[part]):
            message = (
                f"{where}: {len(labels)} samples of {len(np.unique(labels))} classes leave none for {part} = {share}; "
                f"raise {part}, or bring more samples."
            )
            raise ConfigError(message)
    return parts


def complete(
    given: Mapping[str, Indices], labels: Indices, shares: Mapping[str, float], *, seed: int, where: str
) -> dict[str, Indices]:
    """Return the indices of every part: those *given*, and off *given*'s ``train`` those of *shares* that are missing.

    Every part is in the order of ``mixed``. *labels* are those of all samples.
    """
    missing = {part: share for part, share in shares.items() if part not in given}
    train = given["train"]
    split_off = split(labels[train], missing, seed=seed, where=where)
    parts = {part: train[rows] for part, rows in split_off.items()}
    return parts | {part: rows[mixed(len(rows), seed=seed)] for part, rows in given.items() if part != "train"}


def rule(given: Mapping[str, Indices], shares: Mapping[str, float], *, seed: int) -> str:
    """Return in words how ``complete`` comes to its parts."""
    own = [part for part in ("train", *shares) if part in given]
    drawn = [f"{share:g} {part}" for part, share in shares.items() if part not in given]
    words = [f"{', '.join(own)} as the source has them"] if len(own) > 1 else []
    if drawn:
        words.append(
            f"of each class of train {' and '.join(drawn)}, the first in the order of SHA-256 of '{seed}:index'"
        )
    return "; ".join(words)
