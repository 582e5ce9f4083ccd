"""Results on disk under the digest of everything that made them: locked, atomic, checked when read.

Layout under the store's root::

    objects/<first 2 digits of key>/<key>/   a result: its files and manifest.json
    scratch/<key>/out/                       a result being built
    scratch/<key>/progress/                  what a killed run continues from
    locks/<key>.lock                         held while a key is looked up or built
    trash/                                   damaged results on their way out
"""

import errno
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from edgekd import __version__
from edgekd.core.digest import canonical_json, file_digest, json_digest
from edgekd.core.disk import disk_errors, sync, write_atomically
from edgekd.core.errors import ConfigError
from edgekd.core.strict import convert

MANIFEST: Final = "manifest.json"


class FileFacts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a manifest knows of one file."""

    sha256: str
    size_bytes: int


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A complete result whose every file has the digest that its manifest gives."""

    key: str
    folder: Path
    record: Mapping[str, Any]
    files: Mapping[str, FileFacts]


class Damage(msgspec.Struct, frozen=True, kw_only=True):
    """A result that is not what was committed, with one sentence that says how."""

    key: str
    reason: str


def result_key(*, stage: str, version: int, config: object, inputs: Mapping[str, str], task: str, seed: int) -> str:
    """Return the name of a result: 64 hexadecimal digits over everything that can change it.

    *config* is a msgspec struct or anything JSON can say; *inputs* are the keys of the results it takes, by
    name; *task* is the task's digest. edgekd's own version counts too.
    """
    return json_digest(
        {
            "edgekd": __version__,
            "stage": stage,
            "version": version,
            "config": msgspec.to_builtins(config),
            "inputs": dict(inputs),
            "task": task,
            "seed": seed,
        },
    )


