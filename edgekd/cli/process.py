"""Which of several processes this is, as torchrun tells its workers in the environment."""

import os
from typing import Final

import msgspec

from edgekd.core.errors import ConfigError

_NAMES: Final = {
    "rank": "RANK",
    "local_rank": "LOCAL_RANK",
    "size": "WORLD_SIZE",
    "attempt": "TORCHELASTIC_RESTART_COUNT",
}
_UNSET: Final = {"TORCHELASTIC_RESTART_COUNT": "0"}
"""What a variable means where a launcher other than torchrun leaves it out."""


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """One of *size* processes; *local_rank* counts those on this machine, *attempt* torchrun's restarts of all."""

    rank: int = 0
    local_rank: int = 0
    size: int = 1
    attempt: int = 0

    @property
    def is_first(self) -> bool:
        """Tell whether this process is the one that writes and talks."""
        return self.rank == 0

    @property
    def is_one_of_several(self) -> bool:
        """Tell whether there are others."""
        return self.size > 1


def this_process() -> Process:
    """Return what torchrun says of this process; alone without it. Raises ConfigError for numbers that are none."""
    if os.environ.get("WORLD_SIZE") is None:
        return Process()
    values = {field: os.environ.get(name, _UNSET.get(name, "")) for field, name in _NAMES.items()}
    try:
        return Process(**{field: int(value) for field, value in values.items()})
    except ValueError as error:
        found = ", ".join(f"{name}={values[field]!r}" for field, name in _NAMES.items())
        message = f"{found}; expected the whole numbers that torchrun sets."
        raise ConfigError(message) from error
