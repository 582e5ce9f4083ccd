"""A board reached by the user's own ssh and scp, with their configuration and keys."""

import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import msgspec

from edgekd.bench.device_errors import UnreachableError, not_installed, said_last
from edgekd.core.errors import ConfigError

_HOST: Final = re.compile(r"[A-Za-z0-9_\[][A-Za-z0-9_.@:\[\]%-]*")
_OPTIONS: Final = (
    *("-o", "BatchMode=yes", "-o", "ConnectTimeout=10"),
    *("-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4"),
)
_CONNECTION: Final = 255
"""How ssh ends when it was the connection that failed."""


class Ssh(msgspec.Struct, frozen=True, kw_only=True):
    """The way to *host*, a name of ssh's configuration; *control* is the socket of a connection that is open."""

    host: str
    control: str = "none"

    def __post_init__(self) -> None:
        """Refuse what ssh would read as an option or a shell as a command."""
        if not _HOST.fullmatch(self.host):
            message = (
                f"--on: {self.host!r} is no name of a host; write it as in ssh's configuration, for instance "
                f"ssh:pi@board."
            )
            raise ConfigError(message)

    @property
    def where(self) -> str:
        """Return the device as it was asked for."""
        return f"ssh:{self.host}"

    @contextmanager
    def session(self) -> Iterator["Ssh"]:
        """Give the way with one connection that all of its commands share: a handshake takes a board half a second.

        When that connection is lost, each command makes one of its own. Raises UnreachableError.
        """
        with tempfile.TemporaryDirectory(prefix="edgekd-ssh-") as name:
            shared = msgspec.structs.replace(self, control=f"{name}/control")
            master = ["ssh", *shared.options, "-o", "ControlMaster=yes", "-o", "ControlPersist=yes", "-fN"]
            complaint = Path(name) / "complaint"  # a pipe would stay open as long as the connection
            with complaint.open("wb") as errors:
                code = _started([*master, "--", self.host], errors)
            if code != 0:
                said = complaint.read_text(errors="replace")
                message = f"{self.where}: cannot be reached: {said_last(said)}; {_advice(said)}."
                raise UnreachableError(message)
            try:
                yield shared
            finally:
                words = ["ssh", *shared.options, "-O", "exit", "--", self.host]
                subprocess.run(words, capture_output=True, check=False)  # noqa: S603 - the same

    def command(self, words: Sequence[str]) -> list[str]:
        """Return ssh with *words* quoted for the shell there."""
        return ["ssh", *self.options, "--", self.host, shlex.join(words)]

    def copy_there(self, sources: Sequence[Path], folder: str) -> list[str]:
        """Return scp."""
        return ["scp", "-q", *self.options, "--", *map(str, sources), f"{self.host}:{folder}"]

    def unreachable(self, code: int, said: str, /) -> str | None:
        """Return what to do where ssh says that the connection failed."""
        return _advice(said) if code == _CONNECTION or "Connection closed" in said else None

    @property
    def options(self) -> list[str]:
        """Return ssh's and scp's options: never ask, give up soon, use the connection that is open."""
        return [*_OPTIONS, "-o", f"ControlPath={self.control}"]


def _started(command: Sequence[str], errors: IO[bytes]) -> int:
    """Return how *command* ends, its complaints written to *errors*."""
    silent = subprocess.DEVNULL
    try:
        return subprocess.run(command, stdin=silent, stdout=silent, stderr=errors, check=False).returncode  # noqa: S603 - words
    except FileNotFoundError as error:
        raise not_installed(command[0]) from error


def _advice(said: str) -> str:
    """Return what to do about what ssh said."""
    return "check which key ssh offers" if "ermission denied" in said else "try ssh there by hand"
