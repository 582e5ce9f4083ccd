"""The random networks of the suite."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto

from edgekd.bench.kernel_run import WEIGHTS
from edgekd.bench.kernel_runner import WEIGHTS as RUNNERS_WEIGHTS
from edgekd.predict.outsourcing import outsource
from edgekd.predict.suite import MOST_NODES, suite_network
from edgekd.predict.tracing import with_names

SEEDS = range(40)


def test_the_same_seed_gives_the_same_network() -> None:
    """Another one gives another."""
    assert suite_network(3).SerializeToString() == suite_network(3).SerializeToString()
    assert suite_network(3).SerializeToString() != suite_network(4).SerializeToString()


@pytest.mark.parametrize("seed", SEEDS)
def test_every_network_is_valid_and_runs_as_it_says(seed: int) -> None:
    """ONNX's own inference agrees with each size that the suite wrote; a block may pass the limit on nodes."""
    model = suite_network(seed)
    onnx.checker.check_model(model, full_check=True)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {given.name: np.zeros(given.shape, np.float32) for given in session.get_inputs()}
    assert list(session.run(None, feeds)[0].shape) == session.get_outputs()[0].shape
    assert len(model.graph.node) < 2 * MOST_NODES


def test_the_suite_has_what_mobile_networks_have() -> None:
    """Forty networks hold every form of convolution, products of two activations, and most activations."""
    operators: set[str] = set()
    forms: set[str] = set()
    for seed in SEEDS:
        graph = suite_network(seed).graph
        sizes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
        for node in graph.node:
            operators.add(node.op_type)
            if node.op_type == "Conv":
                count, per_group, high, wide = sizes[node.input[1]]
                groups = next(a.i for a in node.attribute if a.name == "group")
                forms.add("pointwise" if high == wide == groups == 1 else "dense" if groups == 1 else "grouped")
                forms |= {"depthwise"} if groups == count and per_group == 1 else set()
    assert forms == {"pointwise", "dense", "grouped", "depthwise"}
    assert operators >= {"Add", "Concat", "Gemm", "GlobalAveragePool", "LayerNormalization", "MatMul", "MaxPool", "Mul"}
    assert operators >= {"Clip", "Relu", "Resize", "Sigmoid", "Slice", "Softmax", "Split", "Transpose"}


def test_outsourced_weights_are_read_from_the_common_file(tmp_path: Path) -> None:
    """The file is a few kilobytes, runs beside numbers of the size that was asked for, and its answers are theirs."""
    model = with_names(suite_network(1))
    whole = len(model.SerializeToString())
    needed = outsource(model, WEIGHTS, seed=1)
    moved = [tensor for tensor in model.graph.initializer if tensor.data_location == TensorProto.EXTERNAL]
    assert len(moved) > 0
    assert len(model.SerializeToString()) < whole / 2
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    answers = []
    for scale in (0.0, 0.05):
        numbers = np.resize(np.random.default_rng(0).standard_normal(1 << 18).astype(np.float32), needed // 4 + 1)
        (numbers * np.float32(scale)).tofile(tmp_path / WEIGHTS)
        session = ort.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
        feeds = {given.name: np.ones(given.shape, np.float32) for given in session.get_inputs()}
        answers.append(session.run(None, feeds)[0])
    assert not np.array_equal(answers[0], answers[1])


def test_both_sides_call_the_common_file_alike() -> None:
    """The runner cannot import the name."""
    assert RUNNERS_WEIGHTS == WEIGHTS
