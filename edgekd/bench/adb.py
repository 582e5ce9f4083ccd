"""A phone reached by the user's own adb."""

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec

from edgekd.core.errors import ConfigError

FOLDER: Final = "/data/local/tmp"
"""Where a phone lets adb's shell write and execute."""

_SERIAL: Final = re.compile(r"[A-Za-z0-9_\[][A-Za-z0-9_.:\[\]%-]*")


class Adb(msgspec.Struct, frozen=True, kw_only=True):
    """The way to the phone with this *serial*; without one, to the only phone there is."""

    serial: str = ""

    def __post_init__(self) -> None:
        """Refuse what adb would read as an option."""
        if self.serial and not _SERIAL.fullmatch(self.serial):
            message = f"--on: {self.serial!r} is no serial number; write it as 'adb devices' lists it."
            raise ConfigError(message)

    @property
    def where(self) -> str:
        """Return the device as it was asked for."""
        return f"adb:{self.serial}" if self.serial else "adb"

    def command(self, words: Sequence[str]) -> list[str]:
        """Return adb with *words* quoted for the shell there."""
        return [*self._adb(), "shell", shlex.join(words)]

    def copy_there(self, sources: Sequence[Path], folder: str) -> list[str]:
        """Return adb's push."""
        return [*self._adb(), "push", *map(str, sources), folder]

    def unreachable(self, _code: int, said: str, /) -> str | None:
        """Return what to do where adb itself complains."""
        last = said.strip().splitlines()[-1] if said.strip() else ""
        if not last.startswith(("error: ", "adb: ")):
            return None
        return next((advice for phrase, advice in _ADVICE.items() if phrase in last), None)

    def _adb(self) -> list[str]:
        """Return adb with its choice of a phone."""
        return ["adb", "-s", self.serial] if self.serial else ["adb"]


_ADVICE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "no devices": "plug it in and switch on USB debugging",
        "more than one": "name one as adb:SERIAL, from 'adb devices'",
        "not found": "'adb devices' lists what there is",
        "unauthorized": "allow this computer on the phone's screen",
        "offline": "plug it in again",
        "closed": "plug it in again",
        "protocol fault": "run 'adb kill-server' and try again",
        "cannot connect to daemon": "run 'adb start-server' and read what it says",
    }
)
"""By what adb 1.0.41 says on the last line of its error stream."""
