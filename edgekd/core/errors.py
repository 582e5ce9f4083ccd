"""The errors that edgekd raises on purpose, each with the exit code it ends a command with."""

from typing import ClassVar


class EdgekdError(Exception):
    """An expected failure: its message is one clear sentence for the person at the keyboard."""

    exit_code: ClassVar[int]


class ConfigError(EdgekdError):
    """The user's input cannot work: says where, what came, what was expected, what to do."""

    exit_code: ClassVar[int] = 2


class StageError(EdgekdError):
    """A stage broke its promise: its result is not what ``ensures`` demands."""

    exit_code: ClassVar[int] = 3


class ParityError(StageError):
    """Two forms of one network disagree by more than their agreed tolerance."""
