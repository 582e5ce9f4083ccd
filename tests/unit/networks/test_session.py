"""ONNX Runtime sessions, on a graph written by hand beside the same arithmetic in torch."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from edgekd.core.errors import ConfigError
from edgekd.networks.session import Arithmetic, answers, every_answer, feeds_of, open_session

LINEAR = nn.Linear(6, 4)
LAYER = nn.Sequential(LINEAR, nn.ReLU())
IMAGES = np.random.default_rng(0).standard_normal((7, 6), dtype=np.float32)


def graph(batch: int | str) -> onnx.ModelProto:
    """Return LAYER as Gemm and Relu, for a fixed or a free batch."""
    weights = {"w": LINEAR.weight, "b": LINEAR.bias}
    body = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1), helper.make_node("Relu", ["y"], ["z"])],
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 6])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, [batch, 4])],
        [numpy_helper.from_array(tensor.detach().numpy(), name) for name, tensor in weights.items()],
    )
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


@pytest.mark.parametrize("arithmetic", ["default", "reference", "arm64-kernels"])
@pytest.mark.parametrize("batch", ["n", 1])
def test_answers_are_torchs(arithmetic: Arithmetic, batch: int | str) -> None:
    """For each image in its order, whichever optimizations run and whether the file fixes its batch or not."""
    expected = LAYER(torch.from_numpy(IMAGES)).detach().numpy()

    found = answers(open_session(graph(batch), arithmetic=arithmetic), [(IMAGES,)])

    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("size", [1, 3, 7, 250])
def test_the_size_of_a_batch_does_not_matter(size: int) -> None:
    """Also where the last batch is smaller than the others."""
    session = open_session(graph("n"))

    batches = [(IMAGES[start : start + size],) for start in range(0, len(IMAGES), size)]

    np.testing.assert_allclose(answers(session, batches), answers(session, [(IMAGES,)]), atol=1e-6)


def two_ways(batch: int | str) -> onnx.ModelProto:
    """Return a graph that takes b (batch, 2) before a (batch, 3) and gives a twice over before b negated."""
    graph = helper.make_graph(
        [helper.make_node("Add", ["a", "a"], ["double"]), helper.make_node("Neg", ["b"], ["negative"])],
        "two",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, size]) for name, size in (("b", 2), ("a", 3))],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, size])
            for name, size in (("double", 3), ("negative", 2))
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


@pytest.mark.parametrize("batch", ["n", 1])
def test_several_inputs_go_in_and_several_outputs_come_out_in_order(batch: int | str) -> None:
    """By place, not by name; a batch that is fixed cuts all inputs alike; the first output is the answer."""
    session = open_session(two_ways(batch))
    b, a = IMAGES[:, :2].copy(), IMAGES[:, 2:5].copy()
    batches = [(b[:4], a[:4]), (b[4:], a[4:])]

    double, negative = every_answer(session, batches)

    assert list(feeds_of(session, (b, a))) == ["b", "a"]
    np.testing.assert_array_equal(double, 2 * a)
    np.testing.assert_array_equal(negative, -b)
    np.testing.assert_array_equal(answers(session, batches), double)


def test_a_missing_input_is_a_mistake_in_the_program() -> None:
    """Neither too few arrays nor too many are fed in silence."""
    session = open_session(two_ways("n"))
    for arrays in ((IMAGES,), (IMAGES, IMAGES, IMAGES)):
        with pytest.raises(ValueError, match="zip"):
            feeds_of(session, arrays)


def test_a_file_its_bytes_and_the_graph_itself_open_alike(tmp_path: Path) -> None:
    """Three ways to name one network."""
    model = graph("n")
    file = tmp_path / "model.onnx"
    file.write_bytes(model.SerializeToString())

    first, second, third = (answers(open_session(source), [(IMAGES,)]) for source in (file, file.read_bytes(), model))

    assert np.array_equal(first, second)
    assert np.array_equal(first, third)


def test_the_optimized_graph_is_written_where_asked(tmp_path: Path) -> None:
    """Gemm and Relu become one node, or stay two in reference arithmetic."""
    nodes = {}
    for arithmetic in ("default", "reference"):
        file = tmp_path / f"{arithmetic}.onnx"
        open_session(graph("n"), arithmetic=arithmetic, save_optimized=file)
        nodes[arithmetic] = [node.op_type for node in onnx.load(file).graph.node]

    assert nodes == {"default": ["FusedGemm"], "reference": ["Gemm", "Relu"]}


def test_a_file_that_is_no_network_is_named(tmp_path: Path) -> None:
    """Garbage and a missing file are refused with the path and the runtime's own words."""
    file = tmp_path / "model.onnx"
    with pytest.raises(ConfigError, match=f"{file}: ONNX Runtime .* cannot load it"):
        open_session(file)

    file.write_bytes(b"garbage")
    with pytest.raises(ConfigError, match=f"{file}: ONNX Runtime .* cannot load it"):
        open_session(file)


def test_bytes_that_are_no_network_are_refused() -> None:
    """Without a file there is no path to name."""
    with pytest.raises(ConfigError, match=r"the network: ONNX Runtime .* cannot load it"):
        open_session(b"garbage")
