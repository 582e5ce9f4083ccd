"""Why a device could not measure: each reason with an exit code of its own, so that a script can tell them apart."""

from typing import ClassVar

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
