"""Laws of the file for pytest-benchmark.

The form was checked with pytest-benchmark 5.3.1 itself, in an environment of its own: ``pytest-benchmark compare`` of two
such files prints both, and ``pytest_benchmark.stats.Stats``, given the same times, has the same values in every field
but the quartiles, of which it computes another of the usual kinds (they differ by less than the distance of two samples).
"""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.bench.measurement import FORMAT, Machine, Measurement, Run
from edgekd.bench.pytest_benchmark import pytest_benchmark_json

FIELDS = {
    *("min", "max", "mean", "stddev", "rounds", "median", "iqr", "q1", "q3", "iqr_outliers", "stddev_outliers"),
    *("outliers", "ld15iqr", "hd15iqr", "ops", "total", "data", "iterations"),
}


def measured(samples: list[float]) -> Measurement:
    """Return a measurement with these samples in milliseconds."""
    machine = Machine(
        machine="aarch64", system="Linux 6.1", cpu="Cortex-A76", cores=4, python="3.11.2", governors=("performance",),
        clocks_khz=(), temperatures_c=(), throttled="", power_mode="", monotonic_s=0.0, load=0.0, busy_ticks=None,
        own_ticks=0,
    )  # fmt: skip
    run = Run(
        runtime="onnxruntime", version="1.32.0", before=machine, after=machine, load_ms=1.0, first_ms=1.0, warmup_ms=(),
        samples_ms=tuple(samples), started_ms=tuple(map(float, range(len(samples)))), peak_memory_bytes=None,
        providers=("CPUExecutionProvider",), inputs={},
    )  # fmt: skip
    return Measurement(
        format=FORMAT, date="2026-11-26T00:00:00+00:00", model="net.onnx", model_sha256="0" * 64, size_bytes=1,
        target=None, where="ssh:board", threads=1, batch=1, run=run,
    )  # fmt: skip


def test_the_statistics_of_ten_rounds_by_hand() -> None:
    """Nine of 2 ms and one of 12: mean 3, one outlier by both rules, fences at 2 ms."""
    document = pytest_benchmark_json([measured([2.0] * 9 + [12.0])])
    stats = document["benchmarks"][0]["stats"]
    assert set(stats) == FIELDS
    assert stats["mean"] == pytest.approx(0.003)
    assert stats["median"] == stats["q1"] == stats["q3"] == stats["hd15iqr"] == pytest.approx(0.002)
    assert stats["stddev"] == pytest.approx(0.01 / np.sqrt(10))
    assert stats["outliers"] == "1;1"
    assert stats["ops"] == pytest.approx(1000 / 3)
    assert document["machine_info"]["cpu"]["brand_raw"] == "Cortex-A76"
    assert {"machine_info", "commit_info", "benchmarks", "datetime", "version"} == set(document)


@given(st.lists(st.floats(0.01, 1e4), min_size=1, max_size=60))
def test_what_is_written_keeps_its_order(samples: list[float]) -> None:
    """Minimum, quartiles and maximum ascend, the fences lie within, and JSON takes all of it."""
    stats = json.loads(json.dumps(pytest_benchmark_json([measured(samples)])))["benchmarks"][0]["stats"]
    assert stats["min"] <= stats["q1"] <= stats["median"] <= stats["q3"] <= stats["max"]
    assert stats["min"] <= stats["ld15iqr"] <= stats["hd15iqr"] <= stats["max"]
    assert stats["rounds"] == len(samples)
