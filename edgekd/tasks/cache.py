"""Data decoded once and kept under the digest of all that it came from."""

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from edgekd.core.digest import json_digest
from edgekd.core.progress import Progress
from edgekd.core.store import Damage, Entry, Store
from edgekd.core.strict import convert
from edgekd.tasks.source import KINDS, Data
from edgekd.tasks.stored import Stored, task_of
from edgekd.tasks.task import Task

LATE = frozenset({"mean", "std", "scale", "input_name", "output_name"})
"""The settings that decoded data does not depend on: they are applied at every start."""


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """What is decoded: the task's *name*, the loader's *version*, and the digest of every byte and name it reads."""

    name: str
    version: int
    sources: str


def cached_task(
    data: Data, origin: Origin, build: Callable[[Path], Stored], *, cache: Path, progress: Progress
) -> Task:
    """Return the task over what *build* wrote into a folder under *cache*, now or at an earlier start.

    Raise the *version* of a loader that gives other rows for the same source. The folder is checked against its
    manifest's digests at every start; a damaged one is made again, and *progress* is told. A process that finds
    another one at work waits for it. What a killed process leaves is never read. *cache* is the root of a ``Store``.
    """
    key = cache_key(data, origin)
    store = Store(cache)
    with store.lock(key, lambda: progress.say(f"{origin.name}: another process is decoding it; waiting")):
        found = store.find(key)
        if isinstance(found, Damage):
            progress.say(f"{origin.name}: the decoded copy is damaged ({found.reason}); decoding again")
            store.discard(key)
        entry = found if isinstance(found, Entry) else _built(store, key, build)
        stored = convert(entry.record, Stored, where=str(entry.folder))
        for note in stored.notes:
            progress.say(f"{origin.name}: {note}")
        return task_of(entry.folder, stored, data, name=origin.name)


def cache_key(data: Data, origin: Origin) -> str:
    """Return the digest of what was read and of every setting that decoding depends on, not of where it was read."""
    settings = {name: getattr(data, name) for name in sorted(KINDS[data.kind].takes - LATE)}
    return json_digest(
        {
            "kind": data.kind,
            "version": origin.version,
            "settings": msgspec.to_builtins(settings),
            "sources": origin.sources,
        }
    )


def _built(store: Store, key: str, build: Callable[[Path], Stored]) -> Entry:
    """Return the entry *key* after building it; nothing is left of one that could not be built."""
    try:
        record = build(store.empty_out(key))
        return store.commit(key, msgspec.to_builtins(record))
    except BaseException:
        shutil.rmtree(store.scratch(key), ignore_errors=True)
        raise
