"""Laws of a measurement, of what speaks against it, and of what it is compared with."""

import re

import msgspec
import pytest

from edgekd.bench.criticism import criticism, throttling
from edgekd.bench.history import comparable
from edgekd.bench.measurement import FORMAT, Machine, Measurement, Reading, Run
from edgekd.bench.telling import told


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
        runtime="onnxruntime",
        version="1.32.0",
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
        cores=(3,),
    )
    return Measurement(
        format=FORMAT, date="2026-11-24", model="net.onnx", model_sha256="0" * 64, size_bytes=1, target=None,
        where="local", threads=1, batch=1, run=run,
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
        (STEADY, {"governors": ["ondemand"]}, "ondemand"),
        (STEADY, {"busy_ticks": 150, "own_ticks": 100}, "50% of a core"),
    ],
)
def test_each_flaw_is_said(samples: list[float], after: dict[str, object], word: str) -> None:
    """One sentence for one flaw."""
    (sentence,) = criticism(measured(samples, **after))
    assert word in sentence


@pytest.mark.parametrize(
    ("before", "after", "word"),
    [
        ({}, {"throttled": "throttled=0x1"}, "0x1"),
        ({"throttled": "throttled=0x10000"}, {"throttled": "throttled=0x50000"}, "0x50000"),
        ({}, {"thermal_status": 1}, "thermal status 1"),
        ({}, {"capped": ["thermal-cpufreq-0"]}, "thermal-cpufreq-0"),
        ({"throttle_count": 4}, {"throttle_count": 7}, "3 times"),
    ],
)
def test_every_way_to_throttle_is_found_and_makes_a_run_worthless(
    before: dict[str, object], after: dict[str, object], word: str
) -> None:
    """What says so differs by system; a measurement that was refused for it is compared with nothing."""
    run = msgspec.structs.replace(measured(STEADY).run, before=machine(**before), after=machine(**after))
    why = throttling(run)
    assert why is not None
    assert word in why
    refused = msgspec.structs.replace(measured(STEADY), refused=why)
    assert word in (comparable(measured(STEADY), refused) or "")


@pytest.mark.parametrize(
    ("before", "after"),
    [({}, {}), ({"throttled": "throttled=0x50000"}, {"throttled": "throttled=0x50000"}), ({}, {"throttled": "?"})],
)
def test_what_happened_earlier_is_no_throttling(before: dict[str, object], after: dict[str, object]) -> None:
    """The same flags of the past before and after, or an answer that cannot be read."""
    run = msgspec.structs.replace(measured(STEADY).run, before=machine(**before), after=machine(**after))
    assert throttling(run) is None


def test_a_clock_that_fell_only_in_between_is_found() -> None:
    """Before and after 2.4 GHz, 1.2 GHz in a reading between two inferences."""
    found = measured(STEADY)
    readings = (Reading(started_ms=500.0, clocks_khz=(1_200_000,)),)
    (sentence,) = criticism(msgspec.structs.replace(found, run=msgspec.structs.replace(found.run, readings=readings)))
    assert "-50%" in sentence


def test_each_minute_has_its_median() -> None:
    """1 ms in the first minute, 2 ms in the second."""
    found = measured([1.0] * 10 + [2.0] * 10)
    started = tuple(1000.0 * n for n in range(10)) + tuple(60_000 + 1000.0 * n for n in range(10))
    found = msgspec.structs.replace(found, run=msgspec.structs.replace(found.run, started_ms=started))
    assert found.by_minute_ms() == (1.0, 2.0)
    assert found.summary()["drift"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"inputs": {"input": (1, 4)}}, "inputs"),
        ({"version": "1.31.0"}, "runtime"),
        ({"cores": None}, "affinity"),
        ({"flags": ("--fp16",)}, "flags"),
        ({"before": machine(power_mode="NV Power Mode: MAXN")}, "power_mode"),
        ({"before": machine(cpu="Cortex-A72")}, "cpu"),
    ],
)
def test_what_differs_is_named_and_compared_with_nothing(changed: dict[str, object], word: str) -> None:
    """Equal fingerprints compare; one difference is enough not to."""
    found = measured(STEADY)
    assert comparable(found, measured(STEADY[::-1])) is None
    other = msgspec.structs.replace(found, run=msgspec.structs.replace(found.run, **changed))
    assert f"they differ in {word} " in (comparable(found, other) or "")


def test_what_was_not_measured_is_not_told_as_0() -> None:
    """TensorRT tells no first inference and no peak memory, and some of its versions no time to load: none is shown."""
    found = measured(STEADY)
    run = msgspec.structs.replace(found.run, load_ms=None, first_ms=None, peak_memory_bytes=None)
    lines = list(told(msgspec.structs.replace(found, run=run), None))
    assert "497.5 samples/s" in lines  # alone in its line; the median is 2.01 ms
    assert not [line for line in lines if re.search("load|first inference|peak memory", line)]
    assert "load 10.0 ms, first inference 3.00 ms, 497.5 samples/s, peak memory 1 bytes" in list(told(found, None))


def test_more_threads_than_cores_are_said() -> None:
    """Four on one core."""
    (sentence,) = criticism(msgspec.structs.replace(measured(STEADY), threads=4))
    assert sentence == "4 threads shared 1 cores"


def test_throughput_counts_the_batch() -> None:
    """Eight samples in 2 ms are 4,000 in a second."""
    found = msgspec.structs.replace(measured([2.0] * 40), batch=8)
    assert found.summary()["samples_per_s"] == pytest.approx(4000)
