"""Amounts with a unit as people type them: a part as 5% or 0.05, a time as 0.2ms or 200us."""

import math
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from edgekd.core.errors import ConfigError

_AMOUNT: Final = re.compile(r"\s*([0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)\s*([a-zA-Zµ%]*)\s*")
_PARTS: Final[Mapping[str, float]] = MappingProxyType({"": 1.0, "%": 0.01})
_MILLISECONDS: Final[Mapping[str, float]] = MappingProxyType({"ns": 1e-6, "us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3})


def part_of(text: str, *, where: str) -> float:
    """Return a part from ``5%`` or ``0.05``. Raises ConfigError for anything else, and for 1 and more."""
    part = _amount(text, _PARTS, where=where, expected="a part such as 5% or 0.05")
    if part >= 1:
        message = f"{where}: {text!r} is {part:.0%}; expected less than 100%: write 5% or 0.05."
        raise ConfigError(message)
    return part


def milliseconds_of(text: str, *, where: str) -> float:
    """Return milliseconds from ``0.2ms``, ``200us`` or ``1s``. Raises ConfigError for anything else."""
    return _amount(text, _MILLISECONDS, where=where, expected="a time with its unit, such as 0.2ms or 200us")


def _amount(text: str, units: Mapping[str, float], *, where: str, expected: str) -> float:
    """Return the number in *text* times its unit."""
    found = _AMOUNT.fullmatch(text)
    if found is None or found[2] not in units or not math.isfinite(float(found[1]) * units[found[2]]):
        message = f"{where}: {text!r} given; expected {expected}."
        raise ConfigError(message)
    return float(found[1]) * units[found[2]]
