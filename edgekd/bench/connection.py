"""A way to a device: run words there, send and fetch files, in a new folder that is removed afterwards."""

import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final, Protocol

import msgspec

from edgekd.bench.device_errors import DeviceError, NoSpaceError, UnreachableError, not_installed, said_last

LEAST_SPACE: Final = 64 * 1024
"""Bytes that an answer may take."""

_RETRIES_S: Final = (1.0, 2.0, 4.0, 8.0)
_SHORT_S: Final = 60.0
_SENDING_S: Final = 600.0
_FOLDER: Final = re.compile(r"/[^\n]+")

_OPEN: Final = """
parent=${1:-${TMPDIR:-/tmp}}
for old in "$parent"/edgekd-bench.*; do
    kill -0 "$(cat "$old/pid" 2>/dev/null)" 2>/dev/null && continue
    [ -n "$(find "$old" -prune -mmin +10 2>/dev/null)" ] && rm -rf -- "$old" 2>/dev/null
done
mktemp -d "$parent/edgekd-bench.XXXXXX"
"""
"""Remove what a connection that was lost has left, unless something still runs there; then make a new folder."""

_CLOSE: Final = 'kill "$(cat "$1/pid" 2>/dev/null)" 2>/dev/null; rm -rf -- "$1"'

_COLLECT: Final = "cat code && cat out"
_START: Final = (
    """
trap '' HUP
cd "$1" || exit
export TMPDIR="$1" ORT_DISABLE_TELEMETRY=1
shift
rm -f code
"$@" >out 2>err </dev/null &
echo $! >pid
wait $!
echo $? >code.new
mv code.new code
rm -f pid
"""
    + _COLLECT
)
"""Run the words with their output in files, so that they go on when the connection is lost.

What they write into their folder for temporary files goes with ours: ONNX Runtime 1.32 leaves one of its telemetry."""

_RESUME: Final = (
    """
cd "$1" || exit
while [ ! -e code ] && kill -0 "$(cat pid 2>/dev/null)" 2>/dev/null; do sleep 1; done
"""
    + _COLLECT
)


class Way(Protocol):
    """The user's own program that reaches the device."""

    @property
    def where(self) -> str:
        """Return the device as it was asked for, such as ``ssh:board``."""

    def session(self) -> AbstractContextManager["Way"]:
        """Give the way to use as long as something is measured. Raises UnreachableError."""

    def command(self, words: Sequence[str]) -> list[str]:
        """Return what is run here so that *words* are run there, each as it is."""

    def copy_there(self, sources: Sequence[Path], folder: str) -> list[str]:
        """Return what is run here to copy *sources*, whose names are harmless, into *folder* there."""

    def unreachable(self, code: int, said: str, /) -> str | None:
        """Return what to do when an end with *code* and *said* means that the device was not reached, else None."""


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A device that was reached, and a new folder on it."""

    way: Way
    folder: str

    def send(self, files: Mapping[str, Path]) -> None:
        """Copy *files* into the folder, where each is called by its key.

        A file travels under that name, so that its own, whatever it is, meets no program.
        """
        with tempfile.TemporaryDirectory(prefix="edgekd-bench-") as temporary, self._space():
            named = [Path(shutil.copy(source, Path(temporary) / name)) for name, source in files.items()]
            done(self.way, self.way.copy_there(named, f"{self.folder}/"), timeout_s=_SENDING_S)

    def path(self, name: str) -> str:
        """Return where the folder's file *name* is there."""
        return f"{self.folder}/{name}"

    def run(self, words: Sequence[str], *, timeout_s: float = _SHORT_S) -> bytes:
        """Return what *words* print there."""
        return done(self.way, self.way.command(words), timeout_s=timeout_s)

    def fetch(self, name: str) -> bytes:
        """Return the bytes of the folder's file *name*."""
        return self.run(("cat", self.path(name)), timeout_s=_SENDING_S)

    def run_long(self, words: Sequence[str], *, timeout_s: float) -> bytes:
        """Return what *words* print there, from inside the folder; a lost connection is taken up again.

        Raises UnreachableError where it stays lost, DeviceError with what they said where they fail.
        """
        started = ("sh", "-c", _START, "sh", self.folder, *words)
        with self._space():
            try:
                collected = self.run(started, timeout_s=timeout_s)
            except UnreachableError as error:
                collected = self._resumed(error, timeout_s)
            code, _, out = collected.partition(b"\n")
            if code != b"0":
                complaint = self.fetch("err").decode(errors="replace")
                reason = said_last(complaint, out.decode(errors="replace"))
                message = f"{self.way.where}: {words[0]} ended with {code.decode()}: {reason}."
                raise DeviceError(message)
        return out

    def require_space(self, size_bytes: int) -> None:
        """Raise NoSpaceError where the folder's disk has no room for so much and an answer."""
        free, needed = self._free_bytes(), size_bytes + LEAST_SPACE
        if free is not None and free < needed:
            message = (
                f"{self.way.where}: {free / 1e6:.1f} MB free on the disk of {self.folder}, {needed / 1e6:.1f} MB are "
                f"needed; make room there, or set TMPDIR there to another disk."
            )
            raise NoSpaceError(message)

    def _resumed(self, error: UnreachableError, timeout_s: float) -> bytes:
        """Return what was collected after reaching the device again; raise *error* where it stays lost."""
        for pause_s in _RETRIES_S:
            time.sleep(pause_s)
            try:
                return self.run(("sh", "-c", _RESUME, "sh", self.folder), timeout_s=timeout_s)
            except UnreachableError:
                continue
        message = f"{error} What it left there is removed the next time something is measured there."
        raise UnreachableError(message) from error

    @contextmanager
    def _space(self) -> Iterator[None]:
        """Say of a failure that the disk is full where it is."""
        try:
            yield
        except UnreachableError:
            raise
        except DeviceError as error:
            if "No space left" in str(error):
                message = f"{self.way.where}: its disk is full; make room there, or set TMPDIR there to another disk."
                raise NoSpaceError(message) from error
            self.require_space(0)
            raise

    def _free_bytes(self) -> int | None:
        """Return how many bytes are free there, None where ``df`` does not say it."""
        fields = self.run(("df", "-Pk", self.folder)).decode(errors="replace").splitlines()[-1].split()
        return int(fields[3]) * 1024 if len(fields) > 3 and fields[3].isdigit() else None  # noqa: PLR2004 - the fourth


