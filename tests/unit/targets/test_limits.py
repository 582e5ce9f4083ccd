"""What cores, GPUs and runtime releases can do."""

import pytest

from edgekd.targets.limits import core_limits, runtime_limits, tensorrt_has_fp16, tensorrt_has_int8


@pytest.mark.parametrize(
    ("capability", "int8", "fp16"),
    [
        ("5.2", False, False),
        ("5.3", False, True),
        ("6.0", False, True),
        ("6.1", True, False),
        ("6.2", False, True),
        ("7.2", True, True),
        ("8.7", True, True),
        ("11.0", True, True),
    ],
)
def test_tensorrt_knows_each_gpu(capability: str, int8: bool, fp16: bool) -> None:  # noqa: FBT001
    """INT8 starts at 6.1 and skips 6.2; fast FP16 is at 5.3, 6.0, 6.2 and from 7.0 on."""
    assert tensorrt_has_int8(capability) is int8
    assert tensorrt_has_fp16(capability) is fp16


@pytest.mark.parametrize(
    ("name", "version", "opset"),
    [
        ("tensorrt", "8.0.1", 13),
        ("tensorrt", "8.2.1", 13),
        ("tensorrt", "8.5.2", 17),
        ("tensorrt", "10.3", 20),
        ("onnxruntime", "1.11.0", 16),
        ("onnxruntime", "1.19.2", 21),
        ("onnxruntime", "1.25.0", 28),
        ("onnxruntime", "1.32.0", 28),
    ],
)
def test_a_release_loads_at_most_what_the_next_known_one_does(name: str, version: str, opset: int) -> None:
    """Known releases have their own limit; those between are bounded by the next."""
    limits = runtime_limits(name, version)
    assert limits is not None
    assert limits.opset == opset


@pytest.mark.parametrize(("name", "version"), [("tensorrt", "10.16.2"), ("onnxruntime", "1.33")])
def test_a_release_newer_than_all_known_is_not_bounded(name: str, version: str) -> None:
    """Nothing is claimed about the future."""
    assert runtime_limits(name, version) is None


def test_cores_differ() -> None:
    """Carmel computes in half precision without the dot product; an unknown core is not judged."""
    carmel = core_limits("Carmel")
    assert carmel is not None
    assert (carmel.fp16_arithmetic, carmel.dot_product, carmel.i8mm) == (True, False, False)
    assert core_limits("Cortex-A999") is None
