"""Models on emulated ARM cores: the numbers are the host's, and the instructions are the core's."""

import functools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from emulator import (
    batch_of,
    constant,
    on_every_core,
    quantize_to,
    some_images,
    tensor,
    the_emulator,
    write_convolution,
    write_model,
    write_network,
)
from onnx import TensorProto, helper

from edgekd.bench.cores import CORES
from edgekd.bench.emulator import Emulated, EmulationSettings, emulator_folder, find_emulator, run_emulated
from edgekd.core.errors import ConfigError, StageError
from edgekd.networks.session import answers, open_session

COUNTED = EmulationSettings(count=True)
FLOAT, INT8, UINT8, INT32, INT64 = (
    TensorProto.FLOAT,
    TensorProto.INT8,
    TensorProto.UINT8,
    TensorProto.INT32,
    TensorProto.INT64,
)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the small network in FP32."""
    return write_network(tmp_path_factory.mktemp("network") / "fp32.onnx")


@pytest.fixture(scope="module")
def quantized(network: Path) -> Path:
    """Give it in INT8."""
    return quantize_to(network, network.with_name("int8.onnx"))


@pytest.fixture(scope="module")
def convolution(tmp_path_factory: pytest.TempPathFactory) -> Emulated:
    """Give one FP32 convolution's run on an A76, counted."""
    model = write_convolution(tmp_path_factory.mktemp("convolution") / "a.onnx")
    return run_emulated(the_emulator(), CORES["cortex-a76"], model, some_images(), COUNTED)


@functools.cache
def counted(model: Path) -> dict[str, Emulated]:
    """Run *model* on all cores, once for all tests, with its instructions counted."""
    return on_every_core(model, some_images(), COUNTED)


