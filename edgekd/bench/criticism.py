"""What speaks against a measurement: what makes it worth little, and what makes it worthless."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from edgekd.bench.measurement import Machine, Measurement, Run, drift

SPREAD: Final = 1.2
DRIFT: Final = 0.05
CLOCK_CHANGE: Final = 0.05
BUSY_PART: Final = 0.1
LEAST_RUNS: Final = 30
TICKS_PER_S: Final = 100
"""Linux counts processor time in hundredths of a second for programs, on every architecture."""

_PI_NOW: Final = 0xF
"""Bits of ``vcgencmd get_throttled``: under-voltage, capped, throttled, soft limit; 16 bits higher: since the start."""


def criticism(found: Measurement) -> Iterator[str]:
    """Yield what speaks against a measurement, a sentence each: nothing where all is well."""
    yield from _of_samples(found)
    yield from _of_machine(found.run)
    yield from _of_setting(found)


def throttling(run: Run) -> str | None:
    """Return how the device lowered its clocks during the run, a clause, or None where it did not."""
    before, after = run.before, run.after
    flags, earlier = _pi_flags(after.throttled), _pi_flags(before.throttled)
    if (flags & _PI_NOW) or (flags & ~earlier):
        return f"the board reports throttling or too low a voltage ({flags:#x})"
    if after.thermal_status > 0:
        return f"Android reports thermal status {after.thermal_status}"
    if after.capped:
        return f"the kernel held down {', '.join(after.capped)} for heat"
    if after.throttle_count > before.throttle_count:
        return f"the processor throttled {after.throttle_count - before.throttle_count} times"
    return None


def clock_change(run: Run) -> float:
    """Return the largest change of the mean clock since before the run, as a part; 0 where clocks are not told."""
    seen = [reading.clocks_khz for reading in run.readings] + [run.after.clocks_khz]
    if not run.before.clocks_khz:
        return 0.0
    first = float(np.mean(run.before.clocks_khz))
    changes = [float(np.mean(clocks)) / first - 1 for clocks in seen if clocks]
    return max(changes, key=abs, default=0.0)


def elsewhere(run: Run) -> str:
    """Return what ran with another provider than asked, as a clause."""
    spent, names = sum(node.ms for node in run.elsewhere), sorted({node.operator for node in run.elsewhere})
    others = ", ".join(sorted({node.provider or "another provider" for node in run.elsewhere}))
    return f"{', '.join(names)} ran with {others}, {spent:.3g} ms of an inference"


def _of_samples(found: Measurement) -> Iterator[str]:
    """Yield what the samples themselves show."""
    samples = np.asarray(found.run.samples_ms)
    if len(samples) < LEAST_RUNS:
        yield f"only {len(samples)} samples: percentiles beyond the median say little; take {LEAST_RUNS} or more"
    if (spread := float(np.percentile(samples, 90)) / float(np.median(samples))) > SPREAD:
        yield f"one run in ten takes {spread:.2f} times the median: the machine or its clock is unsteady"
    if abs(part := drift(found.run.samples_ms)) > DRIFT:
        yield f"the last third is {part:+.1%} against the first: it had not settled, or it throttles"


def _of_machine(run: Run) -> Iterator[str]:
    """Yield what the machine was busy with."""
    if abs(change := clock_change(run)) > CLOCK_CHANGE:
        yield f"the clocks changed by {change:+.0%} meanwhile; fix them before measuring"
    if (flags := _pi_flags(run.after.throttled)) & _PI_NOW << 16 and throttling(run) is None:
        yield f"the board has throttled since it started ({flags:#x}): cool it, or give it a better power supply"
    if set(run.after.governors) - {"performance"}:
        yield f"the clock governor is {', '.join(run.after.governors)}: set it to performance"
    if (others := others_busy(run.before, run.after)) is not None and others > BUSY_PART:
        yield f"other processes used {others:.0%} of a core meanwhile"


def _of_setting(found: Measurement) -> Iterator[str]:
    """Yield what was asked for badly."""
    run = found.run
    yield from found.unlike_target
    if run.elsewhere:
        yield elsewhere(run)
    if run.cores is not None and found.threads > len(run.cores):
        yield f"{found.threads} threads shared {len(run.cores)} cores"
    if run.cores is None and run.runtime == "onnxruntime":
        yield "it was not kept on certain cores, so the system may have moved it"


def _pi_flags(said: str) -> int:
    """Return the bits of a Raspberry Pi's ``throttled=0x0``, 0 where there are none."""
    try:
        return int(said.partition("=")[2].strip() or "0", 16)
    except ValueError:
        return 0


def others_busy(before: Machine, after: Machine) -> float | None:
    """Return how many cores other processes used on average, None where the kernel does not say."""
    if before.busy_ticks is None or after.busy_ticks is None:
        return None
    busy = after.busy_ticks - before.busy_ticks - (after.own_ticks - before.own_ticks)
    return max(0.0, busy / TICKS_PER_S / max(after.monotonic_s - before.monotonic_s, 0.01))
