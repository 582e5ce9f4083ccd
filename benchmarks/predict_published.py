"""How well latencies are estimated that the fit has not seen: published ncnn points of networks and devices left out.

    python benchmarks/predict_published.py

*Left out everywhere*: a network leaves all groups, with its integer form, before the fit; then every group's point of
it is estimated. That is a network nobody has published. *Known elsewhere*: left out on its device only; what it took
more or less on other devices (the median) corrects the estimate. That is a published network on a device where it is
not. *Left-out device*: estimated from other devices with the same core, or another core of its family, scaled by clock;
the network is left out everywhere too, while the device's other points still take part in the prices common to all.

*Correction chosen blindly*: what networks alike were off corrects an estimate (``edgekd.predict.likeness``); how alike
and how much was chosen with an eye on these networks. Here both are chosen for every network anew, no correction among
the choices, by what they do for all others in fits that have seen neither the network nor the one that is judged.

Beside it, the plain fit: non-negative least squares of relative errors for each group alone, on MACs by kind, numbers
and layers. Groups are (device, cores, threads, precision, table); judged are those with 12 and more networks, every
point of them; points that are noisy by their own spread do not train. Coverage is that of 90 % intervals whose width
comes from the errors of all other networks.
"""

import csv
import itertools
import sys
from typing import Any, Final

import numpy as np
import scipy.optimize
from numpy.typing import NDArray
from recording import RESULTS, Promise, at_least, at_most, write

from edgekd.predict.fit import Fit, Problem, log_sums
from edgekd.predict.leaving_out import (
    Array,
    LeftOut,
    Table,
    expected_errors,
    half_width,
    known_elsewhere,
    scales,
    table,
    without_devices,
    without_networks,
)
from edgekd.predict.published import groups, networks
from edgekd.predict.terms import TERMS

LEAST_NETWORKS: Final = 12
COVERAGE: Final = 0.9
NEAR: Final = 0.2
BOARDS: Final = ("Raspberry Pi 3", "Raspberry Pi 4", "Raspberry Pi 5", "Jetson")
"""The boards that have a bar of their own. The Raspberry Pi 5 is there as sold and overclocked."""

LEAST_SHARED: Final = 8
SAME: Final = ("core", "clock_ghz", "threads", "precision", "cores")
RADII: Final = (0.7, 1.2, 2.0, 3.0)
DOUBTS: Final = (0.1, 0.3, 1.0, 1e9)
"""The last is no correction."""

Mask = NDArray[np.bool_]
PLAIN: Final = (
    ("pointwise_products",),
    ("winograd_products",),
    ("dense_products", "image_products"),
    ("depthwise_products",),
    ("vector_products",),
    ("numbers", "depthwise_numbers", "moved_numbers"),
    ("layers", "light_layers"),
)


def main() -> None:
    """Estimate, judge and record."""
    layers, known = dict(networks()), groups()
    points = table([group for group in known if group.precision != "int8"], layers)
    whole = Problem(points.amounts, points.training).solve()
    left_out = without_networks(points)
    commons = {name: fit.common for name, fit in zip(points.networks, left_out.fits, strict=True)}
    integers = table([group for group in known if group.precision == "int8"], layers)
    whole_integers = Problem(integers.amounts, integers.training, whole.common).solve()
    left_out_integers = without_networks(integers, commons)
    judged = _judged(points, LEAST_NETWORKS)
    boards = judged & np.array([any(board in one.device for board in BOARDS) for one in points.groups])[:, None]
    results = _results(points, whole, left_out, judged)
    results["correction chosen blindly"] = _chosen_blindly(points, left_out, judged)
    results["two tables of one core"] = _repeats(points)
    results["boards"] = {
        "left out everywhere": _score(left_out.log_ms - points.log_ms, boards),
        "known elsewhere": _score(known_elsewhere(points, left_out) - points.log_ms, boards),
        "by board": _by_board(points, left_out, boards),
    }
    results["int8"] = _results(integers, whole_integers, left_out_integers, _judged(integers, 1))
    results["by network"] = {
        name: _score(left_out.log_ms - points.log_ms, judged & (np.arange(len(points.networks)) == column)[None])
        for column, name in enumerate(points.networks)
    }
    _write_points(_rows(points, left_out) + _rows(integers, left_out_integers))
    sys.exit(not write("predict_published", results, _promises(results)))