class Store:
    """The results under one root folder. Safe for several processes that hold ``lock(key)`` while they work.

    Every method raises ConfigError when the disk refuses (full, read-only, no permission ...), and ValueError
    for a key that is not 64 lower-case hexadecimal digits.
    """

    def __init__(self, root: Path) -> None:
        """Name the root folder; nothing is made until something is written."""
        self.root: Final = root

    @contextmanager
    def lock(self, key: str, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
        """Hold *key* alone among all processes; call *on_wait* once if someone else has it first.

        The kernel drops the lock when its holder ends, however it ends: a killed run never blocks the next.
        Not re-entrant: a second ``lock`` of the same key in one process waits for ever.
        """
        path = self.root / "locks" / f"{_checked(key)}.lock"
        with disk_errors(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            with disk_errors(path):
                _acquire(descriptor, on_wait)
            yield
        finally:
            os.close(descriptor)

    def find(self, key: str) -> Entry | Damage | None:
        """Return the result, all of it hashed again, or what is wrong with it, or None if there is none."""
        folder = self._folder(key)
        with disk_errors(folder):
            if not os.path.lexists(folder):
                return None
            return _read_entry(key, folder)

    def discard(self, key: str) -> None:
        """Remove the result *key*: renamed out of the way at once, deleted after."""
        trash = self.root / "trash"
        with disk_errors(trash):
            trash.mkdir(parents=True, exist_ok=True)
            bin_folder = Path(tempfile.mkdtemp(prefix=f"{_checked(key)}-", dir=trash))
            self._folder(key).rename(bin_folder / "entry")
            shutil.rmtree(bin_folder)

    def scratch(self, key: str) -> Path:
        """Return the folder in which *key* is built (``out/``, ``progress/``) as a killed run left it."""
        folder = self.root / "scratch" / _checked(key)
        with disk_errors(folder):
            (folder / "out").mkdir(parents=True, exist_ok=True)
            (folder / "progress").mkdir(exist_ok=True)
        return folder

    def empty_out(self, key: str) -> Path:
        """Return ``scratch/<key>/out`` emptied: what a killed run left half written must not be committed."""
        folder = self.scratch(key) / "out"
        with disk_errors(folder):
            shutil.rmtree(folder)
            folder.mkdir(exist_ok=True)
        return folder

    def commit(self, key: str, record: Mapping[str, Any]) -> Entry:
        """Turn ``scratch/<key>/out`` into the result *key*, by one rename after all of it is on the disk.

        *record* is what JSON can say. A sound result that is already there is kept and returned; a damaged
        one is replaced. The scratch folder is removed. Raises ValueError for a link or a file named
        manifest.json in ``out``, and where *record* holds NaN.
        """
        scratch, folder = self.scratch(key), self._folder(key)
        found = self.find(key)
        if isinstance(found, Damage):
            self.discard(key)
        if not isinstance(found, Entry):
            with disk_errors(folder):
                _seal(scratch / "out", key, record)
                folder.parent.mkdir(parents=True, exist_ok=True)
                _rename_unless_there(scratch / "out", folder)
                sync(folder.parent)
        with disk_errors(scratch):
            shutil.rmtree(scratch)
        return self._require(key)

    def _folder(self, key: str) -> Path:
        """Return where the result *key* lives."""
        return self.root / "objects" / _checked(key)[:2] / key

    def _require(self, key: str) -> Entry:
        """Return the result that was just committed, read back from the disk."""
        found = self.find(key)
        if isinstance(found, Entry):
            return found
        reason = found.reason if found else "it is not there"
        message = f"{self._folder(key)}: written, but not what came back: {reason}; check the disk."
        raise ConfigError(message)


def _checked(key: str) -> str:
    """Return *key* if it is a full digest; a short or odd one could name another folder."""
    if len(key) != 64 or not set(key) <= set("0123456789abcdef"):  # noqa: PLR2004 - digits of a SHA-256
        message = f"a store key is 64 lower-case hexadecimal digits; got {key!r}"
        raise ValueError(message)
    return key


def _acquire(descriptor: int, on_wait: Callable[[], None] | None) -> None:
    """Lock the open file, telling *on_wait* before the first wait."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if on_wait is not None:
            on_wait()
        fcntl.flock(descriptor, fcntl.LOCK_EX)


class _Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file that makes a folder a result; ``sha256`` is over the canonical JSON of the other fields."""

    key: str
    record: dict[str, Any]
    files: dict[str, FileFacts]
    sha256: str


def _seal(out: Path, key: str, record: Mapping[str, Any]) -> None:
    """Force the files under *out* onto the disk and write their manifest beside them, last."""
    if (out / MANIFEST).exists():
        message = f"{out / MANIFEST}: this name is the store's own; start with empty_out() and use another"
        raise ValueError(message)
    files = {}
    for name, path in _files(out).items():
        sync(path)
        files[name] = {"sha256": file_digest(path), "size_bytes": path.stat().st_size}
    body = {"key": key, "record": msgspec.to_builtins(record), "files": files}
    write_atomically(out / MANIFEST, canonical_json(body | {"sha256": json_digest(body)}))
    for folder, _, _ in os.walk(out):
        sync(Path(folder))


def _files(folder: Path) -> dict[str, Path]:
    """Return every file under *folder* by its relative path, in order; ValueError for anything but a file."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            message = f"{path}: a result holds plain files only, no links or devices"
            raise ValueError(message)
        if path.is_file():
            found[path.relative_to(folder).as_posix()] = path
    return found


def _rename_unless_there(source: Path, destination: Path) -> None:
    """Rename a folder; where another process that held no lock was faster, leave its result in place."""
    try:
        source.rename(destination)
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise


def _read_entry(key: str, folder: Path) -> Entry | Damage:
    """Return the result in *folder* after hashing all of it, or the first thing that is wrong."""
    try:
        manifest = _read_manifest(folder)
        present = _files(folder)
    except (ConfigError, ValueError) as error:
        return Damage(key=key, reason=str(error))
    present.pop(MANIFEST, None)
    return _disagreement(key, manifest, present) or Entry(
        key=key, folder=folder, record=manifest.record, files=manifest.files
    )


def _read_manifest(folder: Path) -> _Manifest:
    """Return the manifest in *folder*; ConfigError or ValueError where it is missing or not one."""
    path = folder / MANIFEST
    if not path.is_file():
        message = f"{path}: missing"
        raise ConfigError(message)
    try:
        data = json.loads(path.read_bytes())
    except ValueError as error:
        message = f"{path}: not JSON ({error})"
        raise ConfigError(message) from error
    return convert(data, _Manifest, where=str(path))


def _disagreement(key: str, manifest: _Manifest, present: Mapping[str, Path]) -> Damage | None:
    """Return how the manifest and the files *present* differ, or None."""
    body = {name: value for name, value in msgspec.to_builtins(manifest).items() if name != "sha256"}
    if manifest.key != key:
        return Damage(key=key, reason=f"{MANIFEST} belongs to the key {manifest.key}.")
    if json_digest(body) != manifest.sha256:
        return Damage(key=key, reason=f"{MANIFEST} was changed after it was written.")
    for name in sorted(manifest.files.keys() ^ present.keys()):
        state = "missing" if name in manifest.files else f"not in {MANIFEST}"
        return Damage(key=key, reason=f"{name} is {state}.")
    for name, facts in manifest.files.items():
        digest = file_digest(present[name])
        if digest != facts.sha256:
            return Damage(
                key=key,
                reason=f"{name} has the digest {digest[:12]}... where {MANIFEST} says {facts.sha256[:12]}...",
            )
    return None
