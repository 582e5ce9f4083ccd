"""Latencies: what is sampled, in which order, and what is derived."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from edgekd.bench.latency import Latency, measure_latencies, turns
from edgekd.bench.memory import peak_memory_bytes

IMAGE = np.ones((1, 4), dtype=np.float32)


def test_median_and_p95_by_hand() -> None:
    """Of 1 to 21 the median is 11; 95 % of the way through the 20 gaps lies the twentieth value."""
    latency = Latency(threads=1, warmup_runs=0, samples_ms=tuple(float(n) for n in range(21, 0, -1)))
    assert (latency.median_ms, latency.p95_ms, latency.runs) == (11.0, 20.0, 21)


def test_an_even_number_of_samples_has_a_median_between_two() -> None:
    """Between 2 and 3 lies 2.5; an outlier does not move it."""
    assert Latency(threads=1, warmup_runs=0, samples_ms=(3.0, 1.0, 900.0, 2.0)).median_ms == 2.5


def test_every_file_gets_all_its_samples(product: Callable[..., Path]) -> None:
    """Three files, 20 samples each, all above 0; the settings are kept beside them."""
    files = {name: product(name) for name in ("a", "b", "c")}
    found = measure_latencies(files, (IMAGE,), threads=2, warmup_runs=3, runs=20)
    assert list(found) == ["a", "b", "c"]
    for latency in found.values():
        assert (latency.runs, latency.threads, latency.warmup_runs) == (20, 2, 3)
        assert min(latency.samples_ms) > 0


def test_several_inputs_are_fed_in_their_order(tmp_path: Path) -> None:
    """The first array goes to the first input: the other way round the shapes would not fit."""
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, size]) for name, size in (("z", 3), ("a", 5))]
    node = helper.make_node("Concat", ["z", "a"], ["y"], axis=1)
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8])
    model = helper.make_model(
        helper.make_graph([node], "two", inputs, [output]), opset_imports=[helper.make_opsetid("", 13)], ir_version=7
    )
    (tmp_path / "two.onnx").write_bytes(model.SerializeToString())
    sample = (np.ones((1, 3), dtype=np.float32), np.ones((1, 5), dtype=np.float32))
    found = measure_latencies({"two": tmp_path / "two.onnx"}, sample, threads=1, warmup_runs=1, runs=20)
    assert found["two"].runs == 20
    assert peak_memory_bytes(tmp_path / "two.onnx") >= 0


def test_files_take_turns_in_changing_order() -> None:
    """Each round holds every file once, and not all rounds have the same order: drift hits all alike."""
    order = list(turns(("a", "b", "c"), 60))
    rounds = [tuple(order[start : start + 3]) for start in range(0, 180, 3)]
    assert all(sorted(one) == ["a", "b", "c"] for one in rounds)
    assert len(set(rounds)) == 6


def test_more_work_takes_longer(product: Callable[..., Path]) -> None:
    """Four million multiplications against sixteen: the clock measures the run, in milliseconds."""
    image = np.ones((1, 2000), dtype=np.float32)
    files = {"small": product("small", rows=2000, columns=4), "large": product("large", rows=2000, columns=2000)}
    found = measure_latencies(files, (image,), threads=1, warmup_runs=2, runs=20)
    assert found["large"].median_ms > found["small"].median_ms
    assert found["large"].median_ms < 1000
