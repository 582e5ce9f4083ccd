"""Measurements in the JSON of pytest-benchmark, so that its ``compare`` and what reads its files take them."""

import platform
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from edgekd.bench.measurement import Measurement

VERSION: Final = "5.3.1"
"""The version of pytest-benchmark whose form this is."""


def pytest_benchmark_json(found: Sequence[Measurement]) -> dict[str, Any]:
    """Return the document; times are in seconds, as pytest-benchmark has them. The machine is the first one's."""
    machine = found[0].run.before
    return {
        "machine_info": {
            "node": found[0].where,
            "processor": machine.cpu,
            "machine": machine.machine,
            "python_implementation": platform.python_implementation(),
            "python_version": machine.python or platform.python_version(),
            "system": machine.system.partition(" ")[0],
            "release": machine.system.partition(" ")[2],
            "cpu": {"brand_raw": machine.cpu, "count": machine.cores, "arch_string_raw": machine.machine},
        },
        "commit_info": {"id": "unversioned", "time": None, "dirty": False, "branch": "(unknown)"},
        "benchmarks": [_benchmark(one) for one in found],
        "datetime": found[0].date,
        "version": VERSION,
    }


def _benchmark(found: Measurement) -> dict[str, Any]:
    """Return one measurement as a benchmark; its extra information holds what makes it comparable."""
    name = f"{found.model}[{found.run.providers[0]}-threads{found.threads}-batch{found.batch}]"
    return {
        "group": None,
        "name": name,
        "fullname": f"edgekd::{name}",
        "params": None,
        "param": None,
        "extra_info": {"model_sha256": found.model_sha256, "where": found.where, "fingerprint": found.fingerprint},
        "options": {
            "disable_gc": False,
            "timer": "perf_counter",
            "min_rounds": len(found.run.samples_ms),
            "max_time": 0.0,
            "min_time": 0.0,
            "warmup": bool(found.run.warmup_ms),
        },
        "stats": _stats(np.asarray(found.run.samples_ms) / 1e3),
    }


def _stats(seconds: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> dict[str, Any]:
    """Return what pytest-benchmark derives from its rounds: quartiles by Tukey's fences, outliers by both rules."""
    first, median, third = (float(value) for value in np.percentile(seconds, (25, 50, 75)))
    low, high = first - 1.5 * (third - first), third + 1.5 * (third - first)
    mean = float(seconds.mean())
    deviation = float(seconds.std(ddof=1)) if len(seconds) > 1 else 0.0
    beyond_fences = int(((seconds < low) | (seconds > high)).sum())
    beyond_deviation = int((np.abs(seconds - mean) > deviation).sum())
    return {
        "min": float(seconds.min()),
        "max": float(seconds.max()),
        "mean": mean,
        "stddev": deviation,
        "rounds": len(seconds),
        "median": median,
        "iqr": third - first,
        "q1": first,
        "q3": third,
        "iqr_outliers": beyond_fences,
        "stddev_outliers": beyond_deviation,
        "outliers": f"{beyond_deviation};{beyond_fences}",
        "ld15iqr": float(seconds[seconds >= low].min()),
        "hd15iqr": float(seconds[seconds <= high].max()),
        "ops": 1 / mean,
        "total": float(seconds.sum()),
        "data": seconds.tolist(),
        "iterations": 1,
    }