def _results(points: Table, whole: Fit, left_out: LeftOut, judged: Mask) -> dict[str, Any]:
    """Return the scores of one fit."""
    error = left_out.log_ms - points.log_ms
    devices = without_devices(points, left_out)
    seen = log_sums(whole.groups, points.amounts) - expected_errors(points, whole, points.training)
    return {
        "groups": int(judged.any(axis=1).sum()),
        "networks": len(points.networks),
        "seen by the fit": _score(seen - points.log_ms, judged),
        "left out everywhere": _score(error, judged),
        "left out everywhere, by prices alone": _score(error + left_out.corrections, judged),
        "left out everywhere, noisy points not judged": _score(error, judged & ~points.is_noisy),
        "known elsewhere": _score(known_elsewhere(points, left_out) - points.log_ms, judged),
        "plain least squares": _score(_plain(points) - points.log_ms, judged),
        "left-out device": {name: _device_score(points, found, judged) for name, found in devices.items()},
        "coverage": _coverage(error, scales(points, left_out), judged),
    }


def _judged(points: Table, least: int) -> Mask:
    """Return the points of groups with at least so many networks."""
    is_there = ~np.isnan(points.log_ms)
    return np.asarray(is_there & (is_there.sum(axis=1) >= least)[:, None])


def _score(error: Array, mask: Mask) -> dict[str, float]:
    """Return how far off estimates are, from log errors."""
    size = np.abs(np.expm1(error[mask & ~np.isnan(error)]))
    if not size.size:
        return {"n": 0}
    return {
        "n": int(size.size),
        "median_error": float(np.median(size)),
        "within_20_percent": float(np.mean(size <= NEAR)),
        "p90_error": float(np.quantile(size, COVERAGE)),
    }


def _device_score(points: Table, found: Array, judged: Mask) -> dict[str, float]:
    """Return the score of estimates from other devices, and of how many devices."""
    is_there = judged & ~np.isnan(found)
    devices = {group.device for group, row in zip(points.groups, is_there, strict=True) if row.any()}
    return _score(found - points.log_ms, judged) | {"devices": len(devices)}


def _by_board(points: Table, left_out: LeftOut, boards: Mask) -> dict[str, dict[str, float]]:
    """Return the score of each group of the boards with a bar of their own."""
    error = left_out.log_ms - points.log_ms
    rows = np.arange(len(points.groups))
    return {
        f"{group.device}, {group.precision}, {group.threads} threads, {group.date}": _score(
            error, boards & (rows == row)[:, None]
        )
        for row, group in enumerate(points.groups)
        if boards[row].any()
    }


def _coverage(error: Array, size: Array, judged: Mask) -> dict[str, float]:
    """Return the part of points within 90 % intervals whose width comes from all other networks, and the widths."""
    normal = error / size
    inside, widths = [], []
    for column in range(error.shape[1]):
        others = half_width(np.delete(normal, column, axis=1), COVERAGE)
        rows = judged[:, column]
        inside += list(np.abs(normal[rows, column]) <= others)
        widths += list(others * size[rows, column])
    return {
        "n": len(inside),
        "covered": float(np.mean(inside)),
        "median_half_width_log": float(np.median(widths)),
    }


def _chosen_blindly(points: Table, left_out: LeftOut, judged: Mask) -> dict[str, Any]:
    """Return the scores of corrections that are chosen for each network by fits that have not seen it.

    They are chosen by how many points of the other networks are within 20 %, or by their median error.
    """
    columns, choices = range(len(points.networks)), tuple(itertools.product(RADII, DOUBTS))
    blind = np.full((len(choices), len(columns), *points.log_ms.shape), np.nan)
    for pair in itertools.combinations(columns, 2):
        for choice, error in enumerate(_errors(points, pair, choices)):
            for column, other in itertools.permutations(pair):
                blind[choice, column, :, other] = error[:, other]
    found, names = {}, [f"radius {radius:g}, doubt {doubt:g}" for radius, doubt in choices]
    for figure, sign in (("within_20_percent", -1), ("median_error", 1)):
        best = [int(np.argmin([sign * _score(error[column], judged)[figure] for error in blind])) for column in columns]
        chosen = np.full(points.log_ms.shape, np.nan)
        for column, choice in enumerate(best):
            chosen[:, column] = _errors(points, (column,), choices, left_out.fits[column])[choice][:, column]
        found[f"by {figure}"] = _score(chosen, judged) | {
            "choices": {names[choice]: best.count(choice) for choice in sorted(set(best))}
        }
    return found


def _errors(
    points: Table, unseen: tuple[int, ...], choices: tuple[tuple[float, float], ...], fit: Fit | None = None
) -> list[Array]:
    """Return the log errors by each choice of a correction, of the *fit* that has not seen these networks."""
    seen = points.training.copy()
    seen[:, list(unseen)] = np.nan
    solved = Problem(points.amounts, seen).solve() if fit is None else fit
    alone = log_sums(solved.groups, points.amounts) - points.log_ms
    return [alone - expected_errors(points, solved, seen, radius=radius, doubt=doubt) for radius, doubt in choices]


