"""A board reached by the user's own ssh and scp, with their configuration and keys."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from edgekd.core.errors import ConfigError

_HOST: Final = re.compile(r"[A-Za-z0-9_\[][A-Za-z0-9_.@:\[\]%-]*")
_OPTIONS: Final = (
    *("-o", "BatchMode=yes", "-o", "ConnectTimeout=10"),
    *("-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4"),
)
_CONNECTION: Final = 255
"""How ssh ends when it was the connection that failed."""


class Ssh(msgspec.Struct, frozen=True, kw_only=True):
    """The way to *host*, a name of ssh's configuration."""

    host: str

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

    def command(self, words: Sequence[str]) -> list[str]:
        """Return ssh with *words* quoted for the shell there."""
        return ["ssh", *_OPTIONS, "--", self.host, shlex.join(words)]

    def copy_there(self, sources: Sequence[Path], folder: str) -> list[str]:
        """Return scp."""
        return ["scp", "-q", *_OPTIONS, "--", *map(str, sources), f"{self.host}:{folder}"]

    def unreachable(self, code: int, said: str, /) -> str | None:
        """Return what to do where ssh says that the connection failed."""
        if code != _CONNECTION and "Connection closed" not in said:
            return None
        return "try ssh there by hand" if "ermission denied" not in said else "check which key ssh offers"
