"""What kernels cost on one machine, learned from kernels that were timed there.

Each family of kernels (operator and kind) has a function of its own: arithmetic and traffic at constant rates, found by
non-negative least squares of relative errors, times a smooth function of the logarithms of its sizes and of how much
the whole network reads, which decides from which cache it comes.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
from scipy.optimize import nnls
from scipy.spatial import cKDTree

from edgekd.core.errors import ConfigError
from edgekd.predict.gaussian import Process, Rows, Scales, choose_scales, learn
from edgekd.predict.kernel_amounts import Kernel, amounts, family_of, features, kind_of
from edgekd.predict.kernels import can_stand_for_its_kind
from edgekd.predict.layers import Layer

LEAST_KERNELS: Final = 12
"""Fewer than these of a family say too little for a function of their own; all of their kind then have one."""
MOST_KERNELS: Final = 1000
"""More than these of a family are thinned."""
_OUTLIER: Final = 3.0
_NEIGHBOURS: Final = 8


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """How kernels of one family cost: *rates* by term in microseconds, and the scales of what is left."""

    rates: tuple[float, ...]
    scales: Scales


class Learned(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A family with the smooth function through its kernels."""

    rates: Rows
    process: Process

    def at(self, kernels: Sequence[Kernel]) -> Rows:
        """Return the microseconds of each of *kernels*."""
        rest, _ = self.process.at(features(kernels))
        found: Rows = amounts(kernels) @ self.rates * np.exp(rest)
        return found


class KernelCosts:
    """What kernels cost by *families* and the times of *kernels*; a family is learned when it is first asked for."""

    def __init__(self, families: Mapping[str, Family], kernels: Sequence[Kernel], times_us: Rows) -> None:
        """Learn nothing yet."""
        self._families, self._kernels, self._times_us = families, kernels, times_us
        self._samples = {name: places for name, places in _samples(kernels) if name in families}
        self._learned: dict[str, Learned] = {}

    def at(self, kernels: Sequence[Kernel]) -> tuple[Rows, tuple[str, ...]]:
        """Return the microseconds of each of *kernels*, and the families that had to be replaced by their kind.

        Raises ConfigError for a kernel whose kind was never timed.
        """
        if unknown := self.unknown(kernels):
            message = (
                f"the table has no kernel like {unknown[0]}, and none that could stand for it: there is no ground for "
                "an estimate; calibrate again with more --seconds, or measure with `edgekd bench`."
            )
            raise ConfigError(message)
        times, replaced = np.empty(len(kernels)), []
        for name, places in grouped(kernels).items():
            if name not in self._samples:
                replaced.append(name)
            known = name if name in self._samples else kind_of(kernels[places[0]].layer)
            times[places] = self._of(known).at([kernels[place] for place in places])
        return times, tuple(replaced)

    def unknown(self, kernels: Sequence[Kernel]) -> tuple[str, ...]:
        """Return the families of *kernels* that were never timed, nor any that could stand for them."""
        return tuple(
            name
            for name, places in grouped(kernels).items()
            if name not in self._samples and not self._has_a_stand_in(kernels[places[0]].layer)
        )

    def _has_a_stand_in(self, layer: Layer) -> bool:
        """Tell whether kernels of the kind of *layer* were timed, and its operator is known to be of that kind."""
        return kind_of(layer) in self._samples and can_stand_for_its_kind(layer.operator)

    def _of(self, name: str) -> Learned:
        """Return the family *name*."""
        if name not in self._learned:
            places = self._samples[name]
            kernels = [self._kernels[place] for place in places]
            self._learned[name] = _learned(self._families[name], kernels, self._times_us[places])
        return self._learned[name]


def grouped(kernels: Sequence[Kernel]) -> Mapping[str, list[int]]:
    """Return the places of the kernels of each family."""
    places: dict[str, list[int]] = defaultdict(list)
    for place, kernel in enumerate(kernels):
        places[family_of(kernel.layer)].append(place)
    return places


def fit_families(kernels: Sequence[Kernel], times_us: Rows) -> dict[str, Family]:
    """Return the families, and those of all of a kind, that *kernels* with their times make."""
    return {name: _fit([kernels[place] for place in places], times_us[places]) for name, places in _samples(kernels)}


def _samples(kernels: Sequence[Kernel]) -> Iterable[tuple[str, list[int]]]:
    """Yield each family that has kernels enough, and each kind, with the places of its kernels, at most so many."""
    places = dict(grouped(kernels))
    rare = {name for name, found in places.items() if len(found) < LEAST_KERNELS}
    kinds: dict[str, list[int]] = defaultdict(list)
    for place, kernel in enumerate(kernels):
        kinds[kind_of(kernel.layer)].append(place)
    thin = np.random.default_rng(0)
    for name, found in (*((n, f) for n, f in places.items() if n not in rare), *kinds.items()):
        if len(found) >= LEAST_KERNELS:
            yield (
                name,
                sorted(thin.permutation(found)[: MOST_KERNELS if name in places else MOST_KERNELS // 3].tolist()),
            )


def _fit(kernels: Sequence[Kernel], times_us: Rows) -> Family:
    """Return the family of *kernels*."""
    weighted = amounts(kernels) / times_us[:, None]
    size = weighted.max(axis=0)
    used = np.where(size > 0, size, 1.0)
    rates = nnls(weighted / used, np.ones(len(kernels)))[0] / used
    rates[0] = max(rates[0], 0.1 * float(times_us.min()))
    rest, points = np.log(times_us) - np.log(amounts(kernels) @ rates), features(kernels)
    return Family(rates=tuple(rates.tolist()), scales=choose_scales(points, _tamed(points, rest)))


def _learned(family: Family, kernels: Sequence[Kernel], times_us: Rows) -> Learned:
    """Return *family* with the function through *kernels*."""
    rates, points = np.array(family.rates), features(kernels)
    rest = np.log(times_us) - np.log(amounts(kernels) @ rates)
    return Learned(rates=rates, process=learn(points, _tamed(points, rest), family.scales))


def _tamed(points: Rows, values: Rows) -> Rows:
    """Return *values*, those far from the median of their neighbours brought to a distance that most others keep.

    A normal deviation is 1.48 times the median distance.
    """
    _, near = cKDTree(points).query(points, k=min(_NEIGHBOURS + 1, len(points)))
    middle = np.median(values[near[:, 1:]], axis=1)
    allowed = _OUTLIER * 1.48 * float(np.median(np.abs(values - middle)))
    tamed: Rows = np.clip(values, middle - allowed, middle + allowed)
    return tamed
