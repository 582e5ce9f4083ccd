"""Why a device could not measure: each reason with an exit code of its own, so that a script can tell them apart."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Final

from edgekd.core.errors import EdgekdError


class DeviceError(EdgekdError):
    """A device could not do what was asked of it."""

    exit_code: ClassVar[int] = 5


class UnreachableError(DeviceError):
    """It does not answer, refuses the key, or the connection was lost for good."""

    exit_code: ClassVar[int] = 6


class NoSpaceError(DeviceError):
    """Its disk is full."""

    exit_code: ClassVar[int] = 7


class NoRuntimeError(DeviceError):
    """It has no runtime, one too old, or one of a version that edgekd knows nothing of."""

    exit_code: ClassVar[int] = 8


class ElsewhereError(DeviceError):
    """The network ran, in part or whole, with another execution provider than asked."""

    exit_code: ClassVar[int] = 9


class ThrottledError(DeviceError):
    """It lowered its clocks while it measured."""

    exit_code: ClassVar[int] = 10


class AnswerError(DeviceError):
    """It answers the golden inputs with other numbers."""

    exit_code: ClassVar[int] = 11


class ComparisonError(EdgekdError):
    """Two measurements cannot be compared, or what is stored is no measurement."""

    exit_code: ClassVar[int] = 12


def not_installed(program: str) -> UnreachableError:
    """Return the error for a program that is not here."""
    return UnreachableError(f"{program}: not installed here; {_INSTALL.get(program, 'install it')}.")


def said_last(*texts: str) -> str:
    """Return the last line of the first of *texts* that says anything, without its full stop."""
    for text in texts:
        if lines := [line.strip() for line in text.splitlines() if line.strip()]:
            return lines[-1].rstrip(".")
    return "it gave no reason"


_INSTALL: Final[Mapping[str, str]] = MappingProxyType(
    {
        "adb": "install Android's platform tools (Debian: apt-get install adb)",
        "scp": "install an OpenSSH client",
        "ssh": "install an OpenSSH client",
    }
)
