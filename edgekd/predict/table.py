"""The table of a device: kernels that were timed there, and how well they foretell a network that was left out."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec
import numpy as np

from edgekd.bench.kernel_run import KernelRun
from edgekd.core.disk import disk_errors, write_atomically
from edgekd.core.errors import ConfigError
from edgekd.predict.gaussian import Rows
from edgekd.predict.kernel_amounts import Kernel, amounts, family_of, features, in_network, kind_of
from edgekd.predict.kernel_costs import Family, KernelCosts
from edgekd.predict.layers import Layer

FORMAT: Final = 2
STEADY: Final = 0.25
"""The quantile of samples that counts: another process only ever makes a run longer, by whole slices of time."""
EVICTING_US: Final = 800.0
"""Kernels of so long in all evict half of what the runtime keeps in the caches: measured on a server core."""
TRUNCATED_US: Final = 0.5
"""A trace cuts microseconds off: on average so much is missing."""

TablePrecision = Literal["fp32", "int8"]
PRECISIONS: Final[tuple[TablePrecision, ...]] = ("fp32", "int8")


class TimedKernel(msgspec.Struct, frozen=True, kw_only=True):
    """A kernel of the suite with its raw samples."""

    layer: Layer
    samples_us: tuple[int, ...]


class TimedNetwork(msgspec.Struct, frozen=True, kw_only=True):
    """A network of the suite by its *seed*: its own samples, without a trace, and its kernels."""

    seed: int
    precision: TablePrecision
    samples_ms: tuple[float, ...]
    kernels: tuple[TimedKernel, ...]


class Overhead(msgspec.Struct, frozen=True, kw_only=True):
    """What leads from the kernels of a network in a trace to the network without one.

    To their sum comes *node_us* for each (a trace makes them longer, so it is below 0), *inference_us*, and up to
    *evicted_us* where they leave nothing of the runtime itself in the caches.
    """

    node_us: float
    inference_us: float
    evicted_us: float

    def total_us(self, kernels_us: Rows) -> float:
        """Return what a network of kernels with these times takes, at least one microsecond."""
        rest = overhead_terms(kernels_us) @ (self.node_us, self.inference_us, self.evicted_us)
        return max(1.0, float(kernels_us.sum() + rest))


def overhead_terms(kernels_us: Rows) -> Rows:
    """Return what the three numbers of an ``Overhead`` are multiplied with."""
    total = float(kernels_us.sum())
    return np.array([float(len(kernels_us)), 1.0, total / (total + EVICTING_US)])


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """A network of the suite that its own kernels did not help to foretell."""

    seed: int
    precision: TablePrecision
    measured_us: float
    predicted_us: float


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """What calibration found. *fingerprint* is where it holds; *networks* are raw, all else is derived from them.

    *not_target* says why the machine is not shown to be the *target*, None where it is or nothing is claimed.
    *others_busy*: how much of a core other processes used meanwhile, on average.
    """

    kind: Literal["edgekd calibration"] = "edgekd calibration"
    format: int
    date: str
    target: str
    where: str
    fingerprint: Mapping[str, str]
    threads: int
    runtime: str
    precisions: tuple[TablePrecision, ...]
    others_busy: float
    families: Mapping[str, Family]
    overheads: Mapping[TablePrecision, Overhead]
    left_out: tuple[LeftOut, ...]
    networks: tuple[TimedNetwork, ...]
    not_target: str | None = None

    def errors(self, precision: str) -> Rows:
        """Return log(predicted / measured) of each network of *precision* that was left out."""
        pairs = [(one.predicted_us, one.measured_us) for one in self.left_out if one.precision == precision]
        found: Rows = np.log(np.array(pairs)[:, 0]) - np.log(np.array(pairs)[:, 1])
        return found


def fingerprint_of(run: KernelRun, *, threads: int, provider: str) -> dict[str, str]:
    """Return what must be equal where a table is used: the same as for two measurements."""
    machine = run.before
    return {
        "cpu": machine.cpu,
        "machine": machine.machine,
        "cores": str(machine.cores),
        "runtime": f"onnxruntime {run.version}",
        "provider": provider,
        "threads": str(threads),
        "power_mode": machine.power_mode,
        "governors": ", ".join(machine.governors),
    }


def kernels_of(networks: tuple[TimedNetwork, ...]) -> tuple[tuple[Kernel, ...], Rows]:
    """Return all kernels of *networks* and the steady microseconds of each."""
    found = tuple(kernel for network in networks for kernel in in_network([one.layer for one in network.kernels]))
    times = [steady(one.samples_us) + TRUNCATED_US for network in networks for one in network.kernels]
    return found, np.array(times)


def steady(samples: Sequence[float]) -> float:
    """Return what *samples* take when nothing disturbs."""
    return float(np.quantile(samples, STEADY))


def costs_of(table: Table) -> KernelCosts:
    """Return what kernels cost by *table*."""
    return KernelCosts(table.families, *kernels_of(table.networks))


def write_table(path: Path, table: Table) -> None:
    """Write *table* to *path*, replacing an older one."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, msgspec.json.encode(table))


def read_table(path: Path) -> Table:
    """Return the table in the file *path*. Raises ConfigError where it is none, or of another format."""
    advice = "make it anew with `edgekd targets calibrate`"
    with disk_errors(path):
        content = path.read_bytes()
    try:
        head = msgspec.json.decode(content)
        if not isinstance(head, dict) or head.get("kind") != "edgekd calibration":
            message = f"{path}: is no table of a calibration; {advice}."
            raise ConfigError(message)
        if head.get("format") != FORMAT:
            message = f"{path}: is a table of format {head.get('format')}, this edgekd reads {FORMAT}; {advice}."
            raise ConfigError(message)
        table = msgspec.convert(head, Table)
    except msgspec.MsgspecError as error:
        message = f"{path}: cannot be read as a table of a calibration ({error}); {advice}."
        raise ConfigError(message) from error
    if not _is_sound(table):
        message = f"{path}: the table lacks networks, samples or overheads, or they are no times; {advice}."
        raise ConfigError(message)
    return table


def _is_sound(table: Table) -> bool:
    """Tell whether *table* holds all that an estimate takes from it, and times that are times."""
    known = {(one.seed, one.precision) for one in table.networks}
    judged = {one.precision for one in table.left_out}
    times = [*(taken for one in table.networks for taken in one.samples_ms)]
    times += [taken for one in table.left_out for taken in (one.measured_us, one.predicted_us)]
    kernels = [kernel for one in table.networks for kernel in one.kernels]
    return (
        table.threads > 0
        and bool(table.precisions and table.networks)
        and set(table.precisions) <= table.overheads.keys() & judged
        and known >= {(one.seed, one.precision) for one in table.left_out}
        and all(one.kernels and one.samples_ms for one in table.networks)
        and all(0 < taken < math.inf for taken in times)
        and all(kernel.samples_us and min(kernel.samples_us) >= 0 for kernel in kernels)
        and _are_of_this_form(table.families, [kernel.layer for kernel in kernels])
    )


def _are_of_this_form(families: Mapping[str, Family], layers: Sequence[Layer]) -> bool:
    """Tell whether each of *families* has a rate for each amount and a length for each feature of its *layers*."""
    members = {name: layer for layer in layers for name in (family_of(layer), kind_of(layer))}
    if not families.keys() <= members.keys():
        return False
    forms = ((family, in_network([members[name]])) for name, family in families.items())
    return all(
        (len(family.rates), len(family.scales.lengths)) == (amounts(one).shape[1], features(one).shape[1])
        for family, one in forms
    )
