"""How well the fit estimates what it has not seen: networks left out everywhere, and whole devices."""

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekd.predict.fit import Fit, Problem
from edgekd.predict.ground import NEARNESS, Nearness, Priced, Processor, find
from edgekd.predict.layers import Layer
from edgekd.predict.published import Group, family
from edgekd.predict.strangeness import interval_scale
from edgekd.predict.terms import amounts_of

Array = NDArray[np.float64]


class Table(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Points as matrices: *log_ms* (groups, networks), NaN where none is, *is_noisy* alike, *amounts* of networks."""

    groups: tuple[Group, ...]
    networks: tuple[str, ...]
    amounts: Array
    log_ms: Array
    is_noisy: NDArray[np.bool_]

    @property
    def training(self) -> Array:
        """Return the points that a fit learns from: those that are not noisy."""
        return np.where(self.is_noisy, np.nan, self.log_ms)


class LeftOut(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What was estimated for points that no fit had seen, and the fits: one for each network that was left out."""

    log_ms: Array
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
    return Table(
        groups=tuple(groups),
        networks=names,
        amounts=np.array([amounts_of(layers[name]).sum(axis=0) for name in names]),
        log_ms=log_ms,
        is_noisy=is_noisy,
    )


def without_networks(points: Table, whole: Fit, starts: Callable[[str], Array | None]) -> LeftOut:
    """Return estimates of every point by a fit that has not seen its network in any group.

    *starts* gives, for the network that is left out, the common prices to start from, None for the rough ones.
    """
    found, fits = np.full(points.log_ms.shape, np.nan), []
    for column, name in enumerate(points.networks):
        seen = points.training.copy()
        seen[:, column] = np.nan
        fit = Problem(points.amounts, seen, starts(name)).refit(whole)
        found[:, column] = np.log(np.exp(fit.groups) @ points.amounts[column])
        fits.append(fit)
    return LeftOut(log_ms=found, fits=tuple(fits))


def known_elsewhere(points: Table, left_out: LeftOut) -> Array:
    """Return estimates of every point whose network is left out on that device alone.

    What the network took more or less than estimated on other devices, by the median, is put in.
    """
    error = np.where(points.is_noisy, np.nan, left_out.log_ms - points.log_ms)
    found = np.full(error.shape, np.nan)
    for row, group in enumerate(points.groups):
        others = [number for number, one in enumerate(points.groups) if one.device != group.device]
        found[row] = left_out.log_ms[row] - _median(error[others])
    return found


def without_devices(points: Table, left_out: LeftOut) -> dict[Nearness, Array]:
    """Return estimates of every point from other devices alone, by fits that have not seen its network.

    For *core* only other devices with the same core count, for *family* only those with another one of its family.
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
                    estimates[row, column] = np.log(np.exp(found.prices) @ points.amounts[column])
    return nearer


def half_width(error: Array, coverage: float) -> float:
    """Return the log half width that holds *coverage* of the left-out errors (split-conformal, NaN left out)."""
    sizes = np.sort(np.abs(error[~np.isnan(error)]))
    return float(sizes[min(len(sizes) - 1, int(np.ceil((len(sizes) + 1) * coverage)) - 1)])


def _median(errors: Array) -> Array:
    """Return the median over groups, zero where no other device has the network."""
    known = ~np.isnan(errors).all(axis=0)
    found = np.zeros(errors.shape[1])
    found[known] = np.nanmedian(errors[:, known], axis=0)
    return found


def scales(points: Table, left_out: LeftOut) -> Array:
    """Return the scale of each point's interval, its network left out."""
    found = np.full(points.log_ms.shape, np.nan)
    for column, fit in enumerate(left_out.fits):
        others = np.delete(points.amounts, column, axis=0)
        found[:, column] = [interval_scale(row, points.amounts[column], others) for row in fit.groups]
    return found
