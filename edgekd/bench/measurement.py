"""One measurement of one file: raw samples, and where they come from."""

from collections.abc import Mapping
from typing import Final

import msgspec
import numpy as np

FORMAT: Final = 3


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of the machine before or after: clocks in kHz, temperatures in degrees Celsius.

    *busy_ticks* are those of all processes together, *own_ticks* those of what measured. *throttled* is what a
    Raspberry Pi says of itself, *capped* names what the kernel holds down for its heat, *throttle_count* counts how
    often that happened on x86, *thermal_status* is Android's, from 0 for cool. *power_mode* and *clock_report* are
    what a Jetson's nvpmodel and jetson_clocks print. *board*: its names in the device tree. *core_parts*: implementer
    and part of each CPU that runs, by its number. *cpus_present*: those that do not run too.
    """

    machine: str
    system: str
    cpu: str
    cores: int
    python: str
    governors: tuple[str, ...]
    clocks_khz: tuple[int, ...]
    temperatures_c: tuple[float, ...]
    throttled: str
    power_mode: str
    monotonic_s: float
    load: float
    busy_ticks: int | None
    own_ticks: int
    capped: tuple[str, ...] = ()
    throttle_count: int = 0
    thermal_status: int = 0
    clock_report: str = ""
    board: tuple[str, ...] = ()
    core_parts: Mapping[int, str] = {}
    cpus_present: int | None = None


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """The clocks between two inferences of a long run."""

    started_ms: float
    clocks_khz: tuple[int, ...]
    hottest_c: float | None = None


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """What all nodes of one operator take of one inference, and with which provider they ran."""

    operator: str
    provider: str
    calls: float
    ms: float


class Golden(msgspec.Struct, frozen=True, kw_only=True):
    """How far the answers to golden inputs are from the golden outputs at most; NaN and infinity are the largest float.

    *tolerance* is None where the golden outputs are those of another file of the bundle, and nothing is judged.
    """

    samples: int
    largest_difference: float
    tolerance: float | None = None


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What ran and how long it took, in milliseconds: *samples_ms* in the order they were taken.

    *load_ms*, *first_ms* and *peak_memory_bytes* are None where what measures does not tell them.
    *elsewhere*: nodes that ran with another provider than asked. *cores*: the ones it was kept on, None where nothing
    was fixed. *flags*: what a builder of engines was told. *gpu_ms*: the part of each sample without transfers.
    """

    runtime: str
    version: str
    before: Machine
    after: Machine
    load_ms: float | None
    first_ms: float | None
    warmup_ms: tuple[float, ...]
    samples_ms: tuple[float, ...]
    started_ms: tuple[float, ...]
    providers: tuple[str, ...]
    peak_memory_bytes: int | None
    inputs: Mapping[str, tuple[int, ...]]
    cores: tuple[int, ...] | None = None
    elsewhere: tuple[Node, ...] = ()
    readings: tuple[Reading, ...] = ()
    golden: Golden | None = None
    profile: tuple[Node, ...] = ()
    flags: tuple[str, ...] = ()
    gpu_ms: tuple[float, ...] = ()


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """A run with the file it is of. *where* is ``local``, ``ssh:HOST`` or ``adb:SERIAL``; nothing here is estimated.

    *target* is named only where the machine has shown that it is that device; *not_target* says of one that was asked
    for why it is not named, *unlike_target* what of the network is not as its runtime prefers it. *refused* says why
    these samples must not be compared with others: the device throttled.
    """

    format: int
    date: str
    model: str
    model_sha256: str
    size_bytes: int
    target: str | None
    where: str
    threads: int
    batch: int
    run: Run
    not_target: str | None = None
    unlike_target: tuple[str, ...] = ()
    refused: str | None = None

    @property
    def fingerprint(self) -> dict[str, str]:
        """Return what must be equal for two measurements to be compared."""
        machine, run = self.run.before, self.run
        return {
            "cpu": machine.cpu,
            "machine": machine.machine,
            "cores": str(machine.cores),
            "system": machine.system,
            "runtime": f"{run.runtime} {run.version}",
            "provider": run.providers[0],
            "flags": " ".join(run.flags),
            "threads": str(self.threads),
            "affinity": "any" if run.cores is None else ",".join(map(str, run.cores)),
            "batch": str(self.batch),
            "inputs": " ".join(f"{name}:{'x'.join(map(str, shape))}" for name, shape in sorted(run.inputs.items())),
            "power_mode": machine.power_mode,
            "governors": ", ".join(machine.governors),
        }

    def summary(self) -> dict[str, float | None]:
        """Return median, percentiles, minimum in milliseconds, n, samples per second, and the drift as a part."""
        samples = np.asarray(self.run.samples_ms)
        return {
            "median_ms": float(np.median(samples)),
            **{f"p{part}_ms": float(np.percentile(samples, part)) for part in (90, 95, 99)},
            "minimum_ms": float(samples.min()),
            "n": float(len(samples)),
            "first_ms": self.run.first_ms,
            "load_ms": self.run.load_ms,
            "samples_per_s": 1e3 * self.batch / float(np.median(samples)),
            "drift": drift(self.run.samples_ms),
        }

    def by_minute_ms(self) -> tuple[float, ...]:
        """Return the median of each minute."""
        minutes = np.asarray(self.run.started_ms) // 60_000
        samples = np.asarray(self.run.samples_ms)
        return tuple(float(np.median(samples[minutes == number])) for number in np.unique(minutes))


def drift(samples_ms: tuple[float, ...]) -> float:
    """Return by which part the median of the last third is above that of the first."""
    third = max(1, len(samples_ms) // 3)
    return float(np.median(samples_ms[-third:]) / np.median(samples_ms[:third])) - 1