@contextmanager
def opened(way: Way, *, parent: str = "") -> Iterator[Device]:
    """Give the device at the end of *way*, with a new folder in *parent* that is removed whatever happens."""
    with _terminated_as_interrupted(), way.session() as reached:
        yield from _opened(reached, parent)


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM, as the cancel of a CI job sends it, end what runs as Ctrl-C does: nothing stays on the device."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _opened(way: Way, parent: str) -> Iterator[Device]:
    """Give the device at the end of a way that stays open."""
    with _full_disk(way):
        answer = done(way, way.command(("sh", "-c", _OPEN, "sh", parent)), timeout_s=_SHORT_S)
    folder = answer.decode(errors="replace").strip()
    if not _FOLDER.fullmatch(folder):
        message = f"{way.where}: mktemp -d answered {folder!r}, which is no folder; check the login of that account."
        raise DeviceError(message)
    try:
        yield Device(way=way, folder=folder)
    finally:
        closing = way.command(("sh", "-c", _CLOSE, "sh", folder))
        subprocess.run(closing, capture_output=True, check=False, stdin=subprocess.DEVNULL)  # noqa: S603 - words


def done(way: Way, command: Sequence[str], *, timeout_s: float) -> bytes:
    """Return what *command* prints here. Raises the error that its end stands for, with what it said."""
    try:
        ended = subprocess.run(  # noqa: S603 - words, no shell
            command, capture_output=True, check=False, timeout=timeout_s, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired as error:
        message = f"{way.where}: no answer within {timeout_s:g} s; ask for fewer runs, or see whether it is alive."
        raise DeviceError(message) from error
    except FileNotFoundError as error:
        raise not_installed(command[0]) from error
    if ended.returncode == 0:
        return ended.stdout
    complaint = ended.stderr.decode(errors="replace")
    if (advice := way.unreachable(ended.returncode, complaint)) is not None:
        message = f"{way.where}: cannot be reached: {said_last(complaint)}; {advice}."
        raise UnreachableError(message)
    message = f"{way.where}: {command[0]} ended with {ended.returncode}: {said_last(complaint)}."
    raise DeviceError(message)


@contextmanager
def _full_disk(way: Way) -> Iterator[None]:
    """Say of a failure that the disk is full where it says so."""
    try:
        yield
    except DeviceError as error:
        if "No space left" not in str(error):
            raise
        message = f"{way.where}: its disk is full; make room there, or set TMPDIR there to another disk."
        raise NoSpaceError(message) from error
