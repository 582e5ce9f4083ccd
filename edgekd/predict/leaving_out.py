"""How well the fit estimates what it has not seen: networks left out everywhere, and whole devices."""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekd.predict.fit import Fit, Problem, log_sums
from edgekd.predict.ground import NEARNESS, Nearness, Priced, Processor, find
from edgekd.predict.layers import Layer
from edgekd.predict.likeness import DOUBT, RADIUS, circumstances, corrections, distances, makeup, typical_errors
from edgekd.predict.published import Group, family
from edgekd.predict.strangeness import interval_scale
from edgekd.predict.terms import amounts_of

Array = NDArray[np.float64]


class Table(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Points as matrices: *log_ms* and *is_noisy* (groups, networks), NaN where none is; *amounts*, with terms last.

    *distances* (networks, networks) are how far apart their makeups are.
    """

    groups: tuple[Group, ...]
    networks: tuple[str, ...]
    amounts: Array
    log_ms: Array
    is_noisy: NDArray[np.bool_]
    distances: Array

    @property
    def training(self) -> Array:
        """Return the points that a fit learns from: those that are not noisy."""
        return np.where(self.is_noisy, np.nan, self.log_ms)


class LeftOut(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What was estimated for points that no fit had seen, and the fits: one for each network that was left out.

    *corrections* (groups, networks) is what was taken off log estimates, by networks alike that the fit had seen.
    """

    log_ms: Array
    corrections: Array
    fits: tuple[Fit, ...]


def table(groups: Sequence[Group], networks: dict[str, tuple[Layer, ...]]) -> Table:
    """Return the points of *groups* as matrices; an integer form has the column of its network."""
    layers = {family(name): found for name, found in sorted(networks.items(), reverse=True)}
    names = tuple(sorted({family(point.network) for group in groups for point in group.points}))
    column = {name: index for index, name in enumerate(names)}
    log_ms = np.full((len(groups), len(names)), np.nan)
    is_noisy = np.zeros(log_ms.shape, np.bool_)
    for row, group in enumerate(groups):
        for point in group.points:
            log_ms[row, column[family(point.network)]] = np.log(point.published_ms)
            is_noisy[row, column[family(point.network)]] = point.is_noisy
    makeups = np.array([makeup(layers[name]) for name in names])
    amounts = {
        precision: np.array([amounts_of(layers[name], precision).sum(axis=0) for name in names])
        for precision in {group.precision for group in groups}
    }
    return Table(
        groups=tuple(groups),
        networks=names,
        amounts=np.array([amounts[group.precision] for group in groups]),
        log_ms=log_ms,
        is_noisy=is_noisy,
        distances=distances(makeups, makeups),
    )


def without_networks(points: Table, commons: Mapping[str, Array] | None = None) -> LeftOut:
    """Return estimates of every point by a fit that has not seen its network in any group.

    Every fit starts from nothing: even the covariance of prices would know the network that is left out. *commons* are
    the common prices to start from by the network that they have not seen either, the rough ones where none are given.
    """
    found, taken, fits = np.full(points.log_ms.shape, np.nan), np.zeros(points.log_ms.shape), []
    for column, name in enumerate(points.networks):
        seen = points.training.copy()
        seen[:, column] = np.nan
        fit = Problem(points.amounts, seen, None if commons is None else commons[name]).solve()
        taken[:, column] = expected_errors(points, fit, seen)[:, column]
        found[:, column] = log_sums(fit.groups, points.amounts)[:, column] - taken[:, column]
        fits.append(fit)
    return LeftOut(log_ms=found, corrections=taken, fits=tuple(fits))


def expected_errors(points: Table, fit: Fit, seen: Array, *, radius: float = RADIUS, doubt: float = DOUBT) -> Array:
    """Return what each point's log estimate is expected to be off, by the points (groups, networks) the *fit* has seen.

    What estimates of a network are off is the median over groups of the same precision and a single thread or several.
    """
    error = log_sums(fit.groups, points.amounts) - seen
    found = np.zeros(error.shape)
    kinds = [circumstances(group.precision, group.threads) for group in points.groups]
    for one in set(kinds):
        rows = [row for row, other in enumerate(kinds) if other == one]
        found[rows] = corrections(points.distances, typical_errors(error[rows]), radius=radius, doubt=doubt)
    return found


def known_elsewhere(points: Table, left_out: LeftOut) -> Array:
    """Return estimates of every point whose network is left out on that device alone.

    What the network took more or less than estimated on other devices is put in: the median over those groups that have
    the same precision and, like this one, a single thread or several.
    """
    error = np.where(points.is_noisy, np.nan, left_out.log_ms - points.log_ms)
    found = np.full(error.shape, np.nan)
    for row, group in enumerate(points.groups):
        others = [number for number, one in enumerate(points.groups) if _is_other(one, group)]
        found[row] = left_out.log_ms[row] - np.nan_to_num(typical_errors(error[others]))
    return found


def without_devices(points: Table, left_out: LeftOut) -> dict[Nearness, Array]:
    """Return estimates of every point from other devices alone, by fits that have not seen its network.

    *core* are estimates from the same core, *family* from another core of its family.
    """
    nearer: dict[Nearness, Array] = {name: np.full(points.log_ms.shape, np.nan) for name in NEARNESS if name != "board"}
    for column, fit in enumerate(left_out.fits):
        priced = [Priced(group=group, prices=row) for group, row in zip(points.groups, fit.groups, strict=True)]
        for row, group in enumerate(points.groups):
            if np.isnan(points.log_ms[row, column]) or not group.core or group.clock_ghz is None:
                continue
            asked = Processor(
                soc="",
                core=group.core,
                clock_ghz=group.clock_ghz,
                is_little=group.cores == "little",
                threads=group.threads,
                precision=group.precision,
            )
            others = [one for one in priced if one.group.device != group.device]
            for nearness, estimates in nearer.items():
                is_other_core = nearness == "family"
                kept = [one for one in others if not is_other_core or one.group.core.lower() != group.core.lower()]
                found = find(asked, kept)
                if found is not None and found.nearness == nearness:
                    total = np.exp(found.prices) @ points.amounts[row, column]
                    estimates[row, column] = np.log(total) - left_out.corrections[row, column]
    return nearer


def half_width(error: Array, coverage: float) -> float:
    """Return the log half width that holds *coverage* of the left-out errors (split-conformal, NaN left out)."""
    sizes = np.sort(np.abs(error[~np.isnan(error)]))
    return float(sizes[min(len(sizes) - 1, int(np.ceil((len(sizes) + 1) * coverage)) - 1)])


def scales(points: Table, left_out: LeftOut) -> Array:
    """Return the scale of each point's interval, its network left out."""
    found = np.full(points.log_ms.shape, np.nan)
    for column, fit in enumerate(left_out.fits):
        others = np.delete(points.amounts, column, axis=1)
        found[:, column] = [
            interval_scale(row, points.amounts[number, column], others[number]) for number, row in enumerate(fit.groups)
        ]
    return found


def _is_other(one: Group, group: Group) -> bool:
    """Tell whether *one* is of another device in circumstances like those of *group*."""
    is_alike = circumstances(one.precision, one.threads) == circumstances(group.precision, group.threads)
    return is_alike and one.device != group.device
