"""The fit that edgekd ships: prices of every published group, and how wide the intervals are."""

from collections.abc import Mapping
from functools import cache
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekd.predict.fit import log_sums
from edgekd.predict.ground import Nearness, Priced
from edgekd.predict.layers import Precision
from edgekd.predict.likeness import circumstances, makeup, typical_errors
from edgekd.predict.published import FOLDER, groups, networks
from edgekd.predict.terms import TERMS, amounts_of

FILE: Final = FOLDER / "fit.json"
Arithmetic = Literal["float", "int8"]
_ARITHMETIC: Final[Mapping[Precision, Arithmetic]] = {"fp32": "float", "fp16": "float", "int8": "int8"}


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One fit. *prices* are log ms for each term, by the number of the group.

    *widths* are half widths of 90 % intervals of the log latency for a scale of one (``interval_scale``), by how near
    the points are: quantiles of errors of points that no fit had seen.
    """

    prices: Mapping[int, tuple[float, ...]]
    widths: Mapping[Nearness, float]


class Fitted(msgspec.Struct, frozen=True, kw_only=True):
    """Both fits. *terms* are the names that the numbers are of, in order.

    *common_kinds* are the kinds of layers that at least three published networks have; *rare_width* is how far an
    estimate was off for the one network that is made of another kind. *runtime_width* is the half width of a 90 %
    interval of the log ratio between other CPU runtimes and the published one, from *runtime_pairs* pairs.
    """

    terms: tuple[str, ...]
    parts: Mapping[Arithmetic, Part]
    common_kinds: tuple[str, ...]
    rare_width: float
    runtime_width: float
    runtime_pairs: int


@cache
def fitted() -> Fitted:
    """Return what ``tools/fit_latency.py`` wrote."""
    found = msgspec.json.decode(FILE.read_bytes(), type=Fitted)
    if found.terms != tuple(term.name for term in TERMS):
        message = f"{FILE} is of other terms; run tools/fit_latency.py"
        raise ValueError(message)
    return found


def part_of(precision: Precision) -> Part:
    """Return the fit of a precision's arithmetic."""
    return fitted().parts[_ARITHMETIC[precision]]


def priced(precision: Precision) -> tuple[Priced, ...]:
    """Return all published groups of the precision's arithmetic with their prices."""
    known = groups()
    prices = part_of(precision).prices
    return tuple(Priced(group=known[number], prices=np.array(row)) for number, row in prices.items())


@cache
def published_amounts(precision: Precision) -> NDArray[np.float64]:
    """Return the amounts (networks, terms) of the networks that the precision's points are of, by name."""
    return np.array([amounts_of(networks()[name], precision).sum(axis=0) for name in _names(precision)])


@cache
def published_makeups(precision: Precision) -> NDArray[np.float64]:
    """Return the makeups (networks, features) of the same networks."""
    return np.array([makeup(networks()[name]) for name in _names(precision)])


@cache
def published_errors(precision: Precision, threads: int) -> NDArray[np.float64]:
    """Return what the fit's log estimates (networks,) of the same networks are off in circumstances like these."""
    asked, names = circumstances(precision, threads), _names(precision)
    alike = [one for one in priced(precision) if circumstances(one.group.precision, one.group.threads) == asked]
    log_ms = np.full((len(alike), len(names)), np.nan)
    for row, one in enumerate(alike):
        for point in one.group.points:
            if not point.is_noisy:
                log_ms[row, names.index(point.network)] = np.log(point.published_ms)
    prices = np.array([one.prices for one in alike]).reshape(-1, len(TERMS))
    return typical_errors(log_sums(prices, published_amounts(precision)) - log_ms)


@cache
def _names(precision: Precision) -> tuple[str, ...]:
    """Return the names of the networks that the precision's points are of."""
    known = groups()
    return tuple(sorted({point.network for number in part_of(precision).prices for point in known[number].points}))