@pytest.mark.slow
def test_a_float_network_gives_the_hosts_numbers_on_every_core(network: Path) -> None:
    """The ARM kernels sum in another order, so the logits of 12 images differ by rounding only."""
    expected = answers(open_session(network, arithmetic="reference"), [(batch_of(some_images()),)])
    for run in on_every_core(network, some_images()).values():
        assert run.names == ("logits",)
        np.testing.assert_allclose(run.outputs[0], expected, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_an_int8_network_gives_the_same_bits_on_every_core_and_the_references_within_one_step(quantized: Path) -> None:
    """Integer sums are exact; the reference may round the last step of a requantization the other way."""
    expected = answers(open_session(quantized, arithmetic="reference"), [(batch_of(some_images()),)])
    step = float(constant(onnx.load(quantized), "logits_scale"))
    runs = counted(quantized)
    for run in runs.values():
        np.testing.assert_array_equal(run.outputs[0], runs["cortex-a53"].outputs[0])
    assert np.abs(runs["cortex-a53"].outputs[0] - expected).max() <= 1.001 * step


@pytest.mark.slow
def test_int8_runs_in_the_instructions_that_the_core_has(quantized: Path) -> None:
    """No core multiplies in float; Armv8.0 has no dot products, Armv8.2 has, i8mm has matrix products as well."""
    for name, run in counted(quantized).items():
        found, core = run.instructions, CORES[name]
        assert found.imla + found.dot + found.mmla > 100 * found.fmla
        assert (found.dot > 0) == core.has_dot_product
        assert (found.mmla > 0) == core.has_matrix_product


@pytest.mark.slow
def test_dot_products_take_a_third_off_the_instructions_of_int8(quantized: Path) -> None:
    """One multiplies and adds 16 pairs, where an Armv8.0 core needs several instructions for 8."""
    runs = counted(quantized)
    assert runs["cortex-a76"].instructions.total < 2 / 3 * runs["cortex-a72"].instructions.total


def test_a_convolutions_multiply_adds_are_counted_exactly(convolution: Emulated) -> None:
    """16 x 3 x 3 x 3 x 16 x 16 MACs in FP32, four to an instruction: 27,648."""
    found = convolution.instructions
    assert found.fmla == 16 * 27 * 16 * 16 // 4
    assert found.dot == found.mmla == found.imla == found.sve_sme == 0


def test_counts_repeat_in_another_process_and_place(convolution: Emulated, tmp_path: Path) -> None:
    """A copy under a longer name, and repeats of one image instead of twelve images: equal to half a percent."""
    copy = write_convolution(tmp_path / "the-same-model-under-a-longer-name.onnx")
    repeated = EmulationSettings(count=True, repeats=12)
    again = run_emulated(the_emulator(), convolution.core, copy, some_images()[:1], repeated)
    assert len(again.windows) == len(convolution.windows) == 12
    assert again.instructions.total == pytest.approx(convolution.instructions.total, rel=0.005)


def test_a_core_that_claims_a_dot_product_it_lacks_is_stopped(quantized: Path) -> None:
    """ONNX Runtime believes the part number of an A76 and uses SDOT, which an A72 does not have."""
    liar = msgspec.structs.replace(CORES["cortex-a76"], name="a72-that-lies", qemu_cpu="cortex-a72")
    with pytest.raises(StageError, match=r"int8\.onnx: ONNX Runtime .* on an emulated a72-that-lies .* SIGILL: .*\.$"):
        run_emulated(the_emulator(), liar, quantized, some_images())


def test_several_inputs_and_outputs_of_other_names_and_types_work(tmp_path: Path) -> None:
    """Names, types and shapes come from the file; declared shapes are not needed; a scalar becomes (n,)."""
    nodes = [
        helper.make_node("Cast", ["pixels"], ["floats"], to=FLOAT),
        helper.make_node("QuantizeLinear", ["floats", "scale", "zero"], ["steps"]),
        helper.make_node("Gather", ["floats", "which"], ["picked"], axis=1),
        helper.make_node("ReduceSum", ["counts"], ["sum"], keepdims=0),
        helper.make_node("Less", ["counts", "limit"], ["below"]),
    ]
    inputs = [tensor("pixels", UINT8, ["n", 4]), tensor("which", INT64, [2]), tensor("counts", INT32, [1, 3])]
    kinds = {"steps": INT8, "picked": FLOAT, "sum": INT32, "below": TensorProto.BOOL}
    outputs = [tensor(name, kind, None) for name, kind in kinds.items()]
    constants = {"scale": np.float32(2), "zero": np.int8(-3), "limit": np.int32(15)}
    model = write_model(tmp_path / "odd.onnx", nodes, inputs, outputs, {k: np.array(v) for k, v in constants.items()})
    samples = [
        (np.array([[0, 2, 4, 255]], np.uint8), np.array([3, 0]), np.array([[10, 20, 30]], np.int32)),
        (np.array([[6, 8, 10, 12]], np.uint8), np.array([1, 1]), np.array([[1, 2, 3]], np.int32)),
    ]
    run = run_emulated(the_emulator(), CORES["cortex-a53"], model, samples)
    steps, picked, total, below = run.outputs
    assert run.names == ("steps", "picked", "sum", "below")
    np.testing.assert_array_equal(steps, np.array([[-3, -2, -1, 125], [0, 1, 2, 3]], np.int8), strict=True)
    np.testing.assert_array_equal(picked, np.array([[255, 0], [8, 8]], np.float32), strict=True)
    np.testing.assert_array_equal(total, np.array([60, 6], np.int32), strict=True)
    np.testing.assert_array_equal(below, np.array([[True, False, False], [True, True, True]]), strict=True)


def test_optimization_and_configuration_reach_the_session(quantized: Path, tmp_path: Path) -> None:
    """The optimized graph has integer convolutions; with Q/DQ fusion switched off, or unoptimized, it has none."""
    fused, kept, plain = (tmp_path / f"{name}.onnx" for name in ("fused", "kept", "plain"))
    off = {"session.disable_quant_qdq": "1"}
    settings = (
        EmulationSettings(save_optimized=fused),
        EmulationSettings(save_optimized=kept, config=off),
        EmulationSettings(save_optimized=plain, optimize=False),
    )
    run = functools.partial(run_emulated, the_emulator(), CORES["cortex-a76"], quantized, some_images()[:1])
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, settings))
    integer = [
        sum(node.op_type == "QLinearConv" for node in onnx.load(path).graph.node) for path in (fused, kept, plain)
    ]
    assert integer == [4, 0, 0]


