"""Which of several processes this is, as torchrun tells its workers in the environment."""

import os

import msgspec

from edgekd.core.errors import ConfigError


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """One of *size* processes; *local_rank* counts those on this machine."""

    rank: int = 0
    local_rank: int = 0
    size: int = 1

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
    names = {"rank": "RANK", "local_rank": "LOCAL_RANK", "size": "WORLD_SIZE"}
    values = {field: os.environ.get(name) for field, name in names.items()}
    if values["size"] is None:
        return Process()
    try:
        return Process(**{field: int(value or "") for field, value in values.items()})
    except ValueError as error:
        message = (
            f"RANK, LOCAL_RANK, WORLD_SIZE: {list(values.values())}; expected the whole numbers that torchrun sets."
        )
        raise ConfigError(message) from error
