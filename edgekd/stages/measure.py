"""measure: what every stage's file and every shipped file costs on this host, and how well it works."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
from scipy.stats import binomtest

from edgekd.bench.latency import Latency, measure_latencies
from edgekd.bench.memory import peak_memory_bytes
from edgekd.networks.session import Arithmetic, answers, open_session
from edgekd.stages.settings import Measure
from edgekd.tasks.task import Task


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One file as measured on this host.

    *accuracy* is right answers / samples of the test split, with its 95 % interval (Wilson), by *arithmetic*.
    """

    size_bytes: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    test_samples: int
    arithmetic: Arithmetic
    peak_memory_bytes: int
    latency: Latency


def measure_files(files: Mapping[str, Path], task: Task, settings: Measure) -> dict[str, Measured]:
    """Return the measurements of each file; latencies are interleaved, so they can be compared as ratios."""
    sample = task.read(task.test, slice(0, 1))
    latencies = measure_latencies(
        files, sample, threads=settings.threads, warmup_runs=settings.warmup_runs, runs=settings.runs
    )
    return {name: _measured(path, task, latencies[name]) for name, path in files.items()}


def _measured(path: Path, task: Task, latency: Latency) -> Measured:
    """Return what there is to say of one file."""
    found = answers(open_session(path, arithmetic="reference"), task.batches(task.test))
    right = int((found.argmax(1) == task.test.targets).sum())
    samples = len(task.test)
    interval = binomtest(right, samples).proportion_ci(confidence_level=0.95, method="wilson")
    return Measured(
        size_bytes=path.stat().st_size,
        accuracy=right / samples,
        accuracy_interval=(float(interval.low), float(interval.high)),
        test_samples=samples,
        arithmetic="reference",
        peak_memory_bytes=peak_memory_bytes(path),
        latency=latency,
    )
