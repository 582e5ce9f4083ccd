"""Counting ONNX graphs: as torch counts the module they come from, or by hand."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from older import older_onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper
from torch import Tensor, nn

from edgekd.core.errors import ConfigError
from edgekd.networks.counting import count_macs, count_parameters
from edgekd.networks.dscnn import dscnn
from edgekd.networks.graph_counting import count_graph_macs, count_graph_parameters
from edgekd.networks.resnet import resnet

Shape = tuple[int, ...]


class Transformer(nn.Module):
    """Patches, one block of attention written as matrix products, a classifier without a bias."""

    def __init__(self) -> None:
        """Make the layers."""
        super().__init__()
        self.patches, self.mix = nn.Conv2d(2, 8, 2, 2), nn.Linear(8, 24)
        self.head = nn.Linear(8, 5, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map images to logits."""
        q, k, v = self.mix(self.patches(x).flatten(2).transpose(1, 2)).chunk(3, 2)
        logits: Tensor = self.head((torch.softmax(q @ k.transpose(1, 2), 2) @ v).mean(1))
        return logits


class Einstein(nn.Module):
    """A product written as an Einstein sum, with a matrix of its own."""

    def __init__(self) -> None:
        """Make the matrix."""
        super().__init__()
        self.matrix = nn.Parameter(torch.ones(7, 5))

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, time, 7) to (batch, 5, time)."""
        return torch.einsum("bti,io->bot", x, self.matrix)


class Recurrent(nn.Module):
    """A long short-term memory and a classifier of its last state."""

    def __init__(self) -> None:
        """Make the layers."""
        super().__init__()
        self.memory, self.head = nn.LSTM(6, 8, num_layers=2, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, time, 6) to (batch, 3)."""
        logits: Tensor = self.head(self.memory(x)[0][:, -1])
        return logits


NETWORKS: Mapping[str, tuple[Callable[[], nn.Module], Shape]] = MappingProxyType(
    {
        "resnet": (lambda: resnet(classes=5, width=4), (1, 12, 12)),
        "dscnn": (lambda: dscnn(classes=5, width=8), (1, 12, 12)),
        "mlp": (lambda: nn.Sequential(nn.Linear(7, 9), nn.ReLU(), nn.Linear(9, 5, bias=False)), (7,)),
        "grouped": (
            lambda: nn.Sequential(
                nn.Conv2d(4, 6, 3, 2, 1, groups=2), nn.Conv2d(6, 6, 3, groups=6), nn.ConvTranspose2d(6, 4, 3, 2)
            ),
            (4, 9, 7),
        ),
        "sequence": (lambda: nn.Sequential(nn.Conv1d(3, 6, 5, 2, dilation=2), nn.ReLU(), nn.Conv1d(6, 6, 3)), (3, 40)),
        "tokens": (lambda: nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 2)), (9, 6)),
        "attention": (Transformer, (2, 8, 8)),
        "einstein": (Einstein, (9, 7)),
    }
)


def sample(*shapes: Shape) -> tuple[NDArray[np.float32], ...]:
    """Return one sample of zeros."""
    return tuple(np.zeros((1, *shape), dtype=np.float32) for shape in shapes)


def single(op_type: str, *operands: Shape, **attributes: Any) -> ModelProto:  # noqa: ANN401 - ONNX's own
    """Return a model of one node, whose first operand is its input and whose others are constants."""
    names = [f"operand_{place}" for place in range(len(operands))]
    graph = helper.make_graph(
        [helper.make_node(op_type, names, ["y"], name="the_node", **attributes)],
        "single",
        [helper.make_tensor_value_info(names[0], TensorProto.FLOAT, operands[0])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(np.ones(shape, np.float32), name)
            for name, shape in zip(names, operands, strict=True)
        ][1:],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


@pytest.mark.parametrize("is_free", [True, False])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_graph_is_counted_as_its_module_is(name: str, is_free: bool) -> None:  # noqa: FBT001 - both forms of a file
    """Multiply-accumulates as torch's own counter says, for a free batch and a fixed one.

    A norm that the exporter folded into its convolution leaves one parameter less for each channel: its scale goes
    into the weights that are there, its shift becomes the bias.
    """
    make, shape = NETWORKS[name]
    module = make().eval()
    norms = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]
    for norm in norms:
        nn.init.uniform_(norm.bias)  # biases that are all zero would be one constant

    graph = older_onnx(module, shape, is_free=is_free)

    assert count_graph_macs(graph, sample(shape)) == count_macs(module, shape)
    assert not any(node.op_type == "BatchNormalization" for node in graph.graph.node)
    assert count_graph_parameters(graph) == count_parameters(module) - sum(norm.num_features for norm in norms)


