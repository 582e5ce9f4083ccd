"""The parity ladder: what agrees, what does not, and where it begins."""

from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from emulator import the_emulator
from onnx import ModelProto, numpy_helper
from quantized import quantized_network, some_digits

from edgekd.bench.cores import CORES
from edgekd.core.errors import ParityError
from edgekd.export.shapes import fix_batch
from edgekd.export.shipping import written_for
from edgekd.networks.session import every_answer, open_session
from edgekd.stages.parity import Base, Ladder, Rung, climb, demand_parity, signed, with_levels

INTEGER = "ONNX Runtime, optimized, integer kernels"


def shipped(folder: Path, name: str = "dscnn") -> Path:
    """Return a quantized network as it ships: one image at a time, opset 13."""
    path = folder / "model.int8.onnx"
    qdq = quantized_network(name, "onnxruntime-arm64").qdq
    onnx.save(written_for(fix_batch(qdq), "onnxruntime", "1.32.0", opset=13, ir_version=8), path)
    return path


def by_name(ladder: Ladder) -> dict[str, Rung]:
    """Return the rungs of *ladder* by their names."""
    return {rung.name: rung for rung in ladder.rungs}


@pytest.mark.parametrize("name", ["resnet", "dscnn"])
def test_integer_kernels_compute_what_was_tuned(tmp_path: Path, name: str) -> None:
    """Not one of the 8-bit activations of 16 digits is another integer, and no output of 100 differs."""
    ladder = climb(shipped(tmp_path, name), (some_digits()[:100],))
    rung = by_name(ladder)[INTEGER]
    assert rung.samples == 100
    assert rung.levels > 100_000
    assert (rung.differing, rung.first_difference) == (0.0, None)
    assert rung.largest_lsb < 1e-4
    assert rung.top1 == 1.0
    demand_parity(ladder, tmp_path)


def test_the_ladder_says_what_it_could_not_do(tmp_path: Path) -> None:
    """Without an emulator a note says how to get one."""
    ladder = climb(shipped(tmp_path), (some_digits()[:4],))
    assert any("tools/arm-emulation/setup" in note for note in ladder.notes)


@pytest.mark.slow
def test_arm_kernels_compute_what_was_tuned(tmp_path: Path) -> None:
    """On every core profile, with and without dot products and 8-bit matrix products: the same integers."""
    ladder = climb(shipped(tmp_path), (some_digits()[:8],), emulator=the_emulator(), cores=list(CORES.values()))
    emulated = [rung for rung in ladder.rungs if "aarch64" in rung.name]
    assert len(emulated) == len(CORES)
    assert all((rung.differing, rung.top1) == (0.0, 1.0) for rung in emulated)
    demand_parity(ladder, tmp_path)


def test_an_emulated_core_is_a_rung(tmp_path: Path) -> None:
    """A Cortex-A72 computes the integers of the network that was tuned."""
    ladder = climb(shipped(tmp_path), (some_digits()[:4],), emulator=the_emulator(), cores=[CORES["cortex-a72"]])
    (rung,) = (rung for rung in ladder.rungs if "cortex-a72" in rung.name)
    assert (rung.samples, rung.differing, rung.first_difference) == (4, 0.0, None)


def test_the_first_layer_that_differs_is_named(tmp_path: Path) -> None:
    """A runtime that gave the third convolution another bias is found out there, by its name in the report."""
    right = onnx.load(shipped(tmp_path))
    wrong = ModelProto()
    wrong.CopyFrom(right)
    layer = next(node for node in wrong.graph.node if node.name == "Conv_2")
    bias = next(node.input[0] for node in wrong.graph.node if node.output[0] == layer.input[2])
    moved = next(i for i in wrong.graph.initializer if i.name == bias)
    moved.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(moved) + np.int32(4000), moved.name))
    images = (some_digits()[:16],)
    answers = every_answer(open_session(with_levels(wrong), arithmetic="arm64-kernels"), [images])

    rung = Base(right, images, fixed_point_sums=False).rung("wrong", answers[:1], answers[1:], must_agree=True)
    assert rung.first_difference == "Conv_2"
    assert rung.differing > 0.01


@pytest.mark.parametrize(("field", "value"), [("top1", 0.99), ("largest_lsb", 1.5), ("differing", 2e-4)])
def test_integer_arithmetic_that_leaves_the_network_is_refused(tmp_path: Path, field: str, value: float) -> None:
    """Each of the three bounds alone; a rung of floats may differ, since its sums depend on their order."""
    rung = Rung(
        name="a core",
        samples=10,
        top1=1.0,
        largest_lsb=0.0,
        levels=100,
        differing=0.0,
        largest_level_difference=0,
        first_difference=None,
        must_agree=True,
    )
    bad = msgspec.structs.replace(rung, **{field: value})
    demand_parity(Ladder(rungs=(rung, msgspec.structs.replace(bad, must_agree=False)), notes=()), tmp_path)
    with pytest.raises(ParityError, match="a core"):
        demand_parity(Ladder(rungs=(bad,), notes=()), tmp_path)


def test_unsigned_levels_are_signed_ones_shifted() -> None:
    """Level 128 of a file for QNN is level 0 here."""
    assert signed(np.array([0, 128, 255], np.uint8)).tolist() == [-128, 0, 127]
