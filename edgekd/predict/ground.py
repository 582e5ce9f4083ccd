"""Which published points say something about a device: those of its board, of its core, or of cores like it."""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekd.predict.layers import Precision
from edgekd.predict.published import FOLDER, Group

Nearness = Literal["board", "core", "family"]
"""How near the points are: of the same system on a chip, of the same core elsewhere, of a core of its family."""

NEARNESS: Final[tuple[Nearness, ...]] = ("board", "core", "family")
_LETTERS: Final = 5
SAME_CLOCK: Final = 0.05
_TOKEN: Final = re.compile(r"[a-z]*\d\w*", re.IGNORECASE)


class Processor(msgspec.Struct, frozen=True, kw_only=True):
    """What an estimate is for: *soc* by its name, the cores that run, their clock, thread count and precision."""

    soc: str
    core: str
    clock_ghz: float | None
    is_little: bool
    threads: int
    precision: Precision


class Priced(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A group with the log prices that were fitted to its points."""

    group: Group
    prices: NDArray[np.float64]


class Found(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Log prices for a processor, how near the points behind them are, and which groups those are."""

    nearness: Nearness
    prices: NDArray[np.float64]
    groups: tuple[Group, ...]


def find(asked: Processor, known: Iterable[Priced]) -> Found | None:
    """Return prices for *asked* from the nearest of the *known* groups, or None where none is near enough.

    Prices of another clock are scaled by the ratio of clocks. Between two published thread counts they are
    interpolated over the logarithm; beyond them there is no ground.
    """
    candidates = [one for one in known if one.group.precision == asked.precision]
    for nearness in NEARNESS:
        near = [one for one in candidates if _IS_NEAR[nearness](asked, one.group)]
        devices: dict[tuple[str, str], list[Priced]] = {}
        for one in near:
            devices.setdefault((one.group.device, one.group.cores), []).append(one)
        found = [at for groups in devices.values() if (at := _at_threads(groups, asked)) is not None]
        if found:
            chosen = [max(found, key=lambda one: _fitness(one, asked))] if nearness == "board" else found
            used = tuple(group for one in chosen for group in one.groups)
            return Found(nearness=nearness, prices=np.mean([one.prices for one in chosen], axis=0), groups=used)
    return None


def soc_tokens(soc: str) -> tuple[str, ...]:
    """Return the names in *soc* that a published device would carry: ``BCM2711``, ``MSM8916``, ``RK3588``.

    ``ARMv8`` is a name of thousands.
    """
    tokens = (token.lower() for token in _TOKEN.findall(soc))
    return tuple(token for token in tokens if len(token) >= _LETTERS and not token.startswith("armv"))


@cache
def families() -> Mapping[str, str]:
    """Return the family of every core that has one."""
    with (FOLDER / "cores.csv").open(encoding="utf-8", newline="") as lines:
        return {row["core"].lower(): row["family"] for row in csv.DictReader(lines)}


def _is_board(asked: Processor, group: Group) -> bool:
    """Tell whether *group* was measured on the same system on a chip, on the same cores."""
    words = [word.lower() for word in re.findall(r"\w+", group.device)]
    is_there = any(word.startswith(token) for token in soc_tokens(asked.soc) for word in words)
    is_core = group.core.lower() == asked.core.lower() if group.core else (group.cores == "little") == asked.is_little
    return is_there and is_core


def _is_core(asked: Processor, group: Group) -> bool:
    """Tell whether *group* was measured on the same core, at a known clock."""
    known = asked.clock_ghz is not None and group.clock_ghz is not None
    return known and group.core.lower() == asked.core.lower() and group.core != ""


def _is_family(asked: Processor, group: Group) -> bool:
    """Tell whether *group* was measured on a core of the same family, at a known clock."""
    known = asked.clock_ghz is not None and group.clock_ghz is not None
    return known and families().get(group.core.lower(), "") == families().get(asked.core.lower(), "none")


class _At(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Prices of one device at one thread count, from one or two groups."""

    prices: NDArray[np.float64]
    groups: tuple[Group, ...]


def _at_threads(known: Sequence[Priced], asked: Processor) -> _At | None:
    """Return the prices of one device at the asked thread count and clock, or None beyond its thread counts."""
    newest: dict[int, Priced] = {}
    for one in sorted(known, key=lambda one: one.group.date):
        newest[one.group.threads] = one
    below = max((count for count in newest if count <= asked.threads), default=None)
    above = min((count for count in newest if count >= asked.threads), default=None)
    if below is None or above is None:
        return None
    low, high = newest[below], newest[above]
    part = 0.0 if below == above else float(np.log(asked.threads / below) / np.log(above / below))
    prices = (1 - part) * _scaled(low, asked) + part * _scaled(high, asked)
    return _At(prices=prices, groups=(low.group,) if below == above else (low.group, high.group))


def _scaled(one: Priced, asked: Processor) -> NDArray[np.float64]:
    """Return the log prices of *one* at the asked clock; as they are where a clock is not known."""
    if one.group.clock_ghz is None or asked.clock_ghz is None:
        return one.prices
    return one.prices + float(np.log(one.group.clock_ghz / asked.clock_ghz))


def _fitness(found: _At, asked: Processor) -> tuple[bool, str]:
    """Return what makes one table of a board better than another: its clock, then its date."""
    clocks = [group.clock_ghz for group in found.groups]
    is_clock = asked.clock_ghz is None or all(
        clock is not None and abs(clock / asked.clock_ghz - 1) <= SAME_CLOCK for clock in clocks
    )
    return is_clock, min(group.date for group in found.groups)


_IS_NEAR: Final = {"board": _is_board, "core": _is_core, "family": _is_family}
