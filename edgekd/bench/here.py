"""The machine that edgekd runs on, reached as a device is, so that all are measured alike."""

from collections.abc import Sequence
from pathlib import Path

import msgspec


class Here(msgspec.Struct, frozen=True, kw_only=True):
    """The way to this machine."""

    @property
    def where(self) -> str:
        """Return its name."""
        return "local"

    def command(self, words: Sequence[str]) -> list[str]:
        """Return *words*."""
        return list(words)

    def copy_there(self, sources: Sequence[Path], folder: str) -> list[str]:
        """Return cp."""
        return ["cp", "--", *map(str, sources), folder]

    def unreachable(self, _code: int, _said: str, /) -> str | None:
        """Return None: it is always reached."""
        return None