def test_a_missing_or_broken_emulator_says_what_to_run(tmp_path: Path) -> None:
    """The sentence names the folder, what it lacks, and the set-up."""
    with pytest.raises(ConfigError, match=r"versions\.json is missing.*run tools/arm-emulation/setup"):
        find_emulator(tmp_path / "nowhere")
    for name in ("qemu-aarch64", "run_model", "root"):
        (tmp_path / name).touch()
    (tmp_path / "versions.json").write_text("{}", encoding="ascii")
    with pytest.raises(ConfigError, match=r"not what the set-up writes.*run tools/arm-emulation/setup"):
        find_emulator(tmp_path)


def test_the_usual_folder_follows_the_users_cache() -> None:
    """XDG_CACHE_HOME where it is set, otherwise .cache of the home."""
    assert emulator_folder({"HOME": "/home/ann"}) == Path("/home/ann/.cache/edgekd/arm-emulation")
    assert emulator_folder({"HOME": "/home/ann", "XDG_CACHE_HOME": "/big"}) == Path("/big/edgekd/arm-emulation")


def test_a_qemu_without_plugins_refuses_to_count(network: Path) -> None:
    """It still verifies outputs; asked for counts it ends in one sentence, not in zeros."""
    found = the_emulator()
    mute = msgspec.structs.replace(found, versions=msgspec.structs.replace(found.versions, counts=False))
    with pytest.raises(ConfigError, match=r"takes no plugins, so it cannot count instructions"):
        run_emulated(mute, CORES["cortex-a72"], network, some_images(), COUNTED)


def test_a_file_that_cannot_be_loaded_is_refused_in_the_runtimes_words(tmp_path: Path) -> None:
    """One sentence with the file, the core and ONNX Runtime's first line."""
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"this is no protobuf")
    with pytest.raises(ConfigError, match=r"broken\.onnx: .* emulated cortex-a72 cannot load it: .*[Pp]rotobuf.*\.$"):
        run_emulated(the_emulator(), CORES["cortex-a72"], broken, some_images())


def test_samples_that_do_not_fit_are_refused(network: Path, tmp_path: Path) -> None:
    """A wrong size, a free size that is no batch, samples that differ: the input, what it takes, what came."""
    emulator, core = the_emulator(), CORES["cortex-a53"]
    small = ((np.zeros((1, 3, 8, 8), np.float32),),)
    with pytest.raises(ConfigError, match=r"input 'x' takes float32:1,3,16,16, each sample holds float32:1,3,8,8\.$"):
        run_emulated(emulator, core, network, small)
    free = [tensor("x", FLOAT, ["batch", 3, "height", 16])]
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    model = write_model(tmp_path / "free.onnx", nodes, free, [tensor("y", FLOAT, None)], {})
    with pytest.raises(ConfigError, match=r"input 'x': size 2 is free; only the first one, the batch, may be"):
        run_emulated(emulator, core, model, some_images())
    with pytest.raises(ConfigError, match=r"sample 12: it holds float32:1,3,8,8, the first one float32:1,3,16,16"):
        run_emulated(emulator, core, network, some_images() + small)
    with pytest.raises(ConfigError, match="at least one sample"):
        run_emulated(emulator, core, network, [])


def test_a_kernel_that_fails_while_running_is_no_configuration_error(tmp_path: Path) -> None:
    """The file loads, but its index is out of range: exit code 3, with the runtime's sentence."""
    nodes = [helper.make_node("Gather", ["x", "i"], ["y"])]
    inputs = [tensor("x", FLOAT, [2]), tensor("i", INT64, [1])]
    model = write_model(tmp_path / "gather.onnx", nodes, inputs, [tensor("y", FLOAT, [1])], {})
    sample = (np.zeros(2, np.float32), np.array([7]))
    with pytest.raises(StageError, match=r"gather\.onnx: .* cannot run it: .*out of.*bounds.*\.$"):
        run_emulated(the_emulator(), CORES["cortex-a53"], model, [sample])


def test_a_run_that_takes_too_long_is_ended(network: Path) -> None:
    """A tenth of a second does not even load ONNX Runtime."""
    with pytest.raises(StageError, match=r"no answer within 0\.1 s"):
        run_emulated(
            the_emulator(), CORES["cortex-a53"], network, some_images(), EmulationSettings(timeout_seconds=0.1)
        )