def _repeats(points: Table) -> dict[str, float]:
    """Return how far two published tables of the same core, clock, threads and precision are apart.

    That is what no estimate can beat: between other devices as they are, on one device with the median ratio taken out.
    """
    apart, speed_apart = [], []
    for (one, first), (other, second) in itertools.combinations(zip(points.groups, points.training, strict=True), 2):
        if not one.core or any(getattr(one, name) != getattr(other, name) for name in SAME):
            continue
        ratio = (first - second)[~np.isnan(first - second)]
        if len(ratio) >= LEAST_SHARED:
            apart += list(ratio)
            speed_apart += list(ratio - np.median(ratio))
    return {
        "n": len(apart),
        "median_difference": float(np.median(np.expm1(np.abs(apart)))),
        "within_20_percent": float(np.mean(np.expm1(np.abs(apart)) <= NEAR)),
        "median_difference_speed_apart": float(np.median(np.expm1(np.abs(speed_apart)))),
        "within_20_percent_speed_apart": float(np.mean(np.expm1(np.abs(speed_apart)) <= NEAR)),
    }


def _plain(points: Table) -> Array:
    """Return estimates of each group by non-negative least squares on the group alone, one network left out."""
    names = [term.name for term in TERMS]
    summed = [sum(points.amounts[:, :, names.index(name)] for name in group) for group in PLAIN]
    features = np.stack([np.asarray(one) for one in summed], axis=2)
    found = np.full(points.log_ms.shape, np.nan)
    for row, latencies in enumerate(np.exp(points.log_ms)):
        there = np.flatnonzero(~np.isnan(latencies))
        for column in there:
            rest = there[there != column]
            prices, _ = scipy.optimize.nnls(features[row, rest] / latencies[rest, None], np.ones(len(rest)))
            found[row, column] = np.log(max(float(features[row, column] @ prices), 1e-9))
    return found


def _rows(points: Table, left_out: LeftOut) -> list[dict[str, Any]]:
    """Return every estimate beside what was published."""
    elsewhere = known_elsewhere(points, left_out)
    devices = without_devices(points, left_out)
    return [
        {
            "device": group.device,
            "cores": group.cores,
            "threads": group.threads,
            "precision": group.precision,
            "runtime": group.runtime,
            "date": group.date,
            "network": name,
            "published_ms": _ms(points.log_ms[row, column]),
            "noisy": int(points.is_noisy[row, column]),
            "left_out_everywhere_ms": _ms(left_out.log_ms[row, column]),
            "known_elsewhere_ms": _ms(elsewhere[row, column]),
            **{f"from_other_devices_of_{key}_ms": _ms(found[row, column]) for key, found in devices.items()},
        }
        for row, group in enumerate(points.groups)
        for column, name in enumerate(points.networks)
        if not np.isnan(points.log_ms[row, column])
    ]


def _write_points(rows: list[dict[str, Any]]) -> None:
    """Write every published latency with its estimates to ``results/predict_published/points.csv``."""
    path = RESULTS / "predict_published" / "points.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _ms(log_ms: float) -> str:
    """Return a latency from its logarithm, empty where there is no estimate."""
    return "" if np.isnan(log_ms) else f"{np.exp(log_ms):.4g}"


def _promises(results: dict[str, Any]) -> list[Promise]:
    """Return what the issue asks for, and what was found."""
    everywhere, elsewhere = results["left out everywhere"], results["known elsewhere"]
    boards = results["boards"]
    return [
        at_most("left out everywhere: median absolute error", 0.1, everywhere["median_error"]),
        at_least("left out everywhere: within 20 %", 0.75, everywhere["within_20_percent"]),
        at_most("known elsewhere: median absolute error", 0.1, elsewhere["median_error"]),
        at_least("known elsewhere: within 20 %", 0.75, elsewhere["within_20_percent"]),
        at_least(
            "Raspberry Pi and Jetson, left out everywhere: within 20 %",
            0.85,
            boards["left out everywhere"]["within_20_percent"],
        ),
        at_least(
            "Raspberry Pi and Jetson, known elsewhere: within 20 %",
            0.85,
            boards["known elsewhere"]["within_20_percent"],
        ),
        at_least("90 % intervals cover at least", 0.85, results["coverage"]["covered"]),
        at_most("90 % intervals cover at most", 0.95, results["coverage"]["covered"]),
        at_least("90 % intervals of int8 cover at least", 0.85, results["int8"]["coverage"]["covered"]),
        at_most("90 % intervals of int8 cover at most", 0.95, results["int8"]["coverage"]["covered"]),
    ]


if __name__ == "__main__":
    main()
