"""Facts that exclude each other are refused, both named."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from edgekd.core.errors import ConfigError
from edgekd.targets import load_target

Edit = Callable[[str, Mapping[str, object]], Path]

FEATURES_OF_ALL = tuple(f"device.clusters.all.{feature}" for feature in ("dot_product", "fp16_arithmetic", "i8mm"))
MATRICES_OF_ALL = FEATURES_OF_ALL[-1]
LITTLE = {
    "core": "Cortex-A55",
    "cores": 4,
    "cpus": "4-7",
    "clock_ghz": 1.8,
    "dot_product": True,
    "fp16_arithmetic": True,
    "i8mm": False,
}

CONTRADICTIONS: tuple[tuple[str, dict[str, object], str, str], ...] = (
    (
        "jetson-nano",
        {"precision.int8.verdict": "works", "quantization.placement": "tensorrt"},
        'precision.int8.verdict = "works"',
        'device.gpu.compute_capability = "5.3"',
    ),
    (
        "jetson-orin-nano",
        {"device.gpu.compute_capability": "6.2"},
        'precision.int8.verdict = "fast"',
        'device.gpu.compute_capability = "6.2"',
    ),
    (
        "jetson-nano",
        {"device.gpu.compute_capability": "5.2"},
        'precision.fp16.verdict = "fast"',
        'device.gpu.compute_capability = "5.2"',
    ),
    ("jetson-nano", {"device.gpu": None}, 'runtime.name = "tensorrt"', "device.gpu = (absent)"),
    (
        "jetson-nano",
        {"precision.default": "int8"},
        'precision.default = "int8"',
        'precision.int8.verdict = "refused"',
    ),
    ("jetson-nano", {"runtime.opset": 14}, "runtime.opset = 14", "runtime.max_opset = 13"),
    ("jetson-nano", {"runtime.ir_version": 9}, "runtime.ir_version = 9", "runtime.max_ir_version = 8"),
    ("jetson-nano", {"runtime.max_opset": 17}, "runtime.max_opset = 17", 'runtime.version = "8.2.1"'),
    ("raspberry-pi-4", {"runtime.max_opset": 29}, "runtime.max_opset = 29", 'runtime.version = "1.32.0"'),
    (
        "raspberry-pi-4",
        {"runtime.version": "1.19.2", "runtime.max_opset": 21},
        "runtime.max_ir_version = 14",
        'runtime.version = "1.19.2"',
    ),
    ("raspberry-pi-4", {"quantization": None}, "quantization = (absent)", 'precision.int8.verdict = "works"'),
    (
        "jetson-nano",
        {"quantization.placement": "tensorrt"},
        'quantization.placement = "tensorrt"',
        'precision.int8.verdict = "refused"',
    ),
    (
        "raspberry-pi-4",
        {"quantization.placement": "tensorrt"},
        'quantization.placement = "tensorrt"',
        'runtime.execution_provider = "CPUExecutionProvider"',
    ),
    (
        "raspberry-pi-4",
        {"precision.fp16.verdict": "fast"},
        'precision.fp16.verdict = "fast"',
        "device.clusters.all.fp16_arithmetic = false",
    ),
    (
        "raspberry-pi-4",
        {"device.clusters.all.dot_product": True},
        "device.clusters.all.dot_product = true",
        'device.clusters.all.core = "Cortex-A72"',
    ),
    (
        "raspberry-pi-5",
        {"device.clusters.all.i8mm": True},
        "device.clusters.all.i8mm = true",
        'device.clusters.all.core = "Cortex-A76"',
    ),
    (
        "raspberry-pi-5",
        {"device.clusters.all.core": "Carmel"},
        "device.clusters.all.dot_product = true",
        'device.clusters.all.core = "Carmel"',
    ),
    (
        "raspberry-pi-5",
        {"device.clusters.all.core": "Cortex-A73", **dict.fromkeys(FEATURES_OF_ALL, False)},
        'precision.int8.verdict = "fast"',
        "device.clusters.all.dot_product = false",
    ),
    (
        "raspberry-pi-5",
        {"device.clusters.all.core": "Cortex-A999", **dict.fromkeys(FEATURES_OF_ALL, False), MATRICES_OF_ALL: True},
        "device.clusters.all.i8mm = true",
        "device.clusters.all.dot_product = false",
    ),
    (
        "raspberry-pi-5",
        {"device.clusters.all.cores": 3},
        "device.clusters.all.cores = 3",
        'device.clusters.all.cpus = "0-3"',
    ),
    (
        "raspberry-pi-5",
        {"device.clusters.little": LITTLE | {"cpus": "3-6"}},
        'device.clusters.little.cpus = "3-6"',
        'device.clusters.all.cpus = "0-3"',
    ),
    ("raspberry-pi-5", {"benchmark.threads": 5}, "benchmark.threads = 5", "device.clusters.all.cores = 4"),
    (
        "raspberry-pi-5",
        {"device.clusters.little": LITTLE, "benchmark.threads": 8},
        "benchmark.threads = 8",
        "device.clusters.all.cores = 4: threads that span clusters",
    ),
    ("raspberry-pi-5", {"benchmark.cluster": "big"}, 'benchmark.cluster = "big"', 'device.clusters = "all"'),
    (
        "raspberry-pi-5",
        {"device.power_mode": "turbo"},
        'device.power_mode = "turbo"',
        'device.power_modes = "performance, ondemand"',
    ),
    (
        "x86-64",
        {"quantization.placement": "onnxruntime-arm64"},
        'quantization.placement = "onnxruntime-arm64"',
        'device.architecture = "x86_64"',
    ),
    (
        "x86-64",
        {"device.clusters.all.dot_product": True},
        "device.clusters.all.dot_product = true",
        'device.clusters.all.core = "x86-64-v3"',
    ),
    (
        "jetson-nano",
        {"runtime.operator_list": "8.4"},
        'runtime.operator_list = "8.4"',
        'runtime.version = "8.2.1"',
    ),
    (
        "raspberry-pi-4",
        {"benchmark.throttle_check.unthrottled": "(0x0"},
        'benchmark.throttle_check.unthrottled = "(0x0"',
        "benchmark.throttle_check.command",
    ),
    (
        "raspberry-pi-4",
        {"device.identity.device_tree": ["raspberrypi,(4"]},
        'device.identity.device_tree = "raspberrypi,(4"',
        "device.soc",
    ),
    (
        "android-a76",
        {"device.identity.cores": ["Cortex-A67"]},
        'device.identity.cores = "Cortex-A67"',
        'device.architecture = "aarch64": edgekd knows no part number of it',
    ),
    (
        "android-a76",
        {"device.identity.cores": ["Cortex-A77"]},
        'device.identity.cores = "Cortex-A77"',
        'device.clusters.big.core = "Cortex-A76"',
    ),
    (
        "android-a76",
        {"device.identity.beside": ["Cortex-X1"]},
        'device.identity.beside = "Cortex-X1"',
        'device.clusters.little.core = "Cortex-A55"',
    ),
    (
        "android-a76",
        {"device.identity.cores": None},
        "device.identity.beside = ",
        "device.identity.cores = (absent)",
    ),
    (
        "raspberry-pi-4",
        {"device.identity.system": None, "device.identity.device_tree": None, "device.identity.beside": []},
        "device.identity = (absent)",
        "device.architecture",
    ),
    (
        "raspberry-pi-5",
        {"runtime.execution_provider": "TensorrtExecutionProvider"},
        'runtime.execution_provider = "TensorrtExecutionProvider"',
        'runtime.name = "onnxruntime"',
    ),
    (
        "jetson-nano",
        {"benchmark.build_command": None, "benchmark.flags": None},
        "benchmark.build_command = (absent)",
        'runtime.name = "tensorrt"',
    ),
    (
        "jetson-nano",
        {"benchmark.build_command": "trtexec --onnx={model}"},
        "benchmark.flags = ",
        'benchmark.build_command = "trtexec --onnx={model}"',
    ),
    (
        "raspberry-pi-5",
        {"benchmark.time_command": "perf"},
        'benchmark.time_command = "perf"',
        'runtime.name = "onnxruntime"',
    ),
)


@pytest.mark.parametrize(("name", "changes", "one", "other"), CONTRADICTIONS)
def test_a_contradiction_names_the_file_and_both_fields(
    edited: Edit, name: str, changes: dict[str, object], one: str, other: str
) -> None:
    """Two facts that cannot both be true end loading with both fields and their values."""
    path = edited(name, changes)
    with pytest.raises(ConfigError) as error:
        load_target(str(path))
    assert str(error.value).startswith(f"{path}: {one}")
    assert f" contradicts {other}" in str(error.value)


def test_a_core_that_nobody_listed_is_believed(edited: Edit) -> None:
    """A new board needs no code: an unknown core's capabilities stand on their source alone."""
    path = edited("raspberry-pi-5", {"device.clusters.all.core": "Cortex-A999", MATRICES_OF_ALL: True})
    assert load_target(str(path)).cluster.i8mm
