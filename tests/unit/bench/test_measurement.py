"""Laws of what speaks against a measurement."""

import msgspec
import pytest

from edgekd.bench.measurement import Machine, Measurement, Run, criticism


def machine(**changed: object) -> Machine:
    """Return a quiet board at fixed clocks."""
    known = {
        "machine": "aarch64", "system": "Linux 6", "cpu": "Cortex-A76", "cores": 4, "python": "3.11",
        "governors": ["performance"], "clocks_khz": [2_400_000], "temperatures_c": [50.0], "throttled": "throttled=0x0",
        "power_mode": "", "monotonic_s": 0.0, "load": 0.1, "busy_ticks": 0, "own_ticks": 0,
    }  # fmt: skip
    return msgspec.convert(known | changed, Machine)


def measured(samples: list[float], **after: object) -> Measurement:
    """Return a measurement of a second on that board."""
    run = Run(
        format=1,
        onnxruntime="1.32.0",
        before=machine(),
        after=machine(**({"monotonic_s": 1.0} | after)),
        load_ms=10.0,
        first_ms=3.0,
        warmup_ms=(2.0,) * 50,
        samples_ms=tuple(samples),
        started_ms=tuple(float(n) for n in range(len(samples))),
        providers=("CPUExecutionProvider",),
        peak_memory_bytes=1,
        inputs={"input": (1, 3)},
        profile=(),
    )
    return Measurement(
        format=1, date="2026-11-24", model="net.onnx", model_sha256="0" * 64, size_bytes=1, target=None, where="local",
        threads=1, batch=1, run=run,
    )  # fmt: skip


STEADY = [2.0 + 0.01 * (n % 3) for n in range(90)]


def test_nothing_speaks_against_a_steady_board() -> None:
    """Equal samples, fixed clocks, no other process."""
    assert list(criticism(measured(STEADY))) == []


@pytest.mark.parametrize(
    ("samples", "after", "word"),
    [
        (STEADY[:20], {}, "only 20 samples"),
        ([2.0 if n % 5 else 4.0 for n in range(90)], {}, "2.00 times the median"),
        ([2.0] * 45 + [2.2] * 45, {}, "+10.0%"),
        (STEADY, {"clocks_khz": [1_800_000]}, "-25%"),
        (STEADY, {"throttled": "throttled=0x50005"}, "0x50005"),
        (STEADY, {"governors": ["ondemand"]}, "ondemand"),
        (STEADY, {"busy_ticks": 150, "own_ticks": 100}, "50% of a core"),
    ],
)
def test_each_flaw_is_said(samples: list[float], after: dict[str, object], word: str) -> None:
    """One sentence for one flaw."""
    (sentence,) = criticism(measured(samples, **after))
    assert word in sentence


def test_throughput_counts_the_batch() -> None:
    """Eight samples in 2 ms are 4,000 in a second."""
    found = msgspec.structs.replace(measured([2.0] * 40), batch=8)
    assert found.summary()["samples_per_s"] == pytest.approx(4000)