@pytest.mark.parametrize(
    ("model", "shape", "expected"),
    [
        # 2 x 5 numbers, each a sum of 3
        (single("MatMul", (1, 2, 3), (3, 5)), (2, 3), 2 * 5 * 3),
        (single("Gemm", (1, 3), (3, 5), (5,)), (3,), 5 * 3),
        (single("Gemm", (1, 3), (5, 3), transB=1), (3,), 5 * 3),
        # (1, 3) read as (3, 1): 3 x 5 numbers, each a sum of 1
        (single("Gemm", (1, 3), (1, 5), transA=1), (3,), 3 * 5 * 1),
        # 4 places of 6 channels, each a kernel of 2 x 3
        (single("Conv", (1, 4, 6), (6, 2, 3), group=2), (4, 6), 6 * 4 * 2 * 3),
        # 4 x 5 numbers read, each spread over 2 x 3
        (single("ConvTranspose", (1, 4, 5), (4, 2, 3)), (4, 5), 4 * 5 * 2 * 3),
        (single("Einsum", (1, 2, 3), (3, 5), equation="bti, io -> bto"), (2, 3), 2 * 3 * 5),
        # at each of 1 time, of batch 1: 4 x 8 rows times 6 and times 8; a GRU has 3 x 8 rows
        (single("LSTM", (1, 1, 6), (1, 32, 6), (1, 32, 8), hidden_size=8), (1, 6), 32 * (6 + 8)),
        (single("GRU", (1, 1, 6), (1, 24, 6), (1, 24, 8), hidden_size=8), (1, 6), 24 * (6 + 8)),
        (single("Relu", (1, 3)), (3,), 0),
    ],
    ids=lambda value: value.graph.node[0].op_type if isinstance(value, ModelProto) else None,
)
def test_each_operator_by_hand(model: ModelProto, shape: Shape, expected: int) -> None:
    """The numbers written, times the length of the sum behind each."""
    assert count_graph_macs(model, sample(shape)) == expected


def test_two_inputs_are_multiplied() -> None:
    """Attention between two inputs: no constant at all."""

    class Both(nn.Module):
        """Multiplies its inputs."""

        def forward(self, first: Tensor, second: Tensor) -> Tensor:
            """Map (batch, 3, 4) and (batch, 4, 5) to (batch, 3, 5)."""
            return first @ second

    graph = older_onnx(Both(), (3, 4), (4, 5))

    assert count_graph_macs(graph, sample((3, 4), (4, 5))) == 3 * 4 * 5


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_parameters_of_any_real_type_count_and_integers_do_not(kind: type[np.floating[Any]]) -> None:
    """Shapes and axes are no parameters, half precision is."""
    model = single("MatMul", (1, 3), (3, 5))
    model.graph.initializer.append(numpy_helper.from_array(np.ones((2, 3), dtype=kind), "more"))
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 64]), "shape"))

    assert count_graph_parameters(model) == 15 + 6


def test_a_sum_of_three_is_refused() -> None:
    """In which order they are multiplied decides the work, and the equation does not say."""
    model = single("Einsum", (1, 2), (2, 3), (3, 4), equation="ab,bc,cd->ad")

    with pytest.raises(ConfigError, match=r"'the_node' \(Einsum\): 'ab,bc,cd->ad' is not counted"):
        count_graph_macs(model, sample((2,)))


def test_a_graph_inside_is_refused() -> None:
    """How often a branch runs is not known: a wrong count would pass for a right one."""
    branch = helper.make_graph([], "branch", [], [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)])
    model = single("If", (1, 2), then_branch=branch, else_branch=branch)

    with pytest.raises(ConfigError, match=r"'the_node' \(If\): a graph inside is not counted"):
        count_graph_macs(model, sample((2,)))


def test_counting_leaves_the_graph_as_it_was() -> None:
    """Its outputs, too."""
    model = older_onnx(Transformer(), (2, 8, 8))
    before = model.SerializeToString()
    count_graph_macs(model, sample((2, 8, 8)))

    assert model.SerializeToString() == before


def test_a_memory_is_counted_as_its_module_is() -> None:
    """Two layers of an LSTM, by torch's counter."""
    module = Recurrent()
    graph = older_onnx(module, (9, 6), is_free=False)

    assert count_graph_macs(graph, sample((9, 6))) == count_macs(module, (9, 6))
