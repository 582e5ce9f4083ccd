"""Calibrating: build the suite, time it at one place, and learn what kernels cost there."""

import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from onnx import ModelProto
from scipy.optimize import nnls

from edgekd.bench.connection import Device as Opened
from edgekd.bench.connection import opened
from edgekd.bench.criticism import others_busy
from edgekd.bench.device_errors import DeviceError
from edgekd.bench.here import Here
from edgekd.bench.identity import why_not
from edgekd.bench.kernel_run import WEIGHTS, KernelRequest, KernelRun, Suite, TracedNetwork, run_kernels
from edgekd.bench.places import place_of
from edgekd.core.errors import ConfigError
from edgekd.core.progress import Progress
from edgekd.predict.kernel_costs import Family, KernelCosts, fit_families
from edgekd.predict.kernels import MULTIPLYING, Told, kernel_layer
from edgekd.predict.nominal import nominal_int8
from edgekd.predict.outsourcing import outsource
from edgekd.predict.suite import suite_network
from edgekd.predict.table import (
    FORMAT,
    LeftOut,
    Overhead,
    Table,
    TablePrecision,
    TimedKernel,
    TimedNetwork,
    fingerprint_of,
    kernels_of,
    overhead_terms,
)
from edgekd.predict.tracing import optimized, with_names
from edgekd.targets import Device, PlacementName

FOLDS: Final = 4
ROUNDS: Final = 5
KEPT_PART: Final = 0.9
LEAST_NETWORKS: Final = 24
BUILDING_PART: Final = 0.3
"""Of the time, at most for building the suite."""
LEARNING_PART: Final = 0.13
SECONDS_OF_A_NETWORK: Final = 0.15
"""No machine times one in less, so no more are built than this lets through."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What is calibrated: the table's *target*, *where* as in ``--on``, and the *seconds* that all of it may take.

    *device* is what the target's file says of it, None for a device that no target describes.
    """

    target: str
    device: Device | None
    where: str
    precisions: tuple[TablePrecision, ...]
    placement: PlacementName
    request: KernelRequest
    seconds: float


class _Built(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A network of the suite as it is sent, and what its optimized graph says."""

    seed: int
    content: bytes
    weight_bytes: int
    told: Mapping[str, Told]


def calibrate(job: Job, progress: Progress) -> Table:
    """Return the table that *job* finds. Raises DeviceError where the device cannot, or runs too few networks."""
    place, networks, runs = place_of(job.where), [], []
    request = job.request
    if isinstance(place.way, Here):  # not kept on a core, which another process may be kept on as well
        request = msgspec.structs.replace(request, python=sys.executable, cores=())
    share = job.seconds / len(job.precisions)
    with opened(place.way, parent=place.parent) as device:
        machine = device.run(("uname", "-m")).decode().strip()
        _expect_architecture(job, machine)
        for number, precision in enumerate(job.precisions):
            progress.say(f"calibrate: building networks in {precision}")
            began = time.monotonic()
            built = _build(job, precision, machine, seconds=share, first=number)
            progress.say(f"calibrate: timing up to {len(built)} of them on {place.way.where}")
            left = (1 - LEARNING_PART) * share - (time.monotonic() - began)
            run = _timed(device, built, msgspec.structs.replace(request, seconds=left))
            networks += _joined(run, built, precision)
            runs.append(run)
    progress.say(f"calibrate: learning from {len(networks)} networks")
    timed = Table(
        format=FORMAT,
        date=datetime.now(tz=UTC).isoformat(timespec="seconds"),
        target=job.target,
        where=place.way.where,
        fingerprint=fingerprint_of(runs[0], threads=request.threads, provider=request.provider),
        threads=request.threads,
        runtime=f"onnxruntime {runs[0].version}",
        precisions=job.precisions,
        not_target=None if job.device is None else why_not(job.device, runs[0]),
        others_busy=max(others_busy(run.before, run.after) or 0.0 for run in runs),
        families={},
        overheads={},
        left_out=(),
        networks=tuple(networks),
    )
    return learned_from(timed)


def _expect_architecture(job: Job, machine: str) -> None:
    """Raise ConfigError where a *machine*, as ``uname -m`` calls it, cannot be the target's device."""
    if job.device is not None and job.device.architecture != machine:
        message = (
            f"{job.where}: its processor is {machine}, and that of {job.target} {job.device.architecture}: its kernels "
            f"say nothing about {job.target}; give --on ssh:HOST, or --name NAME for this machine."
        )
        raise ConfigError(message)


def learned_from(table: Table) -> Table:
    """Return *table* with all that is derived from its raw samples."""
    networks = table.networks
    families = fit_families(*kernels_of(networks))
    overheads = {one: overhead_of([net for net in networks if net.precision == one]) for one in table.precisions}
    left_out = tuple(cross_validated(networks, families, overheads))
    return msgspec.structs.replace(table, families=families, overheads=overheads, left_out=left_out)


def _build(job: Job, precision: TablePrecision, machine: str, *, seconds: float, first: int) -> list[_Built]:
    """Return as many networks of the suite as can be built and timed in so many *seconds*, the least in any case.

    Seeds of several precisions take turns, so that no network is timed in two of them.
    """
    built: list[_Built] = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="edgekd-suite-") as name:
        while len(built) < LEAST_NETWORKS or (
            time.monotonic() - began < BUILDING_PART * seconds and len(built) * SECONDS_OF_A_NETWORK < seconds
        ):
            seed = 2 * len(built) + first
            model = with_names(FORMS[precision](suite_network(seed), job.placement))
            (Path(name) / "model.onnx").write_bytes(model.SerializeToString())
            told = optimized(Path(name) / "model.onnx", Path(name), machine)
            needed = outsource(model, WEIGHTS, seed=seed)
            built.append(_Built(seed=seed, content=model.SerializeToString(), weight_bytes=needed, told=told))
    return built


