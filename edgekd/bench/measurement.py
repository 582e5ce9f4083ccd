"""One measurement of one file: raw samples, where they come from, and what speaks against them."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
import numpy as np

FORMAT: Final = 1
SPREAD: Final = 1.2
DRIFT: Final = 0.05
CLOCK_CHANGE: Final = 0.05
BUSY_PART: Final = 0.1
LEAST_RUNS: Final = 30
TICKS_PER_S: Final = 100
"""Linux counts processor time in hundredths of a second for programs, on every architecture."""


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What the runner saw of the machine before or after: clocks in kHz, temperatures in degrees Celsius.

    *busy_ticks* are those of all processes together, *own_ticks* the runner's own.
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


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What the runner prints: times in milliseconds, *samples_ms* in the order they were taken."""

    format: int
    onnxruntime: str
    before: Machine
    after: Machine
    load_ms: float
    first_ms: float
    warmup_ms: tuple[float, ...]
    samples_ms: tuple[float, ...]
    started_ms: tuple[float, ...]
    providers: tuple[str, ...]
    peak_memory_bytes: int | None
    inputs: Mapping[str, tuple[int, ...]]
    profile: tuple[Mapping[str, Any], ...]


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """A run with the file it is of. *where* is ``local``, ``ssh:HOST`` or ``adb``; nothing here is estimated."""

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

    @property
    def fingerprint(self) -> dict[str, str]:
        """Return what must be equal for two measurements to be compared."""
        machine = self.run.before
        return {
            "cpu": machine.cpu,
            "machine": machine.machine,
            "cores": str(machine.cores),
            "system": machine.system,
            "onnxruntime": self.run.onnxruntime,
            "provider": self.run.providers[0],
            "threads": str(self.threads),
            "batch": str(self.batch),
            "power_mode": machine.power_mode,
            "governors": ", ".join(machine.governors),
        }

    def summary(self) -> dict[str, float]:
        """Return median, percentiles, minimum in milliseconds, the number of samples, and inferences per second."""
        samples = np.asarray(self.run.samples_ms)
        return {
            "median_ms": float(np.median(samples)),
            **{f"p{part}_ms": float(np.percentile(samples, part)) for part in (90, 95, 99)},
            "minimum_ms": float(samples.min()),
            "n": float(len(samples)),
            "first_ms": self.run.first_ms,
            "load_ms": self.run.load_ms,
            "samples_per_s": 1e3 * self.batch / float(np.median(samples)),
        }


def criticism(found: Measurement) -> Iterator[str]:
    """Yield what speaks against a measurement, a sentence each: nothing where all is well."""
    samples = np.asarray(found.run.samples_ms)
    before, after = found.run.before, found.run.after
    median = float(np.median(samples))
    if len(samples) < LEAST_RUNS:
        yield f"only {len(samples)} samples: percentiles beyond the median say little; take {LEAST_RUNS} or more"
    if (spread := float(np.percentile(samples, 90)) / median) > SPREAD:
        yield f"one run in ten takes {spread:.2f} times the median: the machine or its clock is unsteady"
    third = max(1, len(samples) // 3)
    if abs(drift := float(np.median(samples[-third:]) / np.median(samples[:third])) - 1) > DRIFT:
        yield f"the last third is {drift:+.1%} against the first: it had not settled, or it throttles"
    if before.clocks_khz and after.clocks_khz:
        change = float(np.mean(after.clocks_khz)) / float(np.mean(before.clocks_khz)) - 1
        if abs(change) > CLOCK_CHANGE:
            yield f"the clocks changed by {change:+.0%} meanwhile; fix them before measuring"
    if (flags := _throttling(after.throttled)) is not None:
        yield f"the board reports throttling ({flags}): cool it, or give it a better power supply"
    if set(after.governors) - {"performance"}:
        yield f"the clock governor is {', '.join(after.governors)}: set it to performance"
    if (others := _others(before, after)) is not None and others > BUSY_PART:
        yield f"other processes used {others:.0%} of a core meanwhile"


def _throttling(said: str) -> str | None:
    """Return the flags of a Raspberry Pi that throttles or has throttled, None where it has not or is none."""
    value = said.partition("=")[2].strip()
    return value if value and int(value, 16) != 0 else None


def _others(before: Machine, after: Machine) -> float | None:
    """Return how many cores other processes used on average, None where the kernel does not say."""
    if before.busy_ticks is None or after.busy_ticks is None:
        return None
    busy = after.busy_ticks - before.busy_ticks - (after.own_ticks - before.own_ticks)
    return max(0.0, busy / TICKS_PER_S / max(after.monotonic_s - before.monotonic_s, 0.01))
