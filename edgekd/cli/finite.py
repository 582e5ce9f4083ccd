"""Numbers of the command line that have to be finite: a range check lets 'nan' through."""

import math
from collections.abc import Mapping

from edgekd.core.errors import ConfigError


def require_finite(options: Mapping[str, float | None]) -> None:
    """Raise ConfigError for the first option that is no finite number."""
    for name, given in options.items():
        if given is not None and not math.isfinite(given):
            message = f"{name}: {given} given; expected a finite number."
            raise ConfigError(message)
