"""What each target ships, and why not."""

from typing import cast

import pytest

from edgekd.core.errors import ConfigError
from edgekd.targets import (
    AskedPrecision,
    PrecisionName,
    build_command,
    exported_precisions,
    load_target,
    refusal,
    shipped_precision,
    time_command,
)


def test_the_nano_refuses_int8_and_says_why() -> None:
    """The sentence names the device, the reason and the way out."""
    sentence = (
        "jetson-nano: INT8 asked, but its GPU (compute capability 5.3) has none and TensorRT 8.2 refuses to "
        'build a QDQ model there; use precision = "fp16".'
    )
    nano = load_target("jetson-nano")
    assert refusal(nano, "int8") == sentence
    with pytest.raises(ConfigError) as error:
        shipped_precision(nano, "int8")
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    ("name", "default", "exported"),
    [
        ("jetson-nano", "fp16", ("fp32", "fp16")),
        ("jetson-orin-nano", "int8", ("fp32", "fp16", "int8")),
        ("raspberry-pi-4", "int8", ("fp32", "fp16", "int8")),
        ("raspberry-pi-5", "int8", ("fp32", "fp16", "int8")),
    ],
)
def test_each_target_ships_its_default_and_exports_what_it_can(
    name: str, default: str, exported: tuple[str, ...]
) -> None:
    """Auto means the default; every precision that is not refused is exported and can be asked for."""
    target = load_target(name)
    assert shipped_precision(target, "auto") == default
    assert exported_precisions(target) == exported
    for precision in exported_precisions(target):
        assert refusal(target, precision) is None
        assert shipped_precision(target, precision) == precision


def test_a_word_that_is_no_precision_gets_the_nearest() -> None:
    """A misspelt precision is one sentence."""
    with pytest.raises(ConfigError, match=r"precision: 'int9' given; did you mean 'int8'\?"):
        shipped_precision(load_target("jetson-nano"), cast("AskedPrecision", "int9"))


@pytest.mark.parametrize(
    ("name", "precision", "present", "absent"),
    [
        ("jetson-nano", "fp16", ("--fp16", "--workspace=1024", "--buildOnly"), ("--int8", "--memPoolSize")),
        ("jetson-nano", "fp32", ("--buildOnly",), ("--fp16", "--int8")),
        (
            "jetson-orin-nano",
            "int8",
            ("--int8 --fp16", "--memPoolSize=workspace:1024", "--skipInference"),
            ("--workspace", "--buildOnly"),
        ),
        ("jetson-orin-nano", "fp16", ("--fp16",), ("--int8",)),
    ],
)
def test_the_build_line_suits_the_precision_and_the_release(
    name: str, precision: PrecisionName, present: tuple[str, ...], absent: tuple[str, ...]
) -> None:
    """TensorRT 8.2 and 10.3 name their options differently, and --int8 goes with Q/DQ files only."""
    line = build_command(load_target(name), model="model.onnx", precision=precision)
    assert line is not None
    assert "--onnx=model.onnx " in line
    assert "--saveEngine=model.onnx.plan" in line
    assert all(option in line for option in present)
    assert not any(option in line for option in absent)
    assert "{" not in line


def test_a_file_name_with_spaces_stays_one_word() -> None:
    """The shell gets the name quoted, its spaces unchanged."""
    nano = load_target("jetson-nano")
    assert "--onnx='my  model.onnx'" in str(build_command(nano, model="my  model.onnx", precision="fp16"))
    assert "--loadEngine='my  model.onnx'.plan" in time_command(nano, model="my  model.onnx")


@pytest.mark.parametrize(
    ("name", "words"),
    [("rk3588", "taskset f0 onnxruntime_perf_test"), ("android-armv9", " taskset 70 "), ("x86-64", "taskset 1 ")],
)
def test_threads_stay_on_the_cluster_that_is_measured(name: str, words: str) -> None:
    """The mask has a bit for each CPU of the cluster: 4 to 7 of the RK3588, 4 to 6 of the phone."""
    target = load_target(name)
    line = time_command(target, model="model.onnx")
    assert words in line
    assert f" -x {target.benchmark.threads} " in line
    assert f" -r {target.benchmark.runs} " in line
    assert "{" not in line


def test_a_file_name_with_braces_is_not_replaced_itself() -> None:
    """The model's name comes last, so what it holds is nobody's placeholder."""
    assert time_command(load_target("rk3588"), model="{runs}.onnx").endswith(" '{runs}.onnx'")


def test_onnx_runtime_needs_no_build() -> None:
    """A Pi runs the file itself."""
    pi = load_target("raspberry-pi-4")
    assert build_command(pi, model="model.onnx", precision="int8") is None
    assert time_command(pi, model="model.onnx").endswith(" model.onnx")