def _timed(device: Opened, built: Sequence[_Built], request: KernelRequest) -> KernelRun:
    """Return what *device* measures of the networks."""
    contents = {f"{one.seed}.onnx": one.content for one in built}
    suite = Suite(networks=contents, weight_bytes=max(one.weight_bytes for one in built))
    run = run_kernels(device, suite, request)
    if len(run.networks) < LEAST_NETWORKS:
        message = (
            f"{device.way.where}: timed {len(run.networks)} networks in {request.seconds:.0f} s, at least "
            f"{LEAST_NETWORKS} are needed; give more --seconds."
        )
        raise DeviceError(message)
    return run


def _joined(run: KernelRun, built: Sequence[_Built], precision: TablePrecision) -> list[TimedNetwork]:
    """Return the networks of *run* with their kernels as layers."""
    by_name = {f"{one.seed}.onnx": one for one in built}
    return [_timed_network(network, by_name[network.model], precision) for network in run.networks]


def _timed_network(network: TracedNetwork, built: _Built, precision: TablePrecision) -> TimedNetwork:
    """Return one network; ConfigError where the device has made other kernels of it than this machine."""
    foreign = [row.operator for row in network.kernels if row.operator in MULTIPLYING and row.name not in built.told]
    if foreign:
        message = (
            f"calibrate: ONNX Runtime there optimizes otherwise than here (it runs a {foreign[0]} that is unknown "
            "here); install the same version on both sides, or calibrate on a machine of the same kind."
        )
        raise ConfigError(message)
    kernels = tuple(
        TimedKernel(layer=kernel_layer(row, built.told), samples_us=row.samples_us) for row in network.kernels
    )
    return TimedNetwork(seed=built.seed, precision=precision, samples_ms=network.samples_ms, kernels=kernels)


def cross_validated(
    networks: tuple[TimedNetwork, ...], families: Mapping[str, Family], overheads: Mapping[TablePrecision, Overhead]
) -> list[LeftOut]:
    """Return each of *networks* foretold from those of the other folds, where they know all of its kernels."""
    found: list[LeftOut] = []
    for fold in range(FOLDS):
        costs = KernelCosts(families, *kernels_of(tuple(one for n, one in enumerate(networks) if n % FOLDS != fold)))
        for one in networks[fold::FOLDS]:
            kernels, _ = kernels_of((one,))
            if costs.unknown(kernels):
                continue
            predicted_us = overheads[one.precision].total_us(costs.at(kernels)[0])
            measured_us = 1e3 * float(np.median(one.samples_ms))
            found.append(
                LeftOut(seed=one.seed, precision=one.precision, measured_us=measured_us, predicted_us=predicted_us)
            )
    return found


def overhead_of(networks: Sequence[TimedNetwork]) -> Overhead:
    """Return what leads to the medians of *networks*: least squares of relative errors, the largest tenth left out."""
    kernels = [kernels_of((one,))[1] for one in networks]
    measured = np.array([1e3 * float(np.median(one.samples_ms)) for one in networks])
    signs = np.array([-1.0, 1.0, 1.0])
    matrix = np.array([overhead_terms(times) for times in kernels]) * signs / measured[:, None]
    rest = 1 - np.array([times.sum() for times in kernels]) / measured
    kept = np.ones(len(networks), dtype=bool)
    solution = np.zeros(len(signs))
    for _ in range(ROUNDS):
        solution = nnls(matrix[kept], rest[kept])[0]
        errors = np.abs(matrix @ solution - rest)
        kept = errors <= np.quantile(errors, KEPT_PART)
    node, inference, evicted = (signs * solution).tolist()
    return Overhead(node_us=node, inference_us=inference, evicted_us=evicted)


def _as_it_is(model: ModelProto, _placement: PlacementName) -> ModelProto:
    """Return *model*."""
    return model


FORMS: Final[Mapping[TablePrecision, Callable[[ModelProto, PlacementName], ModelProto]]] = {
    "fp32": _as_it_is,
    "int8": nominal_int8,
}
