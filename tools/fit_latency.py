"""Write the fit that edgekd ships, ``edgekd/data/latency/fit.json``, from the published points beside it.

    python tools/fit_latency.py

Half widths of intervals are quantiles over points whose network (and for other devices: whose device) no fit had seen.
"""

import csv
from typing import Any

import msgspec
import numpy as np

from edgekd.predict.fit import Problem
from edgekd.predict.fitted import FILE, Fitted, Part
from edgekd.predict.kinds import common_kinds, covered_kind
from edgekd.predict.leaving_out import (
    Array,
    LeftOut,
    Table,
    half_width,
    scales,
    table,
    without_devices,
    without_networks,
)
from edgekd.predict.published import FOLDER, family, groups, networks
from edgekd.predict.terms import TERMS

COVERAGE = 0.9
DIGITS = 5


def main() -> None:
    """Fit floating point, then integers from there, and write both."""
    known, layers = groups(), dict(networks())
    is_float = [group.precision != "int8" for group in known]
    points = table([group for group, wanted in zip(known, is_float, strict=True) if wanted], layers)
    whole = Problem(points.amounts, points.training).solve()
    left_out = without_networks(points, whole, lambda _name: None)
    commons = {name: fit.common for name, fit in zip(points.networks, left_out.fits, strict=True)}
    integers = table([group for group, wanted in zip(known, is_float, strict=True) if not wanted], layers)
    whole_integers = Problem(integers.amounts, integers.training, whole.common).solve()
    left_out_integers = without_networks(integers, whole_integers, commons.get)
    kinds = common_kinds(found for name, found in layers.items() if name == family(name))
    written = Fitted(
        terms=tuple(term.name for term in TERMS),
        parts={
            "float": _part(points, whole.groups, left_out, is_float),
            "int8": _part(
                integers,
                whole_integers.groups,
                left_out_integers,
                [not one for one in is_float],
            ),
        },
        common_kinds=kinds,
        rare_width=_rare_width(points, left_out, kinds),
        runtime_width=(runtime := _runtimes())[0],
        runtime_pairs=runtime[1],
    )
    FILE.write_bytes(msgspec.json.encode(written) + b"\n")


def _part(points: Table, prices: Array, left_out: LeftOut, wanted: list[bool]) -> Part:
    """Return one fit as it is written."""
    numbers = [number for number, is_wanted in enumerate(wanted) if is_wanted]
    size = scales(points, left_out)
    widths: dict[Any, float] = {"board": half_width((left_out.log_ms - points.log_ms) / size, COVERAGE)}
    for nearness, estimates in without_devices(points, left_out).items():
        widths[nearness] = half_width((estimates - points.log_ms) / size, COVERAGE)
    return Part(
        prices={number: _rounded(row) for number, row in zip(numbers, prices, strict=True)},
        widths={name: round(width, DIGITS) for name, width in widths.items()},
    )


def _rare_width(points: Table, left_out: LeftOut, kinds: tuple[str, ...]) -> float:
    """Return the largest median error of a network that takes most of its arithmetic in kinds that few have."""
    error, found = left_out.log_ms - points.log_ms, 0.0
    for column, name in enumerate(points.networks):
        layers = networks()[name]
        rare = sum(layer.macs for layer in layers if covered_kind(layer) not in kinds)
        if rare > sum(layer.macs for layer in layers) / 2:
            found = max(found, float(abs(np.nanmedian(error[:, column]))))
    return round(found, DIGITS)


def _runtimes() -> tuple[float, int]:
    """Return the half width over all pairs of runtimes, and how many there are."""
    with (FOLDER / "runtimes.csv").open(encoding="utf-8", newline="") as lines:
        ratios = [float(row["latency_ms"]) / float(row["ncnn_ms"]) for row in csv.DictReader(lines)]
    return round(half_width(np.log(ratios), COVERAGE), DIGITS), len(ratios)


def _rounded(row: Array) -> tuple[float, ...]:
    """Return numbers as the file holds them."""
    return tuple(round(float(number), DIGITS) for number in row)


if __name__ == "__main__":
    main()
